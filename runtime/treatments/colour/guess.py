"""Colours that a network guesses for a few frames of a shot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from fastrestore.errors import UsageError
from fastrestore.frames import StreamInfo
from fastrestore.geometry import Size
from fastrestore.kernels import colour as colours
from fastrestore.kernels import film_colour as kernels
from fastrestore.kernels.film_colour import Luma
from fastrestore.models import catalog
from fastrestore.models.spec import ModelSpec, Task
from fastrestore.runtime.engine import choose_backend
from fastrestore.runtime.treatments.colour.propagation import Anchor
from fastrestore.runtime.treatments.treatment import Shot

_HINT: Final = "for example `--colorize MODEL` or `--colorize MODEL,every=48,side=256`"
_PLAIN_TRUST: Final = 0.8  # in a network that does not say how sure it is


@dataclass(frozen=True, slots=True)
class GuessSettings:
    """How colours are guessed."""

    model: str
    """A colour network of the catalogue."""
    every: int = 48
    """Frames, at most, of which one is guessed; 1 to 10000."""
    side: int = 192
    """Long side in px of the picture that the network is shown; 64 to 2048."""

    def __post_init__(self) -> None:
        """Refuse settings that mean nothing.

        Raises:
            UsageError: If a number is out of its range.
        """
        for name, value, low, high in (("every", self.every, 1, 10000), ("side", self.side, 64, 2048)):
            if not low <= value <= high:
                raise UsageError(f"`--colorize`: `{name}` is {value}, wanted {low} to {high}", _HINT)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `MODEL`, and after it any of `every=`, `side=`.

        Raises:
            UsageError: If a word is not understood.
        """
        model, *words = (word.strip() for word in text.split(","))
        numbers: dict[str, int] = {}
        for word in words:
            name, _, value = word.partition("=")
            if name not in ("every", "side") or not value.isdecimal():
                raise UsageError(f"`--colorize`: `{word}` is not understood", _HINT)
            numbers[name] = int(value[:9])
        return cls(model, **numbers)


class ColourGuesser:
    """A colour network made ready for a film. `close` twice is fine.

    Args:
        settings: How.
        info: The film.

    Raises:
        UsageError: If there is no such network, or it does something else.
        ModelError: If its file is missing or damaged.
        EngineError: If no backend can run it here.
    """

    def __init__(self, settings: GuessSettings, info: StreamInfo) -> None:
        spec = catalog.find(settings.model)
        _require_colour(spec)
        self._settings, self._spec = settings, spec
        self._colour = kernels.coded_colour(info.colour)
        self._size = _shown_size(info.size, settings.side, spec.multiple_px)
        choice = choose_backend("auto", [(spec, self._size)])
        self._engine = choice.backend.open(spec, threads=0, size=self._size)
        sha256 = sorted(artifact.sha256 for artifact in spec.artifacts.values())
        self.identity = f"{spec.name} {' '.join(sha256)} {choice.identity} {self._size}"

    @property
    def name(self) -> str:
        """The network's."""
        return self._spec.name

    def key_frames(self, shot: Shot) -> tuple[int, ...]:
        """Return the frames to be guessed first: the middle of as many equal stretches as it takes."""
        count = -(-len(shot) // self._settings.every)
        return tuple(shot.begin + (2 * number + 1) * len(shot) // (2 * count) for number in range(count))

    def anchor(self, luma: Luma) -> Anchor:
        """Guess the colours of a frame.

        Args:
            luma: Its luma, `(h, w)` uint8, at working size, in the film's range.

        Raises:
            EngineError: If the network cannot run.
        """
        scale, offset = colours.samples_from_grey(self._colour, 8)
        shown = cv2.resize(luma, (self._size.width, self._size.height), interpolation=cv2.INTER_AREA)
        grey = np.clip((shown.astype(np.float32) - np.float32(offset)) / np.float32(scale), 0, 1)
        given = np.ascontiguousarray(np.broadcast_to(grey, (1, 3, *grey.shape)), np.float32)
        out = {t.name: np.empty(t.shape(1, *grey.shape), np.float32) for t in self._spec.outputs}
        self._engine.run({self._spec.inputs[0].name: given}, out)
        picture, *sure = (out[tensor.name][0] for tensor in self._spec.outputs)
        weights = colours.samples_from_rgb(self._colour, 8).matrix[1:].astype(np.float32)
        chroma = np.ascontiguousarray(np.clip(picture, 0, 1).transpose(1, 2, 0) @ weights.T, np.float32)
        size = Size(luma.shape[1], luma.shape[0])
        return Anchor(luma, kernels.enlarged(chroma, luma, size), _trust(sure, luma.shape))

    def close(self) -> None:
        """Give back the network."""
        self._engine.close()


def _trust(sure: list[NDArray[np.float32]], shape: tuple[int, ...]) -> NDArray[np.float32]:
    if not sure:
        return np.full(shape, _PLAIN_TRUST, np.float32)
    trust = cv2.resize(sure[0][0], (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.clip(np.asarray(trust, np.float32), 0.02, 1)


def _require_colour(spec: ModelSpec) -> None:
    """Accept what takes a picture and yields one as large, and perhaps how sure it is; an export may call it `restore`.

    Raises:
        UsageError: If the network does something else.
    """
    taken = [(tensor.channels, tensor.scale) for tensor in spec.inputs]
    yielded = [(tensor.channels, tensor.scale) for tensor in spec.outputs]
    fits = taken == [(3, 1)] and yielded in ([(3, 1)], [(3, 1), (1, 1)])
    if spec.task is Task.MOTION or not fits:
        problem = f"model `{spec.name}` gives no colours: it cannot be `--colorize`"
        raise UsageError(problem, "see `fastrestore models list`")


def _shown_size(size: Size, side: int, multiple_px: int) -> Size:
    factor = min(1.0, side / max(size.width, size.height))
    width, height = (max(1, round(length * factor / multiple_px)) * multiple_px for length in (size.width, size.height))
    return Size(width, height)
