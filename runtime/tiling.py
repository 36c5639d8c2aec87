"""How a picture is cut into tiles: pure rectangles, no pixels.

A network's output at a pixel depends on the input up to `halo` pixels away (its receptive field). If every tile is
read with that much around it, cutting the halo off again gives exactly what the whole picture would have given.
Where the halo must be smaller, neighbouring tiles overlap and are blended. A network that takes sides in multiples of
something may work on a grid of that, so tiles begin where the grid of the whole picture does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fastrestore.errors import UsageError
from fastrestore.geometry import Rect, Size

SMALLEST_TILE_PX = 32
BLEND_PX = 16
"""Overlap, in source pixels, over which neighbouring tiles are blended where the halo does not cover the network."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile, in source pixels."""

    read: Rect
    """What the network sees; inside the picture."""
    keep: Rect
    """What of it goes into the result; inside `read`."""

    @property
    def crop(self) -> Rect:
        """`keep` relative to `read`."""
        return self.keep.moved(-self.read.x0, -self.read.y0)


@dataclass(frozen=True, slots=True)
class TilePlan:
    """A cover of a picture by tiles."""

    size: Size
    """The picture."""
    tile: Size
    """Size of every `read` rectangle: all are equal, so that one engine shape serves all. Only those at the right and
    lower edge may be short of it, by less than the network's multiple, and are padded up to it."""
    halo_px: int
    blended: bool
    """Whether the kept parts overlap and must be blended by `ramp` instead of pasted."""
    tiles: tuple[Tile, ...]

    def __iter__(self) -> Iterator[Tile]:
        return iter(self.tiles)

    def __len__(self) -> int:
        return len(self.tiles)

    def ramp(self, tile: Tile, scale: int) -> NDArray[np.float32]:
        """Return blending weights, `(h, w)` float32, for a tile's kept part on a grid `scale` times finer.

        Weights rise over the overlap as a raised cosine; those of overlapping tiles add up to about 1 and are
        divided by their sum when the picture is put together.
        """
        rows = _ramp(tile.keep.y0, tile.keep.y1, self.size.height, scale)
        columns = _ramp(tile.keep.x0, tile.keep.x1, self.size.width, scale)
        return np.asarray(rows[:, None] * columns, np.float32)


def plan_tiles(
    size: Size, side: int | None, *, halo_px: int, reach_px: int | None = None, multiple_px: int = 1
) -> TilePlan:
    """Cover a picture.

    Args:
        size: The picture.
        side: Longest side of what the network sees at once, in pixels; None takes the whole picture.
        halo_px: Border read around what is kept.
        reach_px: The network's true reach; if larger than `halo_px`, tiles are blended. None means `halo_px`.
        multiple_px: Sides that the network takes are multiples of this; tiles begin and end at multiples of it.

    Raises:
        UsageError: If the tile is too small to hold its own halo.
    """
    blended = reach_px is not None and reach_px > halo_px
    border = halo_px + (BLEND_PX if blended else 0)
    side = max(size.width, size.height) if side is None else side
    smallest = smallest_side(border, multiple_px)
    if side < smallest and side < max(size.width, size.height):
        raise UsageError(
            f"tile of {side} px is too small: this network needs at least {smallest} px", "use `--tile auto`"
        )
    columns = _spans(size.width, side, halo_px, border, multiple_px)
    rows = _spans(size.height, side, halo_px, border, multiple_px)
    tiles = tuple(
        Tile(Rect(rx0, ry0, rx1, ry1), Rect(kx0, ky0, kx1, ky1))
        for (ry0, ry1, ky0, ky1) in rows
        for (rx0, rx1, kx0, kx1) in columns
    )
    return TilePlan(size, tiles[0].read.size, halo_px, blended and len(tiles) > 1, tiles)


