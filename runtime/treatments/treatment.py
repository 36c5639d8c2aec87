"""What a stage for old film is: numbers found in the whole film first, then every picture changed by itself.

A film is looked at once before the run, by probes, and what they find is kept beside the unfinished output. From then
on a treatment knows all it needs of the film: a picture's new samples depend on those numbers and on the few pictures
around it alone. So a run can begin anywhere in the film and comes out the same, byte for byte.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from fastrestore.errors import JobError
from fastrestore.frames import Frame, Picture, StreamInfo
from fastrestore.runtime.observation import Opening


@dataclass(frozen=True, slots=True)
class Shot:
    """A run of frames between two cuts."""

    number: int
    """From 0."""
    begin: int
    """Number of its first frame in the film."""
    end: int
    """Number of the first frame after it."""

    def __len__(self) -> int:
        return self.end - self.begin


@dataclass(frozen=True, slots=True)
class Glimpse:
    """What a probe sees of a frame."""

    index: int
    """Number of the frame in the film, from 0."""
    picture: Picture
    luma: NDArray[np.uint8]
    """`(H, W)` uint8, in the range the picture is stored in."""
    previous: NDArray[np.uint8] | None
    """The frame before's, or None where a shot begins."""


class Probe(Protocol):
    """Finds numbers in every frame of a film. It is shown each frame once, in order."""

    @property
    def name(self) -> str:
        """By what its findings are kept; another version of a probe has another name."""
        ...

    def look(self, glimpse: Glimpse) -> Sequence[float]:
        """Return what is seen of a frame: as many finite numbers each time."""
        ...


@dataclass(frozen=True, slots=True)
class Film:
    """What is known of a film once it has been looked at."""

    info: StreamInfo
    pts: tuple[Fraction, ...]
    """Seconds of every frame."""
    shots: tuple[Shot, ...]
    findings: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """By probe: `(frames, numbers)` float64."""
    checksums: tuple[int, ...] = ()
    """CRC-32 of every frame's samples, by which it is known again where reading begins in the middle."""
    repeats: tuple[bool, ...] = ()
    """Whether a frame repeats the picture before it, as far as coding keeps it; empty if nobody looked."""

    def shot_of(self, index: int) -> Shot:
        """Return the shot that a frame is in.

        Raises:
            IndexError: If the film has no such frame.
        """
        return self.shots[bisect_right(self.shots, index, key=lambda shot: shot.end)]

    def place_of(self, index: int) -> Opening | None:
        """Return by what a frame is found and known again; None for the film's first."""
        return None if index == 0 else Opening(index, self.pts[index], crc32=self.checksums[index])

    def numbered(self, frames: Iterable[Frame], begin: int) -> Iterator[tuple[int, Frame]]:
        """Yield frames with their numbers.

        Args:
            frames: The film's, from number `begin` to its end.
            begin: Number of the first.

        Raises:
            JobError: If there are more or fewer of them than when the film was looked over.
        """
        end = begin
        for index, frame in enumerate(frames, begin):
            end = index + 1
            if end > len(self.pts):
                break
            yield index, frame
        if end != len(self.pts):
            more = "more" if end > len(self.pts) else "fewer"
            raise JobError(
                f"the film has {more} frames than the {len(self.pts)} that were seen when it was looked over",
                "leave the source alone, and run the command again with `--restart`",
            )

    def shot_at(self, time: Fraction) -> Shot:
        """Return the shot that is shown at a time in seconds; the first one before the film begins."""
        after = bisect_right(self.shots, time, key=lambda shot: self.pts[shot.begin])
        return self.shots[max(0, after - 1)]


@dataclass(frozen=True, slots=True)
class Window:
    """A frame and those around it within its shot. Of a picture that is shown for several frames one is there."""

    index: int
    """Number of the frame in the film."""
    shot: Shot
    pictures: tuple[Picture | None, ...]
    """From `radius` pictures before it to `radius` after; None beyond the shot."""
    indices: tuple[int, ...] = ()
    """Numbers of those frames; empty where one picture follows the other in each frame."""

    @property
    def picture(self) -> Picture:
        """The frame itself."""
        middle = self.pictures[len(self.pictures) // 2]
        assert middle is not None, "a window is always of some frame"
        return middle

    def number(self, place: int) -> int:
        """Return the number in the film of the frame at a place in `pictures`, which has one."""
        return self.indices[place] if self.indices else self.index + place - len(self.pictures) // 2


@dataclass(frozen=True, slots=True)
class Treated:
    """A frame that was treated."""

    picture: Picture
    counts: Mapping[str, float] = field(default_factory=dict)
    """What was done to it, in numbers that are added up for each shot, such as `repaired_px`."""


class Treatment(Protocol):
    """Changes pictures. It may keep what it computed for the frames before, but must not depend on having seen them."""

    @property
    def name(self) -> str:
        """As in `--stages` and in reports."""
        ...

    @property
    def radius(self) -> int:
        """Frames it needs on either side of one."""
        ...

    def info(self, info: StreamInfo) -> StreamInfo:
        """Return what the stream is after it: the same, unless the layout of its pictures changes."""
        ...

    def apply(self, window: Window) -> Treated:
        """Return a frame treated. The window's pictures are those that the treatments before it made.

        May be called from one thread at a time, in any order of frames; usually in the film's.
        """
        ...

    def report(self, shot: Shot) -> Mapping[str, float | str]:
        """Return what is done to a shot, as far as it is known from the film's findings."""
        ...


@runtime_checkable
class Masking(Protocol):
    """A treatment that changes some samples of a picture and leaves the others as they are."""

    def masked(self, window: Window) -> tuple[Treated, NDArray[np.uint8]]:
        """Return a frame treated, and `(H, W)` uint8: up to 255 where it was changed, 0 where it was left."""
        ...


class Finish(Protocol):
    """Changes finished pictures, those between two source frames too, just before they are encoded."""

    @property
    def name(self) -> str:
        """As in reports."""
        ...

    def apply(self, picture: Picture, index: int, shot: int) -> Picture:
        """Return a picture of the output finished: a new one, or the very same.

        May be called from several threads at once.

        Args:
            picture: The picture.
            index: Number of the output frame, from 0.
            shot: Number of the source's shot that it belongs to.
        """
        ...

    def report(self, shot: Shot) -> Mapping[str, float | str]:
        """Return what is done to a shot, as far as it is known from the film's findings."""
        ...
