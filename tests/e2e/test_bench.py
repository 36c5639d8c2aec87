"""`bench` as a user runs it: exit codes, JSON, pages, and no leftovers. What it measures is no matter of tests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.e2e.command import QUICK, run

pytest.importorskip("onnxruntime")
ENGINE = ("bench", "engine", "film-x2-tiny", "--size", "32x24", "--seconds", "0.05", "--repeats", "8")


def test_engines_are_measured_gated_appended_and_compared(tmp_path: Path) -> None:
    ran = run(*ENGINE, "--json", "a.json", "--page", "a.html", "--gate", "p99<1h", folder=tmp_path)
    ran.assert_failed(2, "p99<1h")
    assert not list(tmp_path.iterdir())
    gate = "p99<1us,throughput>0.001,compute.min>0ms"
    ran = run(*ENGINE, "--json", "a.json", "--page", "a.html", "--gate", gate, folder=tmp_path)
    assert ran.code == 1
    assert [line for line in ran.err.splitlines() if line.startswith("gate not met")] == [
        line for line in ran.err.splitlines() if "`p99<1us`" in line
    ]
    assert "bound by" in ran.out
    assert "processor" in ran.out
    assert (tmp_path / "a.html").read_text(encoding="utf-8").count("<svg") >= 1
    ran = run(*ENGINE, "--json", "a.json", "--append", folder=tmp_path)
    assert ran.code == 0, ran.err
    (result,) = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["results"]
    assert len(result["blocks"]) == 16
    ran = run("bench", "diff", "a.json", "a.json", "--fail", "--json", folder=tmp_path)
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert found["schema"] == "fastrestore.bench-diff/1"
    assert [each["verdict"] for each in found["results"]] == ["no change"]
    slower = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    for block in slower["results"][0]["blocks"]:
        block["at"] += 1000
        block["samples_ms"] = [10 * value for value in block["samples_ms"]]
        block["cpu_ms"] *= 10
    (tmp_path / "slower.json").write_text(json.dumps(slower), encoding="utf-8")
    ran = run("bench", "diff", "a.json", "slower.json", "--fail", folder=tmp_path)
    assert ran.code == 1
    assert ran.out.startswith("slower")


@pytest.mark.parametrize("encoder", ["real", "null"])
def test_a_conversion_is_measured_and_nothing_of_it_stays(encoder: str, film: Path, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    ran = run(
        *("bench", "pipeline", film, *QUICK, "--encoder", encoder, "--json", "-"),
        folder=tmp_path,
        TMPDIR=str(temporary),
    )
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    (result,) = found["results"]
    assert (found["kind"], result["encoder"], result["frames"]["source"]) == ("pipeline", encoder, 8)
    assert result["frames"]["output"] == 40
    assert ("encode" in result["stages"]) == (encoder == "real")
    assert [path.name for path in tmp_path.iterdir()] == ["temporary"]
    assert not list(temporary.iterdir())


def test_a_sweep_keeps_its_result(film: Path, tmp_path: Path) -> None:
    ran = run(
        *("bench", "sweep", film, "--preset", "ultrafast", "--tile", "auto", "--tile", "8"),
        *(
            "--sr",
            "film-x2-tiny",
            "--to",
            "x2",
            "--backend",
            "onnxruntime",
            "--json",
            "sweep.json",
            "--page",
            "sweep.html",
        ),
        folder=tmp_path,
        FASTRESTORE_ENGINES=str(tmp_path / "cache"),
    )
    assert ran.code == 0, ran.err
    good, bad = json.loads((tmp_path / "sweep.json").read_text(encoding="utf-8"))["results"]
    assert good["kept"] and good["fps"] > 0
    assert bad["problem"] and not bad["kept"]
    assert "tile auto" in ran.out
    if "not kept for later conversions" in ran.err:  # other programs keep the machine too busy to tell what is best
        assert not (tmp_path / "cache" / "choices").exists()
        return
    (kept,) = (tmp_path / "cache" / "choices").iterdir()
    (way,) = json.loads(kept.read_text(encoding="utf-8"))["choice"]["ways"]
    assert way["tile"] is None


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("engine", "--size", "0x5"), "0x5"),
        (("engine", "dis"), "without a network"),
        (("engine", "--backend", "onnxruntime", "--no-transfers"), "means nothing"),
        (("engine", "--append"), "--append"),
        (("pipeline", "film.mp4", "--encoder", "fast"), "fast"),
        (("diff", "a.json", "b.json"), "a.json"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments: tuple[str, ...], word: str, tmp_path: Path) -> None:
    run("bench", *arguments, folder=tmp_path).assert_failed(2, word)
