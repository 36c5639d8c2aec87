"""The work of a pipeline: what is handed to which thread, and what waits for it.

Every unit of work is a future: `the next interval`, `this frame restored`, `the motion of this pair`, `this output
frame`. A stage waits for the futures it needs, so order and errors take care of themselves: the first error surfaces
at the output frame that needed the failed work. Bounds come from how many futures are asked for ahead.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, TypeVar

from fastrestore.config import Plan
from fastrestore.frames import Picture
from fastrestore.runtime.executors import open_executor
from fastrestore.runtime.frame_set import FrameSet
from fastrestore.runtime.motion import PairMotion
from fastrestore.runtime.parts import Stages
from fastrestore.runtime.report import StageClock
from fastrestore.runtime.steps import Anchors, HostParcel, Parcel, Shared
from fastrestore.runtime.timeline import Anchor, Instant, Interval, SegmentStart
from fastrestore.runtime.treatments.retouch import Moment

DECODE_AHEAD = 4
"""Intervals decoded before they are needed."""
INTERVALS_AHEAD = 3
"""Intervals whose frames are being restored and whose motion is being found before they are needed."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a segment of the output begins, and what was done before it."""

    start: SegmentStart
    restored: int
    synthesized: int


@dataclass(frozen=True, slots=True)
class Prepared:
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
class Task:
    """An output frame whose picture is on its way."""

    instant: Instant
    parcel: Shared[Parcel]
    mark: Mark | None


class Tally:
    """What a pipeline counts.

    Args:
        workers: Threads that synthesize.
    """

    def __init__(self, workers: int) -> None:
        self.clock = StageClock()
        self.clock.set_workers("synthesize", workers)
        self.synthesized = 0
        """Output frames that lie between two source frames."""
        self._between: list[int] = []

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


