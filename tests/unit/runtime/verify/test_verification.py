"""Every planted fault is found by its name, and a good film passes in every container."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from tests.verify_samples import CONTAINERS, FRAMES, RATE, SEGMENT, STEP, UNIT, Film, Piece, finished, payloads, seams

from fastrestore.errors import DecodeError, EncodeError
from fastrestore.runtime.manifest import Manifest, times_digest
from fastrestore.runtime.media import postscript
from fastrestore.runtime.media.survey import survey
from fastrestore.runtime.verify.findings import Finding
from fastrestore.runtime.verify.verification import check, promise_of, require_whole

FLIPS = 60


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Film:
    return Film(tmp_path_factory.mktemp("film") / "segments")


@pytest.fixture(scope="module")
def av1(tmp_path_factory: pytest.TempPathFactory) -> Film:
    return Film(tmp_path_factory.mktemp("av1") / "segments", "libsvtav1")


@pytest.fixture(params=[".mkv", ".mp4", ".mov"])
def good(request: pytest.FixtureRequest, film: Film, tmp_path: Path) -> tuple[Path, Manifest]:
    path = tmp_path / f"good{request.param}"
    return path, finished(film, path)


def found(path: Path, manifest: Manifest) -> dict[str, Finding]:
    """Return what is wrong with a file, the first of each code."""
    findings: dict[str, Finding] = {}
    for finding in check(survey(path, seams=manifest.seams), manifest):
        findings.setdefault(finding.code, finding)
    return findings


def beside(good: Path, name: str = "bad") -> Path:
    return good.with_name(f"{name}{good.suffix}")


def at(pieces: list[Piece], number: int) -> int:
    """Return where the packet of the frame of that number lies."""
    return next(k for k, piece in enumerate(pieces) if piece.pts == number * STEP)


def test_good_film_passes(good: tuple[Path, Manifest]) -> None:
    path, manifest = good
    assert (manifest.frames, len(manifest.segments), manifest.chapters) == (FRAMES, 3, 2)
    assert [track.kind for track in manifest.tracks] == ["audio", "subtitle"]
    assert found(path, manifest) == {}
    require_whole(path, manifest)


@pytest.mark.parametrize(
    ("codec", "layout", "suffixes"),
    [
        ("libx264", "yuv420p10le", (".mkv", ".mp4", ".mov")),
        ("libx265", "yuv420p", (".mkv", ".mp4", ".mov")),
        ("libx265", "yuv420p10le", (".mkv", ".mp4", ".mov")),
        ("libsvtav1", "yuv420p", (".webm", ".mkv", ".mp4")),
        ("libsvtav1", "yuv420p10le", (".webm",)),
        ("ffv1", "yuv420p", (".mkv",)),
        ("ffv1", "yuv444p10le", (".mkv",)),
    ],
)
def test_segments_keep_their_hashes_in_every_container(
    tmp_path: Path, codec: str, layout: str, suffixes: tuple[str, ...]
) -> None:
    """A segment is an MP4 file made by an encoder of its own; joining copies its packets bit for bit."""
    film = Film(tmp_path / "segments", codec, layout)
    alone = [survey(path).video.runs[0] for path in film.segments]
    for suffix in suffixes:
        joined = survey(film.write(tmp_path / f"film{suffix}"), seams=seams()).video
        assert [(run.packets, run.sha256) for run in joined.runs] == [(run.packets, run.sha256) for run in alone]
        assert joined.layout == layout
        manifest = finished(film, tmp_path / f"whole{suffix}")
        require_whole(tmp_path / f"whole{suffix}", manifest)


def test_dropped_frame(film: Film, good: tuple[Path, Manifest]) -> None:
    path, manifest = good

    def drop(pieces: list[Piece]) -> list[Piece]:
        del pieces[at(pieces, 17)]
        return pieces

    faults = found(film.write(beside(path), drop), manifest)
    assert faults["frame-count"].message == "35 frames instead of 36"
    assert faults["segment-frames"].message.startswith("segment 2 of 3, 0.400 s to 0.767 s: 11 frames instead of 12")
    missing = faults["frame-missing"].time
    assert missing is not None and abs(missing - 17 / RATE) <= Fraction(1, 1000)
    assert "segment-hash" not in faults  # the other segments are whole


def test_doubled_frame(film: Film, good: tuple[Path, Manifest]) -> None:
    path, manifest = good

    def double(pieces: list[Piece]) -> list[Piece]:
        where = at(pieces, 30)
        again = pieces[where]
        pieces.insert(where + 1, replace(again, pts=again.pts + STEP // 2, dts=again.dts + STEP // 2))
        return pieces

    faults = found(film.write(beside(path), double), manifest)
    assert faults["frame-count"].message == "37 frames instead of 36"
    assert faults["segment-frames"].message.startswith("segment 3 of 3")
    extra = faults["frame-extra"].time
    assert extra is not None and abs(extra - Fraction(61, 60)) <= Fraction(1, 1000)


def test_two_frames_with_one_timestamp(film: Film, tmp_path: Path) -> None:
    path = tmp_path / "good.mkv"
    manifest = finished(film, path)

    def meet(pieces: list[Piece]) -> list[Piece]:
        return [replace(piece, pts=piece.pts - STEP) if piece.pts == 20 * STEP else piece for piece in pieces]

    faults = found(film.write(beside(path), meet), manifest)
    assert faults["doubled-time"].time == Fraction(633, 1000)
    assert {"times"} <= set(faults)


@pytest.mark.parametrize("only", [None, 23])
def test_timestamps_shifted_by_one_tick(film: Film, good: tuple[Path, Manifest], only: int | None) -> None:
    path, manifest = good
    tick = round(manifest.video.unit / UNIT)

    def shift(pieces: list[Piece]) -> list[Piece]:
        return [
            replace(piece, pts=piece.pts + tick, dts=piece.dts + (tick if only is None else 0))
            if only in (None, piece.pts // STEP)
            else piece
            for piece in pieces
        ]

    faults = found(film.write(beside(path), shift), manifest)
    assert set(faults) == {"times"}
    words = "all frames are" if only is None else "frame 23 has timestamp"
    assert faults["times"].message.startswith(words)


def test_timestamps_of_a_varying_rate_are_held_against_their_hash(film: Film, tmp_path: Path) -> None:
    path = tmp_path / "good.mkv"
    film.write(path)
    manifest = promise_of(survey(path, seams=seams()))
    assert found(path, manifest) == {}

    def shift(pieces: list[Piece]) -> list[Piece]:
        return [replace(piece, pts=piece.pts + 30) if piece.pts == 5 * STEP else piece for piece in pieces]

    assert set(found(film.write(beside(path), shift), manifest)) == {"times"}
    # Moved to another container, the clock is another; what can be checked still is.
    moved = found(film.write(path.with_suffix(".mp4")), manifest)
    assert "clock" in moved and not moved["clock"].is_error and "times" not in moved


def test_late_sound(film: Film, good: tuple[Path, Manifest]) -> None:
    path, manifest = good
    faults = found(film.write(beside(path), audio_start=Fraction(40, 1000)), manifest)
    assert set(faults) == {"track-times"}
    late = float(faults["track-times"].message.split("begins ")[1].split(" ms late")[0])
    assert abs(late - 40) <= 1


def test_missing_subtitles(film: Film, good: tuple[Path, Manifest]) -> None:
    path, manifest = good
    faults = found(film.write(beside(path), subtitles=False), manifest)
    assert set(faults) == {"track-missing"}
    assert "subtitle" in faults["track-missing"].message


def test_missing_chapter(film: Film, good: tuple[Path, Manifest]) -> None:
    path, manifest = good
    faults = found(film.write(beside(path), chapters=[(0, 600, "one")]), manifest)
    assert {code: fault.message for code, fault in faults.items()} == {"chapters": "1 chapters instead of 2"}


def test_wrong_matrix_in_the_stream(tmp_path: Path, film: Film) -> None:
    wrong = Film(
        tmp_path / "segments", colour={"colorspace": 5, "color_range": 1, "color_primaries": 1, "color_trc": 1}
    )
    manifest = finished(film, tmp_path / "good.mp4")
    fault = found(wrong.write(tmp_path / "bad.mp4"), manifest)["matrix"]
    assert fault.message == "the colour matrix is tagged 5 instead of 1 (ITU-T H.273)"


@pytest.mark.parametrize(
    ("suffix", "tag", "at_byte"),
    [(".mp4", b"colrnclx", 13), (".mov", b"colrnclc", 13), (".mkv", b"\x55\xb1\x81\x01", 3)],
)
def test_wrong_matrix_in_the_container(tmp_path: Path, film: Film, suffix: str, tag: bytes, at_byte: int) -> None:
    """A decoder looks past the container's tag, many players do not."""
    path = tmp_path / f"film{suffix}"
    manifest = finished(film, path)
    data = bytearray(path.read_bytes())
    where = data.index(tag) + at_byte
    assert data[where] == 1
    data[where] = 5
    path.write_bytes(data)
    assert found(path, manifest)["matrix"].message.startswith("the container tags the colour matrix 5 instead of 1")


