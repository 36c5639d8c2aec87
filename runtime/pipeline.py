"""Restore once, warp the rest: the stages, each in its own threads, joined by futures.

Every unit of work is a future: `the next interval`, `this frame restored`, `the motion of this pair`, `this output
frame`. A stage waits for the futures it needs, so order and errors take care of themselves: the first error surfaces
at the output frame that needed the failed work. Bounds come from how many futures are asked for ahead.

    decode (1 thread) -> interval -> motion (1) ----------+
                            |                             v
                            +------> restore (1) --> synthesize (cores) --> caller (encodes)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

from fastrestore.config import Plan, cpu_count
from fastrestore.frames import Frame, Picture
from fastrestore.kernels.ops import Ops
from fastrestore.runtime.motion import MotionEstimator, PairMotion
from fastrestore.runtime.report import StageClock
from fastrestore.runtime.restorer import Restorer
from fastrestore.runtime.timeline import (
    Anchor,
    Instant,
    Interval,
    Rules,
    SegmentStart,
    Timeline,
    TimelineStats,
)

DECODE_AHEAD = 4
"""Intervals decoded before they are needed."""
INTERVALS_AHEAD = 3
"""Intervals whose frames are being restored and whose motion is being found before they are needed."""
_MOST_WORKERS = 8

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stages:
    """The parts a pipeline is built from."""

    ops: Ops
    restorer: Restorer
    estimator: MotionEstimator
    plan: Plan = Plan.GUIDED


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a segment of the output begins, and what was done before it."""

    start: SegmentStart
    restored: int
    synthesized: int


@dataclass(frozen=True, slots=True)
class _Prepared:
    """An interval whose pictures and motion are on their way."""

    interval: Interval
    restored: int
    """Pictures that were handed out to be restored before it."""
    left: Future[Picture] | None
    right: Future[Picture] | None
    motion: Future[PairMotion] | None


@dataclass(frozen=True, slots=True)
class _Task:
    """An output frame whose picture is on its way."""

    instant: Instant
    picture: Future[Picture]
    mark: Mark | None


class FramePipeline:
    """Turns a timeline into finished frames, in order. Use it once.

    Args:
        stages: The parts.
        frames: The source.
        rate: Output frames a second, or None for the source's own instants.
        rules: See `Timeline`.
        start: See `Timeline`.
    """

    def __init__(
        self,
        stages: Stages,
        frames: Iterable[Frame],
        rate: Fraction | None,
        rules: Rules | None = None,
        start: SegmentStart | None = None,
    ) -> None:
        self._stages = stages
        self._timeline = Timeline(frames, stages.ops, rate, rules, start)
        self._workers = min(cpu_count(), _MOST_WORKERS)
        self.clock = StageClock()
        self.clock.set_workers("synthesize", self._workers)
        self.synthesized = 0
        """Output frames that lie between two source frames."""

    @property
    def stats(self) -> TimelineStats:
        """What the timeline saw so far."""
        return self._timeline.stats

    def __iter__(self) -> Generator[Frame, None, None]:
        """Yield finished frames; see `marked`."""
        with closing(self.marked()) as frames:
            for frame, _ in frames:
                yield frame

    def marked(self) -> Generator[tuple[Frame, Mark | None], None, None]:
        """Yield finished frames, those that begin a segment with its mark; closing it early stops all threads.

        Raises:
            FastRestoreError: Whatever a stage failed with, at the frame that needed it.
        """
        with ExitStack() as stack:
            work = _Work(self, self._stages, iter(self._timeline), stack, self._workers)
            pending: deque[_Task] = deque()
            while True:
                while len(pending) <= 2 * self._workers and (task := work.next_frame()) is not None:
                    pending.append(task)
                if not pending:
                    return
                task = pending.popleft()
                yield Frame(task.picture.result(), task.instant.pts, task.instant.duration), task.mark


