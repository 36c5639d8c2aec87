"""Law 8: every implementation of the kernels equals its NumPy twin, on all formats and awkward sizes."""

from __future__ import annotations

import numpy as np
import pytest
from tests.kernel_samples import COLOURS, SIZES, random_motion, random_picture

from fastrestore.frames import FORMATS, Colour, Matrix, Motion, Picture, Siting
from fastrestore.geometry import Size
from fastrestore.kernels.ops import RGB_TOLERANCE, SAMPLE_TOLERANCE, Ops, open_ops
from fastrestore.kernels.reference import ReferenceOps

REFERENCE = ReferenceOps()


@pytest.fixture(params=["cpu"])
def ops(request: pytest.FixtureRequest) -> Ops:
    return open_ops(request.param)


def assert_same_samples(a: Picture, b: Picture, tolerance: float) -> None:
    for left, right in zip(a.planes, b.planes, strict=True):
        assert left.dtype == right.dtype
        assert np.abs(left.astype(int) - right).max() <= tolerance


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("colour", COLOURS, ids=lambda c: c.matrix.name)
@pytest.mark.parametrize("name", FORMATS)
def test_to_rgb(ops: Ops, name: str, colour: Colour, size: Size) -> None:
    picture = random_picture(size, FORMATS[name], colour)
    np.testing.assert_allclose(ops.to_rgb(picture), REFERENCE.to_rgb(picture), atol=RGB_TOLERANCE)


@pytest.mark.parametrize("target", [Size(64, 48), Size(40, 20), Size(101, 77), Size(63, 99)], ids=str)
@pytest.mark.parametrize("colour", COLOURS, ids=lambda c: c.matrix.name)
@pytest.mark.parametrize("name", ["yuv420p", "yuv422p10le", "yuv444p12le", "gray", "gray16le", "gbrp", "yuv420p16le"])
def test_from_rgb(ops: Ops, name: str, colour: Colour, target: Size) -> None:
    rgb = np.random.default_rng(1).random((3, 48, 64), np.float32)
    got = ops.from_rgb(rgb, target, FORMATS[name], colour)
    want = REFERENCE.from_rgb(rgb, target, FORMATS[name], colour)
    # OpenCV's Lanczos table is a polynomial fit; on noise it is up to half a percent of white off the true kernel.
    grows = target.width > 64 or target.height > 48
    share = 0.006 if grows else 2e-6
    assert_same_samples(got, want, max(SAMPLE_TOLERANCE, share * (1 << FORMATS[name].bits)))


@pytest.mark.parametrize("colour", COLOURS, ids=lambda c: c.matrix.name)
@pytest.mark.parametrize("name", ["yuv444p", "yuv444p10le", "yuv444p12le", "gbrp", "gbrp10le", "gray", "gray12le"])
def test_round_trip_without_subsampling_is_exact(ops: Ops, name: str, colour: Colour) -> None:
    picture = random_picture(Size(33, 21), FORMATS[name], colour)
    back = ops.from_rgb(ops.to_rgb(picture), picture.size, picture.format, colour)
    assert back.same_samples(picture)


@pytest.mark.parametrize("colour", COLOURS, ids=lambda c: c.matrix.name)
def test_luma_survives_subsampled_round_trip(ops: Ops, colour: Colour) -> None:
    picture = random_picture(Size(33, 21), FORMATS["yuv420p"], colour)
    back = ops.from_rgb(ops.to_rgb(picture), picture.size, picture.format, colour)
    assert np.array_equal(back.planes[0], picture.planes[0])


@pytest.mark.parametrize("siting", list(Siting))
def test_chroma_ramp_stays_where_it_was(ops: Ops, siting: Siting) -> None:
    """A linear ramp of chroma must come back unmoved: a wrong siting would shift it by up to half a sample."""
    colour = Colour(siting=siting)
    rgb = np.zeros((3, 32, 64), np.float32)
    rgb[0], rgb[2] = np.linspace(0.2, 0.8, 64), np.linspace(0.2, 0.8, 32)[:, None]
    stored = ops.from_rgb(rgb, Size(64, 32), FORMATS["yuv420p16le"], colour)
    again = ops.to_rgb(stored)
    np.testing.assert_allclose(again[:, 4:-4, 4:-4], rgb[:, 4:-4, 4:-4], atol=1e-4)


def test_primaries_have_the_standard_codes(ops: Ops) -> None:
    """BT.709 limited: white 235/128/128, red 63/102/240; BT.601 red 81/90/240 (ITU-R BT.601, BT.709 tables)."""
    red = np.zeros((3, 8, 8), np.float32)
    red[0] = 1
    for matrix, want in ((Matrix.BT709, (63, 102, 240)), (Matrix.SMPTE170M, (81, 90, 240))):
        stored = ops.from_rgb(red, Size(8, 8), FORMATS["yuv444p"], Colour(matrix=matrix))
        assert tuple(round(float(p.mean())) for p in stored.planes) == want
    white = ops.from_rgb(np.ones((3, 2, 2), np.float32), Size(2, 2), FORMATS["yuv444p10le"], Colour())
    assert [int(p[0, 0]) for p in white.planes] == [940, 512, 512]


def test_dither_keeps_the_mean(ops: Ops) -> None:
    rgb = np.full((3, 64, 64), 0.50123, np.float32)
    stored = ops.from_rgb(rgb, Size(64, 64), FORMATS["yuv420p"], Colour(full_range=True))
    assert abs(float(stored.planes[0].mean()) - 0.50123 * 255) < 0.02