def smallest_side(border_px: int, multiple_px: int = 1) -> int:
    """Return the shortest side of a tile that holds its border and, wherever it is moved to the grid, some picture."""
    least = max(SMALLEST_TILE_PX, 2 * border_px + 8 + multiple_px - 1)
    return -(-least // multiple_px) * multiple_px


def side_for_memory(
    size: Size, *, halo_px: int, bytes_per_px: int, budget_bytes: int, multiple_px: int = 1
) -> int | None:
    """Return the largest tile side whose network fits in a budget, or None if the whole picture does.

    Among sides that fit, tiles are evened out: the fewest tiles of equal size, not some large and some slivers.
    """
    if size.pixels * bytes_per_px <= budget_bytes:
        return None
    smallest = smallest_side(halo_px, multiple_px)
    largest = max(smallest, int((budget_bytes / max(1, bytes_per_px)) ** 0.5))
    count = max(-(-length // max(1, largest - 2 * halo_px)) for length in (size.width, size.height))
    evened = -(-max(size.width, size.height) // count) + 2 * halo_px
    return min(largest, max(evened, smallest))


def side_within(size: Size, largest: int, *, halo_px: int, multiple_px: int = 1) -> int:
    """Return the side of tiles, none longer than `largest`, that together read the fewest pixels of a picture.

    Args:
        size: The picture.
        largest: Longest side that a tile may have.
        halo_px: Border read around what is kept.
        multiple_px: Sides that the network takes are multiples of this.
    """
    most = 2 * -(-max(size.width, size.height) // max(1, largest - 2 * halo_px))
    evened = [-(-length // count) + 2 * halo_px for length in (size.width, size.height) for count in range(1, most + 1)]
    smallest = smallest_side(halo_px, multiple_px)
    # The longest side first: of two that read as much, the one with fewer tiles.
    sides = sorted({largest, *(side for side in evened if smallest <= side <= largest)}, reverse=True)
    return min(sides, key=lambda side: _read_px(size.width, side, halo_px) * _read_px(size.height, side, halo_px))


def _read_px(length: int, side: int, halo_px: int) -> int:
    """Return how many pixels tiles of a side read along one axis."""
    return length if length <= side else -(-(length - 2 * halo_px) // max(1, side - 2 * halo_px)) * side


def _spans(length: int, side: int, halo: int, border: int, multiple: int) -> list[tuple[int, int, int, int]]:
    """Return (read start, read end, keep start, keep end) along one axis; all reads but the last are equally long."""
    if length <= side:
        return [(0, length, 0, length)]
    side = side // multiple * multiple
    padded = -(-length // multiple) * multiple
    step = side - 2 * border - (multiple - 1)  # a start may be moved by so much to lie on the grid
    count = max(2, -(-(padded - 2 * border) // step))
    # Equal reads, spread evenly; the first and the last lie against the picture's edges.
    starts = sorted({round(i * (padded - side) / (count - 1)) // multiple * multiple for i in range(count)})
    spans = []
    for start in starts:
        end = min(start + side, length)
        keep_from = 0 if start == 0 else start + halo
        keep_to = length if end == length else end - halo
        spans.append((start, end, keep_from, keep_to))
    if border == halo:  # pasted, not blended: each pixel belongs to one tile, so cut overlaps in their middle
        return _without_overlap(spans)
    return spans


def _without_overlap(spans: list[tuple[int, int, int, int]]) -> list[tuple[int, int, int, int]]:
    edges = [0]
    for (_, _, _, left_end), (_, _, right_start, _) in pairwise(spans):
        edges.append((left_end + right_start) // 2)
    edges.append(spans[-1][3])
    return [(read0, read1, edges[i], edges[i + 1]) for i, (read0, read1, _, _) in enumerate(spans)]


def _ramp(start: int, end: int, length: int, scale: int) -> NDArray[np.float64]:
    position = (np.arange((end - start) * scale) + 0.5) / scale
    weight = np.ones_like(position)
    overlap = 2 * BLEND_PX
    if start > 0:
        weight *= 0.5 - 0.5 * np.cos(np.pi * np.clip(position / overlap, 0, 1))
    if end < length:
        weight *= 0.5 - 0.5 * np.cos(np.pi * np.clip((end - start - position) / overlap, 0, 1))
    return np.maximum(weight, 1e-4)
