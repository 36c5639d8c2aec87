"""What a run did: counts, times of each stage, warnings. Plain data, ready for JSON."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, TypeAlias

STAGES = ("decode", "motion", "restore", "synthesize", "encode", "verify", "treat")


class Span(NamedTuple):
    """One piece of work, in seconds of `time.perf_counter`."""

    stage: str
    worker: int
    """The thread that did it."""
    begin: float
    end: float


class Depth(NamedTuple):
    """How much lay before a stage from an instant on."""

    stage: str
    at: float
    depth: int


@dataclass
class Trace:
    """Every piece of work of a run, for whoever measures it."""

    spans: list[Span] = field(default_factory=list)
    depths: list[Depth] = field(default_factory=list)
    workers: dict[str, int] = field(default_factory=dict)
    """Threads of each stage."""


_trace: ContextVar[Trace | None] = ContextVar("fastrestore_trace", default=None)


@contextmanager
def tracing() -> Iterator[Trace]:
    """Keep a trace of the run that is begun inside, by the same thread."""
    trace = Trace()
    token = _trace.set(trace)
    try:
        yield trace
    finally:
        _trace.reset(token)


class StageClock:
    """Busy seconds of each stage. Waiting for another stage is not busy. Safe to use from any thread.

    A stage's time inside another one's, in the same thread, is its own alone.

    Inside `tracing` it also keeps every piece of work, which costs some microseconds each.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._trace = _trace.get()
        self._depth = dict.fromkeys(STAGES, 0)
        self._busy = dict.fromkeys(STAGES, 0.0)
        self._workers = dict.fromkeys(STAGES, 1)
        self._within = threading.local()

    def set_workers(self, stage: str, workers: int) -> None:
        """Say how many threads share a stage."""
        self._workers[stage] = workers
        if self._trace is not None:
            self._trace.workers[stage] = workers

    @property
    def traces(self) -> bool:
        """Whether somebody wants to know of every piece of work."""
        return self._trace is not None

    def queued(self, stage: str, change: int) -> None:
        """Say that so many pieces of work more lie before a stage, or less. Only of use to a trace."""
        if self._trace is not None:
            with self._lock:
                self._depth[stage] += change
                self._trace.depths.append(Depth(stage, time.perf_counter(), self._depth[stage]))

    @contextmanager
    def busy(self, stage: str) -> Iterator[None]:
        """Count the time spent inside as busy."""
        inner = self._inner()
        inner.append(0.0)
        begin = time.perf_counter()
        try:
            yield
        finally:
            end = time.perf_counter()
            own = end - begin - inner.pop()
            if inner:
                inner[-1] += end - begin
            with self._lock:
                self._busy[stage] += own
            if self._trace is not None:
                self._trace.spans.append(Span(stage, threading.get_ident(), end - own, end))

    def _inner(self) -> list[float]:
        """Return the time that other stages took so far inside each stage that this thread is in."""
        within: list[float] | None = getattr(self._within, "inner", None)
        if within is None:
            within = self._within.inner = []
        return within

    def seconds(self) -> dict[str, float]:
        """Return busy seconds per stage; where several threads share a stage, their mean."""
        with self._lock:
            return {stage: self._busy[stage] / self._workers[stage] for stage in STAGES}


@dataclass
class RunReport:
    """One run, from source to finished file."""

    source: str
    output: str
    plan: dict[str, str] = field(default_factory=dict)
    """What was planned, as shown before the run."""
    backend: str = ""
    backend_reason: str = ""
    source_frames: int = 0
    output_frames: int = 0
    restored_frames: int = 0
    """Pictures that were restored, by networks or by plain resampling; those passed through untouched do not count."""
    synthesized_frames: int = 0
    cuts: int = 0
    held_frames: int = 0
    """Repeated source frames that were evened out."""
    segments: int = 0
    resumed_segments: int = 0
    """Segments that an earlier, interrupted run had finished."""
    wall_s: float = 0.0
    busy_s: dict[str, float] = field(default_factory=dict)
    """Busy seconds per stage."""
    output_bytes: int = 0
    copied_tracks: list[str] = field(default_factory=list)
    film: list[dict[str, Any]] = field(default_factory=list)
    """What the stages for old film did, by shot."""
    fields: list[dict[str, Any]] = field(default_factory=list)
    """What was found of fields and repeated frames, and done about them, by shot of the source."""
    warnings: list[str] = field(default_factory=list)

    @property
    def busiest(self) -> str:
        """The stage that was busy longest."""
        return max(self.busy_s, key=lambda stage: self.busy_s[stage]) if self.busy_s else ""

    @property
    def output_fps(self) -> float:
        """Output frames per second of wall time."""
        return self.output_frames / self.wall_s if self.wall_s else 0.0

    def to_json(self) -> str:
        """Return the report as one JSON object."""
        data = {"schema": "fastrestore.report/1", **asdict(self), "busiest": self.busiest}
        return json.dumps(data | {"output_fps": self.output_fps}, indent=2)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is."""

    frames: int
    """Output frames encoded, those of an earlier, interrupted run included."""
    expected: int | None
    """Output frames expected, by the source's header; None if it does not say."""
    elapsed_s: float
    busy_s: dict[str, float]
    """Busy seconds per stage so far."""
    earlier: int = 0
    """Frames of these that an earlier, interrupted run had encoded."""
    phase: str = "convert"
    """`look`: the film is looked over for its stages, and the frames are the source's; `convert`: it is converted."""


OnProgress: TypeAlias = Callable[[Progress], None]


class Looking:
    """Tells how far a film has been looked over.

    Args:
        expected: Frames that it has by its header, or None.
        on_progress: Is told.
    """

    def __init__(self, expected: int | None, on_progress: OnProgress) -> None:
        self._expected, self._on_progress = expected, on_progress
        self._begun = time.perf_counter()

    def saw(self, frames: int) -> None:
        """Tell that so many frames have been seen."""
        self._on_progress(Progress(frames, self._expected, time.perf_counter() - self._begun, {}, phase="look"))