def test_black_segment(tmp_path: Path, film: Film, good: tuple[Path, Manifest]) -> None:
    path, manifest = good
    dark = Film(tmp_path / "segments", black=[1])
    faults = check(survey(dark.write(beside(path)), seams=manifest.seams), manifest)
    assert [fault.code for fault in faults] == ["segment-hash"]
    assert faults[0].message.startswith("segment 2 of 3, 0.400 s to 0.767 s")


def test_swapped_segments(film: Film, good: tuple[Path, Manifest]) -> None:
    path, manifest = good

    def swap(pieces: list[Piece]) -> list[Piece]:
        order = [*range(SEGMENT, 2 * SEGMENT), *range(SEGMENT), *range(2 * SEGMENT, FRAMES)]
        return [replace(piece, data=pieces[other].data) for piece, other in zip(pieces, order, strict=True)]

    manifest_of_bad = check(survey(film.write(beside(path), swap), seams=manifest.seams), manifest)
    assert [fault.code for fault in manifest_of_bad] == ["segment-hash"] * 2
    assert [fault.time for fault in manifest_of_bad] == [segment.first for segment in manifest.segments[:2]]


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_every_flipped_byte_of_the_video(tmp_path: Path, film: Film, av1: Film, suffix: str) -> None:
    path = tmp_path / f"film{suffix}"
    manifest = finished(av1 if suffix == ".webm" else film, path)
    whole = path.read_bytes()
    places = [at for begin, size in payloads(path) for at in range(begin, begin + size)]
    rng = np.random.default_rng(len(places))
    for place in rng.choice(places, FLIPS, replace=False):
        data = bytearray(whole)
        data[place] ^= 1 << int(rng.integers(8))
        bad = beside(path)
        bad.write_bytes(data)
        assert "segment-hash" in found(bad, manifest), place


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.99])
def test_truncated_file(good: tuple[Path, Manifest], share: float) -> None:
    path, manifest = good
    data = path.read_bytes()
    bad = beside(path)
    bad.write_bytes(data[: int(len(data) * share)])
    with pytest.raises((DecodeError, EncodeError)):
        require_whole(bad, manifest)


