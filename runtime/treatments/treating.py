"""Carries out a film's treatments over its frames, one after the other, from any frame on."""

from __future__ import annotations

import threading
from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from fastrestore.frames import Frame
from fastrestore.runtime.observation import Opening
from fastrestore.runtime.report import StageClock
from fastrestore.runtime.timeline import LONGEST_HOLD_FRAMES
from fastrestore.runtime.treatments.treatment import Film, Shot, Treatment, Window

Counts = Mapping[str, float]
"""What was done, in numbers, by `treatment.number`."""


_Showing: TypeAlias = list[tuple[int, Frame]]
"""The frames that show one picture, with their numbers: one, or where the film repeats it, some."""


class Treating:
    """The treatments of a film.

    Where a film shows a picture for several frames, as animation on twos does, its neighbours are other pictures, not
    itself once more; and what was exactly repeated stays so.

    Args:
        film: What is known of it.
        treatments: In order.
    """

    def __init__(self, film: Film, treatments: Sequence[Treatment]) -> None:
        self.film, self.treatments = film, tuple(treatments)
        self._runs = _runs(film)
        self.clock = StageClock()
        """Counts the time that treatments take."""
        self._lock = threading.Lock()
        self._counts: dict[int, dict[str, float]] = {}
        """By frame; it is filled by the thread that reads, and emptied by the one that writes."""

    def place_before(self, index: int) -> Opening | None:
        """Return where reading must begin so that a frame comes out right; None for the film's first frame."""
        shot, begin = self.film.shot_of(index), self._runs[index]
        for _ in range(sum(treatment.radius for treatment in self.treatments)):
            begin = self._runs[max(shot.begin, begin - 1)]
        return self.film.place_of(begin)

    def frames(self, frames: Iterable[Frame], begin: int, first: int) -> Iterator[Frame]:
        """Yield treated frames. Each keeps its untreated picture as `source`, and says whether it begins a shot.

        Only one reading at a time: what an earlier one counted and nobody took is forgotten, for it was read ahead of
        what was made, and whoever makes that reads it again.

        Args:
            frames: The film's, from number `begin` to its end.
            begin: As `place_before` has it.
            first: Number of the first frame to yield.

        Raises:
            JobError: If there are more or fewer of them than when the film was looked over.
        """
        with self._lock:
            self._counts.clear()
        treated = self._known(frames, begin)
        for treatment in self.treatments:
            treated = self._treated(treated, treatment, first)
        return (frame for showing in treated for index, frame in showing if index >= first)

    def take_counts(self, end: int) -> Mapping[int, Counts]:
        """Return what was done to frames before number `end`, by shot, and forget it."""
        with self._lock:
            frames = {index: self._counts.pop(index) for index in sorted(self._counts) if index < end}
        taken: dict[int, dict[str, float]] = {}
        for index, counts in frames.items():
            total = taken.setdefault(self.film.shot_of(index).number, {})
            for name, value in counts.items():
                total[name] = total.get(name, 0.0) + value
        return taken

    def report(self, shot: Shot) -> dict[str, float | str]:
        """Return what is done to a shot, as far as it is known beforehand, by `treatment.number`."""
        return {
            f"{treatment.name}.{name}": value
            for treatment in self.treatments
            for name, value in treatment.report(shot).items()
        }

    def _known(self, frames: Iterable[Frame], begin: int) -> Iterator[_Showing]:
        """Yield the film's pictures; that one begins a shot was seen when the film was looked at."""
        showing: _Showing = []
        for index, frame in self.film.numbered(frames, begin):
            if showing and self._runs[index] == index:
                yield showing
                showing = []
            cut = index > 0 and self.film.shot_of(index).begin == index
            showing.append((index, replace(frame, cut_before=cut, source=frame.picture)))
        if showing:
            yield showing

    def _treated(self, showings: Iterator[_Showing], treatment: Treatment, first: int) -> Iterator[_Showing]:
        radius = treatment.radius
        around: deque[_Showing] = deque()
        for showing in showings:
            index = showing[0][0]
            if around and self.film.shot_of(index).begin == index:
                yield from self._rest(around, treatment, first)
                around.clear()
            around.append(showing)
            if len(around) > radius:
                yield self._apply(around, len(around) - 1 - radius, treatment, first)
            if len(around) > 2 * radius:
                around.popleft()
        yield from self._rest(around, treatment, first)

    def _rest(self, around: deque[_Showing], treatment: Treatment, first: int) -> Iterator[_Showing]:
        """Yield the last pictures of a shot: those that waited for pictures that do not come."""
        for position in range(max(0, len(around) - treatment.radius), len(around)):
            yield self._apply(around, position, treatment, first)

    def _apply(self, around: deque[_Showing], position: int, treatment: Treatment, first: int) -> _Showing:
        """Treat every frame that shows a picture; exact repeats take over what was made of the first."""
        places = range(position - treatment.radius, position + treatment.radius + 1)
        others = [around[at][0] if 0 <= at < len(around) else None for at in places]
        made: _Showing = []
        for index, frame in around[position]:
            if made and self.film.checksums[index] == self.film.checksums[made[0][0]]:
                made.append((index, replace(frame, picture=made[0][1].picture)))
            else:
                others[treatment.radius] = index, frame
                made.append((index, self._frame(others, treatment, counted=index >= first)))
        return made

    def _frame(self, around: Sequence[tuple[int, Frame] | None], treatment: Treatment, *, counted: bool) -> Frame:
        """Treat the frame in the middle of others."""
        middle = around[treatment.radius]
        assert middle is not None, "a window is always of some frame"
        index, frame = middle
        pictures = tuple(None if other is None else other[1].picture for other in around)
        indices = tuple(-1 if other is None else other[0] for other in around)
        with self.clock.busy("treat"):
            treated = treatment.apply(Window(index, self.film.shot_of(index), pictures, indices))
        if counted and treated.counts:
            with self._lock:
                done = self._counts.setdefault(index, {})
                done |= {f"{treatment.name}.{name}": value for name, value in treated.counts.items()}
        return replace(frame, picture=treated.picture)


def _runs(film: Film) -> Sequence[int]:
    """Return for every frame the number of the first one that shows its picture."""
    firsts = array("q")
    for shot in film.shots:
        for index in range(shot.begin, shot.end):
            repeats = bool(film.repeats) and index > shot.begin and film.repeats[index]
            firsts.append(firsts[-1] if repeats and index - firsts[-1] < LONGEST_HOLD_FRAMES else index)
    return firsts
