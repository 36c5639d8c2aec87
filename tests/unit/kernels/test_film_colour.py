"""What is done to each pixel to carry colours."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fastrestore.frames import FORMATS, Colour, Matrix, Picture, Siting
from fastrestore.geometry import Size
from fastrestore.kernels import film_colour as kernels
from fastrestore.kernels import film_tones as tones
from fastrestore.kernels.film_colour import Rgb
from fastrestore.kernels.ops import open_ops

NOWHERE = np.zeros((40, 60), np.bool_)


def texture(seed: int = 0, shape: tuple[int, int] = (40, 60)) -> NDArray[np.uint8]:
    noise = cv2.GaussianBlur(np.random.default_rng(seed).standard_normal(shape, np.float32), (0, 0), 1.5)
    return np.asarray(np.clip(128 + 40 * noise / noise.std(), 0, 255), np.uint8)


def field(x: float, y: float, shape: tuple[int, int] = (40, 60)) -> NDArray[np.float32]:
    return np.broadcast_to(np.array([x, y], np.float32), (*shape, 2)).copy()


@pytest.mark.parametrize("colour", [Colour(), Colour(Matrix.SMPTE170M, True), Colour(Matrix.BT2020_NCL)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_rgb_is_split_as_the_kernels_store_it(colour: Colour, kind: type) -> None:
    rng = np.random.default_rng(3)
    rgb: Rgb = rng.integers(0, 256, (8, 10, 3)).astype(kind)
    if kind is np.uint16:
        rgb = np.asarray(rgb * np.uint16(257), np.uint16)
    luma, chroma = kernels.split_rgb(rgb, colour)
    planar = np.asarray(rgb.transpose(2, 0, 1) / np.iinfo(kind).max, np.float32)
    stored = open_ops("cpu").from_rgb(planar, Size(10, 8), FORMATS["yuv444p16le"], colour)
    unit = 257 if colour.full_range else 256
    assert np.abs(stored.planes[0] / unit - luma).max() <= 0.51
    for index in range(2):
        assert np.abs((stored.planes[1 + index] - 32768.0) / unit - chroma[..., index]).max() < 0.01


def test_luma_of_rgb_is_grey_itself_where_it_is_grey() -> None:
    plane = texture()
    grey = Picture((plane, plane, plane), FORMATS["gbrp"], Colour(Matrix.RGB, True))
    np.testing.assert_array_equal(kernels.luma_plane(grey), plane)
    assert kernels.coded_colour(grey.colour) == Colour(Matrix.BT709, True)
    assert kernels.coded_colour(Colour(Matrix.SMPTE170M)) == Colour(Matrix.SMPTE170M)


def test_a_way_back_that_misses_is_not_trusted() -> None:
    there = field(3, 0)
    good = kernels.returning(there, field(-3, 0))
    assert good[:, :55].min() > 0.99
    assert good[:, 59].max() == 0  # beyond the edge
    assert kernels.returning(there, field(-1, 0)).max() < 0.2


def test_likeness_knows_the_same_thing_in_another_light() -> None:
    here = texture()
    darker = np.clip(here * 0.9 + 3, 0, 255).astype(np.uint8)
    grainy = np.clip(here + np.random.default_rng(1).normal(0, 4, here.shape), 0, 255).astype(np.uint8)
    relief = kernels.relief(here)
    for same in (here, darker, grainy):
        assert np.median(kernels.likeness(relief, kernels.relief(same))) > 0.9
    assert np.median(kernels.likeness(relief, kernels.relief(texture(9)))) < 0.1
    flat = np.full_like(here, 90)
    assert kernels.likeness(kernels.relief(flat), kernels.relief(flat)).min() == 1


def test_what_moves_by_itself_stands_out_of_a_zoom() -> None:
    places = kernels.grid(96, 128)
    flow = (places - np.array([64, 48])) * 0.03 + np.array([1.5, -0.5])
    flow[30:60, 40:70] += (2, 0)
    found = kernels.moving(np.ascontiguousarray(flow, np.float32))
    assert found[30:60, 40:70].all()
    assert found.sum() == 900


def test_surroundings_are_the_nearest_that_are_trusted() -> None:
    values = field(1, 2)
    values[:, 30:] = (9, 9)
    trust = np.zeros((40, 60), np.float32)
    trust[:, :12] = 1
    np.testing.assert_allclose(kernels.surrounding(values, trust)[20, 50], (1, 2), atol=0.2)
    assert not kernels.surrounding(values, trust * 0).any()


def test_colours_spread_to_their_own_tone_and_not_across_motion() -> None:
    luma = np.full((40, 60), 60, np.uint8)
    luma[:, 30:] = 180
    chroma = field(20, -10)
    chroma[:, 30:] = (-30, 5)
    trust = np.ones((40, 60), np.float32)
    trust[10:30, 10:50] = 0
    unknown = np.where((trust > 0)[..., None], chroma, 99).astype(np.float32)
    palette = tones.palette_of(chroma, trust, luma)
    found = tones.spread(unknown, trust, luma, NOWHERE, palette)
    np.testing.assert_allclose(found[20, 20], (20, -10), atol=1)
    np.testing.assert_allclose(found[20, 40], (-30, 5), atol=1)
    np.testing.assert_array_equal(found[:5], chroma[:5])
    layer = NOWHERE.copy()
    layer[10:30, 10:50] = True  # all of it moves: nothing around it tells, the palette does
    apart = tones.spread(unknown, trust, luma, layer, palette + 50)
    np.testing.assert_allclose(apart[20, 20], (70, 40), atol=1)


def test_a_palette_lends_its_tones() -> None:
    luma = np.full((8, 8), 64, np.uint8)
    palette = tones.palette_of(field(12, -7, (8, 8)), np.ones((8, 8), np.float32), luma)
    np.testing.assert_allclose(palette, np.broadcast_to((12, -7), palette.shape), atol=0.01)


def test_enlarged_chroma_follows_the_edges_of_luma() -> None:
    luma = np.full((40, 60), 50, np.uint8)
    luma[:, 31:] = 200
    truth = field(10, 0)
    truth[:, 31:] = (-20, 8)
    small = cv2.resize(truth, (30, 20), interpolation=cv2.INTER_AREA)
    found = kernels.enlarged(small, luma, Size(60, 40))
    plain = cv2.resize(small, (60, 40), interpolation=cv2.INTER_LINEAR)
    assert np.abs(found - truth).max() < 0.25 * np.abs(plain - truth).max()
    assert kernels.enlarged(small, luma, Size(30, 20)) is small
    assert kernels.enlarged(truth, luma, Size(15, 10)).shape == (10, 15, 2)


@pytest.mark.parametrize(("name", "full", "blue"), [
    ("yuv420p", False, 130), ("yuv420p10le", False, 520), ("yuv444p16le", False, 33280), ("yuv444p16le", True, 33282),
])  # fmt: skip
def test_chroma_is_stored_around_the_middle(name: str, full: bool, blue: int) -> None:
    planes = kernels.stored(field(2, -300), FORMATS[name], Colour(full_range=full))
    assert [plane.dtype for plane in planes] == [FORMATS[name].dtype] * 2
    assert (planes[0] == blue).all() and not planes[1].any()


def test_chroma_is_moved_to_where_the_film_has_it() -> None:
    ramp = np.repeat(np.arange(0, 80, 4, dtype=np.float32)[None, :, None], 6, 0).repeat(2, 2)
    left, _ = kernels.stored(ramp, FORMATS["yuv420p16le"], Colour())
    np.testing.assert_allclose(np.diff((left / 256.0 - 128)[0, 1:]), 4)
    assert left[0, 5] / 256 - 128 == 19  # a quarter of a chroma sample to the left
    whole, _ = kernels.stored(ramp, FORMATS["yuv444p16le"], Colour())
    assert whole[0, 5] / 256 - 128 == 20
    middle, _ = kernels.stored(ramp, FORMATS["yuv420p16le"], Colour(siting=Siting.CENTER))
    assert middle[0, 5] / 256 - 128 == 20
