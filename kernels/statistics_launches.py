"""Launches that compare pictures, and what becomes of the whole numbers that they leave."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrestore.geometry import Size
from fastrestore.kernels import params as p
from fastrestore.kernels.launch import Launch, Traffic, launch_of, require, require_comparable, require_within
from fastrestore.kernels.ops import Difference
from fastrestore.kernels.reference import BLOCK_PX, THUMBNAIL, correlation
from fastrestore.kernels.surface import DevicePlanes, PlaneView

SLOTS = 64
"""Places that sums are added to, so that few threads meet at one address."""
SLOT = np.dtype([("total", "<u8"), ("peak", "<f4"), ("unused", "<u4")])
"""One of them; `peak` is in samples."""
STATISTICS_BYTES = SLOTS * SLOT.itemsize
"""Memory of one comparison; cleared before it."""
THUMBNAIL_BYTES = 8 * THUMBNAIL.pixels
"""Memory of one thumbnail; cleared before it."""


def statistics(left: PlaneView, right: PlaneView, slots: int) -> Launch:
    """Add up the absolute differences of two planes of 8-bit luma, and find the largest mean of a 16x16 block.

    Args:
        left: One plane.
        right: The other.
        slots: Address of `STATISTICS_BYTES`, set to 0; a multiple of 8.

    Raises:
        DeviceError: If the planes do not fit each other.
    """
    _require_luma(left, right)
    params = p.StatisticsParams(
        left=left.address,
        right=right.address,
        slots=slots,
        left_pitch=left.pitch,
        right_pitch=right.pitch,
        width=left.size.width,
        height=left.size.height,
        slot_count=SLOTS,
    )
    moved = left.nbytes + right.nbytes + STATISTICS_BYTES
    across, down = -(-left.size.width // BLOCK_PX), -(-left.size.height // BLOCK_PX)
    return launch_of("fr_statistics", params, across, down, Traffic(moved, moved))


def thumbnail(luma: PlaneView, sums: int) -> Launch:
    """Add up the 32x24 cells of a plane of 8-bit luma, for the correlation of two of them.

    Args:
        luma: The plane.
        sums: Address of `THUMBNAIL_BYTES`, set to 0; a multiple of 8.

    Raises:
        DeviceError: If it is not of 8 bits, or too large.
    """
    _require_luma(luma, luma)
    params = p.ThumbnailParams(
        luma=luma.address,
        sums=sums,
        pitch=luma.pitch,
        width=luma.size.width,
        height=luma.size.height,
        columns=THUMBNAIL.width,
        rows=THUMBNAIL.height,
    )
    moved = luma.nbytes + THUMBNAIL_BYTES
    return launch_of("fr_thumbnail", params, THUMBNAIL.width, luma.size.height, Traffic(moved, moved))


def unequal(left: DevicePlanes, right: DevicePlanes, found: int) -> tuple[Launch, ...]:
    """Find out whether two pictures of one layout differ in any sample: one launch a plane.

    Args:
        left: One picture.
        right: The other.
        found: Address of an int32, set to 0 before; 1 afterwards if they differ.

    Raises:
        DeviceError: If the pictures have different sizes or layouts.
    """
    require_comparable(left, right)
    require(left.layout == right.layout, "two pictures of different layouts")
    launches = []
    for plane in range(left.layout.planes):
        row_bytes, rows = left.layout.row_bytes(left.size, plane), left.layout.rows(left.size, plane)
        params = p.UnequalParams(
            left=left.addresses[plane],
            right=right.addresses[plane],
            found=found,
            left_pitch=left.pitches[plane],
            right_pitch=right.pitches[plane],
            row_bytes=row_bytes,
            height=rows,
        )
        moved = 2 * row_bytes * rows
        launches.append(launch_of("fr_unequal", params, -(-row_bytes // 16), rows, Traffic(moved, moved)))
    return tuple(launches)


def difference(
    slots: NDArray[Any], thumbnails: tuple[NDArray[np.uint64], NDArray[np.uint64]], size: Size
) -> Difference:
    """Return how two pictures differ, from what `statistics` and `thumbnail` left.

    Args:
        slots: `(SLOTS,)` of dtype `SLOT`.
        thumbnails: `(24, 32)` uint64 of either picture.
        size: Size of the planes.
    """
    left, right = (sums.astype(np.float64) / size.pixels for sums in thumbnails)
    mean = int(slots["total"].sum()) / (255 * size.pixels)
    return Difference(mean, float(slots["peak"].max()) / 255, correlation(left, right))


def _require_luma(left: PlaneView, right: PlaneView) -> None:
    require(left.size == right.size, f"luma of {right.size}, wanted {left.size}")
    require(left.bits == right.bits == 8, "luma that is not of 8 bits")
    require_within(left.size)
