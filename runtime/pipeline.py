"""Restore once, warp the rest: the stages, each in its own threads, joined by futures.

What is handed to which thread is in `work`.

    decode (1 thread) -> interval -> motion (1) ----------+
                            |                             v
                            +------> restore (1) --> synthesize (cores) --> caller (encodes)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import wait
from contextlib import ExitStack, closing
from dataclasses import replace
from fractions import Fraction

from fastrestore.config import cpu_count
from fastrestore.errors import DeviceError
from fastrestore.frames import Frame, Picture
from fastrestore.runtime.frame_set import FrameSet
from fastrestore.runtime.handed import Finished, frame_of
from fastrestore.runtime.parts import Stages
from fastrestore.runtime.report import StageClock
from fastrestore.runtime.timeline import Rules, SegmentStart, Timeline, TimelineStats
from fastrestore.runtime.work import Mark, Tally, Task, Work

_MOST_WORKERS = 8


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
        self._tally = Tally(self._workers)

    @property
    def clock(self) -> StageClock:
        """What the stages took."""
        return self._tally.clock

    @property
    def synthesized(self) -> int:
        """Output frames so far that lie between two source frames."""
        return self._tally.synthesized

    @property
    def stats(self) -> TimelineStats:
        """What the timeline saw so far."""
        return self._timeline.stats

    def take_between(self, begin: int, end: int | None = None) -> FrameSet:
        """See `Tally.take_between`."""
        return self._tally.take_between(begin, end)

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
            work = Work(self._tally, self._stages, iter(self._timeline), stack, self._workers)
            # Before the threads are waited for: they may be waiting for what this gives back.
            stack.callback(work.close)
            pending: deque[Task] = deque()
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


def _forsake(tasks: Iterable[Task]) -> None:
    for task in tasks:
        task.parcel.done()
