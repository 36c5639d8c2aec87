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
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, wait
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, TypeAlias, TypeVar

from fastrestore.config import Plan, cpu_count
from fastrestore.errors import DeviceError
from fastrestore.frames import Frame, Picture
from fastrestore.kernels.ops import Ops
from fastrestore.runtime.engine import Engine
from fastrestore.runtime.executors import open_executor
from fastrestore.runtime.frame_set import FrameSet
from fastrestore.runtime.handed import Finished, frame_of
from fastrestore.runtime.media.card_reading import CardReading
from fastrestore.runtime.motion import MotionEstimator, PairMotion
from fastrestore.runtime.report import StageClock
from fastrestore.runtime.restorer import Restorer
from fastrestore.runtime.steps import Anchors, HostParcel, HostSteps, Parcel, Shared, Steps
from fastrestore.runtime.timeline import (
    Anchor,
    Instant,
    Interval,
    Rules,
    SegmentStart,
    Timeline,
    TimelineStats,
)
from fastrestore.runtime.treatments.retouch import Moment, Retouch

DECODE_AHEAD = 4
"""Intervals decoded before they are needed."""
INTERVALS_AHEAD = 3
"""Intervals whose frames are being restored and whose motion is being found before they are needed."""
_MOST_WORKERS = 8

Finisher: TypeAlias = Callable[[Picture, int, Fraction], Picture]
"""Returns a picture of the output finished, by its number and its seconds; called from several threads at once."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stages:
    """The parts a pipeline is built from."""

    ops: Ops
    restorer: Restorer
    """Restores pictures in the host's memory; not used where `on_device` is given."""
    estimator: MotionEstimator
    plan: Plan = Plan.GUIDED
    on_device: Steps[Any] | None = None
    """What is done to pictures where that is not in the host's memory."""
    finish: Finisher | None = None
    """What is done to finished pictures before they are encoded."""
    faces: Engine | None = None
    """Rebuilds faces, where that is asked for."""
    retouch: Retouch | None = None
    """What is done, with `faces`, to restored pictures; only where they are in the host's memory."""

    card: CardReading | None = None
    """How the source is read where its pictures stay on a card from the decoder on."""

    @property
    def steps(self) -> Steps[Any]:
        """What is done to pictures."""
        return self.on_device or HostSteps(self.ops, self.restorer)


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
    left: Shared[Any] | None
    right: Shared[Any] | None
    motion: Future[PairMotion] | None
    seen: tuple[Shared[Any], ...] = ()
    """Source pictures that the motion is found on, where that is done where they are."""

    def close(self) -> None:
        """Be done with its pictures."""
        for shared in (self.left, self.right, *self.seen):
            if shared is not None:
                shared.done()


@dataclass(frozen=True, slots=True)
class _Task:
    """An output frame whose picture is on its way."""

    instant: Instant
    parcel: Shared[Parcel]
    mark: Mark | None


