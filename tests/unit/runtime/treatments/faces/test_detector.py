"""Faces are found where they are, at any size and shape of pixels, through OpenCV's own YuNet code."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from tests.unit.runtime.treatments.faces.face_samples import EYES_PER_RADIUS, add, add_models, detector, frame

from fastrestore.errors import ModelError
from fastrestore.frames import FORMATS, Colour, StreamInfo
from fastrestore.geometry import Size
from fastrestore.models import store
from fastrestore.models.spec import Task
from fastrestore.runtime.treatments.faces.detector import MOST_FACES, NUMBERS, SCORE, FaceProbe
from fastrestore.runtime.treatments.faces.settings import FaceSettings
from fastrestore.runtime.treatments.treatment import Glimpse

SIZE = Size(160, 120)


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(store.USER_FOLDER_VARIABLE, str(tmp_path))
    add_models(tmp_path)
    return tmp_path


def info(size: Size = SIZE, aspect: Fraction = Fraction(1)) -> StreamInfo:
    return StreamInfo(size, FORMATS["yuv420p"], Colour(), Fraction(24), pixel_aspect=aspect)


def probe(words: str = "rebuilder", about: StreamInfo | None = None) -> FaceProbe:
    settings = FaceSettings.parse(words)
    return FaceProbe(settings, settings.finder(), about or info())


def found(given: FaceProbe, luma: np.ndarray) -> np.ndarray:
    rows = np.array(given.find(luma, full_range=False)).reshape(MOST_FACES, NUMBERS)
    return rows[rows[:, SCORE] > 0]


def test_faces_come_largest_first_in_source_pixels() -> None:
    picture = frame(SIZE, [(30.4, 40, 8), (100, 70.6, 13)])
    rows = found(probe(), picture.planes[0])
    assert [rows[k, 4:14:2].mean() for k in (0, 1)] == pytest.approx([100, 30.4], abs=0.3)
    assert [rows[k, 5:14:2].mean() for k in (0, 1)] == pytest.approx([70.6, 40], abs=0.3)
    eyes = rows[:, 6] - rows[:, 4]
    assert eyes == pytest.approx([13 * EYES_PER_RADIUS, 8 * EYES_PER_RADIUS], rel=0.06)
    glimpse = Glimpse(0, picture, picture.planes[0], None)
    assert probe().look(glimpse) == pytest.approx(probe().find(picture.planes[0], full_range=False))


def test_a_detector_that_names_one_size_finds_faces_at_others(models: Path) -> None:
    add(models, "fixed", Task.DETECT, detector(640))
    picture = frame(SIZE, [(100, 70.6, 13)]).planes[0]
    assert found(probe("rebuilder,detector=fixed"), picture) == pytest.approx(
        found(probe("rebuilder,detector=yunet"), picture), abs=1e-3
    )


def test_no_face_is_zeros() -> None:
    numbers = probe().find(frame(SIZE, []).planes[0], full_range=False)
    assert numbers == [0.0] * (MOST_FACES * NUMBERS)


def test_a_large_picture_is_searched_smaller() -> None:
    size = Size(320, 240)
    picture = frame(size, [(200, 100, 20)])
    (row,) = found(probe("rebuilder,side=160", info(size)), picture.planes[0])
    assert (row[4:14:2].mean(), row[5:14:2].mean()) == (pytest.approx(200, abs=0.8), pytest.approx(100, abs=0.8))
    assert row[6] - row[4] == pytest.approx(20 * EYES_PER_RADIUS, rel=0.08)


def test_pixels_that_are_not_square_are_made_so_for_the_detector() -> None:
    wide = frame(SIZE, [(60, 60, 12)]).planes[0]
    narrow = np.ascontiguousarray(wide[:, ::2])  # each of its pixels is two wide: the disc is a disc again when shown
    (row,) = found(probe(about=info(Size(80, 120), Fraction(2))), narrow)
    assert row[4:14:2].mean() == pytest.approx(29.75, abs=0.5) and row[5:14:2].mean() == pytest.approx(60, abs=0.5)


def test_findings_of_other_settings_and_networks_have_other_names() -> None:
    names = {probe(words).name for words in ("rebuilder", "rebuilder,score=0.8", "rebuilder,side=640")}
    assert len(names) == 3
    assert probe("rebuilder,eyes=20").name == probe("rebuilder").name


def test_a_network_that_is_no_detector_is_told_of(models: Path) -> None:
    given = probe()
    given._spec = replace(given._spec, artifacts=FaceSettings("rebuilder").network().artifacts)
    with pytest.raises(ModelError, match="cannot be used to find faces"):
        given.find(frame(SIZE, []).planes[0], full_range=False)
