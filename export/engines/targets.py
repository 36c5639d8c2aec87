"""What engines are built for: the cards of this machine, or compute capabilities of others."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from fastrestore.errors import DeviceError, EngineError, UsageError
from fastrestore.runtime.backends.tensorrt_library import FLAVOURS, Flavour, installed
from fastrestore.runtime.devices.driver import Card, DriverFacts, driver

_OLDEST_DRIVERS = {"12": "525", "13": "580"}
"""The first driver of each CUDA version that the libraries are built for."""
EVERY = "all"


@dataclass(frozen=True, slots=True)
class Target:
    """A card, or all cards of a compute capability."""

    capability: str
    """`8.9`."""
    card: str = ""
    """The card's name, if engines are tuned for it alone."""
    index: int | None = None
    """Its place among the cards of this machine, if it is one that can run the engine."""

    @property
    def label(self) -> str:
        """What people call it: `sm_89`, or the card's name with its place."""
        return f"{self.index}: {self.card}" if self.card else architecture(self.capability)


def architecture(capability: str) -> str:
    """Return `sm_89` for `8.9`."""
    return "sm_" + capability.replace(".", "")


def pick_flavour(backend: str) -> Flavour:
    """Return the library of that name; `auto` takes the first that is installed.

    Raises:
        UsageError: If the name is unknown.
        EngineError: If it is not installed, or none is.
    """
    if backend == "auto":
        found = next((flavour for flavour in FLAVOURS.values() if installed(flavour)), None)
        if found is None:
            raise EngineError(
                "neither TensorRT nor TensorRT for RTX is installed",
                "`pip install 'fastrestore[rtx]'` builds engines for RTX cards on any machine",
            )
        return found
    if backend not in FLAVOURS:
        raise UsageError(f"no engines are built for backend `{backend}`", f"use auto, {', '.join(FLAVOURS)}")
    flavour = FLAVOURS[backend]
    if installed(flavour) is None:
        raise EngineError(
            f"package {flavour.packages[0]} is not installed", f"`pip install 'fastrestore[{flavour.extra}]'`"
        )
    return flavour


def driver_floor(flavour: Flavour) -> str:
    """Return the oldest driver that runs the library's engines, by the CUDA version it is built for; or nothing."""
    for package in flavour.packages:
        if (built_for := re.search(r"-cu(\d+)$", package)) and built_for[1] in _OLDEST_DRIVERS:
            try:
                version(package)
            except PackageNotFoundError:
                continue
            return _OLDEST_DRIVERS[built_for[1]]
    return ""


def find_targets(
    flavour: Flavour, asked: Sequence[str] = (), found: DriverFacts | str | None = None
) -> tuple[Target, ...]:
    """Return what to build for, each once.

    Args:
        flavour: The library.
        asked: Places of cards (`0`), architectures (`sm_89`, `8.9`), `all`, also several with commas between them;
            nothing means every card of this machine.
        found: What the driver says, or why there is none; None asks it.

    Raises:
        UsageError: If a name is not understood, or nothing is asked for where there is no card.
        DeviceError: If there is no such card, or the library does not build for it.
    """
    found = driver() if found is None else found
    cards = () if isinstance(found, str) else found.cards
    words = [word.strip() for words in asked for word in words.split(",") if word.strip()]
    if not words:
        if isinstance(found, str):
            raise _nothing_here(flavour, found)
        return _distinct(_of_card(flavour, card) for card in cards)
    targets: list[Target] = []
    for word in words:
        if word == EVERY and flavour.per_capability:
            targets += [_of_capability(flavour, capability, cards) for capability in flavour.capabilities]
        elif word.isascii() and word.isdigit() and len(word) < 4:
            targets.append(_of_card(flavour, _card(int(word), found)))
        else:
            targets.append(_of_capability(flavour, _capability(word), cards))
    return _distinct(targets)


def _card(index: int, found: DriverFacts | str) -> Card:
    if isinstance(found, str):
        hint = f"an architecture is written `sm_{index}`" if index > 9 else "see `fastrestore doctor`"
        raise DeviceError(f"there is no card {index} here: {found}", hint)
    for card in found.cards:
        if card.index == index:
            return card
    known = ", ".join(f"{card.index} ({card.name})" for card in found.cards)
    raise DeviceError(f"there is no card {index} here", f"there is {known}")


def _capability(word: str) -> str:
    if match := re.fullmatch(r"(?:sm_?)?(\d{1,2})\.?(\d)", word, re.IGNORECASE | re.ASCII):
        return f"{match[1]}.{match[2]}"
    raise UsageError(
        f"`--device {word}` is not understood", "use a card's place (`0`), an architecture (`sm_89`), or `all`"
    )


def _of_card(flavour: Flavour, card: Card) -> Target:
    if not flavour.per_capability:
        return Target(card.capability, card.name, card.index)
    if card.capability not in flavour.capabilities:
        raise DeviceError(
            f"{flavour.name} does not build for {card.name} ({architecture(card.capability)})", _known(flavour)
        )
    return Target(card.capability, index=card.index)


def _of_capability(flavour: Flavour, capability: str, cards: Iterable[Card]) -> Target:
    if not flavour.per_capability:
        raise UsageError(
            f"{flavour.name} cannot build for {architecture(capability)} from afar: it measures on the card itself",
            "build on a machine with that card, or use `--backend tensorrt-rtx`",
        )
    if capability not in flavour.capabilities:
        raise UsageError(f"{flavour.name} does not build for {architecture(capability)}", _known(flavour))
    return Target(capability, index=next((card.index for card in cards if card.capability == capability), None))


def _known(flavour: Flavour) -> str:
    return f"it builds for {', '.join(map(architecture, flavour.capabilities))}"


def _nothing_here(flavour: Flavour, why: str) -> UsageError | DeviceError:
    if flavour.per_capability:
        known = ",".join(map(architecture, flavour.capabilities))
        return UsageError(
            f"nothing to build for: {why}", f"say for which cards: `--device {known}`, some of them, or `all`"
        )
    return DeviceError(f"{flavour.name} needs the card itself: {why}", "see `fastrestore doctor`")


def _distinct(targets: Iterable[Target]) -> tuple[Target, ...]:
    """Leave out what would be built twice: a second card of one capability, where that is all an engine depends on."""
    chosen: dict[tuple[str, str], Target] = {}
    for target in targets:
        chosen.setdefault((target.capability, target.card), target)
    return tuple(chosen.values())
