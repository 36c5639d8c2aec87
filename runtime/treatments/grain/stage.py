"""`--grain`: measured before restoration, then kept, removed or replaced by what was asked for.

A restored picture without grain looks like plastic, and the grain that went through a network is no grain any more.
So what is kept is not the grain itself but its nature: how strong it is at each brightness, and its spectrum. Grain of
that nature is laid over every finished picture, new for each.
"""

from __future__ import annotations

import hashlib
import math
import re
import threading
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from fastrestore.config import FilmOptions
from fastrestore.errors import UsageError
from fastrestore.frames import Picture, Plane, StreamInfo
from fastrestore.geometry import Size
from fastrestore.kernels.film_grain import STRONGEST, Gains, gains, laid_over
from fastrestore.runtime.treatments.grain.degrain import Degrain
from fastrestore.runtime.treatments.grain.model import GrainModel, GrainModels, GrainProbe
from fastrestore.runtime.treatments.grain.texture import fine, grain_texture
from fastrestore.runtime.treatments.limits import require_within
from fastrestore.runtime.treatments.table import Opened, Tools
from fastrestore.runtime.treatments.treatment import Film, Probe, Shot

_HINT: Final = "for example `keep`, `remove`, `add`, `keep,strength=0.7,size=0.5`, or `add,strength=3,size=1.5`"
_TEXTURES_KEPT: Final = 4  # shots: near cuts threads work on either side of them
_ADDED_LINES: Final = 1080  # of a picture in which added grain of size 1 is a pixel wide
_USUAL_ADDED: Final = 3.0


class GrainMode(StrEnum):
    """What is done about grain."""

    KEEP = "keep"
    REMOVE = "remove"
    ADD = "add"


_WORDS: Final = {
    GrainMode.KEEP: ("strength", "size", "left"),
    GrainMode.REMOVE: ("strength",),
    GrainMode.ADD: ("strength", "size"),
}


@dataclass(frozen=True, slots=True)
class GrainSettings:
    """What is done about grain."""

    mode: GrainMode
    strength: float = 1.0
    """With `keep` and `remove` times what was measured, 0 to 4; with `add` the standard deviation in the mid-tones, in
    8-bit code values, 0 to 20."""
    size: float = 1.0
    """0.1 to 8. With `keep` times the size that the source's grain has once it is enlarged with the picture: 1 shows it
    as large as the source does. With `add` in pixels of a picture of 1080 lines."""
    left: float = 0.35
    """Share of the grain's standard deviation that is still there after restoration, 0 to 1: `keep` lays over no more
    than what is missing. As measured on our networks; 1 where no network restores."""

    def __post_init__(self) -> None:
        """Refuse settings that mean nothing.

        Raises:
            UsageError: If a number is out of its range.
        """
        most = STRONGEST if self.mode is GrainMode.ADD else 4.0
        limits = {"strength": (0.0, most), "size": (0.1, 8.0), "left": (0.0, 1.0)}
        require_within("--grain", self, limits, _HINT)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `keep`, `remove` or `add`, and after it any of `strength=`, `size=`, `left=` that it knows.

        Raises:
            UsageError: If a word is not understood.
        """
        first, *words = (word.strip() for word in text.split(","))
        if first not in set(GrainMode):
            raise UsageError(f"`--grain {text}` does not begin with `keep`, `remove` or `add`", _HINT)
        mode = GrainMode(first)
        numbers = {"strength": _USUAL_ADDED} if mode is GrainMode.ADD else {}
        for word in words:
            name, _, value = word.partition("=")
            if name not in _WORDS[mode]:
                raise UsageError(f"`--grain {mode}`: `{word}` is not understood", _HINT)
            if not re.fullmatch(r"\d{1,3}(\.\d{1,6})?", value):
                raise UsageError(f"`--grain`: `{word}` has no number", _HINT)
            numbers[name] = float(value)
        return cls(mode, **numbers)


@dataclass(frozen=True, slots=True)
class GrainStage:
    """The stage `grain`; see `table.Stage`."""

    settings: GrainSettings

    def probes(self, info: StreamInfo) -> tuple[Probe, ...]:
        """See `table.Stage.probes`."""
        return () if self.settings.mode is GrainMode.ADD else (GrainProbe(),)

    def info(self, info: StreamInfo) -> StreamInfo:
        """See `table.Stage.info`."""
        return info

    def open(self, film: Film, tools: Tools) -> Opened:
        """See `table.Stage.open`."""
        if self.settings.mode is GrainMode.REMOVE:
            return Opened(treatment=Degrain(film, self.settings.strength, tools.ops))
        # Without a network all of the film's own grain is still there.
        settings = self.settings if tools.restored else replace(self.settings, left=1.0)
        return Opened(finish=GrainFinish(film, settings))


def asked_for(options: FilmOptions) -> GrainStage | None:
    """Return the stage if a user asked for it.

    Raises:
        UsageError: If its words are not understood.
    """
    return GrainStage(GrainSettings.parse(options.grain)) if options.grain else None


class _Layer(NamedTuple):
    """What is laid over the planes of a shot's pictures."""

    texture: NDArray[np.int8]
    chroma: NDArray[np.int8] | None
    gains: tuple[Gains | None, ...]
    """By plane; None leaves it alone."""


