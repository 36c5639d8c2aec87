"""The laws hold with every stage for old film: instants, cuts, one of two endings, and the same bytes after a kill."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.media_samples import Clip, Sound, write_clip
from tests.unit.runtime.treatments.fields.field_samples import FILM, NTSC, picture_at, woven
from tests.unit.runtime.treatments.fields.field_samples import SIZE as FIELD_SIZE

from fastrestore.api import convert, open_video
from fastrestore.config import ConvertOptions, EncodeOptions, FilmOptions, RateTarget, Spans, Target
from fastrestore.contact_sheet import write_sheet
from fastrestore.errors import DeviceError, UsageError
from fastrestore.frames import FORMATS, Picture
from fastrestore.geometry import Size
from fastrestore.runtime.provenance import read_record
from fastrestore.runtime.report import Progress, RunReport
from fastrestore.runtime.treatments.deflicker.stage import Deflicker
from fastrestore.runtime.treatments.treatment import Treated, Window
from fastrestore.runtime.verify.verdict import verify
from fastrestore.runtime.workfolder import folder_for

SIZE, SHOTS = Size(128, 96), (14, 18)
EXAMPLE = "EXAMPLE"
STAGES = {
    "clean": FilmOptions(clean="medium"),
    "colour": FilmOptions(color_from=(EXAMPLE,)),
    "deflicker": FilmOptions(deflicker="global"),
    "steady": FilmOptions(steady="crop"),
    "grain keep": FilmOptions(grain="keep"),
    "grain remove": FilmOptions(grain="remove"),
    "grain add": FilmOptions(grain="add"),
    "all": FilmOptions(clean="medium", color_from=(EXAMPLE,), deflicker="local", steady="fill", grain="keep"),
}


@dataclass
class OldFilm(Clip):
    """Two shots of a texture that moves, shakes, flickers, and has grain and dust. Every frame is another one."""

    def picture(self, index: int) -> Picture:
        shot = int(index >= SHOTS[0])
        rng = np.random.default_rng([7, index])
        scene = np.kron(np.random.default_rng(shot).uniform(60, 190, (20, 30)), np.ones((12, 12)))
        scene = cv2.GaussianBlur(scene, (0, 0), 2)
        x, y = 20 + 1.5 * index + rng.uniform(-2, 2), 20 + rng.uniform(-2, 2)
        centre = (x + SIZE.width / 2, y + SIZE.height / 2)
        seen = cv2.getRectSubPix(scene.astype(np.float32), (SIZE.width, SIZE.height), centre)
        seen = seen * rng.uniform(0.85, 1.15) + rng.normal(0, 3, seen.shape)
        for _ in range(3):
            left, top = rng.integers(0, SIZE.width - 4), rng.integers(0, SIZE.height - 4)
            seen[top : top + 3, left : left + 3] = rng.choice([20, 240])
        luma = np.clip(seen, 16, 235).round().astype(np.uint8)
        middle = np.full((SIZE.height // 2, SIZE.width // 2), 128, np.uint8)
        return Picture((luma, middle, middle.copy()), FORMATS["yuv420p"])


class StoppedError(Exception):
    """Ends a run in the middle."""


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film with a soundtrack."""
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    clip = OldFilm(sum(SHOTS), "ffv1", "yuv420p", SIZE, Fraction(16))
    return write_clip(path, clip, [Sound(2.0)])


@pytest.fixture(scope="module")
def example(film: Path) -> Path:
    """A coloured frame: the film's first."""
    with open_video(film) as reader:
        luma = next(iter(reader)).picture.planes[0]
    path = film.with_name("example.png")
    cv2.imwrite(str(path), cv2.applyColorMap(luma, cv2.COLORMAP_BONE))
    return path


def options(stages: FilmOptions, example: Path, fps: str = "24") -> ConvertOptions:
    """Return options for a conversion in several segments that takes no time to restore."""
    words = tuple(f"{example}@0" if word == EXAMPLE else word for word in stages.color_from)
    return ConvertOptions(
        to=Target.parse("x1"),
        fps=RateTarget.parse(fps),
        encode=EncodeOptions(preset="ultrafast"),
        spans=Spans(Fraction(1, 4), Fraction(1, 2)),
        film=replace(stages, color_from=words),
    )


