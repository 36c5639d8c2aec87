"""Laws of the kernels around motion networks: each equals its NumPy twin, on all formats and awkward sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.kernel_samples import COLOURS, random_picture
from tests.unit.kernels.executors import Executor
from tests.unit.kernels.launched import planar
from tests.unit.kernels.network_launched import LaunchedNetwork

from fastrestore.frames import FORMATS
from fastrestore.geometry import Size
from fastrestore.kernels.launches import NV12, P010, Layout, NetworkPlace
from fastrestore.kernels.network_motion import placed, reduced
from fastrestore.kernels.ops import RGB_TOLERANCE
from fastrestore.kernels.reference import FLOW_REACH, ReferenceOps

REFERENCE = ReferenceOps()
LAYOUTS: dict[str, Layout] = {
    **{name: planar(FORMATS[name]) for name in ("yuv420p", "yuv422p10le", "yuv444p12le", "gray", "gray16le", "gbrp")},
    "nv12": NV12,
    "p010": P010,
}
PLACES = [
    NetworkPlace(Size(45, 31), Size(24, 16), 2, Size(24, 16)),
    NetworkPlace(Size(45, 31), Size(12, 8), 4, Size(13, 11)),
    NetworkPlace(Size(64, 48), Size(8, 6), 8, Size(8, 6)),
    NetworkPlace(Size(70, 9), Size(5, 1), 16, Size(7, 3)),
    NetworkPlace(Size(1, 1), Size(3, 2), 2, Size(9, 2)),
]
"""Odd sizes, padding before and after reducing, every way that eight columns are shared out, a single pixel."""
WHOLE = NetworkPlace(Size(45, 31), Size(48, 32), 1, Size(50, 40))
FLOW_TOLERANCE_PX = 2e-5
"""For displacements of up to 1 px of a network: fp32, enlarged; longer ones in proportion."""


@pytest.fixture
def ops(executor: Executor) -> LaunchedNetwork:
    return LaunchedNetwork(executor)


def assert_same(found: NDArray[Any], wanted: NDArray[Any], tolerance: float) -> None:
    allowed = tolerance + (np.spacing(np.abs(wanted).astype(np.float16)) if found.dtype == np.float16 else 0)
    assert (np.abs(found.astype(np.float64) - wanted) <= allowed).all()


@pytest.mark.parametrize("place", PLACES, ids=lambda place: f"{place.picture} by {place.shrink}")
@pytest.mark.parametrize("name", LAYOUTS)
def test_pictures_are_reduced_like_the_twin(ops: LaunchedNetwork, name: str, place: NetworkPlace) -> None:
    layout = LAYOUTS[name]
    for colour in COLOURS:
        picture = random_picture(place.picture, layout.samples, colour)
        wanted = reduced(REFERENCE.to_rgb(picture), place.grid, place.shrink, place.tensor)
        for dtype in (np.float32, np.float16):
            assert_same(ops.reduced(picture, layout, place, dtype), wanted, RGB_TOLERANCE)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("count", [1, 7, 1000])
def test_every_element_is_filled_and_no_other(ops: LaunchedNetwork, count: int, dtype: Any) -> None:
    np.testing.assert_array_equal(ops.filled(count, 0.4, dtype), np.full(count, 0.4, dtype))


def yielded(place: NetworkPlace, reach_px: float, dtype: Any = np.float32) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return what a network might yield; what is not the picture's is no number."""
    rng = np.random.default_rng(3)
    shape = (place.tensor.height, place.tensor.width)
    flow, mask = rng.uniform(-reach_px, reach_px, (4, *shape)), rng.uniform(-0.2, 1.2, shape)
    for plane in (*flow, mask):
        plane[place.grid.height :] = np.nan
        plane[:, place.grid.width :] = np.nan
    return flow.astype(dtype), mask.astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("reach_px", [1.0, 30.0, 6e4])
@pytest.mark.parametrize("place", [WHOLE, *PLACES], ids=lambda place: f"{place.picture} by {place.shrink}")
def test_motion_is_placed_like_the_twin(ops: LaunchedNetwork, place: NetworkPlace, reach_px: float, dtype: Any) -> None:
    flow, mask = yielded(place, reach_px, dtype)
    packed, share, broken = ops.placed(flow, mask, place)
    wanted_flow, wanted_mask = placed(flow, mask, place.grid, place.shrink, place.picture)
    assert not broken
    np.testing.assert_allclose(packed, wanted_flow, atol=FLOW_TOLERANCE_PX * max(1, reach_px) * place.shrink, rtol=0)
    np.testing.assert_allclose(share, wanted_mask, atol=1e-6, rtol=0)
    assert np.abs(packed).max() <= FLOW_REACH * max(place.picture.width, place.picture.height)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("plane", range(5))
@pytest.mark.parametrize("place", [WHOLE, PLACES[0]], ids=["whole", "reduced"])
def test_numbers_that_are_not_finite_are_reported(
    ops: LaunchedNetwork, place: NetworkPlace, plane: int, value: float
) -> None:
    flow, mask = yielded(place, 1.0)
    (*flow, mask)[plane][3, 5] = value
    packed, share, broken = ops.placed(flow, mask, place)
    assert broken
    assert np.isfinite(packed).all() and ((share >= 0) & (share <= 1)).all()
