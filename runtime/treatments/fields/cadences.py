"""Cadences: how pictures were dealt out to the fields or frames of a container, and which one a film follows.

A film of r pictures a second in a container of c fields a second shows each for c/r fields: 2 and 3 by turns for 24 in
60. Field m therefore shows picture `floor((m + phase) / (c/r))`. Whole frames repeated, film shifted by a field,
plain progressive and plain interlaced pictures are all of this form, so one search decides between all of them: the
cheapest path through the film, in which changing the cadence costs something, and little at a cut.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from fractions import Fraction
from itertools import accumulate, groupby, pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fastrestore.runtime.treatments.fields.film_clock import FILM_RATES
from fastrestore.runtime.treatments.fields.statistics import Evidence

_SIMPLE_SHARES: Final = (Fraction(6, 5), Fraction(5, 4), Fraction(4, 3), Fraction(3, 2))
"""Every sixth, fifth, fourth or third frame a repeat: looked for at any rate."""
_HELD_SHARES: Final = (Fraction(2), Fraction(3))
"""Pictures held for two or three frames each: told from film, which they resemble."""
_ADVANCED: Final = (2, 3, 3, 2)
"""How camcorders deal out 24 pictures to 60 fields: only one frame in five is of two pictures."""
_LONGEST_CYCLE: Final = 32
"""Frames after which a pattern must repeat to be looked for."""
_SWITCH, _SWITCH_AT_CUT = 8.0, 2.0
"""Cost of another cadence or phase within a shot, and of another cadence where one begins."""
_SLIP, _PHASE_AT_CUT = 2.5, 1.5
"""Cost of the phase beside within a shot, and of any other phase where one begins.

