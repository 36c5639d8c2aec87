"""Grain: what is measured of it in blocks of samples, and how a texture of it is laid over a plane.

Lengths are in samples, strengths in 8-bit code values, whatever the depth of the plane.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from fastrestore.frames import Plane

F32: TypeAlias = NDArray[np.float32]
F64: TypeAlias = NDArray[np.float64]

BLOCK_PX: Final = 16
"""Side of a block. A plane is taken out of each, so that shading is not mistaken for grain."""
REACH_PX: Final = 4
"""Samples further apart than this along a side are taken not to be correlated."""
LAGS: Final = tuple(
    (dy, dx) for dy in range(REACH_PX + 1) for dx in range(-REACH_PX, REACH_PX + 1) if dy > 0 or dx >= 0
)
"""Half of all lags (down, right); correlation is the same in the opposite direction. The first is (0, 0)."""
CODING_PX: Final = 8
"""Side of the blocks that video coders transform; blocks of `BLOCK_PX` are aligned with them."""
TEXTURE_UNIT: Final = 31
"""What one standard deviation is in a texture of int8: there is room for four of them."""
STRONGEST: Final = 20.0
"""Largest standard deviation that is laid over a picture, in 8-bit code values."""
_LARGEST_GAIN: Final = 190  # times the largest texel, and with half a step for rounding, it stays within int16
_FINEST_SHIFT: Final = 14
_BAND_ROWS: Final = 64  # rows worked on at a time: what lies between two steps stays in the cache


class Blocks(NamedTuple):
    """A plane cut into blocks."""

    mean: F32
    """`(n,)`."""
    rest: F32
    """`(n, BLOCK_PX, BLOCK_PX)`: what is left of each block when the plane that fits it best is taken out."""


def cut_blocks(plane: NDArray[np.generic]) -> Blocks:
    """Cut a plane into blocks, those not whole left out.

    Args:
        plane: `(H, W)`, any type.
    """
    side = BLOCK_PX
    rows, columns = plane.shape[0] // side, plane.shape[1] // side
    whole = plane[: rows * side, : columns * side].astype(np.float32)
    blocks = whole.reshape(rows, side, columns, side).swapaxes(1, 2).reshape(-1, side, side)
    slope = _slope()
    # Sums by matrix products: over both sides of a block for the mean, along one of them for its tilt.
    across, down = blocks @ np.ones(side, np.float32), np.ones(side, np.float32) @ blocks
    mean = across.sum(1) / np.float32(side * side)
    tilt_x, tilt_y = down @ slope, across @ slope
    fitted = mean[:, None, None] + tilt_x[:, None, None] * slope + tilt_y[:, None, None] * slope[:, None]
    return Blocks(mean, blocks - fitted)


def lag_products(rest: F32) -> F64:
    """Return the mean product of all pairs of samples for each of `LAGS`, `(len(LAGS),)` float64.

    Args:
        rest: `(n, BLOCK_PX, BLOCK_PX)` float32, n > 0.
    """
    out = np.empty(len(LAGS))
    for number, (dy, dx) in enumerate(LAGS):
        here, there = _overlap(rest, dy, dx)
        out[number] = np.vdot(here, there) / here.size
    return out


def unbiased(products: F64) -> F64:
    """Return what `lag_products` of blocks would have been had no plane been taken out of them.

    Taking out the mean and the tilt of a block also takes some of the grain, the more the coarser it is. For grain
    without correlation beyond `REACH_PX` the share is exactly known.

    Args:
        products: `(..., len(LAGS))`.
    """
    return np.asarray(products @ _restoring().T)


class Steps(NamedTuple):
    """Squared differences of neighbouring samples in blocks, both ways, on the mean."""

    inner: F32
    """`(n,)`: within coding blocks."""
    edge: F32
    """`(n,)`: where coding blocks meet."""


def steps(rest: F32) -> Steps:
    """Measure the steps from sample to sample.

    Args:
        rest: `(n, BLOCK_PX, BLOCK_PX)` float32.
    """
    squares = np.square(np.diff(rest, axis=2)).sum(1) + np.square(np.diff(rest, axis=1)).sum(2)
    edge = squares[:, CODING_PX - 1]
    inner = (squares.sum(1) - edge) / np.float32(BLOCK_PX - 2)
    return Steps(inner / np.float32(2 * BLOCK_PX), edge / np.float32(2 * BLOCK_PX))


class Gains(NamedTuple):
    """How strongly a texture shows at each brightness, in fixed point."""

    table: NDArray[np.int16]
    """`(256,)`, by the upper eight bits of a sample."""
    shift: int
    """Texture times gain is shifted down by so many bits."""
    bits: int
    """Depth of the samples that it is for."""


def gains(strength: F64, bits: int, low: int, high: int) -> Gains:
    """Return gains under which no sample from `low` to `high` leaves that range, and none outside it is changed.

    Towards both ends the strength falls such that nothing need be clipped: clipping would shift the mean.

    Args:
        strength: `(256,)` standard deviations in 8-bit code values, by the upper eight bits of a sample.
        bits: Depth of the samples.
        low: Smallest sample that may result.
        high: Largest sample that may result.
    """
    unit = 1 << (bits - 8)
    codes = np.arange(256) * unit
    room = np.clip(np.minimum(codes - low, high - (codes + unit - 1)), 0, None)
    # Rounding to whole samples adds a twelfth to the variance by itself, and half a sample to the largest step.
    wanted = np.sqrt(np.clip(np.square(np.minimum(strength, STRONGEST) * unit) - 1 / 12, 0, None))
    sigma = np.minimum(wanted, np.clip(room - 0.5, 0, None) * TEXTURE_UNIT / 127)
    peak = float(sigma.max()) / TEXTURE_UNIT
    shift = 0
    while shift < _FINEST_SHIFT and peak * (1 << (shift + 1)) < _LARGEST_GAIN:
        shift += 1
    return Gains(np.floor(sigma * (1 << shift) / TEXTURE_UNIT).astype(np.int16), shift, bits)


def laid_over(plane: Plane, texture: NDArray[np.int8], offset: tuple[int, int], sign: int, gain: Gains) -> Plane:
    """Return a plane with a texture added to it; the plane itself, if no sample could change.

    Args:
        plane: `(H, W)` uint8, or uint16 of the depth that the gains are for.
        texture: `(h, w)` int8, at least as large, periodic, of mean 0 and standard deviation `TEXTURE_UNIT`.
        offset: Row and column of the texture that the plane's first sample gets.
        sign: 1, or -1 to turn the texture around.
        gain: How strongly it shows.
    """
    if not gain.table.any():
        return plane
    height = plane.shape[0]
    top, left = offset[0] % texture.shape[0], offset[1] % texture.shape[1]
    table = np.ascontiguousarray(gain.table * np.int16(sign))[None]
    out = np.empty_like(plane)
    begin = 0
    while begin < height:
        row = (top + begin) % texture.shape[0]
        rows = min(_BAND_ROWS, height - begin, texture.shape[0] - row)
        band = slice(begin, begin + rows)
        added = _grain_of(plane[band], texture[row : row + rows], left, table, gain)
        # Neither sum can leave the range of samples: the gains see to it. uint16 is added to modulo 65536.
        if plane.dtype == np.uint8:
            added += plane[band]
            np.copyto(out[band], added, casting="unsafe")
        else:
            np.add(plane[band], added.view(np.uint16), out=out[band])
        begin += rows
    return out


def _grain_of(
    band: Plane, grain: NDArray[np.int8], left: int, table: NDArray[np.int16], gain: Gains
) -> NDArray[np.int16]:
    """Return what is added to a band of rows, from column `left` of the texture on."""
    upper = band if gain.bits == 8 else (band >> (gain.bits - 8)).astype(np.uint8)
    added = np.asarray(cv2.LUT(upper, table), np.int16).reshape(band.shape)
    width = band.shape[1]
    before = min(width, grain.shape[1] - left)
    np.multiply(added[:, :before], grain[:, left : left + before], out=added[:, :before])
    np.multiply(added[:, before:], grain[:, : width - before], out=added[:, before:])
    added += np.int16((1 << gain.shift) >> 1)
    added >>= gain.shift
    return added


def _overlap(rest: F32, dy: int, dx: int) -> tuple[F32, F32]:
    """Return the samples that have one at the lag (down, right) from them, and those."""
    side = rest.shape[-1]
    columns, others = slice(max(0, -dx), side - max(0, dx)), slice(max(0, dx), side + min(0, dx))
    return rest[..., : side - dy, columns], rest[..., dy:, others]


@lru_cache(maxsize=1)
def _slope() -> F32:
    """Return a tilt along one side, `(BLOCK_PX,)`, of which the squares over a whole block add up to 1."""
    steps = np.arange(BLOCK_PX) - (BLOCK_PX - 1) / 2
    return np.asarray(steps / np.sqrt(np.square(steps).sum() * BLOCK_PX), np.float32)


@lru_cache(maxsize=1)
def _restoring() -> F64:
    """Return the `(len(LAGS), len(LAGS))` matrix of `unbiased`.

    With `P` what takes a plane out of a block, grain of covariance `C` leaves `P C P`. Every lag adds its own share to
    `C`, hence to each mean product; that linear map is inverted.
    """
    side, slope = BLOCK_PX, _slope().astype(np.float64)
    fit = np.stack([np.full((side, side), 1 / side), np.tile(slope, (side, 1)), np.tile(slope[:, None], (1, side))])
    fit = fit.reshape(3, -1)
    takes_out = np.eye(side * side) - fit.T @ fit
    places = np.arange(side * side).reshape(side, side)
    pairs = [tuple(each.ravel() for each in _overlap(places, *lag)) for lag in LAGS]  # type: ignore[arg-type]
    shares = np.empty((len(LAGS), len(LAGS)))
    for column, (here, there) in enumerate(pairs):
        covariance = np.zeros((side * side, side * side))
        covariance[here, there] = covariance[there, here] = 1
        left = takes_out @ covariance @ takes_out
        shares[:, column] = [left[first, second].mean() for first, second in pairs]
    return np.asarray(np.linalg.inv(shares))
