"""Every option of `convert`, by what it changes in the file that comes out."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.command import QUICK, Probe, probe, run, tree

PLAIN = Probe("h264", "yuv420p", "48x32", 40, Fraction(60), Fraction(0), ("aac",))
"""What `film.mp4` becomes with `QUICK`."""


def converted(source: Path, folder: Path, *options: object, name: str = "out.mkv") -> tuple[Probe, dict[str, Any]]:
    """Convert with `QUICK`, unless the options say otherwise; return what came out and the report."""
    ran = run("convert", source, "-o", name, *QUICK, *options, "--progress", "json", folder=folder)
    assert ran.code == 0, ran.err
    assert set(tree(folder)) == {name}
    return probe(folder / name), ran.events[-1]


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        ((), {}),
        (("--to", "x2"), {"size": "96x64"}),
        (("--to", "x3/2"), {"size": "72x48"}),
        (("--to", "100x100"), {"size": "100x66"}),
        (("--fps", "24"), {"frames": 16, "rate": Fraction(24)}),
        (("--fps", "x2"), {"frames": 16, "rate": Fraction(24)}),
        (("--fps", "24000/1001"), {"frames": 16, "rate": Fraction(24000, 1001)}),
        (("--fps", "source"), {"frames": 8, "rate": Fraction(12)}),
        (("--codec", "x265", "--to", "x2"), {"codec": "hevc", "size": "96x64"}),
        (("--codec", "svtav1", "--to", "x2", "--preset", "10"), {"codec": "av1", "size": "96x64"}),
        (
            ("--codec", "x265", "--to", "x2", "--bit-depth", "10"),
            {"codec": "hevc", "layout": "yuv420p10le", "size": "96x64"},
        ),
        (("--bit-depth", "10"), {"layout": "yuv420p10le"}),
        (("--start", "0.25"), {"frames": 25}),
        (("--end", "0:00.25"), {"frames": 15}),
        (("--start", "0.25", "--end", "0.5"), {"frames": 15}),
    ],
)
def test_options_that_change_the_file(
    film: Path, tmp_path: Path, options: tuple[str, ...], changes: dict[str, Any]
) -> None:
    found, report = converted(film, tmp_path, *options)
    codec = {"h264": "h264", "av1": "libdav1d"}.get(changes.get("codec", ""), changes.get("codec", "h264"))
    # A sound packet that began before `--start` moves the film by less than its length; both stay in step.
    assert 0 <= found.first < (Fraction(1, 40) if "--start" in options else Fraction(1, 1000))
    assert replace(found, first=Fraction(0)) == replace(PLAIN, **{**changes, "codec": codec})
    assert report["output_frames"] == found.frames


def test_lossless(film: Path, tmp_path: Path) -> None:
    ran = run("convert", film, "-o", "out.mkv", "--to", "x1", "--codec", "ffv1", folder=tmp_path)
    assert (ran.code, ran.out) == (0, "")
    assert probe(tmp_path / "out.mkv") == replace(PLAIN, codec="ffv1")


def test_named_sizes_and_defaults_are_planned(film: Path, tmp_path: Path) -> None:
    for options, size, rate in [
        ((), "3240x2160", "60 fps"),
        (("--to", "1080p", "--fps", "source"), "1620x1080", "source"),
    ]:
        ran = run("convert", film, "-o", "out.mkv", "--dry-run", *options, folder=tmp_path)
        assert (ran.code, ran.err) == (0, "")
        plan = dict(line.split(maxsplit=1) for line in ran.out.splitlines())
        assert plan["file"] == "film.mp4 -> out.mkv"
        assert plan["target"].startswith(f"{size} yuv420p, {rate}")
        assert plan["source"].startswith("48x32 yuv420p") and "12 fps" in plan["source"]
        assert plan["restore"].startswith("film-") and plan["tiles"] and plan["encode"].startswith("x264")
        assert "12 restorations" in plan["work"]
    assert tree(tmp_path) == {}


def test_depth_of_the_source_is_kept_unless_told_otherwise(sources: Path, tmp_path: Path) -> None:
    assert converted(sources / "deep.mkv", tmp_path)[0].layout == "yuv420p10le"
    assert converted(sources / "deep.mkv", tmp_path, "--bit-depth", 8, "--overwrite")[0].layout == "yuv420p"


def test_quality_and_preset(sources: Path, tmp_path: Path) -> None:
    source, options = sources / "other.mkv", ("--to", "x4", "--overwrite")
    sizes = [converted(source, tmp_path, *options, "--crf", crf)[1]["output_bytes"] for crf in (1, 40)]
    assert sizes[0] > sizes[1]
    report = converted(source, tmp_path, *options, "--preset", "medium")[1]
    assert report["plan"]["encode"] == "x264, quality 18, preset medium"


@pytest.mark.parametrize(("plan", "restored"), [("guided", 8), ("upscale-first", 8), ("interpolate-first", 16)])
def test_order_of_work(film: Path, tmp_path: Path, plan: str, restored: int) -> None:
    found, report = converted(film, tmp_path, "--to", "x2", "--fps", 24, "--plan", plan)
    assert (found.size, found.frames) == ("96x64", 16)
    assert plan in report["plan"]["motion"]
    # The last source frame is held to the end of the film: it is shown twice and restored once.
    assert restored - 1 <= report["restored_frames"] <= restored
    assert report["synthesized_frames"] == 7


@pytest.mark.parametrize(
    ("options", "restore"),
    [
        ((), "film-x2-"),
        (("--sr", "clean"), "clean-x2-"),
        (("--sr", "clean-x4-tiny"), "clean-x4-tiny (x4), then area mean from 192x128 to 96x64"),
        (("--sr", "lanczos"), "Lanczos from 48x32 to 96x64"),
    ],
)
def test_networks(film: Path, tmp_path: Path, options: tuple[str, ...], restore: str) -> None:
    report = converted(film, tmp_path, "--to", "x2", "--fps", "source", *options)[1]
    assert report["plan"]["restore"].startswith(restore)
    assert report["restored_frames"] == 8
    assert "motion" not in report["plan"] or report["plan"]["motion"].startswith("none")


def test_tiles_threads_backend_and_motion_model(film: Path, tmp_path: Path) -> None:
    options = ("--backend", "onnxruntime", "--threads", 1, "--vfi", "dis", "--to", "x2")
    report = converted(film, tmp_path, *options, "--tile", 32)[1]
    assert report["plan"]["tiles"].startswith("2 of 32x32")
    assert report["plan"]["motion"].startswith("dis at 48x32")
    assert report["backend"].startswith("onnxruntime") and report["backend_reason"] == "asked for"
    tiled = (tmp_path / "out.mkv").rename(tmp_path.parent / f"{tmp_path.name}-tiled.mkv")
    assert converted(film, tmp_path, *options)[1]["plan"]["tiles"] == "whole picture"
    ran = run("compare", tiled, "out.mkv", "--json", folder=tmp_path)
    assert json.loads(ran.out)["psnr_y_db"] > 55


def test_held_frames(sources: Path, tmp_path: Path) -> None:
    evened = converted(sources / "held.mkv", tmp_path)[1]
    kept = converted(sources / "held.mkv", tmp_path, "--keep-holds", "--overwrite")[1]
    assert evened["held_frames"] > 0 == kept["held_frames"]
    assert evened["output_frames"] == kept["output_frames"] == 60


def test_new_soundtrack(film: Path, sources: Path, tmp_path: Path) -> None:
    found, report = converted(film, tmp_path, "--audio", sources / "song.wav")
    assert found.audio == ("pcm_s16le",) and "copied" in report["copied_tracks"][0]
    assert any("replaced by the new soundtrack" in text for text in report["warnings"])
    (tmp_path / "out.mkv").unlink()
    assert converted(film, tmp_path, "--audio", sources / "song.wav", name="out.mp4")[0].audio == ("aac",)


def test_overwrite_replaces_the_old_file(film: Path, tmp_path: Path) -> None:
    (tmp_path / "out.mkv").write_text("mine")
    assert converted(film, tmp_path, "--overwrite")[0] == PLAIN


def test_several_inputs_into_a_folder(film: Path, sources: Path, tmp_path: Path) -> None:
    ran = run("convert", film, sources / "other.mkv", "-o", "out", "--report", "all.json", *QUICK, folder=tmp_path)
    assert (ran.code, ran.out) == (0, "")
    assert set(tree(tmp_path)) == {"all.json", "out/film.mkv", "out/other.mkv"}
    files = json.loads((tmp_path / "all.json").read_text())["files"]
    assert [file["report"]["output"] for file in files] == ["out/film.mkv", "out/other.mkv"]
    assert probe(tmp_path / "out/other.mkv").frames == 30


def test_progress_for_machines_and_the_report(film: Path, tmp_path: Path) -> None:
    ran = run("convert", film, "-o", "o.mp4", "--progress", "json", "--report", "r.json", *QUICK, folder=tmp_path)
    assert (ran.code, ran.err) == (0, "")
    first, *between, last = ran.events
    assert first["event"] == "plan" and first["plan"]["target"].startswith("48x32")
    assert {event["event"] for event in between} == {"progress"}
    assert [between[0]["frames"], between[-1]["frames"]] == [1, 40]
    assert set(between[0]) == {"event", "frames", "expected", "elapsed_s", "fps", "slowest"}
    assert last["event"] == "done" and last["schema"] == "fastrestore.report/1"
    assert {**json.loads((tmp_path / "r.json").read_text()), "event": "done"} == last
    assert (last["output_frames"], last["source_frames"]) == (40, 8)
    assert last["output_bytes"] == (tmp_path / "o.mp4").stat().st_size


def test_plan_and_summary_for_people(film: Path, tmp_path: Path) -> None:
    ran = run("convert", film, "-o", "out.mkv", "--progress", "none", *QUICK, folder=tmp_path)
    assert (ran.code, ran.out) == (0, "")
    words = [line.split()[0] for line in ran.err.splitlines()]
    assert words == [
        "file",
        "source",
        "target",
        "restore",
        "motion",
        "work",
        "encode",
        "memory",
        "written",
        "frames",
        "tracks",
        "time",
        "busy",
    ]


def test_names_that_are_no_text(film: Path, tmp_path: Path) -> None:
    source = tmp_path / "film\udcff.mp4"
    source.write_bytes(film.read_bytes())
    ran = run("convert", source, "-o", "out.mkv", "--dry-run", folder=tmp_path)
    assert ran.code == 0 and "film\\udcff.mp4 -> out.mkv" in ran.out
    assert run("convert", source, "-o", "out\udcff.mkv", *QUICK, folder=tmp_path).code == 0
    assert probe(tmp_path / "out\udcff.mkv") == PLAIN
