"""Carries out a film's treatments over its frames, one after the other, from any frame on."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from fastrestore.frames import Frame
from fastrestore.runtime.observation import Opening
from fastrestore.runtime.report import StageClock
from fastrestore.runtime.treatments.treatment import Film, Shot, Treatment, Window

Counts = Mapping[str, float]
"""What was done, in numbers, by `treatment.number`."""


class Treating:
    """The treatments of a film.

    Args:
        film: What is known of it.
        treatments: In order.
    """

    def __init__(self, film: Film, treatments: Sequence[Treatment]) -> None:
        self.film, self.treatments = film, tuple(treatments)
        self.clock = StageClock()
        """Counts the time that treatments take."""
        self._lock = threading.Lock()
        self._counts: dict[int, dict[str, float]] = {}
        """By frame; it is filled by the thread that reads, and emptied by the one that writes."""

    def place_before(self, index: int) -> Opening | None:
        """Return where reading must begin so that a frame comes out right; None for the film's first frame."""
        radius = sum(treatment.radius for treatment in self.treatments)
        return self.film.place_of(max(self.film.shot_of(index).begin, index - radius))

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
        return (frame for index, frame in treated if index >= first)

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

    def _known(self, frames: Iterable[Frame], begin: int) -> Iterator[tuple[int, Frame]]:
        """Yield frames with their numbers; that one begins a shot was seen when the film was looked at."""
        for index, frame in self.film.numbered(frames, begin):
            cut = index > 0 and self.film.shot_of(index).begin == index
            yield index, replace(frame, cut_before=cut, source=frame.picture)

    def _treated(
        self, frames: Iterator[tuple[int, Frame]], treatment: Treatment, first: int
    ) -> Iterator[tuple[int, Frame]]:
        radius = treatment.radius
        around: deque[tuple[int, Frame]] = deque()
        for index, frame in frames:
            if around and self.film.shot_of(index).begin == index:
                yield from self._rest(around, treatment, first)
                around.clear()
            around.append((index, frame))
            if len(around) > radius:
                yield self._apply(around, len(around) - 1 - radius, treatment, first)
            if len(around) > 2 * radius:
                around.popleft()
        yield from self._rest(around, treatment, first)

    def _rest(self, around: deque[tuple[int, Frame]], treatment: Treatment, first: int) -> Iterator[tuple[int, Frame]]:
        """Yield the last frames of a shot: those that waited for frames that do not come."""
        for position in range(max(0, len(around) - treatment.radius), len(around)):
            yield self._apply(around, position, treatment, first)

    def _apply(
        self, around: deque[tuple[int, Frame]], position: int, treatment: Treatment, first: int
    ) -> tuple[int, Frame]:
        index, frame = around[position]
        places = range(position - treatment.radius, position + treatment.radius + 1)
        pictures = tuple(around[at][1].picture if 0 <= at < len(around) else None for at in places)
        with self.clock.busy("treat"):
            treated = treatment.apply(Window(index, self.film.shot_of(index), pictures))
        if index >= first and treated.counts:
            with self._lock:
                done = self._counts.setdefault(index, {})
                done |= {f"{treatment.name}.{name}": value for name, value in treated.counts.items()}
        return index, replace(frame, picture=treated.picture)