class FramePipeline:
    """Turns a timeline into finished frames, in order. Use it once.

    Args:
        stages: The parts.
        frames: The source.
        rate: Output frames a second, or None for the source's own instants.
        rules: See `Timeline`.
        start: See `Timeline`.
        one_segment: See `Timeline`.
    """

    def __init__(
        self,
        stages: Stages,
        frames: Iterable[Frame],
        rate: Fraction | None,
        rules: Rules | None = None,
        start: SegmentStart | None = None,
        *,
        one_segment: bool = False,
    ) -> None:
        self._stages, self._steps = stages, stages.steps
        comparer = stages.ops if stages.card is None else stages.card.comparer
        self._timeline = Timeline(frames, comparer, rate, rules, start, one_segment=one_segment)
        self._workers = most_workers()
        self.clock = StageClock()
        self.clock.set_workers("synthesize", self._workers)
        self.synthesized = 0
        """Output frames that lie between two source frames."""
        self._between: list[int] = []

    @property
    def stats(self) -> TimelineStats:
        """What the timeline saw so far."""
        return self._timeline.stats

    def count_between(self, index: int) -> None:
        """Note that an output frame lies between two source frames."""
        self.synthesized += 1
        self._between.append(index)

    def take_between(self, begin: int, end: int | None = None) -> FrameSet:
        """Return which output frames from number `begin` up to `end` lie between two source frames, and forget them."""
        taken = [index for index in self._between if end is None or index < end]
        self._between = self._between[len(taken) :]
        inside = set(taken)
        return FrameSet.from_flags(
            (index in inside for index in range(begin, taken[-1] + 1 if taken else begin)), begin
        )

    def __iter__(self) -> Generator[Frame, None, None]:
        """Yield finished frames, which are the caller's; see `marked`.

        Raises:
            DeviceError: If they stay on the card.
        """
        with closing(self.marked()) as frames:
            for frame, _ in frames:
                if not isinstance(frame, Frame):
                    raise DeviceError("finished frames stay on the card", "this is a fault of the program")
                yield replace(frame, picture=_copy(frame.picture)) if self._steps.lends else frame

    def marked(self) -> Generator[tuple[Finished, Mark | None], None, None]:
        """Yield finished frames, those that begin a segment with its mark; closing it early stops all threads.

        A frame's picture may be lent: it is valid until the next frame is asked for.

        Raises:
            FastRestoreError: Whatever a stage failed with, at the frame that needed it.
        """
        most = frames_ahead(self._workers, self._steps.frames_ahead)
        with ExitStack() as stack:
            work = _Work(self, self._stages, iter(self._timeline), stack, self._workers)
            # Before the threads are waited for: they may be waiting for what this gives back.
            stack.callback(work.close)
            pending: deque[_Task] = deque()
            stack.callback(_forsake, pending)
            while True:
                while len(pending) < most and (task := work.next_frame()) is not None:
                    pending.append(task)
                    if self.clock.traces:
                        task.parcel.future.add_done_callback(lambda _: self.clock.queued("encode", 1))
                if not pending:
                    return
                task = pending.popleft()
                if self._steps.lends and pending:  # what comes next is on its way before this is waited for
                    wait([pending[0].parcel.future])
                try:
                    picture = task.parcel.future.result().picture()
                    self.clock.queued("encode", -1)
                    yield frame_of(picture, task.instant.pts, task.instant.duration), task.mark
                finally:
                    task.parcel.done()