def stopping(after: int) -> Callable[[Progress], None]:
    """Return what ends a run after so many output frames."""

    def on_progress(progress: Progress) -> None:
        if progress.phase == "convert" and progress.frames >= after:
            raise StoppedError

    return on_progress


@pytest.mark.parametrize("name", STAGES)
def test_a_stopped_run_goes_on_to_the_same_bytes(name: str, film: Path, example: Path, tmp_path: Path) -> None:
    asked = options(STAGES[name], example)
    whole = convert(film, tmp_path / "whole.mkv", asked)
    with pytest.raises(StoppedError):
        convert(film, tmp_path / "stopped.mkv", asked, on_progress=stopping(30))
    assert not (tmp_path / "stopped.mkv").exists() and folder_for(tmp_path / "stopped.mkv").is_dir()
    again = convert(film, tmp_path / "stopped.mkv", asked)
    assert again.resumed_segments >= 1
    assert (tmp_path / "stopped.mkv").read_bytes() == (tmp_path / "whole.mkv").read_bytes()
    assert again.film == whole.film
    records = [read_record(tmp_path / name) for name in ("whole.mkv", "stopped.mkv")]
    assert records[0] is not None and records[1] is not None
    assert {**records[0], "output": None} == {**records[1], "output": None}
    assert records[0]["frames"]["synthesised"]["count"] == whole.synthesized_frames
    assert verify(tmp_path / "stopped.mkv").passed
    assert not folder_for(tmp_path / "stopped.mkv").exists()


def _segment_gone(work: Path) -> None:
    (work / "000001.nut").unlink()


def _study_gone(work: Path) -> None:
    (work / "film").unlink()


def _study_cut(work: Path) -> None:
    whole = (work / "film").read_bytes()
    (work / "film").write_bytes(whole[:-9])


DAMAGED = FilmOptions(clean="medium", deflicker="global")


@pytest.fixture(scope="module")
def undisturbed(film: Path, example: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, RunReport]:
    """What a run makes that nothing happens to."""
    output = tmp_path_factory.mktemp("undisturbed") / "whole.mkv"
    report = convert(film, output, options(DAMAGED, example))
    return output.read_bytes(), report


@pytest.mark.parametrize("damage", [_segment_gone, _study_gone, _study_cut])
def test_damaged_work_is_made_good(
    damage: Callable[[Path], None],
    film: Path,
    example: Path,
    undisturbed: tuple[bytes, RunReport],
    tmp_path: Path,
) -> None:
    output, asked = tmp_path / "stopped.mkv", options(DAMAGED, example)
    with pytest.raises(StoppedError):
        convert(film, output, asked, on_progress=stopping(40))
    assert (folder_for(output) / "000002.nut").exists()
    damage(folder_for(output))
    again = convert(film, output, asked)
    assert again.resumed_segments >= 2
    assert (output.read_bytes(), again.film) == (undisturbed[0], undisturbed[1].film)