class Work:
    """Hands work to the threads. Everything here runs in the caller's thread, so it needs no lock.

    Args:
        tally: What was done is counted there.
        stages: What does it.
        intervals: Of the timeline.
        stack: Ends the threads.
        workers: Threads that synthesize.
    """

    def __init__(
        self, tally: Tally, stages: Stages, intervals: Iterator[Interval], stack: ExitStack, workers: int
    ) -> None:
        self._tally, self._stages, self._intervals = tally, stages, intervals
        self._steps = stages.steps
        self._decode = open_executor(stack, tally.clock, "decode", 1)
        self._motion = open_executor(stack, tally.clock, "motion", 1)
        self._restore = open_executor(stack, tally.clock, "restore", 1)
        self._synthesize = open_executor(stack, tally.clock, "synthesize", workers)
        self._decoded: deque[Future[Interval | None]] = deque()
        self._prepared: deque[Prepared] = deque()
        alike = None if stages.retouch is None else stages.retouch.alike
        self._restored = Anchors(self._restore_later, self._steps.drop, alike)
        self._taken = Anchors(self._take_later, self._steps.drop)
        self._current: Prepared | None = None
        self._instants: Iterator[Instant] = iter(())
        self._mark: Mark | None = None
        self._ended = False

    def next_frame(self) -> Task | None:
        """Return the next output frame, its picture to come, or None after the last."""
        while True:
            instant = next(self._instants, None)
            if instant is not None:
                assert self._current is not None
                mark, self._mark = self._mark, None
                return Task(instant, self._picture(self._current, instant), mark)
            self._prepare_ahead()
            if not self._prepared:
                return None
            if self._current is not None:
                self._current.close()
            self._current = self._prepared.popleft()
            self._instants = iter(self._current.interval.instants)
            if (start := self._current.interval.start) is not None:
                self._mark = Mark(start, self._current.restored, self._tally.synthesized)

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
        with self._tally.clock.busy("decode"):
            return next(self._intervals, None)

    def close(self) -> None:
        """Be done with every picture that is kept for later."""
        for prepared in (self._current, *self._prepared):
            if prepared is not None:
                prepared.close()
        for anchors in (self._restored, self._taken):
            anchors.close()

    def _prepare(self, interval: Interval) -> Prepared:
        left, right, plan, before = interval.left, interval.right, self._stages.plan, self._restored.made
        for anchors in (self._restored, self._taken):
            anchors.forget_before(left.index)
        if plan is Plan.INTERPOLATE_FIRST:
            return self._prepare_sources(interval, before)
        left_done = self._restored.get(left.index, left.picture)
        if right is None:
            return Prepared(interval, before, left_done, None, None)
        right_done = self._restored.get(right.index, right.picture)
        if right_done is left_done:  # an exact repeat: there is no motion to find
            right_done.done()
            return Prepared(interval, before, left_done, None, None)
        if plan is Plan.GUIDED:
            motion, seen = self._motion_of_sources(left, right)
            return Prepared(interval, before, left_done, right_done, motion, seen)
        motion = self._motion.submit(self._estimate_restored, left_done.use().future, right_done.use().future)
        for shared in (left_done, right_done):
            shared.done_with(motion)
        return Prepared(interval, before, left_done, right_done, motion)

    def _prepare_sources(self, interval: Interval, before: int) -> Prepared:
        """Prepare an interval whose frames are made of source pictures and restored afterwards."""
        left, right = interval.left, interval.right
        alone = any(i.t is None for i in interval.instants)
        left_done = self._restored.get(left.index, left.picture) if alone else None
        motion, seen = (None, ()) if right is None else self._motion_of_sources(left, right)
        return Prepared(interval, before, left_done, None, motion, seen)

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

    def _picture(self, prepared: Prepared, instant: Instant) -> Shared[Parcel]:
        if instant.t is None or prepared.motion is None:
            assert prepared.left is not None
            alone = prepared.left.use()
            sent = self._synthesize.submit(lambda: self._finished(self._steps.send(alone.future.result()), instant))
            alone.done_with(sent)
            return Shared(sent, _close)
        self._tally.count_between(instant.index)
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
        prepared: Prepared,
        instant: Instant,
    ) -> Future[T]:
        assert prepared.motion is not None
        submitted = self._synthesize.submit(work, pair[0].future, pair[1].future, prepared.motion, instant)
        for shared in (*pair, *(seen.use() for seen in prepared.seen)):
            shared.done_with(submitted)
        return submitted

    def _estimate(self, left: Picture, right: Picture) -> PairMotion:
        with self._tally.clock.busy("motion"):
            return self._stages.estimator.pair(left, right)

    def _pair(self, left: Future[Any], right: Future[Any]) -> PairMotion:
        assert self._steps.motion is not None
        return self._steps.motion.pair(left.result(), right.result())

    def _estimate_restored(self, left: Future[Any], right: Future[Any]) -> PairMotion:
        if self._steps.motion is not None:
            return self._pair(left, right)
        return self._estimate(self._steps.look(left.result()), self._steps.look(right.result()))

    def _restore_picture(self, picture: Picture, moment: Moment) -> Any:
        with self._tally.clock.busy("restore"):
            taken = self._steps.take(picture)
            try:
                return self._retouched(self._steps.restore(taken), moment)
            finally:
                self._steps.drop(taken)

    def _restore_taken(self, taken: Future[Any], moment: Moment) -> Any:
        picture = taken.result()
        with self._tally.clock.busy("restore"):
            return self._retouched(self._steps.restore(picture), moment)

    def _retouched(self, picture: Any, moment: Moment) -> Any:
        stages = self._stages
        if stages.retouch is None or stages.faces is None:
            return picture
        return stages.retouch.apply(picture, moment, stages.faces)

    def _between(self, left: Future[Any], right: Future[Any], motion: Future[PairMotion], instant: Instant) -> Any:
        assert instant.t is not None
        pictures, pair = (left.result(), right.result()), motion.result()
        with self._tally.clock.busy("synthesize"):
            return self._steps.between(*pictures, pair, instant.t)

    def _between_sent(
        self, left: Future[Any], right: Future[Any], motion: Future[PairMotion], instant: Instant
    ) -> Parcel:
        return self._sent(self._between(left, right, motion, instant), instant)

    def _restored_sent(self, between: Future[Any], instant: Instant, moment: Moment) -> Parcel:
        made = between.result()
        with self._tally.clock.busy("restore"):
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
            with self._tally.clock.busy("synthesize"):
                finished = finish(picture, instant.index, instant.pts)
        except BaseException:
            parcel.close()
            raise
        if finished is picture:
            return parcel
        parcel.close()
        return HostParcel(finished)


def _close(parcel: Parcel) -> None:
    parcel.close()
