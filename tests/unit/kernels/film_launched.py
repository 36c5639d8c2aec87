"""The old-film kernels by launches: what their twins are called with, on whatever executes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.unit.kernels.launched import LaunchedOps, planar

from fastrestore.frames import FORMATS, Picture, Plane
from fastrestore.geometry import Size
from fastrestore.kernels import launches as k
from fastrestore.kernels.film_grain import Gains
from fastrestore.kernels.film_tone import Curve, black_and_span, chroma_table, level_table, spread

F32 = NDArray[np.float32]


class LaunchedFilm(LaunchedOps):
    """See `LaunchedOps`. With `in_place`, kernels that may write over their source do."""

    def laid_over(
        self, plane: Plane, texture: NDArray[np.int8], offset: tuple[int, int], sign: int, gain: Gains, **how: bool
    ) -> Plane:
        source, target = self._pair(plane, gain.bits, **how)
        grain = k.Grain(self._view(texture.view(np.uint8)), self._executor.place(gain.table), gain.shift, gain.bits)
        self._executor.run(k.lay_grain(source, grain, target, offset, sign))
        return self._stored(target)

    def toned(self, picture: Picture, curve: Curve, field: F32 | None) -> Picture:
        """Return a planar picture with tones changed: every plane of luma or R'G'B', then chroma."""
        black, span = black_and_span(picture)
        bits, kind = picture.format.bits, picture.format.kind
        table = level_table(curve, black, span, 1 << bits)
        cells = None if field is None else self._tight(field)
        levels = k.Tones(self._executor.place(table.astype(np.float32)), bits, cells)
        source = self._placed(picture, planar(picture.format))
        target = self._empty(picture.size, source.layout, picture.colour)
        for index in range(3 if kind == "rgb" else 1):
            highest = 0.0 if field is None else float(spread(field, picture.planes[index].shape).max())
            over = float(table[min(round(black + span), len(table) - 1)]) * highest - 1
            one, other = (k.PlaneView(p.addresses[index], p.pitches[index], p.size, bits) for p in (source, target))
            self._executor.run(k.tone(one, replace(levels, overshoot=over), other, black, span))
        if kind == "yuv":
            self._tone_chroma(picture, table, cells, (source, target))
        return self._fetched(target)

    def chroma_toned(self, picture: Picture, curve: Curve, layout: k.Layout) -> Picture:
        """Return a picture of which chroma alone was changed, in any layout."""
        source, target = self._placed(picture, layout), self._empty(picture.size, layout, picture.colour)
        self._executor.run(k.requantize(source, target))
        table = level_table(curve, *black_and_span(picture), 1 << picture.format.bits)
        self._tone_chroma(picture, table, None, (source, target))
        return self._fetched(target)

    def _tone_chroma(
        self,
        picture: Picture,
        table: NDArray[np.float64],
        field: k.PlaneView | None,
        where: tuple[k.DevicePlanes, k.DevicePlanes],
    ) -> None:
        factors = self._executor.place(chroma_table(table, *black_and_span(picture)))
        taps = k.TapTable(*k.resize_taps(where[0].size, where[0].chroma_size))
        placed = taps.at(self._executor.place(taps.data))
        self._executor.run(k.tone_chroma(where[0], k.Tones(factors, picture.format.bits, field), placed, where[1]))

    def resampled(self, plane: Plane, matrix: NDArray[np.float64], bits: int, size: Size) -> Plane:
        source, target = replace(self._view(plane), bits=bits), self._target(size, bits)
        self._executor.run(k.resample(source, matrix, self._executor.place(k.lanczos_weights()), target))
        return self._stored(target)

    def warped(self, plane: NDArray[Any], flow: F32) -> NDArray[Any]:
        height, width = flow.shape[:2]
        pairs = self._view(flow.reshape(height, -1))
        field = replace(pairs, size=Size(width, height))
        source = self._view(plane)
        target = self._target(field.size, source.bits)
        self._executor.run(k.warp(source, field, target))
        return self._stored(target)

    def mended(
        self, plane: Plane, sides: tuple[F32, F32], share: float, mask: F32, bits: int, *, in_place: bool
    ) -> Plane:
        source, target = self._pair(plane, bits, in_place=in_place)
        before, after, amount = (self._view(each) for each in (*sides, mask))
        self._executor.run(k.mend(source, (before, after), amount, target, share))
        return self._stored(target)

    def agreement(self, luma: NDArray[np.uint8], neighbour: NDArray[np.uint8], variance: F32) -> F32:
        one, other, grain = (self._view(each) for each in (luma, neighbour, variance))
        weight = self._target(one.size, 32)
        self._executor.run(k.agreement(one, other, grain, weight))
        return self._stored(weight)

    def averaged(self, plane: Plane, sides: Sequence[tuple[Plane, F32]], bits: int) -> tuple[F32, F32]:
        source = replace(self._view(plane), bits=bits)
        mean, left = (self._target(source.size, 32) for _ in range(2))
        placed = [(replace(self._view(other), bits=bits), self._view(weight)) for other, weight in sides]
        self._executor.run(k.average(source, placed, mean, left))
        return self._stored(mean), self._stored(left)

    def calmed(self, mean: F32, variance: F32 | float, left: F32 | None, bits: int) -> Plane:
        values = self._view(mean)
        target = self._target(values.size, bits)
        grain = variance if isinstance(variance, float) else self._view(variance)
        self._executor.run(k.calm(values, grain, None if left is None else self._view(left), target))
        return self._stored(target)

    def _pair(self, plane: Plane, bits: int, *, in_place: bool = False) -> tuple[k.PlaneView, k.PlaneView]:
        """Return a plane, and where its result goes: over it, once it is copied to where kernels may write."""
        source = replace(self._view(plane), bits=bits)
        target = self._target(source.size, bits)
        if not in_place:
            return source, target
        still = np.array([[1.0, 0, 0], [0, 1, 0]])
        self._executor.run(k.resample(source, still, self._executor.place(k.lanczos_weights()), target))
        return target, target

    def _target(self, size: Size, bits: int) -> k.PlaneView:
        width = size.width * (4 if bits == 32 else 1 if bits == 8 else 2)
        pitch = width + self._margin
        return k.PlaneView(self._executor.reserve(pitch * size.height), pitch, size, bits)

    def _tight(self, field: F32) -> k.PlaneView:
        height, width = field.shape
        return k.PlaneView(self._executor.place(field), 4 * width, Size(width, height), 32)

    def _stored(self, view: k.PlaneView) -> NDArray[Any]:
        dtype = {1: np.uint8, 2: np.uint16, 4: np.float32}[view.sample_bytes]
        return self._rows(view.address, view.pitch, view.size.height, view.size.width, dtype)