class _Work:
    """Hands work to the threads. Everything here runs in the caller's thread, so it needs no lock."""

    def __init__(
        self, owner: FramePipeline, stages: Stages, intervals: Iterator[Interval], stack: ExitStack, workers: int
    ) -> None:
        self._owner, self._stages, self._intervals = owner, stages, intervals
        self._steps = stages.steps
        self._decode = open_executor(stack, owner.clock, "decode", 1)
        self._motion = open_executor(stack, owner.clock, "motion", 1)
        self._restore = open_executor(stack, owner.clock, "restore", 1)
        self._synthesize = open_executor(stack, owner.clock, "synthesize", workers)
        self._decoded: deque[Future[Interval | None]] = deque()
        self._prepared: deque[_Prepared] = deque()
        alike = None if stages.retouch is None else stages.retouch.alike
        self._restored = Anchors(self._restore_later, self._steps.drop, alike)
        self._taken = Anchors(self._take_later, self._steps.drop)
        self._current: _Prepared | None = None
        self._instants: Iterator[Instant] = iter(())
        self._mark: Mark | None = None
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
            if self._current is not None:
                self._current.close()
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

    def close(self) -> None:
        """Be done with every picture that is kept for later."""
        for prepared in (self._current, *self._prepared):
            if prepared is not None:
                prepared.close()
        for anchors in (self._restored, self._taken):
            anchors.close()

    def _prepare(self, interval: Interval) -> _Prepared:
        left, right, plan, before = interval.left, interval.right, self._stages.plan, self._restored.made
        for anchors in (self._restored, self._taken):
            anchors.forget_before(left.index)
        if plan is Plan.INTERPOLATE_FIRST:
            return self._prepare_sources(interval, before)
        left_done = self._restored.get(left.index, left.picture)
        if right is None:
            return _Prepared(interval, before, left_done, None, None)
        right_done = self._restored.get(right.index, right.picture)
        if right_done is left_done:  # an exact repeat: there is no motion to find
            right_done.done()
            return _Prepared(interval, before, left_done, None, None)
        if plan is Plan.GUIDED:
            motion, seen = self._motion_of_sources(left, right)
            return _Prepared(interval, before, left_done, right_done, motion, seen)
        motion = self._motion.submit(self._estimate_restored, left_done.use().future, right_done.use().future)
        for shared in (left_done, right_done):
            shared.done_with(motion)
        return _Prepared(interval, before, left_done, right_done, motion)

    def _prepare_sources(self, interval: Interval, before: int) -> _Prepared:
        """Prepare an interval whose frames are made of source pictures and restored afterwards."""
        left, right = interval.left, interval.right
        alone = any(i.t is None for i in interval.instants)
        left_done = self._restored.get(left.index, left.picture) if alone else None
        motion, seen = (None, ()) if right is None else self._motion_of_sources(left, right)
        return _Prepared(interval, before, left_done, None, motion, seen)

    def _motion_of_sources(self, left: Anchor, right: Anchor) -> tuple[Future[PairMotion], tuple[Shared[Any], ...]]:
        """Have the motion between two source frames found, and return the taken pictures that it is asked of."""
        if self._steps.motion is None:
            return self._motion.submit(self._estimate, left.picture, right.picture), ()
        seen = self._taken.get(left.index, left.picture), self._taken.get(right.index, right.picture)
        return self._motion.submit(self._pair, seen[0].future, seen[1].future), seen

    def _restore_later(self, index: int, picture: Picture) -> Future[Any]:
        if self._steps.motion is None or self._stages.plan is not Plan.GUIDED:
            return self._restore.submit(self._restore_picture, picture, Moment.of(index))
        taken = self._taken.get(index, picture)  # once, for its motion and to be restored
        restored = self._restore.submit(self._restore_taken, taken.future, Moment.of(index))
        taken.done_with(restored)
        return restored

    def _take_later(self, _: int, picture: Picture) -> Future[Any]:
        return self._motion.submit(self._steps.take, picture)

    def _picture(self, prepared: _Prepared, instant: Instant) -> Shared[Parcel]:
        if instant.t is None or prepared.motion is None:
            assert prepared.left is not None
            alone = prepared.left.use()
            sent = self._synthesize.submit(lambda: self._finished(self._steps.send(alone.future.result()), instant))
            alone.done_with(sent)
            return Shared(sent, _close)
        self._owner.count_between(instant.index)
        right = prepared.interval.right
        assert right is not None
        if self._stages.plan is Plan.INTERPOLATE_FIRST:
            left = prepared.interval.left
            sources = self._taken.get(left.index, left.picture), self._taken.get(right.index, right.picture)
            made: Shared[Any] = Shared(self._submit(self._between, sources, prepared, instant), self._steps.drop)
            moment = Moment(left.index, right.index, float(instant.t))
            sent = self._restore.submit(self._restored_sent, made.future, instant, moment)
            made.done_with(sent)
            return Shared(sent, _close)
        assert prepared.left is not None and prepared.right is not None
        pair = prepared.left.use(), prepared.right.use()
        return Shared(self._submit(self._between_sent, pair, prepared, instant), _close)

    def _submit(
        self,
        work: Callable[[Future[Any], Future[Any], Future[PairMotion], Instant], T],
        pair: tuple[Shared[Any], Shared[Any]],
        prepared: _Prepared,
        instant: Instant,
    ) -> Future[T]:
        assert prepared.motion is not None
        submitted = self._synthesize.submit(work, pair[0].future, pair[1].future, prepared.motion, instant)
        for shared in (*pair, *(seen.use() for seen in prepared.seen)):
            shared.done_with(submitted)
        return submitted

    def _estimate(self, left: Picture, right: Picture) -> PairMotion:
        with self._owner.clock.busy("motion"):
            return self._stages.estimator.pair(left, right)

    def _pair(self, left: Future[Any], right: Future[Any]) -> PairMotion:
        assert self._steps.motion is not None
        return self._steps.motion.pair(left.result(), right.result())

    def _estimate_restored(self, left: Future[Any], right: Future[Any]) -> PairMotion:
        if self._steps.motion is not None:
            return self._pair(left, right)
        return self._estimate(self._steps.look(left.result()), self._steps.look(right.result()))

    def _restore_picture(self, picture: Picture, moment: Moment) -> Any:
        with self._owner.clock.busy("restore"):
            taken = self._steps.take(picture)
            try:
                return self._retouched(self._steps.restore(taken), moment)
            finally:
                self._steps.drop(taken)

    def _restore_taken(self, taken: Future[Any], moment: Moment) -> Any:
        picture = taken.result()
        with self._owner.clock.busy("restore"):
            return self._retouched(self._steps.restore(picture), moment)

    def _retouched(self, picture: Any, moment: Moment) -> Any:
        stages = self._stages
        if stages.retouch is None or stages.faces is None:
            return picture
        return stages.retouch.apply(picture, moment, stages.faces)

    def _between(self, left: Future[Any], right: Future[Any], motion: Future[PairMotion], instant: Instant) -> Any:
        assert instant.t is not None
        pictures, pair = (left.result(), right.result()), motion.result()
        with self._owner.clock.busy("synthesize"):
            return self._steps.between(*pictures, pair, instant.t)

    def _between_sent(
        self, left: Future[Any], right: Future[Any], motion: Future[PairMotion], instant: Instant
    ) -> Parcel:
        return self._sent(self._between(left, right, motion, instant), instant)

    def _restored_sent(self, between: Future[Any], instant: Instant, moment: Moment) -> Parcel:
        made = between.result()
        with self._owner.clock.busy("restore"):
            restored = self._retouched(self._steps.restore(made), moment)
        return self._sent(restored, instant)

    def _sent(self, picture: Any, instant: Instant) -> Parcel:
        try:
            parcel = self._steps.send(picture)
        finally:
            self._steps.drop(picture)
        return self._finished(parcel, instant)

    def _finished(self, parcel: Parcel, instant: Instant) -> Parcel:
        finish = self._stages.finish
        if finish is None:
            return parcel
        try:
            picture = parcel.picture()
            assert isinstance(picture, Picture), "what is finished on the host is not handed over on the card"
            with self._owner.clock.busy("synthesize"):
                finished = finish(picture, instant.index, instant.pts)
        except BaseException:
            parcel.close()
            raise
        if finished is picture:
            return parcel
        parcel.close()
        return HostParcel(finished)


def most_workers() -> int:
    """Return how many threads synthesize."""
    return min(cpu_count(), _MOST_WORKERS)


def frames_ahead(workers: int, bound: int | None) -> int:
    """Return how many output frames are on their way at most.

    Args:
        workers: Threads that synthesize.
        bound: What the steps allow, or None.
    """
    most = 2 * workers + 1
    return most if bound is None else min(most, bound)


def _copy(picture: Picture) -> Picture:
    return replace(picture, planes=tuple(plane.copy() for plane in picture.planes))


def _close(parcel: Parcel) -> None:
    parcel.close()


def _forsake(tasks: Iterable[_Task]) -> None:
    for task in tasks:
        task.parcel.done()