class GrainFinish:
    """Lays grain over finished pictures. Safe to use from several threads; depends on no order.

    Args:
        film: What is known of it.
        settings: `keep` or `add`.
    """

    name = "grain"

    def __init__(self, film: Film, settings: GrainSettings) -> None:
        self._film, self._settings = film, settings
        keeps = settings.mode is GrainMode.KEEP
        self._models = GrainModels(film) if keeps else None
        self._share = settings.strength * math.sqrt(1 - settings.left**2) if keeps else 1.0
        self._seed = zlib.crc32(repr((film.info.size, film.checksums)).encode())
        self._lock = threading.Lock()
        self._layers: OrderedDict[tuple[int, Size, str], _Layer | None] = OrderedDict()

    def apply(self, picture: Picture, index: int, shot: int) -> Picture:
        """Return a picture with grain, or the very same if its shot has none. See `Finish.apply`."""
        layer = self._layer(picture, shot)
        if layer is None:
            return picture
        planes = []
        for number, (plane, gain) in enumerate(zip(picture.planes, layer.gains, strict=True)):
            planes.append(plane if gain is None else self._plane(plane, number, layer, gain, index))
        return Picture(tuple(planes), picture.format, picture.colour)

    def report(self, shot: Shot) -> Mapping[str, float | str]:
        """Return what is done to a shot."""
        model = self._model(shot.number)
        if model is None:
            return {"done": "none found"}
        if self._share == 0:
            return {"done": "nothing to add"}
        done = "added" if self._settings.mode is GrainMode.ADD else "regenerated"
        sigma, width = round(model.level * self._share, 2), round(model.width_px * self._settings.size, 2)
        return {"done": done, "sigma": sigma, "width_px": width, "measured_blocks": float(model.blocks)}

    def _plane(self, plane: Plane, number: int, layer: _Layer, gain: Gains, index: int) -> Plane:
        rgb = len(layer.gains) == 3 and layer.chroma is None and layer.gains[1] is not None
        texture = layer.texture if number == 0 or layer.chroma is None else layer.chroma
        drawn = hashlib.blake2b(f"{self._seed} {index} {0 if rgb else number}".encode(), digest_size=9).digest()
        offset = int.from_bytes(drawn[:4], "little"), int.from_bytes(drawn[4:8], "little")
        return laid_over(plane, texture, offset, 1 if drawn[8] & 1 else -1, gain)

    def _layer(self, picture: Picture, shot: int) -> _Layer | None:
        # Added grain is the same in every shot.
        shot = 0 if self._settings.mode is GrainMode.ADD else shot
        key = shot, picture.size, picture.format.name
        with self._lock:
            if key not in self._layers:
                self._layers[key] = self._made(picture, shot)
                while len(self._layers) > _TEXTURES_KEPT:
                    self._layers.popitem(last=False)
            self._layers.move_to_end(key)
            return self._layers[key]

    def _made(self, picture: Picture, shot: int) -> _Layer | None:
        model = self._model(shot)
        if model is None or self._share == 0:
            return None
        scale, kind, seed = self._scale(picture), picture.format.kind, self._seed ^ zlib.crc32(b"%d" % shot)
        texture = grain_texture(model.correlation, scale, picture.size, seed)
        over = tuple(self._gain(picture, model, number) for number in range(picture.format.planes))
        chroma = None
        if kind == "yuv" and (over[1] or over[2]):
            chroma = grain_texture(model.correlation, scale, picture.format.plane_size(picture.size, 1), seed + 1)
        return _Layer(texture, chroma, over)

    def _model(self, shot: int) -> GrainModel | None:
        if self._settings.mode is GrainMode.ADD:
            return _added(self._settings.strength)
        assert self._models is not None, "what is kept was measured"
        return self._models.of(self._film.shots[shot])

    def _scale(self, picture: Picture) -> tuple[float, float]:
        """Return how many output pixels a source pixel's worth of grain is wide and high."""
        size = self._settings.size
        if self._settings.mode is GrainMode.ADD:
            return (size * picture.size.height / _ADDED_LINES,) * 2
        source = self._film.info.size
        return size * picture.size.width / source.width, size * picture.size.height / source.height

    def _gain(self, picture: Picture, model: GrainModel, plane: int) -> Gains | None:
        chroma = plane > 0 and picture.format.kind == "yuv"
        bits, full = picture.format.bits, picture.colour.full_range or picture.format.kind == "rgb"
        unit = 1 << (bits - 8)
        strength = np.full(256, model.chroma[plane - 1]) if chroma else model.strength
        if not strength.any():
            return None
        low, high = (0, (1 << bits) - 1) if full else (16 * unit, (240 if chroma else 235) * unit)
        return gains(strength * self._share, bits, low, high)


def _added(strength: float) -> GrainModel:
    """Return plain film grain: strongest in the mid-tones, without colour."""
    tone = np.arange(256) / 255
    return GrainModel(strength * np.sqrt(0.25 + 3 * tone * (1 - tone)), fine(), (0.0, 0.0), 0)