BASE = 1 << 32
SIZE = Size(64, 48)


def view(bits: int = 8, size: Size = SIZE, floats: int = 1) -> k.PlaneView:
    """Return a plane at no particular place."""
    each = 4 * floats if bits == 32 else 1 if bits == 8 else 2
    return k.PlaneView(BASE, each * size.width, size, bits)


def picture(size: Size = SIZE, name: str = "yuv420p") -> k.DevicePlanes:
    """Return a picture at no particular place."""
    return k.DevicePlanes.tight(BASE, size, planar(FORMATS[name]))


def site_taps(source: k.DevicePlanes) -> tuple[k.PlacedTaps, ...]:
    """Return weights from luma to chroma at no particular place."""
    return k.TapTable(*k.resize_taps(source.size, source.chroma_size)).at(BASE)


def every_film_launch(size: Size = SIZE) -> list[k.Launch]:
    """Return a launch of every kernel of the old-film stages."""
    luma, floats = view(size=size), view(32, size)
    grain, tones = k.Grain(luma, BASE, 6, 8), k.Tones(BASE, 8)
    still = np.array([[1.0, 0, 0], [0, 1, 0]])
    whole = picture(size)
    return [
        k.lay_grain(luma, grain, luma, (0, 0), 1),
        k.tone(luma, tones, luma, 16.0, 219.0),
        k.tone_chroma(whole, tones, site_taps(whole), whole),
        k.resample(luma, still, BASE, luma),
        k.warp(luma, view(32, size, 2), luma),
        k.mend(luma, (floats, floats), floats, luma, 0.5),
        k.agreement(luma, luma, floats, floats),
        k.average(luma, [(luma, floats), (luma, floats)], floats, floats),
        k.calm(floats, floats, floats, luma),
    ]
