"""Draws up the plan of a film's fields: looks at all of it once, and decides shot by shot.

What the fields of a frame show is measured, not believed: a container's interlaced flag is often wrong. Soft telecine
is told by the timestamps: a decoder gives a frame that is flagged for three fields the time of three.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise
from typing import Final, Self, TypeAlias

from fastrestore.errors import UsageError
from fastrestore.frames import EXACT_S, Frame, StreamInfo
from fastrestore.kernels.ops import Ops
from fastrestore.runtime.treatments.fields.cadences import Cadence, Run, Unit, cadences, find_runs
from fastrestore.runtime.treatments.fields.film_clock import Grid, Showing, film_steps, fit_any
from fastrestore.runtime.treatments.fields.film_pictures import FilmPictures, film_pictures
from fastrestore.runtime.treatments.fields.plan import FieldPlan, Stretch
from fastrestore.runtime.treatments.fields.report import Part, described
from fastrestore.runtime.treatments.fields.soft_telecine import (
    LATEST_FIELDS,
    SoftRun,
    container_rate,
    field_steps,
    soft_runs,
)
from fastrestore.runtime.treatments.fields.statistics import FieldProbe, evidence
from fastrestore.runtime.treatments.study import look_over
from fastrestore.runtime.treatments.treatment import Film

Chain: TypeAlias = tuple[Run, ...]
"""Runs of one cadence, one after another."""


class Deinterlace(StrEnum):
    """What is done where every field is a picture of its own."""

    OFF = "off"
    AUTO = "auto"
    """One picture a frame."""
    FIELD = "field"
    """One picture a field: twice as many."""


_INTERLACED: Final = {Deinterlace.OFF: "c", Deinterlace.AUTO: "f", Deinterlace.FIELD: "b"}
"""What becomes of every frame whose fields are pictures of their own."""


@dataclass(frozen=True, slots=True)
class FieldSettings:
    """What is done about fields and repeated frames."""

    deinterlace: Deinterlace = Deinterlace.OFF
    detelecine: bool = False
    """Whether the pictures of film are put together again and returned to their own instants."""

    @classmethod
    def parse(cls, deinterlace: str, *, detelecine: bool) -> Self:
        """Read the words of `--deinterlace`.

        Raises:
            UsageError: If they are not understood.
        """
        try:
            return cls(Deinterlace(deinterlace.strip().lower()), detelecine)
        except ValueError:
            wanted = ", ".join(f"`{each}`" for each in Deinterlace)
            raise UsageError(
                f"`--deinterlace {deinterlace}` is not understood: wanted one of {wanted}",
                "`auto` makes one picture of each interlaced frame, `field` one of each field",
            ) from None

    @property
    def does_nothing(self) -> bool:
        """Whether frames need not even be looked at."""
        return self.deinterlace is Deinterlace.OFF and not self.detelecine


def plan_fields(
    frames: Iterable[Frame],
    info: StreamInfo,
    settings: FieldSettings,
    ops: Ops,
    on_frame: Callable[[int], object] | None = None,
) -> FieldPlan:
    """Look at a whole film and decide what becomes of every frame.

    Args:
        frames: The film.
        info: What it is.
        settings: What is to be done.
        ops: Pixel kernels.
        on_frame: Called with the number of frames seen after each.

    Raises:
        DecodeError: If the film cannot be read, or has no frame.
    """
    return plan_of(look_over(frames, info, [FieldProbe()], ops, on_frame), settings)


def plan_of(film: Film, settings: FieldSettings) -> FieldPlan:
    """Return the plan of a film that `FieldProbe` has looked at."""
    return _Planner(film, settings).plan()


class _Planner:
    """The plan of one film."""

    def __init__(self, film: Film, settings: FieldSettings) -> None:
        self._film, self._settings = film, settings
        self._rate = container_rate(film.pts, film.info)
        self._step = 1 / (self._rate or Fraction(25))
        self._slack = 2 * (film.info.near - EXACT_S)
        self._seen = evidence(film)
        self._preferred: dict[Fraction, Fraction] = {}
        self._grid: tuple[int, Grid] | None = None
        """The grid of the film just before, and the frame that it ends before."""

    def plan(self) -> FieldPlan:
        """Return it."""
        cuts = tuple(shot.begin for shot in self._film.shots[1:])
        soft = soft_runs(self._film.pts, self._rate, self._film.info.time_base)
        breaks = self._breaks()
        runs = find_runs(self._seen, sorted({0, *cuts, *breaks}), cadences(self._rate))
        chains = _chains(_around(_split(runs, breaks), soft), {0, *cuts, *breaks})
        # After a gap in time the first picture may be one that was shown before it.
        edges = {0, *cuts, *(index for index in breaks if self._seen.changes(index))}
        self._prefer(chains, edges)
        items: list[Chain | SoftRun] = [*chains, *soft]
        parts = [part for item in sorted(items, key=_begin) for part in self._parts(item, edges)]
        stretches = _merged([part.stretch for part in parts])
        combed = any(part.is_left_combed for part in parts)
        end = self._film.pts[-1] + self._step
        draft = FieldPlan(stretches, cuts, self._common_rate(stretches), self._step, end, combed, ())
        return replace(draft, shots=described(draft, parts, self._film))

    def _breaks(self) -> list[int]:
        """Return the frames that do not follow the one before by a frame's time."""
        if self._rate is None:
            return []
        steps = field_steps(self._film.pts, self._rate, self._film.info.time_base)
        return [index for index, fields in enumerate(steps, 1) if fields != 2]

    def _parts(self, item: Chain | SoftRun, edges: set[int]) -> list[Part]:
        if isinstance(item, SoftRun):
            return [self._soft(item)]
        cadence = item[0].cadence
        if cadence.is_interlaced:
            letter = _INTERLACED[self._settings.deinterlace]
            return [self._untimed(run, letter * (run.end - run.begin)) for run in item]
        if not cadence.is_film:
            return [self._progressive(run) for run in item]
        if not self._settings.detelecine:
            return [self._untimed(run, self._undone(run)) for run in item]
        return self._film_parts(item, edges)

    def _untimed(self, run: Run, letters: str) -> Part:
        return Part(Stretch(run.begin, letters, run.cadence.parity.value), run.cadence)

    def _progressive(self, run: Run) -> Part:
        """Return frames that stay as they are, but for single ones that are of two pictures after all."""
        frames = slice(run.begin, run.end)
        combed = self._seen.combed[frames]
        if self._settings.deinterlace is Deinterlace.OFF or not combed.any():
            return self._untimed(run, "c" * len(combed))
        bottom_late = (self._seen.bottom_before - self._seen.top_before)[frames][combed].sum() < 0
        stretch = Stretch(run.begin, "".join("f" if each else "c" for each in combed), 0 if bottom_late else 1)
        return Part(stretch, run.cadence)

    def _undone(self, run: Run) -> str:
        """Return what becomes of film that is not to be put together: frames of two pictures become one of one."""
        if self._settings.deinterlace is Deinterlace.OFF or run.cadence.unit is Unit.FRAME:
            return "c" * (run.end - run.begin)
        shown = (run.cadence.pictures(index, run.phase) for index in range(run.begin, run.end))
        return "".join("c" if first == second else "f" for first, second in shown)

    def _soft(self, run: SoftRun) -> Part:
        letters = "c" * (run.end - run.begin)
        if not self._settings.detelecine:
            return Part(Stretch(run.begin, letters), None)
        shown = [Showing(pts) for pts in self._film.pts[run.begin : run.end]]
        field = self._step / 2
        grid = self._fitted(run.begin, run.end, shown, run.share * field, field * LATEST_FIELDS)
        return Part(Stretch(run.begin, letters, 0, grid.clock if grid else None), None)

    def _film_parts(self, chain: Chain, edges: set[int]) -> list[Part]:
        """Return the parts of a chain: one if one clock fits all of it, else one for each run."""
        made = self._pictures(chain, edges)
        whole = self._film_part(chain, made)
        if whole.stretch.clock is not None or len(chain) == 1:
            return [whole]
        return [self._film_part((run,), [pictures]) for run, pictures in zip(chain, made, strict=True)]

    def _film_part(self, chain: Chain, made: Sequence[FilmPictures]) -> Part:
        cadence, begin, end = chain[0].cadence, chain[0].begin, chain[-1].end
        shown = [each for pictures in made for each in pictures.shown]
        unit = self._unit(cadence.unit) * (LATEST_FIELDS if cadence.lengths else 1)
        grid = self._fitted(begin, end, shown, self._pattern_step(cadence), unit)
        letters = "".join(pictures.letters for pictures in made)
        return Part(Stretch(begin, letters, cadence.parity.value, grid.clock if grid else None), cadence)

    def _pictures(self, chain: Chain, edges: set[int]) -> list[FilmPictures]:
        return [
            film_pictures(run, self._film.pts, self._step / 2, self._seen, begun=run.begin in edges) for run in chain
        ]

    def _pattern_step(self, cadence: Cadence) -> Fraction:
        """Return the seconds between two pictures by the pattern as it repeats."""
        return cadence.share * self._unit(cadence.unit)

    def _unit(self, unit: Unit) -> Fraction:
        return self._step if unit is Unit.FRAME else self._step / 2

    def _fitted(self, begin: int, end: int, shown: Sequence[Showing], step: Fraction, unit: Fraction) -> Grid | None:
        """Return the instants of pictures, going on with those of the film just before if they fit."""
        if not shown:
            return None
        steps = film_steps(step, 1 / self._step)
        preferred = self._preferred.get(step, steps[0])
        steps = (preferred, *(each for each in steps if each != preferred))
        before = self._grid[1] if self._grid is not None and self._grid[0] == begin else None
        grid = fit_any(shown, steps, unit + self._slack, before)
        self._grid = None if grid is None else (end, grid)
        return grid

    def _prefer(self, chains: Sequence[Chain], edges: set[int]) -> None:
        """Let the longest film of each pattern say at which of the possible rates it was taken."""
        for chain in sorted(chains, key=lambda chain: chain[0].begin - chain[-1].end):
            cadence = chain[0].cadence
            step = self._pattern_step(cadence)
            if cadence.is_film and step not in self._preferred:
                self._grid = None
                clock = self._film_part(chain, self._pictures(chain, edges)).stretch.clock
                if clock is not None:
                    self._preferred[step] = clock.step
        self._grid = None

    def _common_rate(self, stretches: Sequence[Stretch]) -> Fraction | None:
        """Return the rate of all pictures, or None where it varies."""
        rates = {
            1 / stretch.clock.step
            if stretch.clock is not None
            else self._film.info.rate and self._film.info.rate * (2 if "b" in stretch.letters else 1)
            for stretch in stretches
        }
        return rates.pop() if len(rates) == 1 else None


