"""Sparse weights along one axis: how tiles are put together, resampled and moved, as lists of weighted elements.

Pasting, blending, cropping, resizing and moving chroma to its siting are linear and separable, so that any chain of
them is one list of (element, weight) per target column and one per target row. The lists of one geometry are made
once and uploaded once; the kernels then do in one pass what the reference does step by step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastrestore.frames import Colour, PixelFormat
from fastrestore.geometry import Size
from fastrestore.kernels.reference import LANCZOS_LOBES

TABLE_ALIGNMENT_BYTES = 16
MOST_FILLING = 1.25
"""Entries of an evened list at most, for one that it had."""
_ENTRY = np.dtype([("offset", "<i4"), ("weight", "<f4")])


@dataclass(frozen=True, eq=False)
class Taps:
    """Target `i` is the sum of `weights[k] * source[offsets[k]]` for `begin[i] <= k < begin[i + 1]`."""

    begin: NDArray[np.int64]
    """`(targets + 1,)`, rising from 0."""
    offsets: NDArray[np.int64]
    """Elements of the source, in order within a target."""
    weights: NDArray[np.float64]

    def __len__(self) -> int:
        """Return the number of targets."""
        return len(self.begin) - 1

    @property
    def longest(self) -> int:
        """The most elements that one target needs."""
        return int(np.diff(self.begin).max())

    @property
    def each(self) -> int:
        """How many elements every target needs; 0 where they differ."""
        return self.longest if len(self.offsets) == len(self) * self.longest else 0

    def evened(self) -> Taps:
        """Return the same weights, filled up with zeros to as many for every target, where that adds but few.

        Kernels then know without looking where a target's entries are. What is read once more for nothing is an
        element that the target needs anyhow, so that a zero times infinity tells no lie.
        """
        counts, longest = np.diff(self.begin), self.longest
        if self.each or longest * len(self) > MOST_FILLING * len(self.offsets):
            return self
        place = np.minimum(np.arange(longest), counts[:, None] - 1) + self.begin[:-1, None]
        weights = np.where(np.arange(longest) < counts[:, None], self.weights[place], 0.0)
        begin = np.arange(len(self) + 1) * longest
        return Taps(begin, self.offsets[place].ravel(), weights.ravel())

    def of(self, inner: Taps) -> Taps:
        """Return these weights over what `inner` makes of its own source, as one list over that source."""
        counts = np.diff(inner.begin)[self.offsets]
        places = np.repeat(inner.begin[self.offsets] - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts)
        places += np.arange(counts.sum())
        target = np.repeat(np.repeat(np.arange(len(self)), np.diff(self.begin)), counts)
        return _merged(
            target, inner.offsets[places], np.repeat(self.weights, counts) * inner.weights[places], len(self)
        )


@dataclass(frozen=True, slots=True)
class TileSpan:
    """What one column (or row) of tiles gives to the picture, in elements along that axis."""

    start: int
    """Where the first kept element lies in the picture."""
    skip: int
    """Elements of the tile before the first kept one."""
    weights: NDArray[np.float64]
    """One per kept element: how much it counts against those of overlapping tiles; all ones where tiles are pasted."""

    @property
    def end(self) -> int:
        """Where the first element after the kept ones lies in the picture."""
        return self.start + len(self.weights)


def tile_taps(spans: Sequence[TileSpan], stride: int, step: int) -> Taps:
    """Return how a picture is put together of tiles, along one axis.

    Args:
        spans: Columns (or rows) of tiles, in order; together they cover the picture without a gap.
        stride: Elements from a tile to the next one along this axis.
        step: Elements from one column (or row) of a tile to the next.
    """
    length = max(span.end for span in spans)
    target = np.concatenate([np.arange(span.start, span.end) for span in spans])
    offsets = [index * stride + (span.skip + np.arange(len(span.weights))) * step for index, span in enumerate(spans)]
    weights = np.concatenate([span.weights for span in spans]).astype(np.float64)
    total = np.bincount(target, weights, length)
    if not (total > 0).all():
        raise ValueError(f"tiles leave a gap at {int(np.argmin(total > 0))}")
    return _merged(target, np.concatenate(offsets), weights / total[target], length)


def resize_taps(size: Size, target: Size) -> tuple[Taps, Taps]:
    """Return the weights of `fastrestore.kernels.reference.resize`: of columns, then of rows."""
    if size == target:
        return _same(size.width), _same(size.height)
    shrinks = target.width <= size.width and target.height <= size.height
    weights = _area if shrinks else _lanczos
    return weights(size.width, target.width), weights(size.height, target.height)


def siting_taps(length: int) -> Taps:
    """Return what moves chroma from the middle of its block to the first luma sample: a quarter of the one before."""
    index = np.arange(length)
    target = np.concatenate([index, index])
    offsets = np.concatenate([index, np.maximum(index - 1, 0)])
    return _merged(target, offsets, np.repeat([0.75, 0.25], length), length)


def frame_taps(
    columns: Sequence[TileSpan],
    rows: Sequence[TileSpan],
    tile: Size,
    target: Size,
    samples: PixelFormat,
    colour: Colour,
    *,
    stride: int | None = None,
) -> TapTable:
    """Return the weights from tiles of a restored picture to its planes, for `launches.tiles_to_planes`.

    Args:
        columns: What each column of tiles gives to the picture.
        rows: What each row of tiles gives. Tiles lie in memory row by row.
        tile: What the network makes of one tile, padding included.
        target: Size of the picture wanted.
        samples: Format wanted.
        colour: Colour wanted; of this, the siting.
        stride: Elements from a tile to the next one in memory; None where they follow each other without a gap.

    Returns:
        Luma columns, luma rows, chroma columns, chroma rows.
    """
    elements = 3 * tile.pixels if stride is None else stride
    across, down = tile_taps(columns, elements, 1), tile_taps(rows, elements * len(columns), tile.width)
    restored = Size(len(across), len(down))
    luma_x, luma_y = (
        outer.of(inner) for outer, inner in zip(resize_taps(restored, target), (across, down), strict=True)
    )
    if samples.kind != "yuv":
        return TapTable(luma_x, luma_y, luma_x, luma_y)
    chroma_x, chroma_y = resize_taps(restored, samples.plane_size(target, 1))
    (shift_x, shift_y), (x, y) = samples.chroma_shift, colour.siting.value
    if shift_x and x == 0.0:
        chroma_x = siting_taps(len(chroma_x)).of(chroma_x)
    if shift_y and y == 0.0:
        chroma_y = siting_taps(len(chroma_y)).of(chroma_y)
    return TapTable(luma_x, luma_y, chroma_x.of(across), chroma_y.of(down))


@dataclass(frozen=True, slots=True)
class PlacedTaps:
    """Weights on the device."""

    begin: int
    """Address of the int32 list of beginnings."""
    entries: int
    """Address of the entries."""
    targets: int
    each: int
    """Entries of every target; 0 where they differ."""
    sources: int
    """Elements of the source that are used at all."""
    reach: int
    """One more than the last of them."""
    nbytes: int


class TapTable:
    """The weights of one geometry in one piece of memory, to be uploaded once.

    Args:
        axes: What it holds, in order.

    Attributes:
        data: `(n,)` uint8: what to upload, to an address that is a multiple of `TABLE_ALIGNMENT_BYTES`.
    """

    def __init__(self, *axes: Taps) -> None:
        self._axes = axes = tuple(taps.evened() for taps in axes)
        pieces: list[NDArray[np.uint8]] = []
        for taps in axes:
            entries = np.empty(len(taps.offsets), _ENTRY)
            entries["offset"], entries["weight"] = taps.offsets, taps.weights
            pieces += [_padded(taps.begin.astype("<i4").view(np.uint8)), _padded(entries.view(np.uint8))]
        self._used = [len(np.unique(taps.offsets)) for taps in axes]
        self._starts = np.concatenate([[0], np.cumsum([piece.nbytes for piece in pieces])])
        self.data: NDArray[np.uint8] = np.concatenate(pieces)

    def at(self, address: int) -> tuple[PlacedTaps, ...]:
        """Return where every axis lies once `data` is at an address."""
        starts = [address + int(start) for start in self._starts]
        return tuple(
            PlacedTaps(
                begin=starts[2 * i],
                entries=starts[2 * i + 1],
                targets=len(taps),
                each=taps.each,
                sources=self._used[i],
                reach=int(taps.offsets.max()) + 1,
                nbytes=starts[2 * i + 2] - starts[2 * i],
            )
            for i, taps in enumerate(self._axes)
        )


def _padded(piece: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.pad(piece, (0, -piece.nbytes % TABLE_ALIGNMENT_BYTES))


def _merged(target: NDArray[np.int64], offsets: NDArray[np.int64], weights: NDArray[np.float64], length: int) -> Taps:
    """Return one entry for each pair of target and element, in order."""
    order = np.lexsort((offsets, target))
    target, offsets, weights = target[order], offsets[order], weights[order]
    fresh = np.ones(len(target), bool)
    fresh[1:] = (np.diff(target) != 0) | (np.diff(offsets) != 0)
    first = np.flatnonzero(fresh)
    begin = np.searchsorted(target[first], np.arange(length + 1))
    return Taps(begin.astype(np.int64), offsets[first], np.add.reduceat(weights, first))


def _same(length: int) -> Taps:
    return Taps(np.arange(length + 1), np.arange(length), np.ones(length))


def _area(length: int, target: int) -> Taps:
    """Mean over each target's exact footprint: overlaps are whole numbers of 1/target of an element."""
    index = np.arange(target, dtype=np.int64)
    first, end = index * length // target, -(-(index + 1) * length // target)
    counts = end - first
    begin = np.concatenate([[0], np.cumsum(counts)])
    rows = np.repeat(index, counts)
    offsets = np.arange(counts.sum()) - np.repeat(begin[:-1] - first, counts)
    overlap = np.minimum((rows + 1) * length, (offsets + 1) * target) - np.maximum(rows * length, offsets * target)
    return Taps(begin, offsets, overlap / length)


def _lanczos(length: int, target: int) -> Taps:
    """Four lobes to either side, weights normalised, edges repeated."""
    centre = (np.arange(target) + 0.5) * length / target - 0.5
    taps = np.floor(centre).astype(np.int64)[:, None] + np.arange(1 - LANCZOS_LOBES, LANCZOS_LOBES + 1)
    distance = taps - centre[:, None]
    value = np.sinc(distance) * np.sinc(distance / LANCZOS_LOBES)
    value /= value.sum(1, keepdims=True)
    rows = np.repeat(np.arange(target), 2 * LANCZOS_LOBES)
    return _merged(rows, np.clip(taps, 0, length - 1).ravel(), value.ravel(), target)
