"""`bench plan` as a user types it."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from tests.media_samples import Clip, write_clip
from tests.unit.bench.planning_samples import measured
from typer.testing import CliRunner, Result

from fastrestore.bench.document import read_document, to_json
from fastrestore.cli import bench_plan  # noqa: F401  (adds the command)
from fastrestore.cli.options import app
from fastrestore.errors import UsageError
from fastrestore.geometry import Size
from fastrestore.runtime.cache.folder import FOLDER_VARIABLE

DOCUMENTATION = Path(__file__).resolve().parents[3] / "docs" / "planning.md"
AS_MEASURED = ("--to", "x2", "--fps", "50", "--sr", "film-x2-tiny", "--preset", "medium", "--crf", "18", "--seeds", "3")
FILM = '[[film]]\nname = "Reels"\ncount = 3\nduration = "5:00"\nsize = "720x576"\nfps = "25"\n'


def plan(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["bench", "plan", *map(str, arguments)])


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a list and rates; nothing is kept anywhere else."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "cache"))
    (tmp_path / "films.toml").write_text(FILM, encoding="utf-8")
    (tmp_path / "rates.json").write_text(to_json(measured()), encoding="utf-8")
    fleet = '[[machine]]\nkind = "gpu"\ncount = 3\nprice_per_hour = 2\n'
    (tmp_path / "fleet.toml").write_text(fleet, encoding="utf-8")
    return tmp_path


def shape(value: Any) -> Any:
    """Return a value with its ranges and lists cut down to what a path in the documentation means."""
    if isinstance(value, dict):
        return {path for key, inner in value.items() for path in _under(key, shape(inner))}
    if isinstance(value, list):
        return {f"[]{path and '.'}{path}" for inner in value for path in shape(inner)}
    return {""}


def _under(key: str, paths: set[str]) -> set[str]:
    return {key + (path if path.startswith("[]") else f".{path}" if path else "") for path in paths}


def test_the_json_is_as_documented(files: Path) -> None:
    ran = plan(
        *(files / "films.toml", "--machines", files / "fleet.toml", "--rates", files / "rates.json", "--json"),
        *AS_MEASURED,
    )
    assert ran.exit_code == 0, ran.output
    found = json.loads(ran.stdout)
    section = DOCUMENTATION.read_text(encoding="utf-8").split("## The JSON")[1]
    documented = set(re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE))
    ranges = re.compile(r"\.p(10|50|90)$")
    told = {ranges.sub(".*", path).replace("machine_hours.gpu", "machine_hours.*") for path in shape(found)}
    assert told == documented
    assert found["schema"] == "fastrestore.plan/1"
    assert found["cost"]["p50"] == pytest.approx(2 * found["machine_hours"]["gpu"]["p50"])


def test_words_tell_the_middle_and_the_range(files: Path) -> None:
    ran = plan(files / "films.toml", "--rates", files / "rates.json", *AS_MEASURED)
    assert ran.exit_code == 0, ran.output
    heads = [line.split()[0] for line in ran.stdout.splitlines()]
    assert heads[:2] == ["Reels:", "time"]
    assert "cost" not in heads  # nothing has a price
    assert re.search(r"^time +[\d.]+ \w+ \([\d.]+ \w+ to [\d.]+ \w+\)$", ran.stdout, re.MULTILINE)


def test_a_machine_is_measured_once_and_its_rates_are_kept(files: Path) -> None:
    clip, options = files / "clip.mp4", ("--to", "x2", "--fps", "12", "--sr", "lanczos", "--preset", "ultrafast")
    write_clip(clip, Clip(frames=16, size=Size(64, 48), rate=Fraction(8)))
    refused = plan(clip, *options)
    assert isinstance(refused.exception, UsageError)
    assert "no rates for" in refused.exception.message
    ran = plan("--measure", clip, "--rates", files / "this.json", *options)
    assert ran.exit_code == 0, ran.output
    assert ran.stdout == ""
    results = read_document(files / "this.json")["results"]
    assert [result["encoder"] for result in results] == ["null", "null", "real"]
    assert [result["way"]["motion"] for result in results] == ["nothing", "dis", "dis"]
    for more in ((), ("--rates", files / "this.json")):
        ran = plan(clip, *options, "--json", *more)
        assert ran.exit_code == 0, ran.output
        (film,) = json.loads(ran.stdout)["films"]
        assert (film["name"], film["target"]) == ("clip.mp4", "128x96 at 12 fps")
        assert film["worker_s"][0] > 0


def test_measuring_writes_one_file_only(files: Path) -> None:
    ran = plan("--measure", "x.mp4", "--rates", files / "a.json", "--rates", files / "b.json")
    assert isinstance(ran.exception, UsageError)
    ran = plan("--measure", "x.mp4", "--rates", files / "none" / "a.json")
    assert isinstance(ran.exception, UsageError)
    assert "cannot write" in ran.exception.message


def test_films_must_be_named() -> None:
    ran = plan()
    assert isinstance(ran.exception, UsageError)
    assert ran.exception.message == "no films are named"
