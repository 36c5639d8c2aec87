"""Backends `tensorrt` and `tensorrt-rtx`: engines out of the cache, proved on the card before they are used."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

from fastrestore.errors import EngineError
from fastrestore.geometry import Size
from fastrestore.models.spec import ModelSpec, Task
from fastrestore.runtime import memory
from fastrestore.runtime.backends import tensorrt_library
from fastrestore.runtime.backends.tensorrt_engine import LoadedEngine, TensorRtEngine
from fastrestore.runtime.backends.tensorrt_library import FLAVOURS, Flavour
from fastrestore.runtime.backends.tensorrt_session import Session
from fastrestore.runtime.cache.engines import EngineCache
from fastrestore.runtime.cache.entry import CachedEngine
from fastrestore.runtime.engine import Engine
from fastrestore.runtime.engine_key import BUILDER_REVISION, EngineKey, Profile, Shape
from fastrestore.runtime.gate import GATE_REVISION, reference, require_proof, shapes_of
from fastrestore.runtime.memory import Card, Device, DriverFacts
from fastrestore.runtime.profiles import LEAST_SIDE_PX, choose, input_shape, usual_profiles
from fastrestore.runtime.proofs import Proof

_PRECISIONS = ("fp16", "fp32")
"""Of engines, the preferred one first."""
_AMPERE = (8, 0)
"""Hardware-compatible engines run on cards of this capability and later ones."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a backend finds itself among. Tests hand it another library, card and cache."""

    cards: Callable[[], DriverFacts | str] = memory.usable_cards
    installed: Callable[[Flavour], str | None] = tensorrt_library.installed
    load: Callable[[Flavour], Any] = tensorrt_library.load
    open_device: Callable[[int], Device] = memory.open_device
    cache: Callable[[], EngineCache] = EngineCache
    reference: Callable[[ModelSpec], Engine] = reference