def test_error_names_everything(film: Film, good: tuple[Path, Manifest]) -> None:
    path, manifest = good
    bad = film.write(beside(path), lambda pieces: pieces[:-1], subtitles=False)
    with pytest.raises(EncodeError, match="35 frames instead of 36") as caught:
        require_whole(bad, manifest)
    for words in ("segment 3 of 3", "subtitle", "its own manifest is missing"):
        assert words in caught.value.message
    assert "report" in caught.value.hint


def test_another_manifest_is_refused(film: Film, tmp_path: Path) -> None:
    path = film.write(tmp_path / "film.mkv")
    manifest = promise_of(survey(path, seams=seams()), rate=RATE)
    postscript.append(path, replace(manifest, version="0").to_text())
    with pytest.raises(EncodeError, match="its own manifest is missing or differs"):
        require_whole(path, manifest)


def tags_changed(manifest: Manifest) -> dict[str, Manifest]:
    changes: dict[str, dict[str, object]] = {
        "size": {"width": 66},
        "layout": {"layout": "yuv420p10le"},
        "codec": {"codec": "hevc"},
        "primaries": {"primaries": 9},
        "transfer": {"transfer": 16},
        "range": {"full_range": True},
        "pixel-aspect": {"pixel_aspect": Fraction(4, 3)},
        "rotation": {"rotation": 90},
    }
    return {code: replace(manifest, video=replace(manifest.video, **change)) for code, change in changes.items()}  # type: ignore[arg-type]


def test_other_tags(good: tuple[Path, Manifest]) -> None:
    path, manifest = good
    for code, changed in tags_changed(manifest).items():
        assert set(found(path, changed)) == {code}


def test_other_tracks(good: tuple[Path, Manifest]) -> None:
    path, manifest = good
    audio, subtitle = manifest.tracks
    cases: list[tuple[str, Callable[[], Manifest]]] = [
        ("track-packets", lambda: replace(manifest, tracks=(replace(audio, packets=1), subtitle))),
        ("track-content", lambda: replace(manifest, tracks=(replace(audio, sha256="0"), subtitle))),
        ("track-language", lambda: replace(manifest, tracks=(replace(audio, language="ger"), subtitle))),
        ("track-extra", lambda: replace(manifest, tracks=(audio,))),
    ]
    for code, changed in cases:
        assert set(found(path, changed())) == {code}


def test_manifest_that_promises_absurdly_much_takes_no_memory(good: tuple[Path, Manifest]) -> None:
    path, manifest = good
    last = replace(manifest.segments[-1], frames=1 << 60)
    video = replace(manifest.video, times_sha256=times_digest([]))
    faults = found(path, replace(manifest, video=video, segments=(*manifest.segments[:-1], last)))
    assert {"frame-count", "segment-frames"} <= set(faults)


def test_no_file(tmp_path: Path, good: tuple[Path, Manifest]) -> None:
    with pytest.raises(DecodeError):
        require_whole(tmp_path / "none.mkv", good[1])