class _Work:
    """Hands work to the threads. Everything here runs in the caller's thread, so it needs no lock."""

    def __init__(
        self, owner: FramePipeline, stages: Stages, intervals: Iterator[Interval], stack: ExitStack, workers: int
    ) -> None:
        self._owner, self._stages, self._intervals = owner, stages, intervals
        self._decode = _executor(stack, "decode", 1)
        self._motion = _executor(stack, "motion", 1)
        self._restore = _executor(stack, "restore", 1)
        self._synthesize = _executor(stack, "synthesize", workers)
        self._decoded: deque[Future[Interval | None]] = deque()
        self._prepared: deque[_Prepared] = deque()
        self._restored: dict[int, Future[Picture]] = {}
        self._latest: tuple[Picture | None, Future[Picture] | None] = (None, None)
        self._current: _Prepared | None = None
        self._instants: Iterator[Instant] = iter(())
        self._mark: Mark | None = None
        self._submitted = 0
        self._ended = False

    def next_frame(self) -> _Task | None:
        """Return the next output frame, its picture to come, or None after the last."""
        while True:
            instant = next(self._instants, None)
            if instant is not None:
                assert self._current is not None
                mark, self._mark = self._mark, None
                return _Task(instant, self._picture(self._current, instant), mark)
            self._prepare_ahead()
            if not self._prepared:
                return None
            self._current = self._prepared.popleft()
            self._instants = iter(self._current.interval.instants)
            if (start := self._current.interval.start) is not None:
                self._mark = Mark(start, self._current.restored, self._owner.synthesized)

    def _prepare_ahead(self) -> None:
        while not self._ended and len(self._prepared) < INTERVALS_AHEAD:
            while len(self._decoded) < DECODE_AHEAD:
                self._decoded.append(self._decode.submit(self._pull))
            interval = self._decoded.popleft().result()
            if interval is None:
                self._ended = True
            else:
                self._prepared.append(self._prepare(interval))

    def _pull(self) -> Interval | None:
        with self._owner.clock.busy("decode"):
            return next(self._intervals, None)

    def _prepare(self, interval: Interval) -> _Prepared:
        left, right, plan, before = interval.left, interval.right, self._stages.plan, self._submitted
        for index in [i for i in self._restored if i < left.index]:
            del self._restored[index]
        if plan is Plan.INTERPOLATE_FIRST:
            alone = any(i.t is None for i in interval.instants)
            left_done = self._restored_anchor(left) if alone else None
            motion = None if right is None else self._motion.submit(self._estimate, left.picture, right.picture)
            return _Prepared(interval, before, left_done, None, motion)
        left_done = self._restored_anchor(left)
        if right is None:
            return _Prepared(interval, before, left_done, None, None)
        right_done = self._restored_anchor(right)
        if right_done is left_done:  # an exact repeat: there is no motion to find
            return _Prepared(interval, before, left_done, None, None)
        if plan is Plan.GUIDED:
            motion = self._motion.submit(self._estimate, left.picture, right.picture)
        else:
            motion = self._motion.submit(self._estimate_restored, left_done, right_done)
        return _Prepared(interval, before, left_done, right_done, motion)

    def _restored_anchor(self, anchor: Anchor) -> Future[Picture]:
        """Every source frame is restored at most once, however many output frames need it; exact repeats not at all."""
        if anchor.index in self._restored:
            return self._restored[anchor.index]
        before, done = self._latest
        if before is None or done is None or not before.same_samples(anchor.picture):
            done = self._restore.submit(self._restore_picture, anchor.picture)
            self._submitted += 1
            self._latest = anchor.picture, done
        self._restored[anchor.index] = done
        return done

    def _picture(self, prepared: _Prepared, instant: Instant) -> Future[Picture]:
        if instant.t is None or prepared.motion is None:
            assert prepared.left is not None
            return prepared.left
        self._owner.synthesized += 1
        assert prepared.interval.right is not None
        if self._stages.plan is Plan.INTERPOLATE_FIRST:
            sources = _done(prepared.interval.left.picture), _done(prepared.interval.right.picture)
            between = self._synthesize.submit(self._between, *sources, prepared.motion, instant.t)
            return self._restore.submit(lambda: self._restore_picture(between.result()))
        assert prepared.left is not None and prepared.right is not None
        return self._synthesize.submit(self._between, prepared.left, prepared.right, prepared.motion, instant.t)

    def _estimate(self, left: Picture, right: Picture) -> PairMotion:
        with self._owner.clock.busy("motion"):
            return self._stages.estimator.pair(left, right)

    def _estimate_restored(self, left: Future[Picture], right: Future[Picture]) -> PairMotion:
        return self._estimate(left.result(), right.result())

    def _restore_picture(self, picture: Picture) -> Picture:
        with self._owner.clock.busy("restore"):
            return self._stages.restorer.restore(picture)

    def _between(self, left: Future[Picture], right: Future[Picture], motion: Future[PairMotion], t: float) -> Picture:
        pictures, pair = (left.result(), right.result()), motion.result()
        with self._owner.clock.busy("synthesize"):
            return self._stages.ops.synthesize(*pictures, pair.at(t), t)


def _executor(stack: ExitStack, name: str, workers: int) -> ThreadPoolExecutor:
    executor = ThreadPoolExecutor(workers, thread_name_prefix=f"fastrestore-{name}")
    # On the way out nothing that has not begun is begun, and what has begun is waited for.
    stack.callback(executor.shutdown, wait=True, cancel_futures=True)
    return executor


def _done(value: T) -> Future[T]:
    future: Future[T] = Future()
    future.set_result(value)
    return future
