"""Law 8 for `kernels/cuda`: every kernel equals its NumPy twin, on all formats and awkward sizes.

The same laws hold the host build of the sources and, where there is a card, the code that is shipped for it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.kernel_samples import COLOURS, SIZES, random_motion, random_picture
from tests.unit.kernels.executors import Executor
from tests.unit.kernels.launched import LaunchedOps, Tiles, planar
from tests.unit.kernels.tilings import put_together, random_tiles

from fastrestore.frames import FORMATS, Colour, FloatImage, Motion, Picture
from fastrestore.geometry import Size
from fastrestore.kernels.launches import MOST_TILES, NV12, P010, P012, P016, Layout
from fastrestore.kernels.ops import RGB_TOLERANCE
from fastrestore.kernels.reference import ReferenceOps, resize, store
from fastrestore.runtime.tiling import plan_tiles

REFERENCE = ReferenceOps()
CARD_LAYOUTS = {"nv12": NV12, "p010": P010, "p012": P012, "p016": P016}
LAYOUTS = {name: planar(f) for name, f in FORMATS.items()} | CARD_LAYOUTS
FP32_ROUNDING = 1e-6
"""Of R'G'B' computed from samples: terms of up to 2 that cancel, in 24 bits."""
SAMPLE_STEPS = 1
"""Steps that a stored sample of up to 12 bits may be off: where rounding falls on the other side."""
SAMPLE_STEPS_16 = 4
"""The same for 16 bits, which leave fp32 eight bits: positions and shares in steep flow show."""
ROUNDED_SHARE = 2e-3
"""Share of samples that rounding may push over, up to 12 bits; noise meets a rounding edge that seldom."""


@pytest.fixture
def ops(executor: Executor) -> LaunchedOps:
    return LaunchedOps(executor)


def assert_same_samples(got: Picture, want: Picture) -> None:
    """Samples are at most `SAMPLE_STEPS` apart, and hardly ever at all; of 16 bits, at most `SAMPLE_STEPS_16`."""
    assert got.format == want.format
    apart = np.concatenate([np.abs(a.astype(int) - b).ravel() for a, b in zip(got.planes, want.planes, strict=True)])
    if got.format.bits > 12:
        assert apart.max() <= SAMPLE_STEPS_16
    else:
        assert apart.max() <= SAMPLE_STEPS
        assert np.count_nonzero(apart) <= max(1, ROUNDED_SHARE * apart.size)


def assert_same_tiles(got: NDArray[Any], want: FloatImage) -> None:
    """Equal within `RGB_TOLERANCE`; halves to half a unit of their last place, beside fp32 rounding."""
    if got.dtype == np.float16:
        allowed = np.spacing(np.abs(want).astype(np.float16)).astype(np.float64) / 2 + FP32_ROUNDING
        assert (np.abs(got.astype(np.float64) - want) <= allowed).all()
    else:
        np.testing.assert_allclose(got, want, atol=RGB_TOLERANCE, rtol=0)


def gathered(rgb: FloatImage, tile: Size, origins: list[tuple[int, int]]) -> FloatImage:
    """Return tiles of a picture, the nearest pixel repeated beyond its edges."""
    _, height, width = rgb.shape
    cut = []
    for x, y in origins:
        rows = np.clip(np.arange(y, y + tile.height), 0, height - 1)
        columns = np.clip(np.arange(x, x + tile.width), 0, width - 1)
        cut.append(rgb[:, rows[:, None], columns])
    return np.stack(cut)


