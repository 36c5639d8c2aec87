"""The words of `--faces`, and the networks that they name."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.runtime.treatments.faces.face_samples import add, add_models, detector

from fastrestore.config import FilmOptions
from fastrestore.errors import UsageError
from fastrestore.models import store
from fastrestore.models.spec import Task
from fastrestore.runtime.treatments.faces.settings import FaceSettings, face_network, faces_of


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(store.USER_FOLDER_VARIABLE, str(tmp_path))
    return tmp_path


def test_words_are_read() -> None:
    assert FaceSettings.parse("gfpgan") == FaceSettings("gfpgan")
    asked = FaceSettings.parse("gfpgan, strength=0.5,eyes=16,score=0.8,side=640,detector=mine")
    assert asked == FaceSettings("gfpgan", 0.5, 16, 0.8, 640, "mine")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (",strength=1", "names no network"),
        ("gfpgan,strength=2", "`strength` is 2, wanted 0 to 1"),
        ("gfpgan,eyes=nan", "no number"),
        ("gfpgan,side=640.5", "no number"),
        ("gfpgan,beauty=1", "not understood"),
        ("gfpgan,detector=", "not understood"),
    ],
)
def test_words_that_mean_nothing_are_refused(words: str, part: str) -> None:
    with pytest.raises(UsageError, match=part) as caught:
        FaceSettings.parse(words)
    assert caught.value.hint


def test_networks_are_found_and_held_to_their_task(models: Path) -> None:
    with pytest.raises(UsageError, match="no face detector") as caught:
        FaceSettings("rebuilder").finder()
    assert "fastrestore export" in str(caught.value.hint)
    add_models(models)
    settings = faces_of(FilmOptions(faces="rebuilder"))
    assert settings is not None and settings.finder().name == "yunet" and settings.network().name == "rebuilder"
    assert faces_of(FilmOptions()) is None and face_network(FilmOptions()) is None
    for wrong in (FaceSettings("yunet").network, FaceSettings("rebuilder", detector="rebuilder").finder):
        with pytest.raises(UsageError, match="no faces"):
            wrong()
    with pytest.raises(UsageError, match="unknown model `nobody`"):
        FaceSettings("nobody").network()


def test_of_two_detectors_one_must_be_named(models: Path) -> None:
    add_models(models)
    add(models, "other", Task.DETECT, detector())
    with pytest.raises(UsageError, match="2 face detectors: other, yunet"):
        FaceSettings("rebuilder").finder()
    assert FaceSettings("rebuilder", detector="other").finder().name == "other"
