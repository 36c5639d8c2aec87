"""Treated frames do not depend on where the reading begins, never on another shot, and what was done is counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastrestore.errors import JobError
from fastrestore.frames import FORMATS, Frame, Picture, StreamInfo
from fastrestore.geometry import Size
from fastrestore.runtime.treatments.treating import Treating
from fastrestore.runtime.treatments.treatment import Film, Shot, Treated, Window

GREY = FORMATS["gray"]
INFO = StreamInfo(Size(4, 4), GREY, Picture((np.zeros((4, 4), np.uint8),), GREY).colour, Fraction(24))


class Mean:
    """The mean of the pictures within a radius: it shows at once which pictures a frame was given."""

    def __init__(self, radius: int) -> None:
        self.name, self.radius = f"mean{radius}", radius

    def info(self, info: StreamInfo) -> StreamInfo:
        return info

    def apply(self, window: Window) -> Treated:
        assert len(window.pictures) == 2 * self.radius + 1
        planes = [picture.planes[0] for picture in window.pictures if picture is not None]
        mean = np.mean(planes, axis=0).round().astype(np.uint8)
        return Treated(Picture((mean,), GREY), {"pictures": len(planes)})

    def report(self, shot: Shot) -> Mapping[str, float | str]:
        return {"frames": len(shot)}


def film_of(lengths: list[int]) -> tuple[Film, list[Frame]]:
    """Return a film of shots of these lengths, every frame another one."""
    rng = np.random.default_rng(1)
    frames = [
        Frame(Picture((rng.integers(0, 256, (4, 4), np.uint8),), GREY), Fraction(index, 24))
        for index in range(sum(lengths))
    ]
    shots, begin = [], 0
    for number, length in enumerate(lengths):
        shots.append(Shot(number, begin, begin + length))
        begin += length
    checksums = tuple(frame.picture.crc32 for frame in frames)
    return Film(INFO, tuple(frame.pts for frame in frames), tuple(shots), {}, checksums), frames


def treated(film: Film, frames: list[Frame], radii: list[int], first: int = 0) -> tuple[list[Frame], Treating]:
    """Return the treated frames from a number on, read as a resumed run reads them."""
    treating = Treating(film, [Mean(radius) for radius in radii])
    place = treating.place_before(first)
    begin = 0 if place is None else place.index
    return list(treating.frames(frames[begin:], begin, first)), treating


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=4), st.lists(st.integers(0, 3), min_size=1, max_size=3), st.data()
)
def test_frames_come_out_the_same_wherever_reading_begins(
    lengths: list[int], radii: list[int], data: st.DataObject
) -> None:
    film, frames = film_of(lengths)
    whole, counted = treated(film, frames, radii)
    first = data.draw(st.integers(0, len(frames) - 1))
    rest, counted_rest = treated(film, frames, radii, first)
    assert len(whole) == len(frames)
    assert [frame.picture.crc32 for frame in rest] == [frame.picture.crc32 for frame in whole[first:]]
    assert [frame.pts for frame in rest] == [frame.pts for frame in frames[first:]]
    counted.take_counts(first)
    assert counted_rest.take_counts(len(frames)) == counted.take_counts(len(frames))


@pytest.mark.parametrize("radius", [0, 1, 2, 5])
def test_every_frame_sees_its_own_shot_and_nothing_else(radius: int) -> None:
    film, frames = film_of([3, 1, 4])
    whole, _ = treated(film, frames, [radius])
    for index, frame in enumerate(whole):
        shot = film.shot_of(index)
        seen = frames[max(shot.begin, index - radius) : min(shot.end, index + radius + 1)]
        mean = np.mean([each.picture.planes[0] for each in seen], axis=0).round()
        assert np.array_equal(frame.picture.planes[0], mean)


def held(counts: list[list[int]]) -> tuple[Film, list[Frame]]:
    """Return a film of shots in which each picture is shown for so many frames."""
    film, singles = film_of([sum(shot) for shot in counts])
    numbers = [count for shot in counts for count in shot]
    firsts, frames, repeats = [], list[Frame](), list[bool]()
    for count in numbers:
        firsts.append(len(frames))
        for place in range(count):
            frames.append(replace(singles[len(frames)], picture=singles[firsts[-1]].picture))
            repeats.append(place > 0)
    checksums = tuple(frame.picture.crc32 for frame in frames)
    return replace(film, checksums=checksums, repeats=tuple(repeats)), frames


def test_the_neighbours_of_a_picture_that_is_held_are_others() -> None:
    film, frames = held([[2, 1, 3, 2], [2, 2]])
    whole, _ = treated(film, frames, [1])
    starts = [0, 2, 3, 6]
    pictures = [frames[start].picture.planes[0] for start in starts]
    means = [np.mean(pictures[max(0, k - 1) : k + 2], axis=0).round() for k in range(4)]
    for index, shown in enumerate([0, 0, 1, 2, 2, 2, 3, 3]):
        assert np.array_equal(whole[index].picture.planes[0], means[shown])
    assert whole[1].picture is whole[0].picture, "an exact repeat takes over what was made"


@given(
    st.lists(st.lists(st.integers(1, 7), min_size=1, max_size=4), min_size=1, max_size=3),
    st.lists(st.integers(0, 2), min_size=1, max_size=3),
    st.data(),
)
def test_held_pictures_come_out_the_same_wherever_reading_begins(
    counts: list[list[int]], radii: list[int], data: st.DataObject
) -> None:
    film, frames = held(counts)
    whole, _ = treated(film, frames, radii)
    first = data.draw(st.integers(0, len(frames) - 1))
    rest, _ = treated(film, frames, radii, first)
    assert [frame.picture.crc32 for frame in rest] == [frame.picture.crc32 for frame in whole[first:]]


def test_what_was_done_is_added_up_by_shot() -> None:
    film, frames = film_of([3, 2])
    treating = Treating(film, [Mean(1), Mean(0)])
    assert len(list(treating.frames(frames, 0, 0))) == 5
    assert treating.take_counts(4) == {
        0: {"mean1.pictures": 2 + 3 + 2, "mean0.pictures": 3},
        1: {"mean1.pictures": 2, "mean0.pictures": 1},
    }
    assert treating.take_counts(5) == {1: {"mean1.pictures": 2, "mean0.pictures": 1}}
    assert treating.take_counts(5) == {}
    assert treating.report(film.shots[0]) == {"mean1.frames": 3, "mean0.frames": 3}


def test_what_an_earlier_reading_counted_ahead_is_not_counted_twice() -> None:
    film, frames = film_of([6])
    treating = Treating(film, [Mean(0)])
    reading = treating.frames(frames, 0, 0)
    assert len([next(reading) for _ in range(4)]) == 4
    assert treating.take_counts(2) == {0: {"mean0.pictures": 2}}
    place = treating.place_before(4)
    assert place is not None and place.index == 4
    assert len(list(treating.frames(frames[4:], 4, 4))) == 2
    assert treating.take_counts(6) == {0: {"mean0.pictures": 2}}


@pytest.mark.parametrize(("change", "word"), [(1, "more"), (-1, "fewer")])
def test_a_film_that_changed_its_length_is_refused(change: int, word: str) -> None:
    _, frames = film_of([3, 3])
    film, _ = film_of([3, 3 - change])
    reading = Treating(film, [Mean(1)]).frames(frames, 0, 0)
    with pytest.raises(JobError, match=f"{word} frames than the {6 - change}") as caught:
        list(reading)
    assert "--restart" in caught.value.hint


def test_a_frame_says_that_it_begins_a_shot_and_keeps_what_the_source_had() -> None:
    film, frames = film_of([2, 2])
    whole, _ = treated(film, frames, [1])
    assert [frame.cut_before for frame in whole] == [False, False, True, False]
    for frame, before in zip(whole, frames, strict=True):
        assert frame.source is before.picture and frame.untreated is before.picture
    assert replace(frames[0]).untreated is frames[0].picture


def test_the_shot_of_a_frame() -> None:
    film, _ = film_of([3, 1, 4])
    assert [film.shot_of(index).number for index in range(8)] == [0, 0, 0, 1, 2, 2, 2, 2]
    with pytest.raises(IndexError):
        film.shot_of(8)
