"""Makes a stream of decoded frames whole: every missing or faulty picture is stood in for by the one before it.

A picture shown again is exactly what the timeline knows as a held frame. Where the output has a rate of its own, it
finds even motion across a few of them; where the output keeps the source's instants, they stay in their place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from av.video.frame import VideoFrame

from fastrestore.runtime.media.decoding import Decoded, StreamDecoder
from fastrestore.runtime.media.faults import FaultKind
from fastrestore.runtime.media.trouble import Trouble

_APART = Fraction(3, 4)
"""A missing picture is at least so much of the usual step away from its neighbours: fields and frames that are
decoded but not shown are nearer."""
_OFF_GRID = Fraction(1, 4)
"""Missing pictures leave a gap of whole steps, give or take so much of one."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A frame as it is shown."""

    frame: VideoFrame
    """Its picture, or the one that stands in for it."""
    pts: Fraction
    """Seconds."""
    fault: FaultKind | None = None
    repaired_time: bool = False
    """Whether its timestamp was missing or did not rise."""
    backward: bool = False
    """Whether it had a timestamp that did not rise."""
    refused: int = 0
    """Packets before it that the decoder refused without leaving a gap."""


class StandIns:
    """Fills one stream. Iterate `fill` once.

    Args:
        decoder: Where the frames come from, for the stream's nature and for what is wrong at its end.
        too_many: Told of every gap before it is filled: seconds of the frame before it, and how many pictures are
            missing; may raise.
    """

    def __init__(self, decoder: StreamDecoder, too_many: Callable[[Fraction, int], None]) -> None:
        self._decoder, self._too_many = decoder, too_many
        self._step, self._rate = decoder.step, decoder.rate
        self.left_out = 0
        """Frames before the first key frame of a recording that begins between two."""
        self.refused_at_end = 0
        """Packets after the last frame that the decoder refused without leaving a gap; known once all is read."""

    def fill(self, frames: Iterable[tuple[Decoded, Fraction, bool]]) -> Iterator[Shown]:
        """Yield every frame that the film should have, in order.

        Args:
            frames: Decoded frames, their times in seconds (rising), and whether those were repaired.
        """
        good: VideoFrame | None = None
        waiting: list[tuple[Fraction, FaultKind]] = []
        previous: tuple[Fraction, bool] | None = None
        for item, pts, repaired in frames:
            kind, missing = self._missing(item.since, previous, (pts, repaired), corrupt=item.corrupt)
            refused = max(0, item.since.refused - len(missing))
            waiting += [(time, kind) for time in missing]
            if item.corrupt:
                waiting.append((pts, FaultKind.CORRUPT))
            else:
                stand_in = item.frame if good is None else good  # at the very beginning there is none before
                yield from (Shown(stand_in, time, kind) for time, kind in waiting)
                waiting, good = [], item.frame
                yield Shown(good, pts, None, repaired, repaired and item.time is not None, refused)
            if good is not None:
                yield from (Shown(good, time, kind) for time, kind in waiting)
                waiting = []
            previous = (pts, repaired)
        if good is not None and previous is not None:
            yield from self._tail(good, previous)

    def _tail(self, good: VideoFrame, previous: tuple[Fraction, bool]) -> Iterator[Shown]:
        trouble = self._decoder.trouble_at_end
        kind, missing = self._missing(trouble, previous, None, corrupt=False)
        self.refused_at_end = max(0, trouble.refused - len(missing))
        yield from (Shown(good, time, kind) for time in missing)

    def _missing(
        self,
        trouble: Trouble,
        previous: tuple[Fraction, bool] | None,
        here: tuple[Fraction, bool] | None,
        *,
        corrupt: bool,
    ) -> tuple[FaultKind, list[Fraction]]:
        """Return when pictures are missing between two frames, and why; times that were repaired tell nothing.

        A gap alone may be meant: only where something else speaks of damage is it one.
        """
        kind = FaultKind.UNDECODABLE if trouble.lost else FaultKind.MISSING
        if (previous is not None and previous[1]) or (here is not None and here[1]):
            return kind, []
        if previous is None:
            lost = self._spaced(trouble.lost, None, here)
            if self._decoder.begins_late:
                self.left_out, lost = len(lost), []
            return kind, lost
        steps = self._steps_between(previous[0], here[0]) if here is not None else None
        evident = trouble.lost or trouble.absent or trouble.refused or corrupt or self._decoder.is_broadcast
        if steps and evident:
            assert here is not None
            self._too_many(previous[0], steps - 1)
            distance = (here[0] - previous[0]) / steps
            return kind, [previous[0] + k * distance for k in range(1, steps)]
        return kind, self._spaced(trouble.lost, previous, here)

    def _steps_between(self, left: Fraction, right: Fraction) -> int | None:
        """Return how many steps of a steady rate lie between two frames, if several and a whole number."""
        if self._rate is None:
            return None
        steps = (right - left) * self._rate
        whole = round(steps)
        return whole if whole > 1 and abs(steps - whole) <= _OFF_GRID else None

    def _spaced(
        self, times: Iterable[Fraction], previous: tuple[Fraction, bool] | None, here: tuple[Fraction, bool] | None
    ) -> list[Fraction]:
        """Return the times that are apart from their neighbours as pictures are."""
        found: list[Fraction] = []
        last = None if previous is None else previous[0]
        for time in times:
            after = last is None or time - last >= _APART * self._step
            if after and (here is None or here[0] - time >= _APART * self._step):
                found.append(time)
                last = time
        return found