class TensorRtBackend:
    """Runs what `fastrestore build-engines` has built for the first card. It never builds.

    Args:
        flavour: Which of the two libraries.
        around: What it finds itself among.
    """

    def __init__(self, flavour: Flavour, around: Surroundings | None = None) -> None:
        self.name = flavour.name
        self._flavour, self._around = flavour, around or Surroundings()
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._users = 0
        self._opened: dict[str, str] = {}
        """The hash of the plan, by the engine's name, of what was opened and proved."""

    def unavailable_because(self) -> str | None:
        """See `Backend.unavailable_because`. The driver comes first: without one, nothing else matters."""
        facts, flavour = self._around.cards(), self._flavour
        if isinstance(facts, str):
            return facts
        if self._around.installed(flavour) is None:
            return f"package {flavour.packages[0]} is not installed"
        card = facts.cards[0]
        if flavour.capabilities and card.capability not in flavour.capabilities:
            return f"{flavour.name} has no engines for {card.name} (compute capability {card.capability})"
        return None

    def describe(self) -> str:
        """See `Backend.describe`."""
        facts = self._around.cards()
        if isinstance(facts, str):
            return f"{self.name}, {facts}"
        return f"{self.name} {self._around.installed(self._flavour)}, {facts.cards[0].name}, driver {_driver(facts)}"

    def missing(self, spec: ModelSpec, size: Size | None) -> str | None:
        """See `BuiltAhead.missing`."""
        if self._found(spec, size) is not None:
            return None
        return f"{self._none_built(spec, size)} (`{_command(spec, size, self.name)}` builds one)"

    def largest(self, spec: ModelSpec, size: Size | None) -> Size | None:
        """See `BuiltAhead.largest`."""
        entry = self._found(spec, size)
        return None if entry is None else Size(entry.key.profile.most.width, entry.key.profile.most.height)

    def opened(self) -> str:
        """See `BuiltAhead.opened`: the library's version, the card, and the plans' hashes."""
        plans = ", ".join(f"{name} {sha256}" for name, sha256 in sorted(self._opened.items()))
        return f"{self._around.installed(self._flavour)} on {self._card.name}: {plans}"

    def open(self, spec: ModelSpec, *, threads: int, size: Size | None = None) -> TensorRtEngine:
        """See `Backend.open`. An engine that was never run on this card with this driver is proved first.

        Raises:
            EngineError: If no engine is built for this card, or it cannot be loaded.
            EngineProofError: If it does not compute what the reference computes.
            OutOfDeviceMemoryError: If the card has too little memory for it.
        """
        if problem := self.unavailable_because():
            raise EngineError(f"backend `{self.name}` cannot run here: {problem}", "see `fastrestore doctor`")
        entry = self._found(spec, size)
        if entry is None:
            raise EngineError(self._none_built(spec, size), f"`{_command(spec, size, self.name)}`")
        return self.open_entry(spec, entry)

    def open_entry(self, spec: ModelSpec, entry: CachedEngine) -> TensorRtEngine:
        """Open one engine of the cache, proved.

        Args:
            spec: Its model.
            entry: The engine.

        Raises:
            EngineError: As for `open`.
        """
        cache = self._around.cache()
        with ExitStack() as stack:
            plan = cache.load(entry)
            stack.callback(cache.release, entry)
            session = self._joined()
            stack.callback(self._left)
            loaded = LoadedEngine(session, spec, entry.key, plan)
            engine = TensorRtEngine(loaded, stack.pop_all().close)
        try:
            self._prove(engine, entry, cache)
        except BaseException:
            engine.close()
            raise
        self._opened[entry.name] = entry.sha256
        return engine

    def _prove(self, engine: TensorRtEngine, entry: CachedEngine, cache: EngineCache) -> None:
        """Have the gate look at an engine, unless it has passed here before."""
        facts = self._facts(entry)
        if _holds(entry.proof, facts):
            return
        proof = require_proof(
            engine,
            facts=facts,
            reference=lambda: self._around.reference(engine.spec),
            shapes=shapes_of(entry.key.profile, engine.spec),
            folder=cache.folder / "proofs",
        )
        engine.trim()  # the largest picture of the profile has just been through it
        with suppress(EngineError):  # a cache that cannot be written to is looked up among the gate's own verdicts
            cache.record_proof(entry, proof.as_dict())

    def _facts(self, entry: CachedEngine) -> dict[str, str]:
        """Return all that an engine's results depend on here."""
        facts, key = self._around.cards(), entry.key
        assert not isinstance(facts, str)
        return {
            "model_sha256": key.onnx_sha256,
            "engine_sha256": entry.sha256,
            "backend": self.name,
            "version": str(self._around.installed(self._flavour)),
            "device": self._card.name,
            "capability": self._card.capability,
            "driver": _driver(facts),
            "precision": key.precision,
        }

    def _none_built(self, spec: ModelSpec, size: Size | None) -> str:
        pictures = "" if size is None else f" for pictures of {size}"
        return f"no engine of `{spec.name}`{pictures} is built for {self._card.name}"

    @property
    def _card(self) -> Card:
        facts = self._around.cards()
        if isinstance(facts, str):
            raise EngineError(f"backend `{self.name}` cannot run here: {facts}", "see `fastrestore doctor`")
        return facts.cards[0]

    def _found(self, spec: ModelSpec, size: Size | None) -> CachedEngine | None:
        """Return the engine to run pictures of a size with: half precision first, then the profile that fits best."""
        fitting = list(self._fitting(spec))
        for precision in _PRECISIONS:
            of_precision = [entry for entry in fitting if entry.key.precision == precision]
            profile = profile_for(spec, [entry.key.profile for entry in of_precision], size)
            if profile is not None:
                return max((e for e in of_precision if e.key.profile == profile), key=lambda e: (e.made, e.name))
        return None

    def _fitting(self, spec: ModelSpec) -> Iterator[CachedEngine]:
        """Yield the engines of a model that this card and library can run."""
        hashes = {precision: artifact.sha256 for precision, artifact in spec.artifacts.items()}
        for entry in self._around.cache().entries():
            key = entry.key
            if hashes.get(key.precision) == key.onnx_sha256 and self._runs(key):
                yield entry

    def _runs(self, key: EngineKey) -> bool:
        flavour, card, version = self._flavour, self._card, str(self._around.installed(self._flavour))
        of_version = key.backend_version == version or (
            key.options.version_compatible and _numbers(key.backend_version) <= _numbers(version)
        )
        of_card = key.capability == card.capability and (flavour.per_capability or key.device == card.name)
        if key.options.hardware_compatible:
            of_card = min(_numbers(key.capability), _numbers(card.capability)) >= _AMPERE
        return key.backend == self.name and key.revision == BUILDER_REVISION and of_version and of_card

    def _joined(self) -> Session:
        """Return the session that all engines of this backend share; the first one begins it, the last one ends it."""
        with self._lock:
            if self._session is None:
                self._session = Session(self._around.load(self._flavour), self._around.open_device(self._card.index))
            self._users += 1
            return self._session

    def _left(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._session is not None:
                session, self._session = self._session, None
                session.close()


class TensorRt(TensorRtBackend):
    """Backend `tensorrt`."""

    def __init__(self) -> None:
        super().__init__(FLAVOURS["tensorrt"])


class TensorRtRtx(TensorRtBackend):
    """Backend `tensorrt-rtx`."""

    def __init__(self) -> None:
        super().__init__(FLAVOURS["tensorrt-rtx"])


def profile_for(spec: ModelSpec, profiles: Iterable[Profile], size: Size | None) -> Profile | None:
    """Return the profile to run a model with, or None if none will do.

    Args:
        spec: The model.
        profiles: What there is.
        size: The pictures it will be given; None takes what fits most pictures.
    """
    known = list(profiles)
    ranges = [profile for profile in known if profile.least != profile.most]
    if size is not None:
        shape = run_shape(spec, size)
        if (found := choose(known, shape)) is not None or spec.sees_whole:
            return found
        # What is too large is cut into tiles. An engine for one exact size would be a poor one for them.
        return max(ranges, key=lambda profile: (profile.most.batch, _area(profile)), default=None)
    return max(ranges or known, key=_area, default=None)


def run_shape(spec: ModelSpec, size: Size) -> Shape:
    """Return what a network is given for pictures of a size, wherever it can be given them whole."""
    if spec.task is Task.MOTION:
        from fastrestore.runtime.motion_network import network_grid

        size = network_grid(spec, size).network
    return input_shape(spec, Size(max(size.width, LEAST_SIDE_PX), max(size.height, LEAST_SIDE_PX)))


def _area(profile: Profile) -> int:
    return profile.most.height * profile.most.width


def _command(spec: ModelSpec, size: Size | None, backend: str) -> str:
    """Return what builds an engine that would do."""
    command = f"fastrestore build-engines {spec.name} --backend {backend}"
    if size is None or profile_for(spec, usual_profiles(spec), size) is not None:
        return command
    shape = run_shape(spec, size)
    return f"{command} --size {shape.width}x{shape.height}"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))


def _driver(facts: DriverFacts) -> str:
    return facts.release or f"CUDA {facts.cuda}"


def _holds(recorded: Mapping[str, Any] | None, facts: Mapping[str, str]) -> bool:
    """Whether a proof on record is one of these facts, by the gate as it is now."""
    if recorded is None:
        return False
    try:
        proof = Proof.from_dict(recorded)
    except ValueError:
        return False
    return proof.holds and {**facts, "gate": str(GATE_REVISION)}.items() <= proof.facts.items()
