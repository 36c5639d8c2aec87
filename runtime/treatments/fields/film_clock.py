"""When the pictures of a film were taken: the even instants behind the fields or frames that they were dealt out to.

A picture is first shown at the first field or frame that begins no earlier than its instant, or that is nearest to it.
Either way all pictures are shown late by what differs less than one such unit between them. A grid of instants at a
film rate therefore fits if the differences do, and two shots may share one grid if they do together: then the cut
between them was made in the film, and the dealing out went on through it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Self

FILM_RATES: Final = tuple(Fraction(r) for r in ("16", "50/3", "18", "20", "24", "25", "30"))
"""Pictures a second that film was taken at."""
_TELEVISED: Final = (24, 30)
_NTSC: Final = Fraction(1000, 1001)


@dataclass(frozen=True, slots=True)
class Showing:
    """When a picture is first shown."""

    at: Fraction
    """Seconds."""
    whole: bool = True
    """Whether it is shown from its beginning on: where a shot begins it may have been shown before."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Instants at equal distances."""

    origin: Fraction
    """Seconds of the first picture."""
    step: Fraction
    """Seconds from one picture to the next."""
    not_before: Fraction
    """Seconds before which nothing is to be shown."""

    def at(self, number: int) -> Fraction:
        """Return the instant of a picture, by its number from 0."""
        return max(self.origin + number * self.step, self.not_before)

    def to_json(self) -> list[str]:
        """Return it as plain data."""
        return [str(self.origin), str(self.step), str(self.not_before)]

    @classmethod
    def from_json(cls, data: Sequence[str]) -> Self:
        """Return the clock that `to_json` returned."""
        origin, step, not_before = map(Fraction, data)
        return cls(origin, step, not_before)


@dataclass(frozen=True, slots=True)
class Grid:
    """A clock, and by how much it fits what is shown."""

    clock: Clock
    pictures: int
    least: Fraction
    """Seconds by which the least late picture is shown after its instant; may be negative."""
    most: Fraction

    @property
    def last(self) -> Fraction:
        """Instant of its last picture."""
        return self.clock.at(self.pictures - 1)


def film_steps(step: Fraction, rate: Fraction) -> tuple[Fraction, ...]:
    """Return the distances that pictures may have been taken at, likeliest first.

    Where the container runs at a thousandth less than a whole rate, so does film of 24 and 30 pictures a second in
    it, for a telecine runs in step with the video. Silent film was put there by programs, at its own rate.

    Args:
        step: Seconds, by the pattern as it repeats.
        rate: Frames a second of the container.
    """
    whole = step * _NTSC
    if rate.denominator != 1001 or 1 / whole not in FILM_RATES:
        return (step,)
    return (step, whole) if 1 / whole in _TELEVISED else (whole, step)


def fit(shown: Sequence[Showing], step: Fraction, unit: Fraction, before: Grid | None) -> Grid | None:
    """Return the instants of pictures that were taken at a distance, or None if they cannot have been.

    Args:
        shown: When each is first shown, in order; one at least.
        step: Seconds between two.
        unit: Seconds of what they were dealt out to, and a little more where timestamps are rounded.
        before: The grid of the film before; it goes on if it fits.
    """
    late = [each.at - number * step for number, each in enumerate(shown) if each.whole] or [shown[0].at]
    if max(late) - min(late) >= unit:
        return None
    if before is not None and before.clock.step == step and (found := _continued(shown, late, unit, before)):
        return found
    origin = shown[0].at if shown[0].whole else min(late)
    clock = Clock(origin, step, shown[0].at)
    return Grid(clock, len(shown), min(late) - origin, max(late) - origin)


def _continued(shown: Sequence[Showing], late: Sequence[Fraction], unit: Fraction, before: Grid) -> Grid | None:
    """Return the grid before, gone on with, if pictures on it are shown as late as its own are."""
    step = before.clock.step
    nearest = round((min(late) - before.clock.origin) / step)
    grids = []
    for number in (nearest - 1, nearest, nearest + 1):
        origin = before.clock.origin + number * step
        least, most = min(before.least, min(late) - origin), max(before.most, max(late) - origin)
        if number >= before.pictures and most - least < unit:
            grids.append(Grid(Clock(origin, step, origin), len(shown), least, most))
    return min(grids, key=lambda grid: grid.most - grid.least) if grids else None


def fit_any(shown: Sequence[Showing], steps: Sequence[Fraction], unit: Fraction, before: Grid | None) -> Grid | None:
    """Return the instants at the first distance that fits, preferring to go on with the grid before."""
    if before is not None and before.clock.step in steps:
        steps = (before.clock.step, *(step for step in steps if step != before.clock.step))
    return next((grid for step in steps if (grid := fit(shown, step, unit, before)) is not None), None)
