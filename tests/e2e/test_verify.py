"""`verify` as a user runs it."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest
from tests.e2e.command import run, tree
from tests.verify_samples import FRAMES, Film, finished, source


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a good film, a bad one, a bare one and their source."""
    folder = tmp_path_factory.mktemp("films")
    film = Film(folder / "segments")
    manifest = finished(film, folder / "good.mkv")
    film.write(folder / "bad.mkv", lambda pieces: pieces[:-1], audio_start=Fraction(1, 25), manifest=manifest)
    film.write(folder / "bare.mkv")
    source(folder / "source.mkv")
    return folder


def test_good(films: Path) -> None:
    before = tree(films)
    ran = run("verify", "good.mkv", "--against", "source.mkv", folder=films)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        "ok       good.mkv",
        f"         {FRAMES} frames in 1.167 s, 3 segments, 2 other tracks",
        "         checked: every packet, its manifest, decoded to the end, against source.mkv at 18 instants",
    ]
    assert tree(films) == before


def test_bad(films: Path) -> None:
    ran = run("verify", "bad.mkv", folder=films)
    assert (ran.code, ran.err) == (1, "")
    assert ran.out.startswith("FAILED   bad.mkv\n")
    rows = [line.split() for line in ran.out.splitlines() if line.startswith("error")]
    assert [row[1] for row in rows] == ["frame-count", "segment-frames", "frame-missing", "track-times", "track-times"]
    assert "segment 3 of 3, 0.800 s to 1.167 s: 11 frames instead of 12" in ran.out
    assert "begins 40.0 ms late" in ran.out


def test_several_as_json(films: Path) -> None:
    ran = run("verify", "good.mkv", "bare.mkv", "bad.mkv", "none.mkv", "--no-decode", "--json", folder=films)
    assert ran.code == 1
    found = json.loads(ran.out)
    assert (found["schema"], found["passed"]) == ("fastrestore.verify/1", False)
    assert [(each["file"], each["passed"], each["promised"]) for each in found["files"]] == [
        ("good.mkv", True, True),
        ("bare.mkv", True, False),
        ("bad.mkv", False, True),
        ("none.mkv", False, False),
    ]
    good, bare, bad, none = found["files"]
    assert (good["findings"], good["decoded"], good["frames"], good["segments"]) == ([], False, FRAMES, 3)
    assert [each["code"] for each in bare["findings"]] == ["no-manifest"]
    assert bad["findings"][1]["time_s"] == 0.8
    assert [each["code"] for each in none["findings"]] == ["unreadable"]


def test_every_code_is_documented() -> None:
    repository = Path(__file__).resolve().parents[2]
    page = (repository / "docs" / "verify.md").read_text()
    for module in ("verification", "against", "verdict", "screening"):
        text = (repository / "runtime" / "verify" / f"{module}.py").read_text()
        for call in ('Finding("', 'warning("'):
            for part in text.split(call)[1:]:
                assert f"`{part.split(chr(34))[0]}`" in page


def test_wrong_usage(films: Path) -> None:
    run("verify", folder=films).assert_failed(2, "OUT")
    run("verify", "good.mkv", "bare.mkv", "--against", "source.mkv", folder=films).assert_failed(2, "--against")
    run("verify", "good.mkv", "--against", "none.mkv", folder=films).assert_failed(1, "none.mkv")
