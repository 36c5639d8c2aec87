"""Sweeps: what is kept and where."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from tests.media_samples import Clip, write_clip

from fastrestore.bench import sweeps
from fastrestore.bench.sweeps import Outcome, Variant, pareto, rows, variants
from fastrestore.config import ConvertOptions, EncodeOptions, Plan, RateTarget, Target
from fastrestore.errors import UsageError
from fastrestore.runtime import tuning
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

    ready: list[int | None] = []

    def measured_or_ready(clip: Path, options: ConvertOptions, tried_way: Variant) -> Outcome:
        if options.end is not None:
            assert options.end == Fraction(1, 5)
            ready.append(tried_way.tile)
            return Outcome(tried_way, others=0.9)
        return measured(clip, options, tried_way)

    monkeypatch.setattr(sweeps, "_measured", measured_or_ready)
    found = sweeps.sweep(Path("x"), ConvertOptions(), [way(1), way(2), way(3)], repeats=3)
    assert ready == [1, 2, 3]
    assert tried == [1, 2, 3, 1, 3, 1, 3]
    assert (found[0].fps, found[0].runs_fps, found[0].memory_bytes) == (4.0, (1.0, 4.0, 6.0), 60)
    assert found[1].problem == "it cannot"
    with pytest.raises(UsageError, match="none of the 1 ways can run here: it cannot"):
        sweeps.sweep(Path("x"), ConvertOptions(), [way(2)])


def test_the_first_frames_are_no_more_than_the_film() -> None:
    options = ConvertOptions(start=Fraction(3), end=Fraction(4))
    assert sweeps._first_frames(options).end == Fraction(16, 5)
    assert sweeps._first_frames(replace(options, end=Fraction(31, 10))).end == Fraction(31, 10)


def test_a_sweep_beside_other_work_is_known_as_such() -> None:
    quiet, busy, broken = Outcome(way(1), others=0.02), Outcome(way(2), others=0.4), Outcome(way(3), problem="no")
    assert sweeps.disturbed([quiet, broken]) is None
    assert sweeps.disturbed([Outcome(way(1))]) is None, "the system does not say"
    assert sweeps.disturbed([quiet, busy, broken]) == pytest.approx(0.21)


def test_a_way_that_cannot_run_comes_back_from_its_process_with_the_reason(tmp_path: Path) -> None:
    clip = tmp_path / "text.mp4"
    clip.write_text("no film", encoding="utf-8")
    outcome = sweeps._measured(clip, ConvertOptions(), way(64))
    assert "text.mp4" in outcome.problem
    assert outcome.variant == way(64)


def test_a_batch_and_streams_are_told_apart_and_applied() -> None:
    ways = variants([Plan.GUIDED], ["tensorrt"], [None], [0], [None], [None, 4], [None, 2])
    assert [each.label.removeprefix("guided tensorrt tile auto ") for each in ways] == [
        "threads 0 default preset",
        "streams 2 threads 0 default preset",
        "batch 4 threads 0 default preset",
        "batch 4 streams 2 threads 0 default preset",
    ]
    options = ways[-1].applied(ConvertOptions())
    assert (options.batch, options.streams) == (4, 2)
    row = Outcome(ways[-1]).as_dict(kept=True)
    assert (row["batch"], row["streams"]) == (4, 2)


@pytest.mark.parametrize(
    ("batch", "streams", "problem"),
    [
        (2, None, "`onnxruntime` takes one tile after the other, in the host's memory: no batch, no streams"),
        (None, 2, "no streams"),
        (None, 4, "4 streams: a card takes 3 at most"),
    ],
)
def test_a_batch_without_a_card_is_a_problem_of_that_way(
    tmp_path: Path, batch: int | None, streams: int | None, problem: str
) -> None:
    clip = write_clip(tmp_path / "clip.mkv", Clip(2))
    options = ConvertOptions(Target.parse("x2"), RateTarget(), backend="onnxruntime", batch=batch, streams=streams)
    assert problem in sweeps._off_card(clip, options)


def test_the_result_is_kept_by_machine_software_and_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    job, other = {"source": "64x48"}, {"source": "640x480"}
    sweeps.keep([Outcome(way(1), 1, 1, 1), Outcome(way(2), 2, 2, 1), Outcome(way(3), 1, 2, 1)], job)
    kept = tuning.kept_choices()
    found = kept.get(tuning.KIND, tuning.facts(job))
    assert found is not None
    assert [row["tile"] for row in found["ways"]] == [2, 1]
    assert kept.get(tuning.KIND, tuning.facts(other)) is None
    sweeps.keep([Outcome(way(4), 1, 1, 1)], job)
    found = kept.get(tuning.KIND, tuning.facts(job))
    assert found is not None
    assert [row["tile"] for row in found["ways"]] == [4]