@pytest.mark.parametrize("colour", COLOURS, ids=lambda c: c.matrix.name)
@pytest.mark.parametrize("name", LAYOUTS)
def test_planes_to_tiles(ops: LaunchedOps, name: str, colour: Colour) -> None:
    layout = LAYOUTS[name]
    for size in SIZES:
        picture = random_picture(size, layout.samples, colour)
        want = REFERENCE.to_rgb(picture)
        # One tile with as much padding as a network may want, and several that reach beyond every edge.
        for tile, origins in (
            (Size(-(-size.width // 8) * 8, -(-size.height // 4) * 4), [(0, 0)]),
            (Size(13, 7), [(-5, -3), (3, 1), (size.width - 2, size.height - 1), (8, 0)]),
        ):
            for dtype in (np.float16, np.float32):
                assert_same_tiles(ops.tiles(picture, tile, origins, dtype, layout), gathered(want, tile, origins))


def test_most_tiles_at_once(ops: LaunchedOps) -> None:
    picture = random_picture(Size(64, 48), FORMATS["yuv420p"])
    origins = [(x, y) for y in range(-8, 40, 6) for x in range(-8, 56, 8)][:MOST_TILES]
    assert len(origins) == MOST_TILES
    got = ops.tiles(picture, Size(16, 8), origins, np.float32, NV12)
    assert_same_tiles(got, gathered(REFERENCE.to_rgb(picture), Size(16, 8), origins))


TARGETS = [
    Size(64, 48),
    Size(32, 24),
    Size(16, 12),
    Size(40, 20),
    Size(27, 48),
    Size(101, 77),
    Size(63, 99),
    Size(1, 1),
]
"""The same, halved, quartered, by broken factors, one side alone, longer, longer one way and shorter the other."""


@pytest.mark.parametrize("colour", COLOURS, ids=lambda c: c.matrix.name)
@pytest.mark.parametrize(
    "name", ["yuv420p", "yuv422p10le", "yuv444p12le", "gray", "gray16le", "gbrp", "yuv420p16le", *CARD_LAYOUTS]
)
def test_tiles_to_planes_of_a_whole_picture(ops: LaunchedOps, name: str, colour: Colour) -> None:
    layout = LAYOUTS[name]
    rgb = np.random.default_rng(1).random((3, 48, 64), np.float32)
    for target in TARGETS:
        got, broken = ops.from_tiles(Tiles.whole(rgb), target, layout, colour)
        assert not broken
        assert_same_samples(got, REFERENCE.from_rgb(rgb, target, layout.samples, colour))


@pytest.mark.parametrize("name", ["yuv420p", "yuv422p", "yuv444p10le", "gray", "gbrp", "p010"])
def test_tiles_to_planes_of_a_pixel(ops: LaunchedOps, name: str) -> None:
    rgb = np.array([0.9, 0.2, 0.4], np.float32).reshape(3, 1, 1)
    for target in (Size(1, 1), Size(2, 3), Size(9, 5)):
        got, _ = ops.from_tiles(Tiles.whole(rgb), target, LAYOUTS[name], Colour())
        assert_same_samples(got, REFERENCE.from_rgb(rgb, target, LAYOUTS[name].samples, Colour()))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("reach_px", [None, 40], ids=["pasted", "blended"])
@pytest.mark.parametrize("size", [Size(97, 61), Size(150, 41)], ids=str)
def test_tiles_to_planes_of_many_tiles(ops: LaunchedOps, size: Size, reach_px: int | None, dtype: Any) -> None:
    """Pasted and blended, at the network's scale, reduced by a whole and by a broken factor, and enlarged."""
    scale = 2
    plan = plan_tiles(size, 56, halo_px=4, reach_px=reach_px)
    assert len(plan) >= 3 and plan.blended == (reach_px is not None)
    tiles = random_tiles(plan, scale, dtype, multiple=8)
    whole = put_together(plan, tiles, scale)
    for target in (
        size.times(2),
        size,
        Size(size.width * 3 // 2, size.height * 4 // 3),
        Size(size.width * 2 + 7, size.height * 2),
    ):
        got, broken = ops.from_tiles(tiles, target, NV12, COLOURS[0])
        assert not broken
        assert_same_samples(got, REFERENCE.from_rgb(whole, target, NV12.samples, COLOURS[0]))


@pytest.mark.parametrize("seed", range(24))
def test_any_geometry(ops: LaunchedOps, seed: int) -> None:
    """There and back for sizes, layouts, tilings and targets that nobody chose."""
    rng = np.random.default_rng(seed)
    layout, result = (LAYOUTS[str(rng.choice(list(LAYOUTS)))] for _ in range(2))
    colour, scale = COLOURS[rng.integers(3)], int(rng.integers(1, 5))
    size, target = (Size(*(int(side) for side in rng.integers(1, 90, 2))) for _ in range(2))
    picture = random_picture(size, layout.samples, colour, seed)
    plan = plan_tiles(size, 48, halo_px=4, reach_px=40 if rng.random() < 0.5 else None)
    origins = [(tile.read.x0, tile.read.y0) for tile in plan]
    got_tiles = ops.tiles(picture, plan.tile, origins, np.float32, layout)
    assert_same_tiles(got_tiles, gathered(REFERENCE.to_rgb(picture), plan.tile, origins))
    tiles = random_tiles(plan, scale, np.float16, seed, multiple=4)
    got, broken = ops.from_tiles(tiles, target, result, colour)
    assert not broken
    assert_same_samples(got, REFERENCE.from_rgb(put_together(plan, tiles, scale), target, result.samples, colour))


def test_numbers_that_are_not_finite_are_reported(ops: LaunchedOps) -> None:
    for bad in (np.nan, np.inf, -np.inf):
        rgb = np.full((3, 16, 16), 0.5, np.float32)
        rgb[2, 7, 9] = bad
        _, broken = ops.from_tiles(Tiles.whole(rgb), Size(8, 8), NV12, Colour())
        assert broken


def test_grey_stays_exactly_grey(ops: LaunchedOps) -> None:
    rgb = np.random.default_rng(0).random((3, 20, 20), np.float32)
    for layout in (NV12, P010, planar(FORMATS["yuv422p12le"])):
        got, _ = ops.from_tiles(Tiles.whole(rgb), Size(31, 30), layout, Colour(), neutral=True)
        assert got.neutral_chroma
        assert_same_samples(got, REFERENCE.from_rgb(rgb, Size(31, 30), layout.samples, Colour(), neutral=True))


@pytest.mark.parametrize("colour", COLOURS, ids=lambda c: c.matrix.name)
@pytest.mark.parametrize("name", ["yuv444p", "yuv444p10le", "yuv444p12le", "gbrp", "gbrp10le", "gray", "gray12le"])
def test_round_trip_without_subsampling_is_exact(ops: LaunchedOps, name: str, colour: Colour) -> None:
    picture = random_picture(Size(33, 21), FORMATS[name], colour)
    assert ops.from_rgb(ops.to_rgb(picture), picture.size, picture.format, colour).same_samples(picture)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", ["yuv420p", "yuv422p10le", "yuv444p", "gbrp", "gray16le", *CARD_LAYOUTS])
@pytest.mark.parametrize("reach_px", [0.0, 3.0, 1e6, 3e38])
def test_synthesize(ops: LaunchedOps, name: str, size: Size, reach_px: float) -> None:
    layout = LAYOUTS[name]
    left, right = (random_picture(size, layout.samples, seed=s) for s in (1, 2))
    cells = Size(max(1, size.width // 2), max(1, size.height // 3))
    for grid in (cells, size, Size(size.width + 5, size.height * 2)):
        for t in (0.4, 0.5):
            motion = random_motion(grid, reach_px / 2)
            got = ops.synthesize(left, right, motion, t, (layout, layout))
            assert_same_samples(got, REFERENCE.synthesize(left, right, motion, t))


@pytest.mark.parametrize("target", [NV12, P010, P016])
def test_synthesize_from_planar_to_what_encoders_take(ops: LaunchedOps, target: Layout) -> None:
    left, right = (random_picture(Size(33, 21), target.samples, seed=s) for s in (1, 2))
    motion = random_motion(Size(16, 10), 2.0)
    got = ops.synthesize(left, right, motion, 0.6, (planar(target.samples), target))
    assert_same_samples(got, REFERENCE.synthesize(left, right, motion, 0.6))


def test_synthesize_without_guard(ops: LaunchedOps) -> None:
    left, right = (random_picture(Size(33, 21), FORMATS["yuv420p"], seed=s) for s in (1, 2))
    full = random_motion(Size(11, 7), 2.0)
    motion = Motion(full.flow_to_left, full.flow_to_right, full.mask)
    assert_same_samples(ops.synthesize(left, right, motion, 0.5), REFERENCE.synthesize(left, right, motion, 0.5))


def test_synthesize_survives_flow_that_is_no_number(ops: LaunchedOps) -> None:
    left, right = (random_picture(Size(16, 16), FORMATS["yuv420p"], seed=s) for s in (1, 2))
    motion = random_motion(Size(16, 16), 1.0)
    for at, bad in enumerate((np.nan, np.inf, -np.inf)):
        motion.flow_to_left[3 + at, 3] = bad
        motion.flow_to_right[5, 5 + at, 1] = bad
    assert_same_samples(ops.synthesize(left, right, motion, 0.5), REFERENCE.synthesize(left, right, motion, 0.5))


def test_synthesize_survives_a_mask_that_is_no_number(ops: LaunchedOps) -> None:
    """The contract says nothing of it; what comes out must still be samples."""
    left, right = (random_picture(Size(16, 16), FORMATS["yuv420p10le"], seed=s) for s in (1, 2))
    motion = random_motion(Size(16, 16), 1.0)
    motion.mask[:] = np.nan
    assert max(int(p.max()) for p in ops.synthesize(left, right, motion, 0.5).planes) < 1 << 10


def test_synthesize_keeps_grey_exactly_grey(ops: LaunchedOps) -> None:
    pictures = [random_picture(Size(33, 21), FORMATS["yuv420p"], seed=s) for s in (1, 2)]
    for picture in pictures:
        for plane in picture.planes[1:]:
            plane[:] = 128
    motion = random_motion(Size(11, 7), 2.0)
    want = REFERENCE.synthesize(pictures[0], pictures[1], motion, 0.5)
    for neutral in (False, True):
        got = ops.synthesize(pictures[0], pictures[1], motion, 0.5, (NV12, NV12), neutral=neutral)
        assert got.neutral_chroma
        assert_same_samples(got, want)


def test_still_motion_gives_the_picture_itself(ops: LaunchedOps) -> None:
    picture = random_picture(Size(40, 30), FORMATS["yuv420p"])
    zero = np.zeros((15, 20, 2), np.float32)
    motion = Motion(zero, zero, np.full((15, 20), 0.5, np.float32), np.zeros((15, 20), np.float32))
    assert ops.synthesize(picture, picture, motion, 0.5).same_samples(picture)


@pytest.mark.parametrize("size", [*SIZES, Size(100, 70), Size(129, 31)], ids=str)
@pytest.mark.parametrize("margin_bytes", [0, 48, 5])
def test_difference(executor: Executor, size: Size, margin_bytes: int) -> None:
    ops = LaunchedOps(executor, margin_bytes)
    rng = np.random.default_rng(0)
    left, right = (rng.integers(0, 256, (size.height, size.width), np.uint8) for _ in range(2))
    for other in (right, left, (left * 0.7 + 10).astype(np.uint8)):
        got, want = ops.difference(left, other), REFERENCE.difference(left, other)
        assert got.mean == pytest.approx(want.mean, abs=1e-12)
        assert got.peak_block == pytest.approx(want.peak_block, rel=1e-6)
        assert got.correlation == pytest.approx(want.correlation, abs=1e-9)


@pytest.mark.parametrize("name", ["yuv420p", "yuv422p10le", "gray16le", "gbrp", "nv12", "p010"])
def test_unequal_finds_one_sample(ops: LaunchedOps, name: str) -> None:
    layout = LAYOUTS[name]
    for size in SIZES:
        picture = random_picture(size, layout.samples)
        assert not ops.unequal(picture, picture, layout)
        for index in range(layout.samples.planes):
            for y, x in ((0, 0), (-1, -1)):
                planes = [plane.copy() for plane in picture.planes]
                planes[index][y, x] ^= 1
                assert ops.unequal(picture, Picture(tuple(planes), picture.format), layout)


@pytest.mark.parametrize("name", ["yuv420p", "yuv420p10le", "gray16le", "gbrp", "gbrp12le", "p010"])
def test_luma8(ops: LaunchedOps, name: str) -> None:
    layout = LAYOUTS[name]
    for size in SIZES:
        picture = random_picture(size, layout.samples)
        apart = np.abs(ops.luma8(picture, layout).astype(int) - REFERENCE.luma8(picture))
        assert apart.max() <= (1 if layout.samples.kind == "rgb" else 0)


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize(
    ("name", "to"),
    [
        ("yuv420p", "p010"),
        ("nv12", "yuv420p10le"),
        ("yuv422p12le", "yuv422p"),
        ("gbrp", "gbrp16le"),
        ("p016", "nv12"),
        ("gray10le", "gray"),
    ],
)
def test_requantize(ops: LaunchedOps, name: str, to: str, full_range: bool) -> None:
    source, target = LAYOUTS[name], LAYOUTS[to]
    for size in SIZES:
        picture = random_picture(size, source.samples, Colour(full_range=full_range))
        got = ops.requantize(picture, target.samples, (source, target))
        assert_same_samples(got, REFERENCE.requantize(picture, target.samples))


@pytest.mark.parametrize(("name", "to"), [("yuv420p", "nv12"), ("p010", "yuv420p10le"), ("p016", "yuv420p16le")])
def test_another_layout_keeps_every_sample(ops: LaunchedOps, name: str, to: str) -> None:
    source, target = LAYOUTS[name], LAYOUTS[to]
    picture = random_picture(Size(33, 21), source.samples)
    assert ops.requantize(picture, target.samples, (source, target)).same_samples(picture)


@pytest.mark.parametrize(
    "target", [Size(40, 30), Size(20, 15), Size(13, 30), Size(71, 64), Size(11, 45), Size(1, 1)], ids=str
)
@pytest.mark.parametrize(("dtype", "bits"), [(np.uint8, 8), (np.uint8, 32), (np.uint16, 12), (np.float32, 32)])
def test_resize(ops: LaunchedOps, target: Size, dtype: Any, bits: int) -> None:
    rng = np.random.default_rng(0)
    plane = (rng.random((30, 40)) * (1 if dtype is np.float32 else (1 << bits if bits != 32 else 256) - 1)).astype(
        dtype
    )
    got, exact = ops.resize(plane, target, bits), resize(plane.astype(np.float64), target)
    if bits == 32:
        np.testing.assert_allclose(got, exact, rtol=1e-6, atol=1e-6 * float(plane.max()))
    else:
        apart = np.abs(got.astype(int) - store(exact, FORMATS["gray" if bits == 8 else "gray12le"]))
        assert apart.max() <= SAMPLE_STEPS
        assert np.count_nonzero(apart) <= max(1, ROUNDED_SHARE * apart.size)


@pytest.mark.parametrize("reach_px", [0.0, 2.0, 1e9])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_disagreement(ops: LaunchedOps, size: Size, reach_px: float) -> None:
    left, right = (random_picture(size, FORMATS["gray"], seed=s).planes[0] for s in (1, 2))
    motion = random_motion(size, reach_px)
    apart = np.abs(ops.disagreement(left, right, motion) - REFERENCE.disagreement(left, right, motion)) * 255
    assert apart.max() <= SAMPLE_STEPS + 1e-4
    assert np.count_nonzero(apart > 0.5) <= max(1, ROUNDED_SHARE * apart.size)