def test_a_stage_that_fails_ends_the_run_and_the_next_one_goes_on(
    film: Path,
    example: Path,
    undisturbed: tuple[bytes, RunReport],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output, asked = tmp_path / "failed.mkv", options(DAMAGED, example)
    apply = Deflicker.apply

    def failing(stage: Deflicker, window: Window) -> Treated:
        if window.index == 20:
            raise cv2.error("it fails")
        return apply(stage, window)

    with monkeypatch.context() as patch:
        patch.setattr(Deflicker, "apply", failing)
        with pytest.raises(DeviceError, match="it fails"):
            convert(film, output, asked)
    assert not output.exists()
    again = convert(film, output, asked)
    assert again.resumed_segments >= 1
    assert (output.read_bytes(), again.film) == (undisturbed[0], undisturbed[1].film)


@pytest.mark.parametrize("name", ["clean", "all"])
def test_instants_cuts_and_tracks_stay(name: str, film: Path, example: Path, tmp_path: Path) -> None:
    plain = convert(film, tmp_path / "plain.mkv", options(FilmOptions(), example))
    staged = convert(film, tmp_path / "staged.mkv", options(STAGES[name], example))
    assert _facts(staged) == _facts(plain)
    with open_video(tmp_path / "plain.mkv") as left, open_video(tmp_path / "staged.mkv") as right:
        assert [frame.pts for frame in left] == [frame.pts for frame in right]


def test_every_shot_is_reported(film: Path, example: Path, tmp_path: Path) -> None:
    report = convert(film, tmp_path / "out.mkv", options(STAGES["all"], example))
    assert [row["frames"] for row in report.film] == list(SHOTS)
    assert [row["begin_s"] for row in report.film] == [0.0, SHOTS[0] / 16]
    for row in report.film:
        assert {key.partition(".")[0] for key in row} >= {"clean", "colour", "deflicker", "steady"}
    assert convert(film, tmp_path / "plain.mkv", options(FilmOptions(), example)).film == []


@pytest.mark.parametrize(
    "words", [{"clean": "spotless"}, {"deflicker": "never"}, {"steady": "rock"}, {"grain": "more"}], ids=str
)
def test_words_that_are_not_understood_are_refused_before_any_work(
    words: dict[str, str], film: Path, tmp_path: Path
) -> None:
    asked = replace(options(FilmOptions(), film), film=FilmOptions(**words))  # type: ignore[arg-type]
    with pytest.raises(UsageError) as caught:
        convert(film, tmp_path / "out.mkv", asked)
    assert next(iter(words.values())) in str(caught.value) and caught.value.hint
    assert list(tmp_path.iterdir()) == []


@dataclass
class Telecined(Clip):
    """Film pictures woven into fields 3:2: of five frames two are of two pictures."""

    def picture(self, index: int) -> Picture:
        group, place = divmod(index, 5)
        first, second = ((0, 0), (1, 1), (1, 2), (2, 3), (3, 3))[place]
        return woven(*(picture_at((4 * group + each) / FILM) for each in (first, second)))


@pytest.mark.parametrize("stages", [FilmOptions(detelecine=True), FilmOptions(detelecine=True, clean="low")], ids=str)
def test_telecined_film_is_returned_to_its_own_instants(stages: FilmOptions, tmp_path: Path) -> None:
    clip = Telecined(60, "ffv1", "yuv420p", FIELD_SIZE, NTSC)
    film = write_clip(tmp_path / "telecined.mkv", clip)
    asked = replace(options(stages, film, fps="source"), encode=EncodeOptions("ffv1"))
    whole = convert(film, tmp_path / "whole.mkv", asked)
    assert (whole.source_frames, whole.output_frames) == (48, 48)
    assert "23.976" in whole.fields[0]["done"]
    with pytest.raises(StoppedError):
        convert(film, tmp_path / "stopped.mkv", asked, on_progress=stopping(30))
    again = convert(film, tmp_path / "stopped.mkv", asked)
    assert again.resumed_segments >= 1
    assert (tmp_path / "stopped.mkv").read_bytes() == (tmp_path / "whole.mkv").read_bytes()
    if not stages.clean:
        with open_video(tmp_path / "whole.mkv") as reader:
            for index, frame in enumerate(reader):
                assert frame.picture.same_samples(picture_at(index / FILM)), index


@pytest.mark.parametrize("stages", [FilmOptions(detelecine=True), FilmOptions(detelecine=True, clean="low")], ids=str)
def test_a_sheet_shows_the_frames_that_the_file_has(stages: FilmOptions, tmp_path: Path) -> None:
    clip = Telecined(20, "ffv1", "yuv420p", FIELD_SIZE, NTSC)
    film = write_clip(tmp_path / "telecined.mkv", clip)
    write_sheet(film, tmp_path / "sheet.png", [12 / NTSC], stages)
    sheet = cv2.imread(str(tmp_path / "sheet.png"), cv2.IMREAD_GRAYSCALE)
    assert sheet is not None
    # The file shows a frame of two pictures then, whose lines alternate; the stages' picture is one.
    combing = []
    for left in (0, max(FIELD_SIZE.width, 7 * len("0.40 s, source")) + 6):
        cell = sheet[22 : 22 + FIELD_SIZE.height, left : left + FIELD_SIZE.width].astype(np.int32)
        combing.append(np.abs(cell[1:-1] * 2 - cell[:-2] - cell[2:]).mean())
    assert combing[0] > 1.5 * combing[1]


def _facts(report: RunReport) -> tuple[object, ...]:
    return report.output_frames, report.source_frames, report.cuts, report.copied_tracks
