from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastrestore.errors import UsageError
from fastrestore.geometry import Size
from fastrestore.models.spec import ModelSpec, Task
from fastrestore.runtime.restorer import LARGEST_HALO_PX, network_tiles
from fastrestore.runtime.tiling import TilePlan, plan_tiles, side_for_memory, smallest_side

sizes = st.builds(Size, st.integers(1, 300), st.integers(1, 300))


def coverage(plan: TilePlan) -> np.ndarray:
    count = np.zeros((plan.size.height, plan.size.width), int)
    for tile in plan:
        count[tile.keep.slices] += 1
    return count


@given(sizes, st.integers(40, 120), st.integers(0, 12))
def test_every_pixel_is_kept_exactly_once(size: Size, side: int, halo: int) -> None:
    assert (coverage(plan_tiles(size, side, halo_px=halo)) == 1).all()


@given(sizes, st.integers(40, 120), st.integers(0, 12))
def test_halo_surrounds_what_is_kept(size: Size, side: int, halo: int) -> None:
    plan = plan_tiles(size, side, halo_px=halo)
    for tile in plan:
        read, keep = tile.read, tile.keep
        assert read.size == plan.tile, "all tiles have one shape, so that one engine serves them"
        assert read.x0 >= 0 and read.y0 >= 0 and read.x1 <= size.width and read.y1 <= size.height
        assert read.x0 == 0 or keep.x0 - read.x0 >= halo
        assert read.y0 == 0 or keep.y0 - read.y0 >= halo
        assert read.x1 == size.width or read.x1 - keep.x1 >= halo
        assert read.y1 == size.height or read.y1 - keep.y1 >= halo
        assert tile.crop.size == keep.size


@given(sizes, st.integers(60, 140), st.integers(0, 12), st.sampled_from([2, 3, 8, 16]), st.booleans())
def test_tiles_lie_on_the_grid_of_the_whole_picture(
    size: Size, side: int, halo: int, multiple: int, blended: bool
) -> None:
    reach = halo + 1 if blended else halo
    side = max(side, 2 * (halo + 16) + 8 + 2 * multiple)
    plan = plan_tiles(size, side, halo_px=halo, reach_px=reach, multiple_px=multiple)
    kept = coverage(plan)
    assert (kept >= 1).all() if blended else (kept == 1).all()
    for tile in plan:
        read, keep = tile.read, tile.keep
        for start, end, kept_from, kept_to, length, usual in (
            (read.x0, read.x1, keep.x0, keep.x1, size.width, plan.tile.width),
            (read.y0, read.y1, keep.y0, keep.y1, size.height, plan.tile.height),
        ):
            assert start % multiple == 0
            assert end - start == usual or (end == length and usual - (end - start) < multiple)
            assert end == length or end % multiple == 0
            assert start == 0 or kept_from - start >= halo
            assert end == length or end - kept_to >= halo


@given(sizes, st.integers(80, 140), st.integers(0, 6))
def test_blended_weights_leave_no_hole(size: Size, side: int, halo: int) -> None:
    plan = plan_tiles(size, side, halo_px=halo, reach_px=halo + 10)
    total = np.zeros((size.height * 2, size.width * 2))
    for tile in plan:
        total[tile.keep.times(2).slices] += plan.ramp(tile, 2)
    assert (total > 0.3).all()


def test_whole_picture_is_one_tile() -> None:
    plan = plan_tiles(Size(640, 480), None, halo_px=7)
    assert len(plan) == 1
    assert plan.tiles[0].keep.size == Size(640, 480)


def test_too_small_a_tile_is_refused_with_what_is_needed() -> None:
    with pytest.raises(UsageError, match="needs at least"):
        plan_tiles(Size(640, 480), 16, halo_px=20)


@given(sizes, st.integers(0, 20), st.integers(1, 5000), st.integers(1, 10**8), st.sampled_from([1, 2, 32]))
def test_side_for_memory_can_always_be_planned(
    size: Size, halo: int, bytes_per_px: int, budget: int, multiple: int
) -> None:
    side = side_for_memory(size, halo_px=halo, bytes_per_px=bytes_per_px, budget_bytes=budget, multiple_px=multiple)
    plan = plan_tiles(size, side, halo_px=halo, multiple_px=multiple)
    assert (coverage(plan) == 1).all()
    if side is not None:
        floor = smallest_side(halo, multiple)
        assert plan.tile.pixels * bytes_per_px <= max(budget, floor * floor * bytes_per_px)


def test_a_network_that_sees_far_is_blended_not_drowned_in_halo() -> None:
    spec = ModelSpec("far", "far", Task.RESTORE, "", "", "", scale=2, halo_px=300, working_bytes_per_px=1000)
    plan = network_tiles(spec, Size(1920, 1080), None, budget_bytes=1 << 28)
    assert plan.blended
    assert plan.halo_px == LARGEST_HALO_PX
    assert plan.tile.pixels * spec.working_bytes_per_px <= 1 << 28