def _begin(item: Chain | SoftRun) -> int:
    return item.begin if isinstance(item, SoftRun) else item[0].begin


def _around(runs: Sequence[Run], soft: Sequence[SoftRun]) -> list[Run]:
    """Return the runs without the frames that are soft telecine."""
    left = list(runs)
    for hole in soft:
        cut: list[Run] = []
        for run in left:
            pieces = ((run.begin, min(run.end, hole.begin)), (max(run.begin, hole.end), run.end))
            cut += [replace(run, begin=begin, end=end) for begin, end in pieces if begin < end]
        left = cut
    return left


def _split(runs: Sequence[Run], breaks: Sequence[int]) -> list[Run]:
    """Return the runs divided where time has a gap, through which no clock goes on."""
    divided = []
    for run in runs:
        ends = [*(index for index in breaks if run.begin < index < run.end), run.end]
        divided += [replace(run, begin=b, end=e) for b, e in pairwise([run.begin, *ends])]
    return divided


def _chains(runs: Sequence[Run], edges: set[int]) -> list[Chain]:
    """Join runs of one cadence that only slip in phase, for which there is no reason but another rate."""
    chains: list[list[Run]] = []
    for run in runs:
        last = chains[-1][-1] if chains else None
        joined = last is not None and last.end == run.begin and last.cadence == run.cadence
        if joined and run.cadence.is_film and run.begin not in edges:
            chains[-1].append(run)
        else:
            chains.append([run])
    return [tuple(chain) for chain in chains]


def _merged(stretches: Sequence[Stretch]) -> tuple[Stretch, ...]:
    """Join stretches that are treated alike and keep their own times."""
    merged: list[Stretch] = []
    for stretch in stretches:
        last = merged[-1] if merged else None
        plain = last is not None and last.clock is None and stretch.clock is None
        if plain and last is not None and _treatment(last) == _treatment(stretch):
            merged[-1] = replace(last, letters=last.letters + stretch.letters)
        else:
            merged.append(stretch)
    return tuple(merged)


def _treatment(stretch: Stretch) -> tuple[bool, bool, int]:
    plain = not stretch.letters.strip("c")
    return plain, "b" in stretch.letters, 0 if plain else stretch.first_line
