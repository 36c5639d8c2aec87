"""Law 8 for the old-film kernels: every kernel equals its twin in `fastrestore.kernels.film_*`.

Grain, and tones without a field, to the bit: the one is fixed point, the other a table. The rest within what fp32 in
another order makes of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.kernel_samples import COLOURS, SIZES, random_picture
from tests.unit.kernels.executors import Executor
from tests.unit.kernels.film_launched import F32, LaunchedFilm

from fastrestore.frames import FORMATS, Colour, Picture, Plane
from fastrestore.geometry import Size
from fastrestore.kernels import film_clean, film_degrain, film_grain, film_steady, film_tone
from fastrestore.kernels.launches import NV12, P010, P012, P016, Layout

PLANES = [*SIZES, Size(1, 9), Size(33, 1), Size(100, 21)]
DEPTHS = [8, 10, 12, 16]
TURNED_SHARE = 0.02
"""Share of resampled samples that may be a step off: OpenCV rounds each of the 64 weights to 1/32768 in 8 bits."""
ROUNDED_SHARE = 0.005
"""The same for what is rounded once, from fp32, up to 12 bits."""
ROUNDED_SHARE_16 = 0.05
"""And for 16 bits."""


@pytest.fixture(params=[48, 8], ids=["aligned", "unaligned"])
def film(executor: Executor, request: pytest.FixtureRequest) -> LaunchedFilm:
    return LaunchedFilm(executor, request.param)


def noise(size: Size, bits: int, seed: int = 0, *, beyond: bool = False) -> Plane:
    """Return random samples; with `beyond`, of all that the type holds."""
    dtype = np.dtype(np.uint8 if bits == 8 else np.uint16)
    count = 1 << (8 * dtype.itemsize if beyond else bits)
    return np.random.default_rng(seed).integers(0, count, (size.height, size.width)).astype(dtype)


def random_texture(size: Size, seed: int = 1) -> NDArray[np.int8]:
    return np.random.default_rng(seed).integers(-127, 128, (size.height, size.width)).astype(np.int8)


def assert_near(got: Plane, want: Plane, share: float, steps: int = 1) -> None:
    """Samples are at most `steps` apart, and no more than a share of them (or one) at all."""
    assert got.dtype == want.dtype
    apart = np.abs(got.astype(int) - want)
    assert apart.max() <= steps
    assert np.count_nonzero(apart) <= max(1, share * apart.size)


@pytest.mark.parametrize("bits", DEPTHS)
@pytest.mark.parametrize("in_place", [False, True], ids=["copied", "in place"])
def test_grain(film: LaunchedFilm, bits: int, in_place: bool) -> None:
    unit, rng = 1 << (bits - 8), np.random.default_rng(bits)
    gain = film_grain.gains(rng.uniform(0, 25, 256), bits, 16 * unit, 235 * unit)
    for number, size in enumerate(PLANES):
        # As large as the plane, larger, smaller in height, of a width that rows of 16 bytes do not fit.
        for texture in (size, Size(size.width + 80, size.height + 7), Size(size.width + 13, max(1, size.height // 2))):
            plane, grain = noise(size, bits, number, beyond=not in_place), random_texture(texture)
            offset = int(rng.integers(1 << 32)), int(rng.integers(1 << 32))
            sign = 1 - 2 * (number % 2)
            got = film.laid_over(plane, grain, offset, sign, gain, in_place=in_place)
            assert np.array_equal(got, film_grain.laid_over(plane, grain, offset, sign, gain))


def test_grain_at_every_place_of_the_texture(film: LaunchedFilm) -> None:
    """Texels are shifted into place by 0 to 15 bytes, and begin anew in the middle of a run."""
    plane, grain = noise(Size(70, 2), 8), random_texture(Size(96, 5))
    gain = film_grain.gains(np.full(256, 8.0), 8, 0, 255)
    for column in [*range(18), *range(80, 96)]:
        got = film.laid_over(plane, grain, (column, column), 1, gain)
        assert np.array_equal(got, film_grain.laid_over(plane, grain, (column, column), 1, gain))


def random_curve(seed: int) -> film_tone.Curve:
    return np.random.default_rng(seed).uniform(-0.4, 0.4, len(film_tone.KNOTS))


@pytest.mark.parametrize("colour", COLOURS, ids=lambda c: c.matrix.name)
@pytest.mark.parametrize(
    "name", ["gray", "gray10le", "gray16le", "gbrp", "gbrp12le", "yuv420p", "yuv422p10le", "yuv444p12le", "yuv420p16le"]
)
def test_tones(film: LaunchedFilm, name: str, colour: Colour) -> None:
    for number, size in enumerate([*SIZES, Size(34, 18)]):
        picture = random_picture(size, FORMATS[name], colour, number)
        got, want = (each.toned(picture, random_curve(number), None) for each in (film, film_tone))
        assert np.array_equal(got.planes[0], want.planes[0])
        halved = size.width % 2 == size.height % 2 == 0
        for one, other in zip(got.planes[1:], want.planes[1:], strict=True):
            if halved or picture.format.kind == "rgb" or picture.format.chroma_shift == (0, 0):
                assert np.array_equal(one, other)
            else:  # shares of luma that are no whole halves are added in another order
                assert_near(one, other, ROUNDED_SHARE, _steps(picture.format.bits))


@pytest.mark.parametrize("name", ["gray10le", "yuv420p12le"])
def test_tones_of_samples_beyond_their_depth(film: LaunchedFilm, name: str) -> None:
    rng, form, size = np.random.default_rng(0), FORMATS[name], Size(34, 18)
    shapes = [(plane.height, plane.width) for plane in (form.plane_size(size, i) for i in range(form.planes))]
    picture = Picture(tuple(rng.integers(0, 1 << 16, shape).astype(np.uint16) for shape in shapes), form)
    assert film.toned(picture, random_curve(0), None).same_samples(film_tone.toned(picture, random_curve(0)))


@pytest.mark.parametrize("name", ["gray", "gray12le", "gbrp", "yuv420p", "yuv422p10le", "yuv444p", "yuv420p16le"])
def test_tones_by_place(film: LaunchedFilm, name: str) -> None:
    for number, size in enumerate([*SIZES, Size(150, 40)]):
        picture = random_picture(size, FORMATS[name], COLOURS[number % 3], number)
        field = np.random.default_rng(number).uniform(-0.3, 0.3, (6, 8)).astype(np.float32)
        got, want = (each.toned(picture, random_curve(number), field) for each in (film, film_tone))
        bits = picture.format.bits
        for one, other in zip(got.planes, want.planes, strict=True):
            assert_near(one, other, _share(bits), _steps(bits))


@pytest.mark.parametrize("layout", [NV12, P010, P012, P016], ids=["nv12", "p010", "p012", "p016"])
def test_chroma_by_tones_as_cards_have_it(film: LaunchedFilm, layout: Layout) -> None:
    picture = random_picture(Size(34, 18), layout.samples)
    got, want = film.chroma_toned(picture, random_curve(0), layout), film_tone.toned(picture, random_curve(0))
    assert np.array_equal(got.planes[0], picture.planes[0])
    assert np.array_equal(got.planes[1:], want.planes[1:])


def similarity(turn: float, scale: float, across: float, down: float) -> NDArray[np.float64]:
    c, s = scale * np.cos(turn), scale * np.sin(turn)
    return np.array([[c, -s, across], [s, c, down]])


@pytest.mark.parametrize("bits", DEPTHS)
@pytest.mark.parametrize(
    "matrix",
    [
        similarity(0, 1, 0, 0),
        similarity(0, 1, 0.5, -2.25),
        similarity(0.01, 1.02, -3.3, 2.7),
        similarity(-0.3, 0.7, 11, 40),
        similarity(0, 1, 5e3, -4e4),
        similarity(2.0, 300.0, 0, 0),
    ],
    ids=["still", "shifted", "steadied", "turned", "far out", "torn"],
)
def test_resample(film: LaunchedFilm, bits: int, matrix: NDArray[np.float64]) -> None:
    for number, size in enumerate(PLANES):
        plane = noise(size, bits, number)
        want = film_steady.resample(plane, matrix, bits)
        assert_near(film.resampled(plane, matrix, bits, size), want, TURNED_SHARE)


def test_resample_keeps_what_stands_still(film: LaunchedFilm) -> None:
    plane = noise(Size(40, 30), 10)
    assert np.array_equal(film.resampled(plane, similarity(0, 1, 0, 0), 10, Size(40, 30)), plane)


def test_resample_survives_any_similarity(film: LaunchedFilm) -> None:
    """The twin counts positions in 32 bits and has no answer there."""
    plane = noise(Size(20, 10), 10)
    for matrix in (similarity(0, 1, 1e300, -1e300), similarity(1, 1e200, 0, 0), similarity(0, 1e-300, -7e6, 9e9)):
        assert film.resampled(plane, matrix, 10, Size(9, 9)).max() < 1 << 10


def thirty_seconds(shape: tuple[int, int], reach_px: float, seed: int = 0) -> F32:
    """Return a flow in whole 1/32 px: older OpenCV rounds places to those."""
    flow = np.random.default_rng(seed).uniform(-reach_px, reach_px, (*shape, 2))
    return np.asarray(np.rint(flow * 32) / 32, np.float32)


@pytest.mark.parametrize("reach_px", [0.0, 3.0, 90.0, 2e4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_warp(film: LaunchedFilm, dtype: Any, reach_px: float) -> None:
    for number, size in enumerate(PLANES):
        plane = noise(size, 16 if dtype == np.uint16 else 8, number).astype(dtype)
        flow = thirty_seconds(plane.shape, reach_px, number)
        got, want = film.warped(plane, flow), film_clean.warped(plane, flow)
        if dtype == np.float32:
            np.testing.assert_allclose(got, want, atol=1e-4, rtol=0)
        else:
            assert_near(got, want, ROUNDED_SHARE)


def test_warp_survives_flow_that_is_no_number(film: LaunchedFilm) -> None:
    plane = noise(Size(20, 10), 8)
    flow, still = np.zeros((2, 10, 20, 2), np.float32)
    for number, bad in enumerate((np.nan, np.inf, -np.inf)):
        flow[3 + number, 3, number % 2] = bad
    flow[9] = 3e38
    still[9, :] = plane.size
    assert np.array_equal(film.warped(plane, flow), film_clean.warped(plane, still))


@pytest.mark.parametrize("bits", DEPTHS)
@pytest.mark.parametrize("in_place", [False, True], ids=["copied", "in place"])
def test_mend(film: LaunchedFilm, bits: int, in_place: bool) -> None:
    for number, size in enumerate(PLANES):
        rng, shape = np.random.default_rng(number), (size.height, size.width)
        plane = noise(size, bits, number)
        sides = [np.asarray(rng.uniform(-9, (1 << bits) + 9, shape), np.float32) for _ in range(2)]
        mask = np.clip(rng.uniform(-1, 1.5, shape), 0, 1).astype(np.float32)
        for share in (0.0, 0.3, 0.5, 0.9):
            mended = film_clean.mended(plane.astype(np.float32), sides[0], sides[1], share, mask)
            want = np.where(mask > 0, np.clip(np.rint(mended), 0, (1 << bits) - 1).astype(plane.dtype), plane)
            got = film.mended(plane, (sides[0], sides[1]), share, mask, bits, in_place=in_place)
            if not in_place:
                assert (got[mask == 0] == (0xA5 if bits == 8 else 0xA5A5)).all(), "written without a mask"
                got = np.where(mask > 0, got, plane)
            assert_near(got, want, _share(bits))


def test_mend_survives_what_is_no_number(film: LaunchedFilm) -> None:
    plane = noise(Size(16, 16), 10)
    bad = np.full((16, 16), np.nan, np.float32)
    for mask in (bad, np.ones_like(bad)):
        assert film.mended(plane, (bad, bad), 0.4, mask, 10, in_place=True).max() < 1 << 10


@pytest.mark.parametrize("seed", range(3))
def test_agreement(film: LaunchedFilm, seed: int) -> None:
    for size in PLANES:
        rng, luma = np.random.default_rng(seed), noise(size, 8, seed)
        other = np.clip(luma + rng.normal(0, 6, luma.shape), 0, 255).astype(np.uint8)
        variance = rng.uniform(5, 60, luma.shape).astype(np.float32)
        want = film_degrain.agreement(luma.astype(np.float32), other.astype(np.float32), variance)
        np.testing.assert_allclose(film.agreement(luma, other, variance), want, atol=1e-5, rtol=0)


@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("bits", DEPTHS)
def test_average(film: LaunchedFilm, bits: int, count: int) -> None:
    unit = np.float32(1 << (bits - 8))
    for size in PLANES:
        plane = noise(size, bits)
        sides = [(noise(size, bits, 1 + i), (noise(size, 8, 5 + i) / 255).astype(np.float32)) for i in range(count)]
        weights = [weight for _, weight in sides]
        codes = [each.astype(np.float32) / unit for each in (plane, *(other for other, _ in sides))]
        mean, left = film.averaged(plane, sides, bits)
        np.testing.assert_allclose(mean, film_degrain.averaged(codes[0], codes[1:], weights), atol=1e-4, rtol=0)
        np.testing.assert_allclose(left, film_degrain.variance_left(weights, plane.shape), atol=1e-6, rtol=0)


@pytest.mark.parametrize("bits", DEPTHS)
def test_calm(film: LaunchedFilm, bits: int) -> None:
    for number, size in enumerate(PLANES):
        rng, shape = np.random.default_rng(number), (size.height, size.width)
        mean = np.clip(rng.uniform(40, 200) + rng.normal(0, 5, shape), 0, 255).astype(np.float32)
        variance, left = rng.uniform(1, 50, shape).astype(np.float32), rng.uniform(0.3, 1, shape).astype(np.float32)
        for grain, kept in ((variance, left), (20.0, left), (variance, None)):
            whole = np.broadcast_to(np.float32(grain), shape) * (1 if kept is None else kept)
            exact = film_degrain.calmed(mean, np.asarray(whole, np.float32))
            want = np.rint(exact * np.float32(1 << (bits - 8))).astype(np.uint8 if bits == 8 else np.uint16)
            got = film.calmed(mean, grain, kept, bits)
            # The twin takes the square of a mean from a mean of squares: five digits of what varies are left.
            assert_near(got, want, _share(bits), _steps(bits))


def test_calm_where_next_to_nothing_varies(film: LaunchedFilm) -> None:
    """Dark, for there the twin's squares do not cancel away what varies."""
    mean = (1 + np.random.default_rng(0).normal(0, 0.03, (30, 40))).astype(np.float32)
    want = film_degrain.calmed(mean, np.full_like(mean, 5e-4))
    got = film.calmed(mean, 5e-4, None, 16)
    assert_near(got, np.rint(want * np.float32(256)).astype(np.uint16), ROUNDED_SHARE_16)
    assert np.abs(want - mean).max() * 256 > 3


def _steps(bits: int) -> int:
    """Return how far a sample may be off: 16 bits leave fp32 eight."""
    return 1 if bits <= 12 else 4


def _share(bits: int) -> float:
    return ROUNDED_SHARE if bits <= 12 else ROUNDED_SHARE_16
