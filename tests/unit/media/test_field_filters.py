"""What is made of a field depends on three frames alone, in every layout, and is better than its lines doubled."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from tests.media_samples import noise
from tests.unit.runtime.treatments.fields.field_samples import interlaced, picture_at, psnr_db

from fastrestore.errors import DecodeError
from fastrestore.frames import FORMATS, Colour, Matrix, Picture, Siting
from fastrestore.geometry import Size
from fastrestore.kernels.film_fields import LEAST_HEIGHT_PX, combing, measure_fields, weave
from fastrestore.runtime.media.field_filters import Deinterlacer


def around(pictures: list[Picture], index: int) -> tuple[Picture | None, Picture, Picture | None]:
    """Return a frame between its neighbours."""
    before = pictures[index - 1] if index else None
    return before, pictures[index], pictures[index + 1] if index + 1 < len(pictures) else None


def bobbed(picture: Picture, first_line: int) -> Picture:
    """Return the luma of one field with the lines between interpolated linearly."""
    luma = np.pad(picture.planes[0].astype(np.float64), ((1, 1), (0, 0)), mode="reflect")
    made = luma[1:-1].copy()
    made[1 - first_line :: 2] = ((luma[:-2] + luma[2:]) / 2)[1 - first_line :: 2]
    return Picture((np.round(made).astype(np.uint8), *picture.planes[1:]), picture.format)


@pytest.mark.parametrize("top_first", [True, False])
@pytest.mark.parametrize("both", [True, False])
def test_pictures_are_nearer_the_truth_than_lines_interpolated(both: bool, top_first: bool) -> None:
    frames = interlaced(8, 25, top_first=top_first)
    filter_ = Deinterlacer(0 if top_first else 1, both=both)
    gains = []
    for index in range(1, 7):
        made = filter_.pictures(*around(frames, index))
        assert len(made) == (2 if both else 1)
        for field, picture in enumerate(made):
            truth = picture_at(Fraction(2 * index + field, 50))
            simple = bobbed(frames[index], field if top_first else 1 - field)
            gains.append(psnr_db(picture, truth) - psnr_db(simple, truth))
    assert min(gains) > 0 and float(np.mean(gains)) > 2.5, gains


@pytest.mark.parametrize("both", [True, False])
def test_a_frame_and_its_neighbours_are_all_that_counts(both: bool) -> None:
    frames = interlaced(6, 25)
    running = Deinterlacer(0, both=both)
    in_order = [running.pictures(*around(frames, index)) for index in range(6)]
    for index in (4, 0, 5, 2, 3, 1):
        for filter_ in (Deinterlacer(0, both=both), running):
            made = filter_.pictures(*around(frames, index))
            assert all(a.same_samples(b) for a, b in zip(made, in_order[index], strict=True))


@pytest.mark.parametrize("name", list(FORMATS))
@pytest.mark.parametrize("size", [Size(16, 16), Size(35, 21)])
def test_every_layout_keeps_its_own_field_and_meaning(name: str, size: Size) -> None:
    colour = Colour(Matrix.SMPTE170M, full_range=True, siting=Siting.TOP_LEFT, primaries=6, transfer=6)
    frames = [noise(name, index, size, colour) for index in range(3)]
    first, second = Deinterlacer(1, both=True).pictures(*around(frames, 1))
    for made, line in ((first, 1), (second, 0)):
        assert made.format == frames[1].format and made.colour == colour
        for plane, original in zip(made.planes, frames[1].planes, strict=True):
            assert np.array_equal(plane[line::2], original[line::2])
            assert int(plane.max()) < 1 << made.format.bits


def test_what_libavfilter_refuses_is_told() -> None:
    tiny = noise("gray", 0, Size(16, 2))
    with pytest.raises(DecodeError, match="could not deinterlace"):
        Deinterlacer(0, both=False).pictures(None, tiny, None)


def test_combing_is_seen_only_where_fields_differ() -> None:
    here, there = picture_at(Fraction(0)).planes[0], picture_at(Fraction(1, 10)).planes[0]
    ramp = np.repeat(np.arange(0, 160, 2, dtype=np.uint8)[:, None], 96, 1)
    assert not combing(ramp[0::2], ramp[1::2]).any(), "a slope is no combing"
    line = np.full((40, 96), 100, np.uint8)
    assert (combing(line, line[:-1] + 30) == 26).all() and (combing(line, line - 30) == 26).all()
    assert not combing(line, line + 4).any(), "noise"
    own, with_bottom, with_top, top, bottom = measure_fields(here, there)
    assert own < with_bottom / 3 and own < with_top / 3 and min(top, bottom) > 10
    assert not measure_fields(here, here)[3:].any()


@pytest.mark.parametrize("shape", [(LEAST_HEIGHT_PX, 16), (17, 16), (33, 41), (16, 3)])
def test_pictures_of_any_shape_are_measured(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    here, there = (rng.integers(0, 256, shape, np.uint8) for _ in range(2))
    assert np.isfinite(measure_fields(here, there)).all()


def test_fields_are_woven_in_every_plane() -> None:
    even, odd = noise("yuv420p", 1, Size(18, 10)), noise("yuv420p", 2, Size(18, 10))
    made = weave(even, odd)
    for plane, a, b in zip(made.planes, even.planes, odd.planes, strict=True):
        assert np.array_equal(plane[0::2], a[0::2]) and np.array_equal(plane[1::2], b[1::2])
