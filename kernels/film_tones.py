"""Colours by place and tone, from which pixels without a colour of their own take one. Units as in `film_colour`."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fastrestore.kernels.film_colour import FloatPlane, Luma

CELL_PX = 8
"""Side of a cell of the grid that colours spread in."""
TONE_STEP = 16
"""Levels of luma from one layer of that grid to the next: colours do not spread to other tones."""
TONES = 256 // TONE_STEP + 1
PRIOR_PX = np.float32(0.5)
"""How many surely coloured pixels what lies around a cell counts as, in that cell."""
SURE = 0.99
"""From this trust on a pixel keeps its own colour."""


def palette_of(chroma: FloatPlane, trust: FloatPlane, luma: Luma) -> FloatPlane:
    """Return the mean chroma of each tone of a picture, `(17, 2)`; tones it lacks take that of the tones nearest."""
    tones = ((luma.astype(np.int32) + TONE_STEP // 2) // TONE_STEP).ravel()
    weight = np.bincount(tones, trust.ravel(), TONES) + 1e-60
    sums = np.stack([np.bincount(tones, (trust * chroma[..., i]).ravel(), TONES) for i in range(2)], axis=1)
    away = np.abs(np.arange(TONES)[:, None] - np.arange(TONES))
    reach = 1e-3**away  # so little that it matters to empty tones alone
    return np.asarray((reach @ sums) / (reach @ weight)[:, None], np.float32)


def spread(
    own: FloatPlane, trust: FloatPlane, luma: Luma, moving: NDArray[np.bool_], palette: FloatPlane
) -> FloatPlane:
    """Return the chroma that each pixel's neighbours of its tone have; pixels that are sure keep their own.

    Args:
        own: Chroma of the picture, as far as it is known.
        trust: How much it counts.
        luma: Luma of the picture.
        moving: `(h, w)`: what moves by itself. Colours do not spread between that and what stands.
        palette: `(17, 2)`: of `palette_of`, for what no pixel of the picture tells.
    """
    out = own.copy()
    weight = trust * trust
    for layer in (moving, ~moving):
        rows, columns = np.nonzero((trust < SURE) & layer)
        if len(rows):
            values = _settled(_sums(own, weight * layer, luma), palette)
            out[rows, columns] = _looked_up(values, rows, columns, luma[rows, columns])
    return out


def _sums(chroma: FloatPlane, trust: FloatPlane, luma: Luma) -> FloatPlane:
    """Return trust and trusted chroma by cell and tone, `(rows, columns, 17, 3)`."""
    height, width = luma.shape
    shape = (-(-height // CELL_PX), -(-width // CELL_PX), TONES)
    bins = (_cells(height, width) + (luma.astype(np.int32) + TONE_STEP // 2) // TONE_STEP).ravel()
    parts = (trust, trust * chroma[..., 0], trust * chroma[..., 1])
    sums = [np.bincount(bins, part.ravel(), shape[0] * shape[1] * shape[2]).reshape(shape) for part in parts]
    return np.stack(sums, axis=-1).astype(np.float32)


@lru_cache(maxsize=4)
def _cells(height: int, width: int) -> NDArray[np.int32]:
    across = -(-width // CELL_PX)
    rows = np.arange(height, dtype=np.int32)[:, None] // CELL_PX
    return np.asarray((rows * across + np.arange(width, dtype=np.int32) // CELL_PX) * TONES)


def _settled(sums: FloatPlane, palette: FloatPlane) -> FloatPlane:
    """Return chroma for every cell and tone, `(rows, columns, 17, 2)`: where few pixels tell, what is around counts in.

    A pyramid of sums, each level of half the cells: from the whole picture, where the palette counts in, back down.
    """
    pyramid = [_softened(sums)]
    while max(pyramid[-1].shape[:2]) > 1:
        pyramid.append(_halved(pyramid[-1]))
    around = np.broadcast_to(palette, (1, 1, TONES, 2))
    for level in reversed(pyramid):
        if around.shape[:2] != level.shape[:2]:
            around = _grown(around, level.shape[:2])
        around = (level[..., 1:] + PRIOR_PX * around) / (level[..., :1] + PRIOR_PX)
    return np.ascontiguousarray(around, np.float32)


def _softened(sums: FloatPlane) -> FloatPlane:
    """Let a tone count a little in the tones beside it, and a cell in the cells beside it."""
    soft = sums * np.float32(0.5)
    soft[:, :, 1:] += sums[:, :, :-1] * np.float32(0.25)
    soft[:, :, :-1] += sums[:, :, 1:] * np.float32(0.25)
    for axis in (0, 1):
        padded = np.concatenate([soft.take([0], axis), soft, soft.take([-1], axis)], axis)
        count = soft.shape[axis]
        three = [padded.take(range(first, first + count), axis) for first in range(3)]
        soft = (three[0] + three[1] + three[2]) * np.float32(1 / 3)
    return np.asarray(soft, np.float32)


def _halved(sums: FloatPlane) -> FloatPlane:
    """Add up each 2x2 cells."""
    rows, columns = sums.shape[:2]
    even = np.pad(sums, ((0, rows % 2), (0, columns % 2), (0, 0), (0, 0)))
    pairs = even[0::2] + even[1::2]
    return np.asarray(pairs[:, 0::2] + pairs[:, 1::2], np.float32)


def _grown(values: FloatPlane, shape: tuple[int, ...]) -> FloatPlane:
    """Interpolate cells to up to twice as many along each side."""
    for axis in (0, 1):
        count = values.shape[axis]
        place = np.clip((np.arange(shape[axis]) + 0.5) * 0.5 - 0.5, 0, count - 1)
        low = np.floor(place).astype(np.int64)
        share = (place - low).astype(np.float32).reshape([-1 if i == axis else 1 for i in range(4)])
        values = values.take(low, axis) * (1 - share) + values.take(np.minimum(low + 1, count - 1), axis) * share
    return values


def _looked_up(values: FloatPlane, rows: NDArray[np.int64], columns: NDArray[np.int64], luma: Luma) -> FloatPlane:
    """Return the chroma, `(n, 2)`, of pixels at rows and columns with luma, `(n,)` each: interpolated in all three."""
    down, across = values.shape[:2]
    lengths = (down, across, TONES)
    places = (
        np.clip((rows.astype(np.float32) + 0.5) / CELL_PX - 0.5, 0, down - 1),
        np.clip((columns.astype(np.float32) + 0.5) / CELL_PX - 0.5, 0, across - 1),
        luma.astype(np.float32) / TONE_STEP,
    )
    low = [place.astype(np.int32) for place in places]
    beyond = [place - cell.astype(np.float32) for place, cell in zip(places, low, strict=True)]
    flat = values.reshape(-1, 2)
    found = np.zeros((len(rows), 2), np.float32)
    for corner in range(8):
        index, share = np.zeros(len(rows), np.int32), np.ones(len(rows), np.float32)
        for axis, length in enumerate(lengths):
            upper = corner >> axis & 1
            index = index * length + np.minimum(low[axis] + upper, length - 1)
            share *= beyond[axis] if upper else 1 - beyond[axis]
        found += flat.take(index, axis=0) * share[:, None]
    return found
