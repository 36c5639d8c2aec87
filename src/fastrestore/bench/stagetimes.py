"""What a trace says of the stages: how long they worked and waited, what lay before them, what one of them costs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

import numpy as np

from fastrestore.bench.distribution import Distribution
from fastrestore.runtime.report import STAGES, Depth, Span, Trace

MODEL = (
    "wall time without a stage = the larger of (1) the longest remaining stage's busy time per thread and (2) the "
    "remaining processor time over the cores that other programs left, where a stage's processor time is its share of "
    "all busy time; busy times were measured while all stages competed for the cores, so (1) is too long rather than "
    "too short: at least this"
)
"""How `fps_without` reckons, in words for the reader of a result."""
_MOST_SPANS = 800
"""More cannot be told apart in a plot."""


@dataclass(frozen=True, slots=True)
class Queue:
    """How much lay before a stage, weighted by how long it lay there. What is being worked on counts."""

    mean: float
    p95: float
    max: int


@dataclass(frozen=True, slots=True)
class StageTimes:
    """One stage of a run."""

    workers: int
    pieces: int
    busy_s: float
    """Mean of its threads."""
    share: float
    """Of the run's time in which a thread of it was busy, mean of its threads."""
    busy_ms: Distribution
    """Of a piece of work."""
    wait_ms: Distribution | None
    """Between two pieces of work of one thread: for pictures, for others' results or for being asked. None if there
    never was a second piece."""
    queue: Queue | None
    """None where nothing queues: what is written is verified one segment at a time."""

    def as_dict(self) -> dict[str, object]:
        """Return it as plain data."""
        return asdict(self)


def stage_times(trace: Trace, wall_s: float) -> dict[str, StageTimes]:
    """Return every stage that did anything, in the order in which a picture passes them."""
    spans: dict[str, dict[int, list[Span]]] = defaultdict(lambda: defaultdict(list))
    for span in trace.spans:
        spans[span.stage][span.worker].append(span)
    return {stage: _stage(stage, trace, list(spans[stage].values()), wall_s) for stage in STAGES if stage in spans}


def _stage(stage: str, trace: Trace, lanes: Sequence[list[Span]], wall_s: float) -> StageTimes:
    busy = [(span.end - span.begin) * 1e3 for lane in lanes for span in lane]
    waits = []
    for lane in lanes:
        ordered = sorted(lane, key=lambda span: span.begin)
        waits += [max(0.0, after.begin - before.end) * 1e3 for before, after in pairwise(ordered)]
    workers = max(trace.workers.get(stage, 1), 1)
    busy_s = sum(busy) / 1e3 / workers
    return StageTimes(
        workers,
        len(busy),
        busy_s,
        busy_s / wall_s,
        Distribution.of(busy),
        Distribution.of(waits) if waits else None,
        _queue([depth for depth in trace.depths if depth.stage == stage]),
    )


def _queue(depths: Sequence[Depth]) -> Queue | None:
    if len(depths) < 2:
        return None
    ordered = sorted(depths, key=lambda depth: depth.at)
    lasted = np.diff([depth.at for depth in ordered])
    values = np.maximum([depth.depth for depth in ordered[:-1]], 0)
    total = float(lasted.sum())
    if total <= 0:
        return None
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(lasted[order]) / total
    p95 = values[order][min(int(np.searchsorted(reached, 0.95)), len(values) - 1)]
    return Queue(float((values * lasted).sum() / total), float(p95), int(values.max()))


def fps_without(stages: Mapping[str, StageTimes], frames: int, cpu_s: float, cores: float) -> dict[str, float]:
    """Return what the run would reach without each stage, in output frames a second, by `MODEL`.

    Args:
        stages: Of the run.
        frames: Output frames.
        cpu_s: Processor time of the run, all threads together.
        cores: Cores it had, less what other programs took of them.
    """
    total = sum(times.busy_s * times.workers for times in stages.values())
    found = {}
    for left_out, times in stages.items():
        longest = max((other.busy_s for name, other in stages.items() if name != left_out), default=0.0)
        remaining = cpu_s * (1 - times.busy_s * times.workers / total) / cores
        found[left_out] = frames / max(longest, remaining, 1e-9)
    return found


def gantt(trace: Trace, begin: float, end: float) -> list[dict[str, object]]:
    """Return the pieces of work between two instants, in milliseconds after the first, each with its lane."""
    lanes: dict[tuple[str, int], int] = {}
    counts: dict[str, int] = defaultdict(int)
    drawn: list[dict[str, object]] = []
    for span in sorted(trace.spans, key=lambda span: span.begin):
        if span.end <= begin or span.begin >= end:
            continue
        key = span.stage, span.worker
        if key not in lanes:
            lanes[key] = counts[span.stage]
            counts[span.stage] += 1
        first, last = max(span.begin, begin), min(span.end, end)
        drawn.append(
            {
                "stage": span.stage,
                "lane": lanes[key],
                "begin_ms": round((first - begin) * 1e3, 3),
                "end_ms": round((last - begin) * 1e3, 3),
            }
        )
    return drawn[:_MOST_SPANS]