The unit is that of a frame which contradicts a cadence in everything. Film of 16 in 29.97 slips, for the true share
is not that of 16 in 30.
"""
_VIDEO_ENTRY, _FILM_ENTRY, _PHASE_ENTRY = 2.0, 1.5, 0.5
"""What entering a cadence costs besides; the last is for each doubling of its phases, which fit by chance the more."""
_ANY_FRAME = 0.01
"""What every frame of a cadence other than progressive costs: without evidence nothing is done."""
_MISFIT: Final = 0.09
"""Film whose frames contradict it by more than this share of what they tell is none: film measures 0.00 to 0.05,
shaken, aged and coded badly, and pictures held at random, joined to what fits them best, 0.10 to 0.22."""
_WEIGHTS: Final = np.array([0.5, 0.5, 0.5, 0.5])
"""How much each part of what a cadence says of a frame counts; see `_said`."""


class Unit(Enum):
    """What pictures are dealt out to."""

    FIELD = "fields"
    FRAME = "frames"


class Parity(Enum):
    """Which field of a frame is the earlier one; the value is its first line."""

    TOP_FIRST = 0
    BOTTOM_FIRST = 1


@dataclass(frozen=True)
class Cadence:
    """One way in which pictures may have been dealt out."""

    unit: Unit
    share: Fraction
    """Units that a picture is shown for."""
    parity: Parity = Parity.TOP_FIRST
    """Means nothing where whole frames are dealt out."""
    lengths: tuple[int, ...] = ()
    """Units of each picture of a cycle, where they are not as even as can be."""

    @property
    def cycle(self) -> int:
        """Units, and frames, after which it repeats."""
        return sum(self.lengths) or self.share.numerator

    @property
    def phases(self) -> range:
        """The phases that can be told apart, and from other cadences."""
        if self.unit is Unit.FIELD and self.share == 2:
            return range(1, 2)  # phase 0 is progressive
        return range(1) if self.share == 1 else range(self.cycle)

    @property
    def is_progressive(self) -> bool:
        """Whether every frame is a picture of its own."""
        return self.unit is Unit.FRAME and self.share == 1

    @property
    def is_interlaced(self) -> bool:
        """Whether every field is a picture of its own."""
        return self.unit is Unit.FIELD and self.share == 1

    @property
    def is_held(self) -> bool:
        """Whether every picture is held for as many frames, as drawn animation is: the timeline sees to that."""
        return self.unit is Unit.FRAME and self.share > 1 and self.share.denominator == 1

    @property
    def is_film(self) -> bool:
        """Whether pictures are dealt out unevenly, or do not begin with a frame."""
        return not self.is_progressive and not self.is_interlaced and not self.is_held

    def picture_of(self, unit: int, phase: int) -> int:
        """Return the number of the picture that a field or frame shows."""
        if not self.lengths:
            return (unit * self.share.denominator + phase) // self.share.numerator
        cycles, within = divmod(unit + phase, self.cycle)
        return cycles * len(self.lengths) + bisect_right(list(accumulate(self.lengths)), within)

    def pictures(self, frame: int, phase: int) -> tuple[int, int]:
        """Return the numbers of the pictures that the first and the second field of a frame show."""
        if self.unit is Unit.FRAME:
            return (self.picture_of(frame, phase),) * 2
        return self.picture_of(2 * frame, phase), self.picture_of(2 * frame + 1, phase)


PROGRESSIVE: Final = Cadence(Unit.FRAME, Fraction(1))
_INTERLACED: Final = tuple(Cadence(Unit.FIELD, Fraction(1), parity) for parity in Parity)


def cadences(rate: Fraction | None) -> tuple[Cadence, ...]:
    """Return what frames at a rate may follow; the first is progressive.

    Args:
        rate: Frames a second; None where it varies: then no film is looked for.
    """
    found = [PROGRESSIVE, *_INTERLACED]
    if rate is None:
        return tuple(found)
    shares = [round(rate) / film_rate for film_rate in FILM_RATES]
    frames = {*shares, *_SIMPLE_SHARES, *_HELD_SHARES}
    found += [Cadence(Unit.FRAME, share) for share in sorted(frames) if share > 1 and share.numerator <= _LONGEST_CYCLE]
    fields = [2 * share for share in sorted(shares) if share >= 1]
    found += [Cadence(Unit.FIELD, s, parity) for s in fields if s.numerator <= _LONGEST_CYCLE for parity in Parity]
    if round(rate) == 30:
        found += [Cadence(Unit.FIELD, Fraction(5, 2), parity, _ADVANCED) for parity in Parity]
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Run:
    """Frames that follow one cadence in one phase."""

    begin: int
    end: int
    cadence: Cadence
    phase: int


@dataclass(frozen=True)
class _States:
    """Every phase of every cadence, and what each says of the frames of its cycle."""

    of: tuple[tuple[Cadence, int], ...]
    entry: NDArray[np.float64]
    every_frame: NDArray[np.float64]
    cycle: NDArray[np.int64]
    row: NDArray[np.int64]
    """Where its cycle begins in `said`."""
    said: NDArray[np.int64]
    """What is said of a frame, as a row of `sayings`."""
    sayings: NDArray[np.float64]
    """`(rows, 5)`: see `_said`; and last 1 where the bottom field comes first."""
    earlier: NDArray[np.int64]
    later: NDArray[np.int64]
    """The states one phase beside each."""


def find_runs(seen: Evidence, cuts: Sequence[int], candidates: Sequence[Cadence]) -> tuple[Run, ...]:
    """Return which cadences a film follows: the cheapest explanation of its evidence.

    Args:
        seen: The evidence, one entry a frame.
        cuts: Frames that begin a shot, or before which frames are missing.
        candidates: What is searched; the first is what needs no reason.
    """
    states = _states(candidates)
    cut = np.zeros(len(seen), bool)
    cut[list(cuts)] = True
    observed, weights = _observed(seen), _weights(seen)
    weights[cut] = 0  # what a cadence says is of the frame that should have been before
    contradictions = _contradictions(states, observed, weights)
    cost = states.entry + _SWITCH_AT_CUT
    cost[0] = 0.0
    steps: list[_Step] = []
    for frame in range(len(seen)):
        if frame:
            cost, step = _onward(cost, states, at_cut=bool(cut[frame]))
            steps.append(step)
        said = states.said[states.row + frame % states.cycle]
        cost = cost + states.every_frame + contradictions[frame, said]
    runs = _traced(int(np.argmin(cost)), steps, states)
    return tuple(_believed(run, observed, weights) for run in runs)


def _believed(run: Run, observed: NDArray[np.float64], weights: NDArray[np.float64]) -> Run:
    """Return a run of film if it fits well enough, else what it then is."""
    if not run.cadence.is_film:
        return run
    if _cost(run, observed, weights) <= _MISFIT * weights[run.begin : run.end].sum():
        return run
    plainer = [replace(run, cadence=cadence, phase=0) for cadence in (PROGRESSIVE, *_INTERLACED)]
    return min(plainer, key=lambda other: _cost(other, observed, weights))


def _cost(run: Run, observed: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """Return how much the frames of a run contradict it."""
    frames = np.arange(run.begin, run.end)
    said = _said(run.cadence, run.phase)[frames % run.cadence.cycle]
    return float((np.abs(observed[frames, run.cadence.parity.value] - said) * weights[frames]).sum())


def _observed(seen: Evidence) -> NDArray[np.float64]:
    """Return `(frames, 2, 4)`: what `_said` tells, as seen, if the top or if the bottom field comes first."""
    top, bottom = seen.bottom_before, seen.top_before
    both = [(top, bottom, seen.top_changed, seen.bottom_changed), (bottom, top, seen.bottom_changed, seen.top_changed)]
    rows = [np.stack([np.clip(a, -1, 1), np.clip(b - a, -1, 1), x, y], axis=1) for a, b, x, y in both]
    return np.stack(rows, axis=1)


def _contradictions(
    states: _States, observed: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return `(frames, sayings)`: how much every frame contradicts everything that may be said of it."""
    found = np.empty((len(observed), len(states.sayings)), np.float32)
    for number, (*said, flipped) in enumerate(states.sayings):
        found[:, number] = (np.abs(observed[:, int(flipped)] - said) * weights).sum(axis=1)
    return found


def _weights(seen: Evidence) -> NDArray[np.float64]:
    """Return `(frames, 4)`: how much each part of what a cadence says of a frame counts."""
    combing, change = seen.combing_weight, seen.change_weight
    return _WEIGHTS * np.stack([combing, combing, change, change], axis=1)


