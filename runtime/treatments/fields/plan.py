"""Which pictures a film is made of: the plan that is drawn up before a run, and the pictures made by it.

The plan says of every source frame what becomes of it, in a letter. So what becomes of a frame depends on the plan,
the frame and its two neighbours alone: a run can begin anywhere and comes out the same, byte for byte.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from enum import Enum
from fractions import Fraction
from functools import cached_property
from itertools import accumulate
from math import gcd, lcm
from typing import Any, Final, Self

from fastrestore.frames import Frame, Picture, StreamInfo
from fastrestore.kernels.film_fields import weave
from fastrestore.runtime.media.field_filters import Deinterlacer
from fastrestore.runtime.treatments.fields.film_clock import Clock

SCHEMA: Final = "fastrestore.fields/1"
_LONGEST_CLOCK: Final = 1 << 31
"""Largest denominator of a stream's unit of time that containers take."""


class Make(Enum):
    """One picture that a frame gives."""

    WHOLE = "whole"
    """The frame as it is."""
    ACROSS = "across"
    """Its first field with the second field of the frame before."""
    FIRST = "first"
    """Its first field, the other lines interpolated."""
    SECOND = "second"
    """Its second field, the other lines interpolated."""


MAKES: Final[Mapping[str, tuple[Make, ...]]] = {
    "-": (),
    "c": (Make.WHOLE,),
    "x": (Make.ACROSS,),
    "f": (Make.FIRST,),
    "s": (Make.SECOND,),
    "b": (Make.FIRST, Make.SECOND),
    "y": (Make.ACROSS, Make.SECOND),
}
"""What becomes of a frame, by the letter that stands for it in a plan; `-` is left out."""
LETTERS: Final = {makes: letter for letter, makes in MAKES.items()}


@dataclass(frozen=True)
class Stretch:
    """Source frames that are treated alike."""

    begin: int
    """Number of the first one in the source."""
    letters: str
    """What becomes of each, see `MAKES`."""
    first_line: int = 0
    """First line of the earlier field."""
    clock: Clock | None = None
    """The instants of its pictures; None keeps those of the fields they are made of."""

    @property
    def end(self) -> int:
        """Number of the first frame after it."""
        return self.begin + len(self.letters)

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """Pictures made of the frames before each, and of all of them last."""
        return tuple(accumulate((len(MAKES[letter]) for letter in self.letters), initial=0))

    def makes(self, index: int) -> tuple[Make, ...]:
        """Return what becomes of a frame, by its number in the source."""
        return MAKES[self.letters[index - self.begin]]


@dataclass(frozen=True, slots=True)
class ShotFields:
    """What was found in a shot and what is done about it."""

    begin: int
    """Number of its first frame in the source."""
    end: int
    seen: str
    """What it is, in words."""
    done: str
    """What is done, in words."""
    pictures: int
    """Pictures made of it."""
    progressive: int
    """Frames that look so by themselves, by `idet`'s rules; likewise the next three."""
    top_first: int
    bottom_first: int
    undetermined: int


