"""The laws hold where faces are rebuilt: the same bytes after a stop, whatever the order of work; grey stays grey."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from tests.media_samples import Clip, write_clip
from tests.unit.runtime.treatments.faces.face_samples import add_models, frame

from fastrestore.api import convert, open_video
from fastrestore.config import ConvertOptions, EncodeOptions, FilmOptions, Plan, RateTarget, Spans, Target
from fastrestore.errors import UsageError
from fastrestore.frames import Picture
from fastrestore.geometry import Size
from fastrestore.models import store
from fastrestore.runtime.provenance import read_record
from fastrestore.runtime.report import Progress
from fastrestore.runtime.workfolder import folder_for

SIZE, SHOTS = Size(128, 96), (7, 5)
FACES = FilmOptions(faces="rebuilder")


@dataclass
class Portraits(Clip):
    """Two shots of a `face` that moves; frames 4 and 5 are exact repeats."""

    def picture(self, index: int) -> Picture:
        if index < SHOTS[0]:
            at = 4 if index == 5 else index
            return frame(SIZE, [(50 + 2.3 * at, 44 + 0.7 * at, 11)], seed=2)
        return frame(SIZE, [(80 - 2 * (index - SHOTS[0]), 50, 13)], seed=3)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The film."""
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    return write_clip(path, Portraits(sum(SHOTS), "ffv1", "yuv420p", SIZE, Fraction(16)))


@pytest.fixture(autouse=True)
def models(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a detector and a face network."""
    folder = tmp_path_factory.mktemp("models")
    monkeypatch.setenv(store.USER_FOLDER_VARIABLE, str(folder))
    add_models(folder)
    return folder


def options(stages: FilmOptions, plan: Plan = Plan.GUIDED, to: str = "x1") -> ConvertOptions:
    """Return options for a conversion in several segments."""
    return ConvertOptions(
        to=Target.parse(to),
        fps=RateTarget.parse("24"),
        backend="onnxruntime",
        plan=plan,
        encode=EncodeOptions("ffv1"),
        spans=Spans(Fraction(1, 8), Fraction(1, 4)),
        film=stages,
    )


def pictures(path: Path) -> list[Picture]:
    """Return all pictures of a file."""
    with open_video(path) as reader:
        return [found.picture for found in reader]


class StoppedError(Exception):
    """Ends a run in the middle."""


def stopping(after: int) -> Callable[[Progress], None]:
    """Return what ends a run after so many output frames."""

    def on_progress(progress: Progress) -> None:
        if progress.phase == "convert" and progress.frames >= after:
            raise StoppedError

    return on_progress


@pytest.mark.parametrize(
    ("plan", "stages"),
    [
        (Plan.GUIDED, replace(FACES, steady="crop", grain="keep")),
        (Plan.GUIDED, FACES),
        (Plan.INTERPOLATE_FIRST, FACES),
    ],
    ids=["guided, steady", "guided", "interpolate first"],
)
def test_a_stopped_run_goes_on_to_the_same_bytes(plan: Plan, stages: FilmOptions, film: Path, tmp_path: Path) -> None:
    asked = options(stages, plan)
    whole = convert(film, tmp_path / "whole.mkv", asked)
    with pytest.raises(StoppedError):
        convert(film, tmp_path / "stopped.mkv", asked, on_progress=stopping(11))
    again = convert(film, tmp_path / "stopped.mkv", asked)
    assert again.resumed_segments >= 1
    assert (tmp_path / "stopped.mkv").read_bytes() == (tmp_path / "whole.mkv").read_bytes()
    assert again.film == whole.film
    assert not folder_for(tmp_path / "stopped.mkv").exists()


@pytest.mark.parametrize("plan", [Plan.GUIDED, Plan.INTERPOLATE_FIRST])
def test_only_faces_change_and_grey_stays_grey(plan: Plan, film: Path, tmp_path: Path) -> None:
    report = convert(film, tmp_path / "plain.mkv", options(FilmOptions(), plan))
    assert report.film == []
    report = convert(film, tmp_path / "faces.mkv", options(FACES, plan))
    assert [shot["begin_s"] for shot in report.film] == pytest.approx([0.0, SHOTS[0] / 16], abs=1e-3)
    for shot in report.film:
        assert (shot["faces.found"], shot["faces.rebuilt"], shot["faces.too_small"]) == (1, 1, 0)
        assert str(shot["faces.which"]).startswith(f"{shot['begin_s']:.3f}-")
    plain, rebuilt = pictures(tmp_path / "plain.mkv"), pictures(tmp_path / "faces.mkv")
    assert len(plain) == len(rebuilt) == report.output_frames
    for before, after in zip(plain, rebuilt, strict=True):
        changed = np.argwhere(before.planes[0] != after.planes[0])
        assert len(changed) > 500, "the pattern is drawn over every frame"
        assert np.ptp(changed, axis=0).max() < 90
        assert after.neutral_chroma


def test_the_record_tells_of_the_networks(film: Path, tmp_path: Path) -> None:
    convert(film, tmp_path / "out.mkv", options(replace(FACES, faces="rebuilder,strength=0.5")))
    record = read_record(tmp_path / "out.mkv")
    assert record is not None
    assert {network["role"]: network["name"] for network in record["networks"]}["faces"] == "rebuilder"
    assert {network["role"]: network["name"] for network in record["networks"]}["detect"] == "yunet"
    assert "Faces were rebuilt by rebuilder in 2 shots" in record["summary"]
    (stage,) = record["stages"]
    assert (stage["stage"], stage["words"]) == ("faces", "rebuilder,strength=0.5")
    assert [shot["faces.rebuilt"] for shot in stage["shots"]] == [1, 1]


def test_strength_nothing_changes_nothing(film: Path, tmp_path: Path) -> None:
    convert(film, tmp_path / "plain.mkv", options(FilmOptions()))
    convert(film, tmp_path / "faces.mkv", options(replace(FACES, faces="rebuilder,strength=0")))
    pairs = zip(pictures(tmp_path / "plain.mkv"), pictures(tmp_path / "faces.mkv"), strict=True)
    assert all(before.same_samples(after) for before, after in pairs)


def test_what_is_missing_is_told_before_any_work(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "out.mkv"
    for words, part in (("nobody", "unknown model"), ("yunet", "rebuilds no faces"), ("rebuilder,eyes=9x", "eyes=9x")):
        with pytest.raises(UsageError, match=part) as caught:
            convert(film, output, options(FilmOptions(faces=words)))
        assert caught.value.hint
    monkeypatch.setenv(store.USER_FOLDER_VARIABLE, str(tmp_path / "other"))
    add_models(tmp_path / "other")
    for file in sorted((tmp_path / "other" / "yunet").iterdir()):
        file.unlink()
    (tmp_path / "other" / "yunet").rmdir()
    with pytest.raises(UsageError, match="no face detector") as caught:
        convert(film, output, options(FACES))
    assert "OpenCV Zoo" in str(caught.value.hint)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other"]
