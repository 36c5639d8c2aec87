"""Tiles of restored pictures for tests, and what the runtime makes of them on a CPU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike, NDArray
from tests.unit.kernels.launched import Tiles

from fastrestore.frames import FloatImage
from fastrestore.geometry import Rect
from fastrestore.kernels.launches import TileSpan
from fastrestore.runtime.tiling import Tile, TilePlan


def grid(plan: TilePlan) -> tuple[Sequence[Tile], Sequence[Tile]]:
    """Return the first row and the first column of tiles."""
    return [t for t in plan if t.read.y0 == 0], [t for t in plan if t.read.x0 == 0]


def spans(plan: TilePlan, scale: int) -> tuple[list[TileSpan], list[TileSpan]]:
    """Return what columns and rows of tiles give. Weights along an axis are known up to a factor that all share."""
    row, column = grid(plan)

    def ramps(tiles: Sequence[Tile], axis: int) -> list[NDArray[np.float64]]:
        kept = [t.keep.times(scale) for t in tiles]
        if not plan.blended:
            return [np.ones((r.x1 - r.x0, r.y1 - r.y0)[axis]) for r in kept]
        return [plan.ramp(t, scale).max(axis=axis).astype(np.float64) for t in tiles]

    def span(start: int, read: int, weights: NDArray[np.float64]) -> TileSpan:
        return TileSpan(start * scale, (start - read) * scale, weights)

    columns = [span(t.keep.x0, t.read.x0, w) for t, w in zip(row, ramps(row, 0), strict=True)]
    rows = [span(t.keep.y0, t.read.y0, w) for t, w in zip(column, ramps(column, 1), strict=True)]
    return columns, rows


def random_tiles(plan: TilePlan, scale: int, dtype: DTypeLike, seed: int = 0, multiple: int = 1) -> Tiles:
    """Return tiles of noise, no two alike where they overlap, padded to a multiple of source pixels."""
    rng = np.random.default_rng(seed)
    height, width = (-(-side // multiple) * multiple * scale for side in (plan.tile.height, plan.tile.width))
    columns, rows = spans(plan, scale)
    return Tiles(rng.random((len(plan), 3, height, width), np.float32).astype(dtype), columns, rows)


def put_together(plan: TilePlan, tiles: Tiles, scale: int) -> FloatImage:
    """Return the picture, as `fastrestore.runtime.restorer` puts it together."""
    size = plan.size.times(scale)
    result = np.zeros((3, size.height, size.width), np.float64)
    weights = np.zeros((size.height, size.width))
    for tile, elements in zip(plan, tiles.elements, strict=True):
        rows, columns = tile.keep.times(scale).slices
        crop: Rect = tile.crop.times(scale)
        crop_rows, crop_columns = crop.slices
        ramp = plan.ramp(tile, scale).astype(np.float64) if plan.blended else 1.0
        result[:, rows, columns] += elements[:, crop_rows, crop_columns].astype(np.float64) * ramp
        weights[rows, columns] += ramp
    return np.asarray(result / weights, np.float32)
