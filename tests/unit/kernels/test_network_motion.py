"""The twins of the kernels around motion networks do what the host does with OpenCV."""

from __future__ import annotations

import numpy as np
import pytest

from fastrestore.geometry import Size
from fastrestore.kernels.network_motion import placed, reduced
from fastrestore.runtime.motion_network import NetworkGrid

PICTURE = Size(45, 31)
SHRINKS = [1, 2, 4]


def grid_of(shrink: int) -> NetworkGrid:
    return NetworkGrid(PICTURE, shrink, Size(48 // shrink, 32 // shrink))


@pytest.mark.parametrize("shrink", SHRINKS)
def test_pictures_are_reduced_alike(shrink: int) -> None:
    rgb, grid = np.random.default_rng(0).random((3, 31, 45), np.float32), grid_of(shrink)
    found = reduced(rgb, grid.network, shrink, grid.network)
    np.testing.assert_allclose(found, grid.place(rgb)[0], atol=1e-6, rtol=0)


@pytest.mark.parametrize("shrink", SHRINKS)
def test_motion_is_placed_alike(shrink: int) -> None:
    rng, grid = np.random.default_rng(1), grid_of(shrink)
    shape = (grid.network.height, grid.network.width)
    flow = rng.uniform(-5, 5, (4, *shape)).astype(np.float32)
    mask = rng.uniform(-0.2, 1.2, shape).astype(np.float32)
    found_flow, found_mask = placed(flow, mask, grid.network, shrink, PICTURE)
    wanted = np.concatenate([grid.flow(flow[:2]), grid.flow(flow[2:])], axis=2)
    np.testing.assert_allclose(found_flow, wanted, atol=1e-4, rtol=0)
    np.testing.assert_allclose(found_mask, grid.mask(mask), atol=1e-6, rtol=0)


def test_what_is_beyond_the_grid_repeats_its_last_row_and_column() -> None:
    rgb = np.random.default_rng(2).random((3, 8, 8))
    found = reduced(rgb, Size(4, 4), 2, Size(6, 5))
    np.testing.assert_array_equal(found[:, 4], found[:, 3])
    np.testing.assert_array_equal(found[:, :, 5], found[:, :, 3])


def test_displacements_are_cut_and_masks_kept_within_their_range() -> None:
    flow, mask = np.full((4, 4, 4), 1e9), np.full((4, 4), 7.0)
    found_flow, found_mask = placed(flow, mask, Size(4, 4), 2, Size(8, 8))
    assert found_flow.max() == 16 and found_mask.max() == 1
