"""A film held against its source, and decoded to its end."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from tests.media_samples import Clip, Sound, write_clip
from tests.verify_samples import (
    FRAMES,
    RATE,
    SEGMENT,
    Film,
    Piece,
    finished,
    payloads,
    promised,
    source,
)

from fastrestore.errors import DecodeError
from fastrestore.runtime.media import postscript
from fastrestore.runtime.media.decodecheck import Look
from fastrestore.runtime.verify.findings import Finding
from fastrestore.runtime.verify.screening import Beside, alone
from fastrestore.runtime.verify.verdict import Verdict, as_json, verify


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Film:
    return Film(tmp_path_factory.mktemp("film") / "segments")


def codes(found: Verdict) -> dict[str, Finding]:
    return {finding.code: finding for finding in found.findings}


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov"])
def test_good_film(tmp_path: Path, film: Film, suffix: str) -> None:
    path = tmp_path / f"film{suffix}"
    finished(film, path)
    found = verify(path, against=source(tmp_path / f"source{suffix}"))
    assert (found.passed, found.findings) == (True, ())
    assert (found.frames, found.segments, found.tracks, found.compared) == (FRAMES, 3, 2, FRAMES // 2)


def test_good_film_of_another_container(tmp_path: Path, film: Film) -> None:
    finished(film, tmp_path / "film.mkv")
    found = verify(tmp_path / "film.mkv", against=source(tmp_path / "source.mp4"))
    # The subtitles are of another codec here: the film's were not copied from this source.
    assert set(codes(found)) == {"source-track-missing"}


def test_black_segment(tmp_path: Path, film: Film) -> None:
    """Its manifest promises the black: only the source tells."""
    dark = Film(tmp_path / "segments", black=[1])
    finished(dark, tmp_path / "film.mkv")
    found = codes(verify(tmp_path / "film.mkv", against=source(tmp_path / "source.mkv")))
    assert set(found) == {"black", "picture"}
    assert found["black"].is_error and found["black"].time == Fraction(2, 5)
    assert found["black"].message.startswith("the picture is black from 0.400 s to 0.733 s")
    assert verify(tmp_path / "film.mkv").passed


def test_black_as_in_the_source(tmp_path: Path) -> None:
    dark = Film(tmp_path / "segments", black=[0, 1, 2])
    finished(dark, tmp_path / "film.mkv")
    assert verify(tmp_path / "film.mkv", against=source(tmp_path / "source.mkv", black=True)).findings == ()


def test_frozen_run(tmp_path: Path) -> None:
    still = Film(tmp_path / "segments", "ffv1")  # every frame stands alone, so that one can be repeated

    def freeze(pieces: list[Piece]) -> list[Piece]:
        return [replace(piece, data=pieces[6].data) if 6 <= k < 24 else piece for k, piece in enumerate(pieces)]

    path = still.write(tmp_path / "film.mkv", freeze)
    postscript.append(path, promised(path).to_text())
    found = codes(verify(path, against=source(tmp_path / "source.mkv")))
    assert found["frozen"].is_error and found["frozen"].time == Fraction(1, 5)


def test_swapped_segments_show_other_pictures(tmp_path: Path, film: Film) -> None:
    def swap(pieces: list[Piece]) -> list[Piece]:
        order = [*range(2 * SEGMENT, FRAMES), *range(SEGMENT, 2 * SEGMENT), *range(SEGMENT)]
        return [replace(piece, data=pieces[other].data) for piece, other in zip(pieces, order, strict=True)]

    path = film.write(tmp_path / "film.mkv", swap)
    postscript.append(path, promised(path).to_text())
    found = codes(verify(path, against=source(tmp_path / "source.mkv")))
    assert found["picture"].is_error


def test_late_sound(tmp_path: Path, film: Film) -> None:
    path = film.write(tmp_path / "film.mkv", audio_start=Fraction(40, 1000))
    postscript.append(path, promised(path).to_text())
    found = codes(verify(path, against=source(tmp_path / "source.mkv"), decode=False))
    assert set(found) == {"source-track-times"}
    assert "is 40.0 ms late throughout" in found["source-track-times"].message


def test_missing_subtitles_and_chapters(tmp_path: Path, film: Film) -> None:
    path = film.write(tmp_path / "film.mkv", subtitles=False, chapters=[])
    postscript.append(path, promised(path).to_text())
    found = verify(path, against=source(tmp_path / "source.mkv"), decode=False)
    assert set(codes(found)) == {"source-track-missing", "source-chapters"}
    path.unlink()
    film.write(path, subtitles=False)
    postscript.append(path, promised(path, left_out="stream 2 subtitle subrip fre: it is empty").to_text())
    found = verify(path, against=source(tmp_path / "source.mkv"), decode=False)
    assert found.passed and set(codes(found)) == {"left-out"}


def test_one_source_frame_too_few(tmp_path: Path, film: Film) -> None:
    finished(film, tmp_path / "film.mkv")
    longer = source(tmp_path / "source.mkv", frames=FRAMES // 2 + 1)
    found = codes(verify(tmp_path / "film.mkv", against=longer, decode=False))
    assert found["source-frames"].message.startswith("36 frames instead of 38: 1.266 s of source at 30.000")


def test_without_a_manifest_the_length_still_counts(tmp_path: Path, film: Film) -> None:
    path = film.write(tmp_path / "film.mkv")
    good = verify(path, against=source(tmp_path / "source.mkv"))
    assert good.passed and set(codes(good)) == {"no-manifest"} and not good.promised
    longer = source(tmp_path / "longer.mkv", frames=FRAMES // 2 + 2)
    assert "duration" in codes(verify(path, against=longer, decode=False))


def test_source_instants_are_kept_where_the_rate_is_the_source_s(tmp_path: Path) -> None:
    first = write_clip(tmp_path / "source.mkv", Clip(10, pts=[0, 1, 2, 3, 5, 6, 7, 8, 9, 10]))
    path = tmp_path / "film.mkv"
    path.write_bytes(first.read_bytes())
    manifest = replace(promised(path), video=replace(promised(path).video, rate=None))
    postscript.append(path, manifest.to_text())
    assert verify(path, against=first).findings == ()
    other = write_clip(tmp_path / "other.mkv", Clip(10, pts=[0, 1, 2, 3, 4, 6, 7, 8, 9, 10]))
    assert set(codes(verify(path, against=other, decode=False))) == {"source-times"}


def test_part_of_a_source(tmp_path: Path, film: Film) -> None:
    """The film is the part from 0.4 s on of a source that begins 0.4 s earlier."""
    path = tmp_path / "film.mkv"
    finished(film, path, start="2/5", end="8/5")
    whole = source(tmp_path / "source.mkv", frames=30, start=Fraction(-2, 5))
    found = verify(path, against=whole)
    assert found.passed and set(codes(found)) == {"unchecked"} and found.compared == FRAMES // 2
    shifted = source(tmp_path / "shifted.mkv", frames=30, start=Fraction(-9, 10))
    assert codes(verify(path, against=shifted))["picture"].is_error


def test_beginning_of_a_source_keeps_its_times(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "source.mkv", Clip(20, pts=range(5, 25)))
    path = write_clip(tmp_path / "film.mkv", Clip(10, pts=range(5, 15)))
    manifest = promised(path, end="3/5")
    postscript.append(path, replace(manifest, video=replace(manifest.video, rate=None)).to_text())
    found = verify(path, against=whole)
    assert found.passed and set(codes(found)) == {"unchecked"} and found.compared == 10


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_broken_video(tmp_path: Path, film: Film, suffix: str) -> None:
    path = film.write(tmp_path / f"film{suffix}")
    data = bytearray(path.read_bytes())
    begin, size = payloads(path)[SEGMENT]
    data[begin + 8 : begin + size] = bytes(size - 8)
    path.write_bytes(data)
    postscript.append(path, promised(path).to_text())  # the container is whole, and its hashes are right
    assert verify(path, decode=False).passed
    found = codes(verify(path))
    assert found["decode"].is_error and "the video" in found["decode"].message


def test_broken_sound(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "film.mkv", Clip(30), [Sound(1.2, "flac")])
    whole = tmp_path / "source.mkv"
    whole.write_bytes(path.read_bytes())
    data = bytearray(path.read_bytes())
    for begin in (m for m in range(len(data) // 2, len(data) - 200) if data[m : m + 2] == b"\xff\xf8"):
        data[begin + 2 : begin + 40] = bytes(38)
    path.write_bytes(data)
    found = codes(verify(path, against=whole))
    assert found["decode"].is_error and "audio flac" in found["decode"].message
    # If the source has it as well, it was copied as it was.
    assert not codes(verify(path, against=path))["decode"].is_error


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.8, 0.95])
def test_truncated(tmp_path: Path, film: Film, suffix: str, share: float) -> None:
    path = tmp_path / f"film{suffix}"
    finished(film, path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    found = verify(path)
    assert not found.passed
    assert {"cut-off", "unreadable", "manifest"} & set(codes(found))


def test_no_file_and_no_video(tmp_path: Path) -> None:
    (tmp_path / "words.mkv").write_text("words")
    write_clip(tmp_path / "sound.mkv", None, [Sound()])
    for name in ("none.mkv", "words.mkv", "sound.mkv"):
        assert set(codes(verify(tmp_path / name))) == {"unreadable"}
    with pytest.raises(DecodeError):
        verify(tmp_path / "sound.mkv", against=tmp_path / "none.mkv")


def test_damaged_manifest(tmp_path: Path, film: Film) -> None:
    path = film.write(tmp_path / "film.mkv")
    postscript.append(path, "{}")
    found = verify(path, decode=False)
    assert not found.passed and not found.promised and set(codes(found)) == {"manifest"}


def test_json(tmp_path: Path, film: Film) -> None:
    path = film.write(tmp_path / "film.mkv")
    data = json.loads(as_json([verify(path, decode=False), verify(tmp_path / "none.mkv")]))
    assert (data["schema"], data["passed"]) == ("fastrestore.verify/1", False)
    first, second = data["files"]
    assert first["passed"] and first["frames"] == FRAMES and first["findings"][0]["severity"] == "warning"
    assert second["findings"][0]["code"] == "unreadable" and second["findings"][0]["time_s"] is None


def looks(values: list[float], rate: Fraction = RATE) -> list[Look]:
    return [Look(k / rate, np.full((18, 32), value, np.float32)) for k, value in enumerate(values)]


def test_long_black_and_frozen_runs_without_a_source() -> None:
    moving = [0.2 + 0.01 * (k % 50) for k in range(90)]
    found = list(alone(looks([*moving, *[0.01] * 75, *moving, *[0.5] * 75])))
    assert [(each.code, each.is_error) for each in found] == [("black", False), ("frozen", False)]
    assert found[0].time == 3
    assert list(alone(looks([*moving, *[0.01] * 45, *moving]))) == []


def compared(film: list[float], source: list[float]) -> list[str]:
    return [each.code for each in Beside().compare(iter(looks(film)), iter(looks(source)))]


def test_what_restoration_may_change() -> None:
    moving = [0.3 + 0.02 * (k % 20) for k in range(60)]
    brighter = [value + 0.05 for value in moving]
    assert compared(brighter, moving) == []
    # Held frames were spread out: a cut comes two frames early.
    assert compared([0.2] * 28 + [0.8] * 32, [0.2] * 30 + [0.8] * 30) == []
    assert compared([0.2] * 20 + [0.8] * 40, [0.2] * 30 + [0.8] * 30) == ["picture", "frozen"]
    # A still picture with grain may come out without it.
    grain = [0.4 + 0.01 * (k % 2) for k in range(60)]
    assert compared([0.4] * 60, grain) == []
    # One odd picture is a flash, and is told but no error.
    assert compared([*moving[:30], 0.9, *moving[31:]], moving) == ["picture"]


def test_film_of_a_lower_rate_is_not_frozen() -> None:
    moving = [0.2 + 0.01 * k for k in range(60)]
    found = list(Beside().compare(iter(looks(moving[::5], RATE / 5)), iter(looks(moving))))
    assert found == []