@dataclass(frozen=True)
class FieldPlan:
    """What becomes of every frame of a film."""

    stretches: tuple[Stretch, ...]
    """All frames, in order."""
    cuts: tuple[int, ...]
    """Frames that begin a shot other than the first: no field is made from those across."""
    rate: Fraction | None
    """Pictures a second, or None where it varies."""
    step: Fraction
    """Seconds from one source frame to the next where nothing tells."""
    end: Fraction
    """Seconds at which the last source frame ends."""
    combed: bool
    """Whether frames whose fields are of two pictures are left as they are."""
    shots: tuple[ShotFields, ...]

    @cached_property
    def _firsts(self) -> tuple[int, ...]:
        """Numbers of the first picture of each stretch, and how many there are of all last."""
        return tuple(accumulate((stretch.counts[-1] for stretch in self.stretches), initial=0))

    @property
    def frame_count(self) -> int:
        """Pictures that the film is made of."""
        return self._firsts[-1]

    @property
    def changes_nothing(self) -> bool:
        """Whether every frame stays as it is, when it is."""
        return all(stretch.clock is None and not stretch.letters.strip("c") for stretch in self.stretches)

    def report(self) -> tuple[Mapping[str, Any], ...]:
        """Return what was found in every shot and what is done about it, as plain data."""
        return tuple(asdict(shot) for shot in self.shots)

    def info(self, info: StreamInfo) -> StreamInfo:
        """Return what the stream is once the plan is carried out."""
        if self.changes_nothing:
            return replace(info, interlaced=self.combed)
        times = [s.clock for s in self.stretches if s.clock is not None]
        units = [info.time_base, *(each for clock in times for each in (clock.origin, clock.step) if each)]
        if any(letter in "bsy" for stretch in self.stretches for letter in stretch.letters):
            units.append(info.time_base / 2)
        unit = Fraction(gcd(*(u.numerator for u in units)), lcm(*(u.denominator for u in units)))
        if unit.denominator >= _LONGEST_CLOCK:
            unit = info.time_base
        return replace(info, rate=self.rate, frame_count=self.frame_count, interlaced=self.combed, time_base=unit)

    def source_index(self, begin: int) -> int:
        """Return the source frame that a reading must begin with for a picture and all after it to be made.

        That is the frame before the one that the picture is made of: its fields may be needed.

        Raises:
            IndexError: If there is no such picture.
        """
        return max(0, self._frame_of(begin) - 1)

    def applied(self, frames: Iterable[Frame], begin: int = 0) -> Iterator[Frame]:
        """Yield the film's pictures from one on. A frame that stays as it is is yielded itself.

        Args:
            frames: The source from frame `source_index(begin)` on.
            begin: Number of the first picture.

        Raises:
            IndexError: If there is no such picture, or the source has more frames than the plan.
            DecodeError: If libavfilter fails.
        """
        if begin == self.frame_count:
            return
        first, index = self._frame_of(begin), self.source_index(begin)
        maker = _Maker(self)
        for before, here, after in _threes(frames):
            if index >= first:
                yield from maker.pictures(index, before, here, after, skip=begin)
            index += 1

    def to_json(self) -> dict[str, Any]:
        """Return the plan as plain data."""
        stretches = [
            [each.begin, each.letters, each.first_line, None if each.clock is None else each.clock.to_json()]
            for each in self.stretches
        ]
        return {
            "schema": SCHEMA,
            "stretches": stretches,
            "cuts": list(self.cuts),
            "rate": None if self.rate is None else str(self.rate),
            "step": str(self.step),
            "end": str(self.end),
            "combed": self.combed,
            "shots": [asdict(shot) for shot in self.shots],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the plan that `to_json` returned.

        Raises:
            ValueError: If it is another version's.
        """
        if data["schema"] != SCHEMA:
            raise ValueError(f"wanted {SCHEMA}, got {data['schema']}")
        stretches = tuple(
            Stretch(begin, letters, first_line, None if clock is None else Clock.from_json(clock))
            for begin, letters, first_line, clock in data["stretches"]
        )
        rate = None if data["rate"] is None else Fraction(data["rate"])
        step, end = Fraction(data["step"]), Fraction(data["end"])
        shots = tuple(ShotFields(**shot) for shot in data["shots"])
        return cls(stretches, tuple(data["cuts"]), rate, step, end, data["combed"], shots)

    def stretch_of(self, index: int) -> int:
        """Return the number of the stretch that a source frame is in.

        Raises:
            IndexError: If it is in none.
        """
        if not 0 <= index < self.stretches[-1].end:
            raise IndexError(f"the plan is for {self.stretches[-1].end} frames, not for frame {index}")
        return bisect_right([stretch.begin for stretch in self.stretches], index) - 1

    def number_of(self, index: int) -> int:
        """Return how many pictures are made of the frames before a source frame."""
        number = self.stretch_of(index)
        stretch = self.stretches[number]
        return self._firsts[number] + stretch.counts[index - stretch.begin]

    def _frame_of(self, picture: int) -> int:
        """Return the source frame that a picture is made of."""
        if not 0 <= picture < self.frame_count:
            raise IndexError(f"the plan makes {self.frame_count} pictures: there is no picture {picture}")
        number = bisect_right(self._firsts, picture) - 1
        stretch = self.stretches[number]
        return stretch.begin + bisect_right(stretch.counts, picture - self._firsts[number]) - 1


class _Maker:
    """Makes the pictures of one plan."""

    def __init__(self, plan: FieldPlan) -> None:
        self._plan, self._cuts = plan, frozenset(plan.cuts)
        self._deinterlacer: Deinterlacer | None = None
        self._for: tuple[int, bool] | None = None
        self._made: tuple[int, tuple[Picture, ...]] | None = None

    def pictures(
        self, index: int, before: Frame | None, here: Frame, after: Frame | None, *, skip: int
    ) -> Iterator[Frame]:
        """Yield the pictures that a source frame gives, but for those numbered below `skip`."""
        plan = self._plan
        stretch = plan.stretches[plan.stretch_of(index)]
        first = plan.number_of(index)
        within = stretch.counts[index - stretch.begin]
        for place, make in enumerate(stretch.makes(index)):
            if first + place < skip:
                continue
            if make is Make.WHOLE and stretch.clock is None:
                yield here
                continue
            pts, duration = self._when(stretch, within + place, make, (before, here, after))
            yield Frame(self._picture(index, stretch, make, (before, here, after)), pts, duration, here.cut_before)

    def _when(
        self, stretch: Stretch, number: int, make: Make, around: tuple[Frame | None, Frame, Frame | None]
    ) -> tuple[Fraction, Fraction]:
        """Return the time of a picture and how long it is shown, in seconds."""
        before, here, after = around
        if stretch.clock is not None:
            last = stretch is self._plan.stretches[-1] and number + 1 == stretch.counts[-1]
            end = self._plan.end if last else stretch.clock.at(number + 1)
            return stretch.clock.at(number), end - stretch.clock.at(number)
        if after is not None:
            length = after.pts - here.pts
        elif before is not None:
            length = here.pts - before.pts
        else:
            length = here.duration or self._plan.step
        if "b" not in stretch.letters:
            return here.pts, here.duration
        return here.pts + (length / 2 if make is Make.SECOND else 0), length / 2

    def _picture(
        self, index: int, stretch: Stretch, make: Make, around: tuple[Frame | None, Frame, Frame | None]
    ) -> Picture:
        before, here, after = around
        if make is Make.WHOLE:
            return here.picture
        if make is Make.ACROSS:
            assert before is not None, "no plan weaves the film's first frame with one before it"
            even, odd = (here, before) if stretch.first_line == 0 else (before, here)
            return weave(even.picture, odd.picture)
        if self._made is None or self._made[0] != index:
            made = self._filter(stretch).pictures(
                None if before is None or index in self._cuts else before.picture,
                here.picture,
                None if after is None or index + 1 in self._cuts else after.picture,
            )
            self._made = index, made
        return self._made[1][-1] if make is Make.SECOND else self._made[1][0]

    def _filter(self, stretch: Stretch) -> Deinterlacer:
        wanted = (stretch.first_line, any(letter in "bsy" for letter in stretch.letters))
        if self._deinterlacer is None or self._for != wanted:
            self._for, self._deinterlacer = wanted, Deinterlacer(wanted[0], both=wanted[1])
        return self._deinterlacer


def _threes(frames: Iterable[Frame]) -> Iterator[tuple[Frame | None, Frame, Frame | None]]:
    """Yield every frame with those before and after it."""
    before: Frame | None = None
    source = iter(frames)
    here = next(source, None)
    for after in source:
        assert here is not None
        yield before, here, after
        before, here = here, after
    if here is not None:
        yield before, here, None
