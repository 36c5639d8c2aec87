"""What the pictures of a decoded film tell: black and frozen runs, and pictures that are not the source's."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain, repeat
from typing import TypeAlias

import numpy as np

from fastrestore.runtime.media.decodecheck import Look, Thumb
from fastrestore.runtime.verify.findings import Finding, at, warning

_Pair: TypeAlias = tuple[Look, Look]
"""A frame of the source, and what the film shows at its instant."""
LONG_S = Fraction(2)
"""A black or frozen run of this length is worth a warning where there is no source to ask."""
_BLACK = 0.06
"""No spot of a black picture is brighter than this; a spot is the mean of a 32nd of the picture's width."""
_DARKENED = 0.03
"""By how much brighter the source must be, on the mean, for a black picture to be a fault."""
_STILL = 0.002
"""Mean difference up to which two pictures are the same."""
_MOVING = 0.03
"""Mean difference of the source from which on it is moving: above the grain of old film at this size."""
_OTHER = 0.12
"""Mean difference from which on a picture is another one: far above what restoration changes at this size."""
_NEIGHBOURS = 2
"""Source frames before and after, which an output may show instead where held frames were spread out."""
_LEAST_FROZEN = 4
_LEAST_OTHER = 3
"""Fewer pictures in a row that differ may be a flash, and are but a warning."""


@dataclass
class _RunOf:
    """A run of instants that share a fault."""

    first: Look | None = None
    last: Look | None = None
    count: int = 0

    def take(self, look: Look) -> None:
        self.first = self.first or look
        self.last = look
        self.count += 1

    @property
    def span(self) -> tuple[Fraction, Fraction]:
        assert self.first is not None and self.last is not None
        return self.first.time, self.last.time


def alone(looks: Iterable[Look]) -> Iterator[Finding]:
    """Yield a warning for every long black or frozen run of a film without a source to compare with."""
    black, still = _RunOf(), _RunOf()
    for look in looks:
        if _is_black(look):
            black.take(look)  # that it stands still goes without saying
        else:
            yield from _long("black", "black", black)
            black = _RunOf()
            if still.first is None or _apart(still.first.thumb, look.thumb) > _STILL:
                yield from _long("frozen", "frozen", still)
                still = _RunOf()
            still.take(look)
    yield from _long("black", "black", black)
    yield from _long("frozen", "frozen", still)


def _long(code: str, word: str, run: _RunOf) -> Iterator[Finding]:
    if run.count and run.span[1] - run.span[0] > LONG_S:
        first, last = run.span
        yield warning(code, f"the picture is {word} from {at(first)} to {at(last)}", first)


@dataclass
class Beside:
    """A film beside its source: what is wrong with it is what the source does not have.

    Args:
        shift: Seconds of the source that are 0 in the film.
        near: How far an instant may be off and still be the same, seconds.
    """

    shift: Fraction = Fraction(0)
    near: Fraction = Fraction(1, 1000)
    compared: int = 0
    """Source frames that were held against a picture of the film."""
    _black: _RunOf = field(default_factory=_RunOf)
    _other: _RunOf = field(default_factory=_RunOf)
    _still: _RunOf = field(default_factory=_RunOf)
    _began: Sequence[Thumb] = ()
    """The source around the instant at which the picture stood still."""
    _moved: float = 0.0

    def compare(self, film: Iterator[Look], source: Iterator[Look]) -> Iterator[Finding]:
        """Yield findings. Both are read in step, so that memory does not grow; the film always to its end."""
        for shown, around in _windows(self._pairs(film, source)):
            self.compared += 1
            yield from self._judge_black(shown, around)
            yield from self._judge_other(shown, around)
            yield from self._judge_still(shown, around)
        for _ in film:
            pass
        yield from _dark(self._black)
        yield from _different(self._other)
        yield from self._frozen()

    def _pairs(self, film: Iterator[Look], source: Iterator[Look]) -> Iterator[_Pair]:
        """Yield every source frame with what the film shows from its instant on."""
        shown = next(film, None)
        for original in source:
            time = original.time - self.shift
            while shown is not None and shown.time < time - self.near:
                shown = next(film, None)
            if shown is None:
                return
            if time >= -self.near:
                yield original, shown

    def _judge_black(self, shown: Look, around: Sequence[Thumb]) -> Iterator[Finding]:
        if _is_black(shown) and min(float(each.mean()) for each in around) - float(shown.thumb.mean()) > _DARKENED:
            self._black.take(shown)
        else:
            yield from _dark(self._black)
            self._black = _RunOf()

    def _judge_other(self, shown: Look, around: Sequence[Thumb]) -> Iterator[Finding]:
        if min(_apart(each, shown.thumb) for each in around) > _OTHER:
            self._other.take(shown)
        else:
            yield from _different(self._other)
            self._other = _RunOf()

    def _judge_still(self, shown: Look, around: Sequence[Thumb]) -> Iterator[Finding]:
        first, last = self._still.first, self._still.last
        if first is None or _is_black(shown) or _apart(first.thumb, shown.thumb) > _STILL:
            yield from self._frozen()
            self._still, self._moved, self._began = _RunOf(), 0.0, around
            last = None
        if last is None or shown.time > last.time:  # a film of a lower rate shows one picture for several
            self._still.take(shown)
            self._moved = max(self._moved, min(_apart(a, b) for a in self._began for b in around))

    def _frozen(self) -> Iterator[Finding]:
        if self._still.count >= _LEAST_FROZEN and self._moved > _MOVING:
            begin, end = self._still.span
            yield Finding("frozen", f"the picture is frozen from {at(begin)} to {at(end)}, and the source moves", begin)


def _windows(pairs: Iterable[_Pair]) -> Iterator[tuple[Look, list[Thumb]]]:
    """Yield what the film shows, with the source's pictures before, at and after that instant."""
    held: deque[_Pair] = deque()
    centre = 0
    for pair in chain(pairs, repeat(None, _NEIGHBOURS)):
        if pair is not None:
            held.append(pair)
        if (pair is None and centre < len(held)) or len(held) - centre > _NEIGHBOURS:
            yield held[centre][1], [original.thumb for original, _ in held]
            if centre == _NEIGHBOURS:
                held.popleft()
            else:
                centre += 1


def _dark(run: _RunOf) -> Iterator[Finding]:
    if run.count:
        begin, end = run.span
        yield Finding("black", f"the picture is black from {at(begin)} to {at(end)}, and the source is not", begin)


def _different(run: _RunOf) -> Iterator[Finding]:
    if run.count:
        begin, end = run.span
        text = f"the picture is not the source's from {at(begin)} to {at(end)}"
        yield Finding("picture", text, begin) if run.count >= _LEAST_OTHER else warning("picture", text, begin)


def _is_black(look: Look) -> bool:
    return bool(look.thumb.max() <= _BLACK)


def _apart(left: Thumb, right: Thumb) -> float:
    return float(np.abs(left - right).mean())