def test_grey_stays_exactly_grey(ops: Ops) -> None:
    rgb = np.random.default_rng(0).random((3, 20, 20), np.float32)
    stored = ops.from_rgb(rgb, Size(30, 30), FORMATS["yuv420p10le"], Colour(), neutral=True)
    assert stored.neutral_chroma


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", ["yuv420p", "yuv422p10le", "yuv444p", "gbrp", "gray16le"])
@pytest.mark.parametrize("reach_px", [0.0, 3.0, 1e6])
def test_synthesize(ops: Ops, name: str, size: Size, reach_px: float) -> None:
    left, right = (random_picture(size, FORMATS[name], seed=s) for s in (1, 2))
    motion = random_motion(Size(max(1, size.width // 2), max(1, size.height // 3)), reach_px)
    got, want = ops.synthesize(left, right, motion, 0.4), REFERENCE.synthesize(left, right, motion, 0.4)
    # OpenCV rounds after the warp and again after the blend, and its bilinear weights have 1/32 px steps for 8 bits.
    peak = (1 << FORMATS[name].bits) - 1
    errors = np.concatenate([np.abs(a.astype(int) - b).ravel() for a, b in zip(got.planes, want.planes, strict=True)])
    assert errors.max() <= 0.05 * peak
    assert errors.mean() <= 0.006 * peak


def test_synthesize_survives_nan(ops: Ops) -> None:
    left, right = (random_picture(Size(16, 16), FORMATS["yuv420p"], seed=s) for s in (1, 2))
    motion = random_motion(Size(16, 16), 1.0)
    motion.flow_to_left[3, 3] = np.nan
    motion.flow_to_right[5, 5] = np.inf
    got, want = ops.synthesize(left, right, motion, 0.5), REFERENCE.synthesize(left, right, motion, 0.5)
    assert_same_samples(got, want, 0.05 * 255)


def test_still_motion_gives_the_picture_itself(ops: Ops) -> None:
    picture = random_picture(Size(40, 30), FORMATS["yuv420p"])
    zero = np.zeros((15, 20, 2), np.float32)
    motion = Motion(zero, zero, np.full((15, 20), 0.5, np.float32), np.zeros((15, 20), np.float32))
    assert ops.synthesize(picture, picture, motion, 0.5).same_samples(picture)


def test_guard_takes_the_nearer_frame_where_neighbours_disagree(ops: Ops) -> None:
    black, white = (
        Picture(tuple(np.full((8, 8), v, np.uint8) for v in (level, 128, 128)), FORMATS["yuv444p"])
        for level in (0, 255)
    )
    zero = np.zeros((8, 8, 2), np.float32)
    half = np.full((8, 8), 0.5, np.float32)
    agreed = Motion(zero, zero, half, np.zeros((8, 8), np.float32))
    assert ops.synthesize(black, white, agreed, 0.3).same_samples(black)
    assert ops.synthesize(black, white, agreed, 0.7).same_samples(white)
    shown_by_source = Motion(zero, zero, half, np.ones((8, 8), np.float32))
    assert abs(float(ops.synthesize(black, white, shown_by_source, 0.3).planes[0].mean()) - 127.5) <= 1


@pytest.mark.parametrize("size", [*SIZES, Size(100, 70)], ids=str)
def test_difference(ops: Ops, size: Size) -> None:
    rng = np.random.default_rng(0)
    left, right = (rng.integers(0, 256, (size.height, size.width), np.uint8) for _ in range(2))
    got, want = ops.difference(left, right), REFERENCE.difference(left, right)
    assert got.mean == pytest.approx(want.mean, abs=1e-6)
    assert got.peak_block == pytest.approx(want.peak_block, abs=1e-6)
    assert got.correlation == pytest.approx(want.correlation, abs=1e-3)


def test_correlation_is_blind_to_flicker(ops: Ops) -> None:
    left = np.random.default_rng(0).integers(40, 200, (48, 64), np.uint8)
    darker = (left * 0.7 + 10).astype(np.uint8)
    assert ops.difference(left, darker).correlation > 0.99
    assert ops.difference(left, left).mean == 0.0


@pytest.mark.parametrize("name", ["yuv420p", "yuv420p10le", "gray16le", "gbrp", "gbrp12le"])
def test_luma8(ops: Ops, name: str) -> None:
    picture = random_picture(Size(33, 21), FORMATS[name])
    apart = ops.luma8(picture).astype(int) - REFERENCE.luma8(picture)
    assert np.abs(apart).max() <= 1


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize(("name", "to"), [("yuv420p", "yuv420p10le"), ("yuv422p12le", "yuv422p"), ("gbrp", "gbrp16le")])
def test_requantize(ops: Ops, name: str, to: str, full_range: bool) -> None:
    picture = random_picture(Size(33, 21), FORMATS[name], Colour(full_range=full_range))
    got = ops.requantize(picture, FORMATS[to])
    assert_same_samples(got, REFERENCE.requantize(picture, FORMATS[to]), SAMPLE_TOLERANCE)
    whole_steps = not full_range or FORMATS[to].bits == 16  # 255 divides 65535, but not 1023
    if FORMATS[to].bits > picture.format.bits and whole_steps:
        assert ops.requantize(got, picture.format).same_samples(picture), "more bits lose nothing"


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_disagreement(ops: Ops, size: Size) -> None:
    left, right = (random_picture(size, FORMATS["gray"], seed=s).planes[0] for s in (1, 2))
    motion = random_motion(size, 2.0)
    got, want = ops.disagreement(left, right, motion), REFERENCE.disagreement(left, right, motion)
    np.testing.assert_allclose(got, want, atol=0.04)