def _states(candidates: Sequence[Cadence]) -> _States:
    of = [(cadence, phase) for cadence in candidates for phase in cadence.phases]
    number = {state: index for index, state in enumerate(of)}
    cycles = np.array([cadence.cycle for cadence, _ in of])
    rows = [np.pad(_said(c, phase), ((0, 0), (0, 1)), constant_values=c.parity.value) for c, phase in of]
    # The states say some dozens of different things of frames: each is held against every frame once.
    sayings, said = np.unique(np.concatenate(rows), axis=0, return_inverse=True)
    return _States(
        of=tuple(of),
        entry=np.array([_entry(cadence) for cadence, _ in of]),
        every_frame=np.array([0.0 if cadence.is_progressive else _ANY_FRAME for cadence, _ in of]),
        cycle=cycles,
        row=np.concatenate([[0], np.cumsum(cycles)[:-1]]),
        said=said.reshape(-1),
        sayings=sayings,
        earlier=np.array([number[c, _beside(c, phase, -1)] for c, phase in of]),
        later=np.array([number[c, _beside(c, phase, 1)] for c, phase in of]),
    )


def _beside(cadence: Cadence, phase: int, step: int) -> int:
    return cadence.phases[(cadence.phases.index(phase) + step) % len(cadence.phases)]


def _entry(cadence: Cadence) -> float:
    if cadence.is_progressive:
        return 0.0
    return _VIDEO_ENTRY if cadence.is_interlaced else _FILM_ENTRY + _PHASE_ENTRY * math.log2(len(cadence.phases))


def _said(cadence: Cadence, phase: int) -> NDArray[np.float64]:
    """Return what a cadence says of the frames of its cycle, `(frames, 4)`.

    That is: combing of the first field with the second before, less own; of the second with the first before, less
    that; whether the first field changes; whether the second does. Combing is in units of the most that it differs
    by in the frame.
    """
    frames = range(cadence.cycle)
    if cadence.is_interlaced:
        return np.array([[0.0, 1.0, 1.0, 1.0] for _ in frames])
    shown = [cadence.pictures(frame, phase) for frame in range(-1, len(frames))]
    rows = []
    for (first_before, second_before), (first, second) in pairwise(shown):
        own, near, far = _apart(first, second), _apart(first, second_before), _apart(first_before, second)
        span = max(own, near, far) - min(own, near, far) or 1.0
        changes = float(first != first_before), float(second != second_before)
        rows.append([(near - own) / span, (far - near) / span, *changes])
    return np.array(rows)


def _apart(picture: int, other: int) -> float:
    """Return how much two pictures comb, if neighbours do by 1: more, but with motion of some speed not twice."""
    return min(abs(picture - other), 1.5)


@dataclass(frozen=True, slots=True)
class _Step:
    """How the states of a frame are reached from those of the frame before."""

    how: NDArray[np.uint8]
    """By staying (0), from the best state (1), from a phase beside (2, 3), from the best of its cadence (4)."""
    best: int
    kin: NDArray[np.int64] | None
    """The best state of the cadence of each, where a shot begins."""

    def before(self, state: int, states: _States) -> int:
        """Return the state before one."""
        ways = (state, self.best, int(states.earlier[state]), int(states.later[state]))
        return int(self.kin[state]) if self.how[state] == 4 and self.kin is not None else ways[self.how[state]]


def _onward(cost: NDArray[np.float64], states: _States, *, at_cut: bool) -> tuple[NDArray[np.float64], _Step]:
    """Return the cheapest cost of being in each state next, and how each is reached."""
    best = int(np.argmin(cost))
    kin = _kin(cost, states) if at_cut else None
    reached, how = cost, np.zeros(len(cost), np.uint8)
    ways = [
        cost[best] + (_SWITCH_AT_CUT if at_cut else _SWITCH) + states.entry,
        cost[states.earlier] + _SLIP,
        cost[states.later] + _SLIP,
    ]
    if kin is not None:
        ways.append(cost[kin] + _PHASE_AT_CUT)
    for number, way in enumerate(ways, 1):
        how[way < reached] = number
        reached = np.minimum(reached, way)
    return reached, _Step(how, best, kin)


def _kin(cost: NDArray[np.float64], states: _States) -> NDArray[np.int64]:
    """Return the best state of the cadence of each state."""
    kin = np.empty(len(cost), np.int64)
    begin = 0
    for _, group in groupby(states.of, key=lambda state: state[0]):
        end = begin + len(list(group))
        kin[begin:end] = begin + int(np.argmin(cost[begin:end]))
        begin = end
    return kin


def _traced(state: int, steps: Sequence[_Step], states: _States) -> tuple[Run, ...]:
    """Return the runs of the path that ends in a state."""
    runs: list[Run] = []
    end = len(steps) + 1
    for frame in range(len(steps), 0, -1):
        before = steps[frame - 1].before(state, states)
        if before != state:
            runs.append(Run(frame, end, *states.of[state]))
            state, end = before, frame
    runs.append(Run(0, end, *states.of[state]))
    return tuple(reversed(runs))
