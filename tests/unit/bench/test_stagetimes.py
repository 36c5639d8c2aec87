"""What is read out of a trace: against times that are known."""

from __future__ import annotations

import pytest

from fastrestore.bench.advice import Use, verdict
from fastrestore.bench.stagetimes import fps_without, gantt, stage_times
from fastrestore.config import ConvertOptions, EncodeOptions, Plan
from fastrestore.runtime.report import Depth, Span, StageClock, Trace, tracing


def trace() -> Trace:
    """Ten seconds: one thread restores for 8 s with two pauses, two synthesise, the caller encodes for 9 s."""
    spans = [Span("restore", 1, 0.0, 4.0), Span("restore", 1, 5.0, 8.0), Span("restore", 1, 8.5, 9.5)]
    spans += [Span("synthesize", 2, 1.0, 2.0), Span("synthesize", 3, 1.0, 4.0), Span("encode", 4, 1.0, 10.0)]
    depths = [Depth("restore", at, depth) for at, depth in ((0.0, 1), (2.0, 4), (3.0, 1), (10.0, 0))]
    return Trace(spans, depths, {"synthesize": 2})


def test_busy_wait_and_queue() -> None:
    stages = stage_times(trace(), 10.0)
    assert list(stages) == ["restore", "synthesize", "encode"]
    restore, synthesize = stages["restore"], stages["synthesize"]
    assert (restore.busy_s, restore.share, restore.pieces) == (8.0, 0.8, 3)
    assert restore.wait_ms is not None
    assert (restore.wait_ms.min, restore.wait_ms.max) == (500, 1000)
    assert restore.queue is not None
    assert restore.queue.mean == pytest.approx((2 * 1 + 1 * 4 + 7 * 1) / 10)
    assert (restore.queue.p95, restore.queue.max) == (4, 4)
    assert (synthesize.workers, synthesize.busy_s, synthesize.share) == (2, 2.0, 0.2)
    assert synthesize.wait_ms is None
    assert stages["encode"].queue is None


def test_what_a_run_would_reach_without_a_stage() -> None:
    """Busy: 8 + 4 + 9 = 21 s. 18 s of processor time on 2 cores."""
    found = fps_without(stage_times(trace(), 10.0), frames=90, cpu_s=18.0, cores=2)
    assert found["encode"] == pytest.approx(90 / 8)  # restoring alone takes 8 s
    assert found["restore"] == pytest.approx(90 / 9)  # encoding alone takes 9 s
    crowded = fps_without(stage_times(trace(), 10.0), frames=90, cpu_s=42.0, cores=2)
    assert crowded["encode"] == pytest.approx(90 / (42 * 12 / 21 / 2))


def test_a_second_of_film_is_drawn_from_what_lies_in_it() -> None:
    spans = gantt(trace(), 3.5, 8.6)
    restore = [span for span in spans if span["stage"] == "restore"]
    assert [(span["begin_ms"], span["end_ms"]) for span in restore] == [(0, 500), (1500, 4500), (5000, 5100)]
    assert {span["lane"] for span in restore} == {0}
    assert {span["stage"] for span in spans} == {"restore", "synthesize", "encode"}
    both = gantt(trace(), 0, 10)
    assert {span["lane"] for span in both if span["stage"] == "synthesize"} == {0, 1}


@pytest.mark.parametrize(
    ("cpu_s", "options", "words"),
    [
        (10, ConvertOptions(), ("encode-bound", "x264 veryfast takes 90%", "--preset ultrafast")),
        (19, ConvertOptions(), ("encode-bound", "with all 2 cores at 95%")),
        (10, ConvertOptions(encode=EncodeOptions(preset="ultrafast")), ("x264 ultrafast", "smaller `--to`")),
        (10, ConvertOptions(encode=EncodeOptions("ffv1")), ("ffv1 takes", "--codec x264")),
    ],
)
def test_the_verdict_names_the_encoder_that_sets_the_pace(
    cpu_s: float, options: ConvertOptions, words: tuple[str, ...]
) -> None:
    told = verdict(stage_times(trace(), 10.0), Use(10.0, cpu_s, 2), 90, options)
    assert all(word in told for word in words), told
    assert "without it about 11." in told


def test_the_verdict_where_no_stage_sets_the_pace() -> None:
    spans = [Span("restore", 1, 0.0, 6.0), Span("encode", 2, 0.0, 5.0)]
    stages = stage_times(Trace(spans), 10.0)
    options = ConvertOptions(plan=Plan.INTERPOLATE_FIRST)
    assert verdict(stages, Use(10.0, 18.0, 2), 90, options).startswith("core-bound: 2 cores are 90% busy")
    assert "--plan guided" in verdict(stages, Use(10.0, 18.0, 2), 90, options)
    assert verdict(stages, Use(10.0, 5.0, 2), 90, options).startswith("bound by waiting")
    assert verdict({}, Use(10.0, 5.0, 2), 90, options) == "nothing was done"


def test_what_other_programs_took_is_told_and_reckoned_with() -> None:
    use = Use(10.0, 5.0, 2, others=0.7)
    assert use.cores_left == pytest.approx(0.6)
    told = verdict(stage_times(trace(), 10.0), use, 90, ConvertOptions())
    assert "other programs took 70% of the cores" in told
    assert Use(10.0, 15.0, 2, others=0.9).cores_left == 1.5
    spans = [Span("restore", 1, 0.0, 6.0), Span("encode", 2, 0.0, 5.0)]
    assert verdict(stage_times(Trace(spans), 10.0), use, 90, ConvertOptions()).startswith("core-bound")


def test_a_clock_keeps_a_trace_only_where_somebody_asks() -> None:
    plain = StageClock()
    with tracing() as kept:
        traced = StageClock()
    assert not plain.traces
    assert traced.traces
    assert not StageClock().traces
    for clock in (plain, traced):
        clock.set_workers("restore", 3)
        clock.queued("restore", 2)
        clock.queued("restore", -1)
        with clock.busy("restore"):
            pass
    assert [depth.depth for depth in kept.depths] == [2, 1]
    assert kept.workers == {"restore": 3}
    (span,) = kept.spans
    assert traced.seconds()["restore"] == pytest.approx((span.end - span.begin) / 3)
