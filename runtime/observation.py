"""What is seen of the source as it passes: cuts, repeated pictures, and where its segments begin."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

from fastrestore.config import Spans
from fastrestore.frames import Frame, Picture
from fastrestore.kernels.ops import Difference

HELD_MEAN, HELD_PEAK_BLOCK = 0.5 / 255, 2.0 / 255
"""A repeat differs by no more than this from the picture it repeats: what coding leaves of an exact copy."""
HELD_SHARE = 0.2
"""And by no more than this share of what the film's moving frames differ by."""
CUT_CORRELATION = 0.55
"""Two frames that correlate less than this may be different shots."""
CUT_RATIO = 3.0
"""At a cut the frames differ at least so many times as much as the frames before it did."""
CUT_MEAN = 0.02
"""And by at least this share of white: below it there is only noise."""
_MEMORY = 8


class Comparer(Protocol):
    """Tells how pictures differ, wherever they are; pixel kernels (`Ops`) do for those of the host."""

    def luma8(self, picture: Picture) -> Any:
        """Return of a picture what `difference` takes."""
        ...

    def difference(self, left: Any, right: Any) -> Difference:
        """Compare two pictures."""
        ...


@dataclass(frozen=True, slots=True)
class Opening:
    """Everything before a frame that what follows depends on: with it, a reading that begins there goes on exactly."""

    index: int = 0
    """Number of the frame in the source, from 0."""
    pts: Fraction | None = None
    """Seconds of the frame; None for the first frame of the source."""
    cut_before: bool = False
    step: Fraction | None = None
    """Seconds since the frame before."""
    recent: tuple[Difference, ...] = ()
    """How the last moving frames differed, latest last."""
    crc32: int | None = None
    """Of the frame's samples, by which it is known again; None for the first frame of the source."""


@dataclass(frozen=True, slots=True)
class Observed:
    """A frame and how it follows the one before."""

    frame: Frame
    index: int
    cut_before: bool
    repeats: bool
    """Whether it repeats the last picture that was not a repeat itself."""
    opening: Opening | None = None
    """Set where a segment begins with this frame."""


class Observer:
    """Finds cuts and repeated pictures, from luma statistics that are blind to flicker; divides the source.

    A frame that says `cut_before` itself is believed. What a segment contains depends on nothing but its opening and
    its own frames, so that it comes out the same whether the source is read from its beginning or from there.

    Args:
        comparer: Tells how pictures differ.
        spans: How long segments are.
        opening: Where the reading begins.
    """

    def __init__(self, comparer: Comparer, spans: Spans, opening: Opening) -> None:
        self._comparer, self._spans, self._opening = comparer, spans, opening
        self._recent: deque[Difference] = deque(opening.recent, maxlen=_MEMORY)

    def observe(self, frames: Iterable[Frame]) -> Iterator[Observed]:
        """Yield every frame with what is seen of it; the first one opens a segment."""
        begun = previous_pts = None
        previous: Any = None
        shown: Any = None
        for index, frame in enumerate(frames, self._opening.index):
            luma = self._comparer.luma8(frame.untreated)
            if begun is None or previous is None or shown is None or previous_pts is None:
                cut, repeats, opening = self._opening.cut_before, False, self._opening
            else:
                cut, repeats = self._follows(frame, luma, previous, shown, first=index == 1)
                opening = None
                if self._ends(frame.pts - begun, cut=cut, repeats=repeats):
                    step = frame.pts - previous_pts
                    crc32, repeats = frame.untreated.crc32, False
                    opening = Opening(index, frame.pts, cut, step, tuple(self._recent), crc32)
            if opening is not None:
                begun = frame.pts
            previous, previous_pts = luma, frame.pts
            if not repeats:
                shown = luma
            yield Observed(frame, index, cut, repeats, opening)

    def _ends(self, length: Fraction, *, cut: bool, repeats: bool) -> bool:
        """Whether a segment of this length ends before a frame."""
        spans = self._spans
        return (cut and length >= spans.least) or length >= (2 * spans.most if repeats else spans.most)

    def _follows(
        self,
        frame: Frame,
        luma: Any,
        previous: Any,
        shown: Any,
        *,
        first: bool,
    ) -> tuple[bool, bool]:
        """Return whether a frame begins a shot, and whether it repeats the picture shown."""
        if frame.cut_before:
            self._recent.clear()  # as at a cut found here: the last shot's motion says nothing of this one's
            return True, False
        recent = self._recent
        step = self._comparer.difference(previous, luma)
        repeats = _is_repeat(step if shown is previous else self._comparer.difference(shown, luma), recent)
        # Right after a cut nothing is known of the new shot's motion yet: a busy shot must not be cut to pieces.
        cut = not repeats and (first or bool(recent)) and _is_cut(step, recent)
        if cut:
            recent.clear()
        elif not repeats:
            recent.append(step)
        return cut, repeats


def _is_repeat(difference: Difference, recent: Iterable[Difference]) -> bool:
    if difference.mean > HELD_MEAN or difference.peak_block > HELD_PEAK_BLOCK:
        return False
    moving = sorted(d.mean for d in recent)
    return not moving or difference.mean <= HELD_SHARE * moving[len(moving) // 2]


def _is_cut(step: Difference, recent: Iterable[Difference]) -> bool:
    if step.correlation >= CUT_CORRELATION or step.mean < CUT_MEAN:
        return False
    before = [1 - d.correlation for d in recent]
    return not before or 1 - step.correlation >= CUT_RATIO * max(before)
