"""How the pictures of film are put together again from the fields or frames that they were dealt out to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from typing import Final

from fastrestore.runtime.treatments.fields.cadences import Parity, Run, Unit
from fastrestore.runtime.treatments.fields.film_clock import Showing
from fastrestore.runtime.treatments.fields.plan import LETTERS, Make
from fastrestore.runtime.treatments.fields.statistics import Evidence

_CONTRADICTED: Final = 0.4
"""A picture put together by its pattern is not whole if it combs more than another by so much of what motion makes."""


@dataclass(frozen=True, slots=True)
class FilmPictures:
    """The pictures of a run."""

    letters: str
    """What becomes of each frame; see `MAKES`."""
    shown: tuple[Showing, ...]
    """When each picture is first shown, in order."""


def film_pictures(run: Run, pts: Sequence[Fraction], field: Fraction, seen: Evidence, *, begun: bool) -> FilmPictures:
    """Return what pictures the frames of a run make.

    Args:
        run: The run; its cadence is film's.
        pts: Seconds at which each frame of the source is shown.
        field: Seconds that a field is shown for.
        seen: What the frames say.
        begun: Whether a picture of which the run has but the end is one of its own; else it was made before.
    """
    makes: dict[int, list[Make]] = {index: [] for index in range(run.begin, run.end)}
    shown = []
    units = [
        (picture, index, place)
        for index in range(run.begin, run.end)
        for place, picture in enumerate(run.cadence.pictures(index, run.phase))
    ]
    before = run.cadence.pictures(run.begin - 1, run.phase)[1]
    for picture, group in groupby(units, key=lambda unit: unit[0]):
        where = [(index, place) for _, index, place in group]
        if picture == before and not begun:
            continue
        index, make = _made(where, run, seen)
        makes[index].append(make)
        first, place = where[0]
        shown.append(Showing(pts[first] + place * field, whole=picture != before))
    return FilmPictures("".join(LETTERS[tuple(each)] for each in makes.values()), tuple(shown))


def _made(where: Sequence[tuple[int, int]], run: Run, seen: Evidence) -> tuple[int, Make]:
    """Return the frame that a picture is made of, and how, by the fields that show it."""
    fields = set(where)
    whole = next((index for index, place in where if place == 0 and (index, 1) in fields), None)
    if whole is not None:
        trusted = run.cadence.unit is Unit.FRAME or _fits(whole, run, seen) > -_CONTRADICTED
        return whole, Make.WHOLE if trusted else Make.FIRST
    across = next((index for index, place in where if place == 0 and (index - 1, 1) in fields), None)
    if across is not None:
        return across, Make.ACROSS if _fits(across, run, seen) < _CONTRADICTED else Make.FIRST
    index, place = where[0]
    return index, Make.SECOND if place else Make.FIRST


def _fits(index: int, run: Run, seen: Evidence) -> float:
    """Return how much better the fields of a frame fit together than its first one with that before it."""
    across = seen.bottom_before if run.cadence.parity is Parity.TOP_FIRST else seen.top_before
    return float(across[index] * seen.combing_weight[index])
