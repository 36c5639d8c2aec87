"""Sweeps: what is kept and where."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastrestore.bench import sweeps
from fastrestore.bench.sweeps import Outcome, Variant, pareto, rows, variants
from fastrestore.config import ConvertOptions, EncodeOptions, Plan
from fastrestore.errors import UsageError
from fastrestore.runtime.cache.folder import FOLDER_VARIABLE


def way(number: int) -> Variant:
    return Variant(Plan.GUIDED, "onnxruntime", number, 0, None)


def test_what_another_beats_in_everything_is_not_kept() -> None:
    fast, small, beaten = Outcome(way(1), 10, 500, 90), Outcome(way(2), 5, 100, 90), Outcome(way(3), 5, 500, 95)
    equal, broken = Outcome(way(4), 10, 500, 90), Outcome(way(5), problem="no")
    assert pareto([small, beaten, broken, fast, equal]) == [fast, equal, small]
    told = list(rows([small, beaten, broken, fast]))
    assert [(row["tile"], row["kept"]) for row in told] == [(1, True), (2, True), (3, False), (5, False)]


def test_every_combination_is_tried_and_applied() -> None:
    ways = variants(list(Plan), ["a", "b"], [None, 128], [0], ["ultrafast"])
    assert len(set(ways)) == len(ways) == 12
    options = ways[-1].applied(ConvertOptions(encode=EncodeOptions("x265", 20)))
    assert (options.plan, options.backend, options.tile) == (Plan.INTERPOLATE_FIRST, "b", 128)
    assert options.encode == EncodeOptions("x265", 20, "ultrafast")


def test_ways_take_turns_and_those_that_fail_are_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def measured(clip: Path, options: ConvertOptions, tried_way: Variant) -> Outcome:
        tried.append(tried_way.tile)
        if tried_way.tile == 2:
            return Outcome(tried_way, problem="it cannot")
        speed = float(len(tried))
        return Outcome(tried_way, speed, 10 * len(tried), 1, (speed,))

    monkeypatch.setattr(sweeps, "_measured", measured)
    found = sweeps.sweep(Path("x"), ConvertOptions(), [way(1), way(2), way(3)], repeats=3)
    assert tried == [1, 2, 3, 1, 3, 1, 3]
    assert (found[0].fps, found[0].runs_fps, found[0].memory_bytes) == (4.0, (1.0, 4.0, 6.0), 60)
    assert found[1].problem == "it cannot"
    with pytest.raises(UsageError, match="none of the 1 ways can run here: it cannot"):
        sweeps.sweep(Path("x"), ConvertOptions(), [way(2)])


def test_a_way_that_cannot_run_comes_back_from_its_process_with_the_reason(tmp_path: Path) -> None:
    clip = tmp_path / "text.mp4"
    clip.write_text("no film", encoding="utf-8")
    outcome = sweeps._measured(clip, ConvertOptions(), way(64))
    assert "text.mp4" in outcome.problem
    assert outcome.variant == way(64)


def test_the_result_is_kept_by_machine_software_and_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    job, other = {"source": "64x48"}, {"source": "640x480"}
    sweeps.keep([Outcome(way(1), 1, 1, 1), Outcome(way(2), 2, 2, 1), Outcome(way(3), 1, 2, 1)], job)
    kept = sweeps.kept_choices()
    found = kept.get(sweeps.KIND, sweeps.facts(job))
    assert found is not None
    assert [row["tile"] for row in found["ways"]] == [2, 1]
    assert kept.get(sweeps.KIND, sweeps.facts(other)) is None
    sweeps.keep([Outcome(way(4), 1, 1, 1)], job)
    found = kept.get(sweeps.KIND, sweeps.facts(job))
    assert found is not None
    assert [row["tile"] for row in found["ways"]] == [4]
