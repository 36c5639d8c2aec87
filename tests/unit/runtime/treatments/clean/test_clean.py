"""The stage `clean` as the run sees it: its words, what it leaves alone, every layout, and one result however begun."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import pytest
from tests.unit.runtime.treatments.clean.clean_samples import (
    Scene,
    film_of,
    findings_of,
    scratch,
    soil,
    stored,
    window_of,
)

from fastrestore.config import FilmOptions
from fastrestore.errors import UsageError
from fastrestore.frames import FORMATS, Picture
from fastrestore.kernels.ops import open_ops
from fastrestore.runtime.treatments.clean.stage import Cleaner, CleanSettings, asked_for, open_treatment, probes
from fastrestore.runtime.treatments.treatment import Film, Treated

_SMALL = Scene(height=144, width=192, frames=9, disc=0.0)


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = cv2.getNumThreads()
    yield
    cv2.setNumThreads(before)


def _soiled(scene: Scene, layout: str = "gray") -> list[Picture]:
    frames = [soil(scene.frame(i), i, spots=5)[0] for i in range(scene.frames)]
    return [stored(scratch(frame, i, x=scene.width * 0.25), layout) for i, frame in enumerate(frames)]


def _cleaner(pictures: Sequence[Picture], settings: CleanSettings | None = None) -> tuple[Cleaner, Film]:
    film = film_of(pictures, findings_of(pictures))
    return Cleaner(settings or CleanSettings(), film, open_ops()), film


def _cleaned(pictures: Sequence[Picture], order: Sequence[int]) -> dict[int, Treated]:
    cleaner, film = _cleaner(pictures)
    return {index: cleaner.apply(window_of(pictures, index, cleaner.radius, film)) for index in order}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("medium", CleanSettings()),
        ("low", CleanSettings(0.25)),
        ("0.7", CleanSettings(0.7)),
        ("high,dust", CleanSettings(0.8, scratches=False)),
        ("scratches", CleanSettings(dust=False)),
        ("low, dust, scratches", CleanSettings(0.25)),
    ],
)
def test_words_are_understood(text: str, wanted: CleanSettings) -> None:
    assert CleanSettings.parse(text) == wanted


@pytest.mark.parametrize("text", ["", "much", "medium,hair", "dust,low", "1.2", "-1", "nan", "0x1"])
def test_other_words_are_refused_with_a_hint(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        CleanSettings.parse(text)
    assert "medium" in caught.value.hint


def test_it_is_off_unless_asked_for() -> None:
    assert asked_for(FilmOptions()) is None
    stage = asked_for(FilmOptions(clean="high"))
    assert stage is not None
    assert stage.settings.strength == 0.8


def test_only_what_is_needed_is_looked_for() -> None:
    info = film_of([stored(_SMALL.frame(0))]).info
    assert len(probes(CleanSettings(), info)) == 1
    assert probes(CleanSettings(scratches=False), info) == ()


@pytest.mark.parametrize("layout", ["yuv420p", "yuv422p10le", "yuv444p16le", "gray12le", "gbrp", "gbrp10le"])
def test_every_layout_is_cleaned(layout: str) -> None:
    """All planes of a repaired place come nearer to the undamaged frame's."""
    truth = [stored(_SMALL.frame(i), layout) for i in range(_SMALL.frames)]
    soiled = _soiled(_SMALL, layout)
    cleaner, film = _cleaner(soiled)
    treated, mask = cleaner.masked(window_of(soiled, 3, cleaner.radius, film))
    assert treated.picture.format is FORMATS[layout]
    assert treated.counts["repaired_spots"] >= 3
    assert treated.counts["scratches"] == 1
    assert mask.shape == (144, 192)
    for before, after, true in zip(soiled[3].planes, treated.picture.planes, truth[3].planes, strict=True):
        errors = [np.mean((plane.astype(float) - true) ** 2) for plane in (before, after)]
        assert errors[1] < 0.25 * errors[0]


def test_what_is_outside_the_mask_is_untouched() -> None:
    soiled = _soiled(_SMALL)
    cleaner, film = _cleaner(soiled)
    treated, mask = cleaner.masked(window_of(soiled, 3, cleaner.radius, film))
    changed = treated.picture.planes[0] != soiled[3].planes[0]
    assert changed.any()
    assert not changed[mask == 0].any()


def test_a_frame_that_needs_nothing_is_the_very_same_picture() -> None:
    pictures = [stored(_SMALL.frame(i)) for i in range(5)]
    cleaner, film = _cleaner(pictures)
    for index in range(5):
        treated, mask = cleaner.masked(window_of(pictures, index, cleaner.radius, film))
        assert treated.picture is pictures[index]
        assert not treated.counts
        assert not mask.any()


def test_the_ends_of_a_shot_are_left_alone() -> None:
    """What is on the first frame and not on the second may have been covered in between."""
    soiled = [stored(soil(_SMALL.frame(i), i, spots=5)[0]) for i in range(5)]
    treated = _cleaned(soiled, range(5))
    assert treated[0].picture is soiled[0]
    assert treated[4].picture is soiled[4]
    assert all(treated[i].counts for i in (1, 2, 3))


@pytest.mark.parametrize("size", [(16, 16), (17, 33), (64, 1), (1, 1), (2, 200), (130, 47)])
@pytest.mark.parametrize("layout", ["yuv420p", "gray"])
def test_small_and_odd_pictures_pass(size: tuple[int, int], layout: str) -> None:
    rng = np.random.default_rng(5)
    pictures = [stored(rng.uniform(20, 230, size).astype(np.float32), layout) for _ in range(5)]
    assert all(treated.picture.size == pictures[0].size for treated in _cleaned(pictures, range(5)).values())


def test_a_shot_of_one_frame_passes() -> None:
    picture = stored(_SMALL.frame(0))
    assert _cleaned([picture], [0])[0].picture is picture


def test_the_result_depends_neither_on_where_it_begins_nor_on_threads() -> None:
    soiled = _soiled(_SMALL)
    cv2.setNumThreads(1)
    whole = _cleaned(soiled, range(2, 7))
    cv2.setNumThreads(3)
    for order in ([4], [5, 3, 2, 4]):
        for index, treated in _cleaned(soiled, order).items():
            assert treated.picture.same_samples(whole[index].picture)
            assert treated.counts == whole[index].counts


def test_a_shot_is_reported() -> None:
    soiled = _soiled(_SMALL)
    film = film_of(soiled, findings_of(soiled))
    report = open_treatment(CleanSettings(), film, open_ops()).report(film.shots[0])
    assert report == {"scratched_frames": 9.0}
    assert open_treatment(CleanSettings(scratches=False), film, open_ops()).report(film.shots[0]) == {}
