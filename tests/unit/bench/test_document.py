"""The JSON: what is written is what the documentation says, and can be read and added to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from tests.media_samples import Clip, write_clip
from tests.unit.bench.fakes import FakeClock, FakeEngine

from fastrestore.bench.cases import EngineCase, EngineSettings
from fastrestore.bench.document import appended, document, read_document, to_json
from fastrestore.bench.engines import measure_engines
from fastrestore.bench.peak import Peak
from fastrestore.bench.pipelines import Encoder, PipelineResult, measure_pipeline
from fastrestore.bench.sweeps import Outcome, Variant, rows
from fastrestore.config import ConvertOptions, Plan, RateTarget, Target
from fastrestore.errors import UsageError
from fastrestore.geometry import Size

README = Path(__file__).resolve().parents[3] / "docs" / "benchmarks" / "README.md"
TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}


def engine_document() -> dict[str, Any]:
    engine = FakeEngine(FakeClock(), lambda run: 0.02)
    peak = Peak(50.0, 20.0)
    reached, results = measure_engines(
        [EngineCase("double", "fake", Size(16, 8))],
        EngineSettings(1.0, 8),
        lambda: peak,
        open_engine=lambda case, threads: (engine, "fake 1.0"),
        clock=engine.clock,
    )
    return document("engine", {"seconds": 1.0}, [result.as_dict() for result in results], reached)


@pytest.fixture(scope="module", params=list(Encoder))
def converted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> PipelineResult:
    folder = tmp_path_factory.mktemp("clip")
    write_clip(folder / "clip.mp4", Clip(frames=16, size=Size(64, 48), rate=Fraction(8)))
    options = ConvertOptions(to=Target.parse("x2"), fps=RateTarget.parse("12"), sr="lanczos")
    return measure_pipeline(folder / "clip.mp4", options, request.param)


def sweep_document() -> dict[str, Any]:
    ways = [Variant(Plan.GUIDED, "onnxruntime", tile, 0, "ultrafast") for tile in (None, 64)]
    outcomes = [Outcome(ways[0], 2.0, 5, 7, (2.0,), "encode-bound"), Outcome(ways[1], problem="cannot run")]
    return document("sweep", {"job": {"source": "64x48"}}, list(rows(outcomes)), None)


def documented(kind: str) -> dict[str, tuple[str, bool]]:
    """Return what the tables say of a kind of document: type and whether it must be there, by path."""
    sections = re.split(r"^### ", README.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = {}
    for section in sections:
        title = section.splitlines()[0]
        if title == "Every kind" or f"`{kind}`" in title:
            for mark, path, type_name in re.findall(r"^\| (\*?)`([^`]+)`\*? \| (\w+) \|", section, re.MULTILINE):
                found[path] = type_name, not mark
    return found


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, f"{path}[]")
    else:
        yield path, value


def groups(path: str) -> Iterator[str]:
    """Yield a path and everything that it lies in."""
    parts = path.split(".")
    for count in range(1, len(parts) + 1):
        yield ".".join(parts[:count])


def pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.escape(path).replace(r"\*", r"[^.\[]+"))


def assert_documented(found: dict[str, Any]) -> None:
    table = documented(found["kind"])
    assert len(table) > 20
    seen = set()
    for path, value in leaves(json.loads(to_json(found))):
        fitting = [known for known in table if pattern(known).fullmatch(path)]
        if value is None:
            # Of an optional group only the name may be there, holding nothing.
            inside = [known for known in table if any(pattern(group).fullmatch(path) for group in groups(known))]
            assert inside, f"{path} is not documented"
            assert not any(table[known][1] for known in inside), f"{path} is null, documented as always there"
            continue
        if path.startswith("settings."):
            seen.add("settings.*")
            continue
        assert fitting, f"{path} is not documented"
        best = max(fitting, key=lambda known: -known.count("*"))
        seen.update(fitting)
        allowed = {table[best][0]} | ({"integer"} if table[best][0] == "number" else set())
        assert TYPES[type(value)] in allowed, f"{path} is {value!r}, documented as {table[best][0]}"
    missing = {path for path, (_, required) in table.items() if required} - seen
    assert not missing


def test_engines_are_documented() -> None:
    assert_documented(engine_document())


def test_conversions_are_documented(converted: PipelineResult) -> None:
    assert_documented(document("pipeline", {"repeats": 1}, [converted.as_dict()], None))


def test_sweeps_are_documented() -> None:
    assert_documented(sweep_document())


def test_a_conversion_is_measured(converted: PipelineResult) -> None:
    run, facts = converted.run, converted.as_dict()
    assert (run.counts.source, run.counts.output, run.counts.restored) == (16, 24, 16)
    assert run.counts.synthesized == sum(1 for index in range(24) if index * 8 % 12) - 1  # the last one lies at the end
    assert converted.film_s == 2.0
    assert converted.moved_bytes["encoded"] == 24 * 128 * 96 * 3 // 2
    assert converted.moved_bytes["decoded"] == 16 * 64 * 48 * 3 // 2
    expected = {"decode", "motion", "restore", "synthesize"}
    assert set(converted.stages) == expected | ({"encode", "verify"} if converted.encoder is Encoder.REAL else set())
    assert converted.stages["restore"].pieces == 16
    assert converted.stages["restore"].queue is not None
    assert (run.output_bytes > 0) == (converted.encoder is Encoder.REAL)
    assert sum(block.frames for block in converted.blocks) == 24
    assert [block.part for block in converted.blocks] == list(range(12))
    assert facts["real_time_factor"] == pytest.approx(2.0 / run.wall_s)
    assert run.wall_s >= run.start_s + run.finish_s
    assert facts["fps_without"].keys() == converted.stages.keys()  # type: ignore[attr-defined]


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    found = engine_document()
    path = tmp_path / "engine.json"
    path.write_text(to_json(found), encoding="utf-8")
    assert read_document(path) == json.loads(to_json(found))


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"schema": "fastrestore.bench/2", "kind": "engine", "results": []}']
)
def test_what_is_no_document_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError):
        read_document(path)
    with pytest.raises(UsageError, match="cannot be read"):
        read_document(tmp_path / "none.json")


def test_runs_of_one_thing_are_put_together() -> None:
    first, second = engine_document(), engine_document()
    both = appended(first, second)
    assert both["results"][0]["blocks"] == first["results"][0]["blocks"] + second["results"][0]["blocks"]
    with pytest.raises(UsageError, match="software"):
        appended({**first, "software": {"fastrestore": "0.0.1"}}, second)
    with pytest.raises(UsageError, match="the file holds"):
        appended(first, {**second, "results": [{**second["results"][0], "label": "other"}]})
