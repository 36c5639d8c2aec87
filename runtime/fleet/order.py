"""What a coordinator and its workers say to each other. Plain values that go through a pipe or over a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from fastrestore import errors
from fastrestore.config import ConvertOptions
from fastrestore.errors import FastRestoreError
from fastrestore.runtime.media.reader import VideoReader
from fastrestore.runtime.segments import Proved
from fastrestore.runtime.timeline import SegmentStart


@dataclass(frozen=True, slots=True)
class Order:
    """A film that segments are to be made of."""

    film: int
    """Its number, by which messages about an earlier film are known as such."""
    source: Path
    folder: Path
    """Where parts are written, and where what was seen of the film is kept."""
    options: ConvertOptions
    """As the user has them."""
    encoder_threads: int

    @classmethod
    def of(cls, film: int, reader: VideoReader, folder: Path, options: ConvertOptions, encoder_threads: int) -> Order:
        """Return the order for a film that is open."""
        # A new soundtrack is the coordinator's business, and need not be where the workers are.
        policy = reader.notes.faults.policy
        as_read = replace(options, start=reader.start, end=reader.end, on_error=policy, audio=None)
        return cls(film, reader.path.absolute(), folder.absolute(), as_read, encoder_threads)

    def at(self, source: Path, folder: Path) -> Order:
        """Return the order for a worker that sees the film and a folder for its parts elsewhere."""
        return replace(self, source=source, folder=folder)

    @property
    def encoding(self) -> ConvertOptions:
        """The options with the encoder's threads fixed, so that every worker's segments are the same."""
        return replace(self.options, encode=replace(self.options.encode, threads=self.encoder_threads))


@dataclass(frozen=True, slots=True)
class Assignment:
    """A segment that is to be made."""

    film: int
    number: int
    start: SegmentStart
    sequential: bool
    """Whether the source must be read from its beginning to get to it: it had faults before."""
    after: int | None
    """The last timestamp before it, in the track's ticks."""
    source_end: int
    """Number of the first source frame after it."""
    part: str
    """Name of the file to write: nobody else's, whoever else makes the same segment."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a worker found when it opened a film."""

    film: int
    settings: Mapping[str, str]
    """Everything that the output depends on: see `header_for`."""
    source: Mapping[str, int | str]
    """By what the source is known."""
    backend: str
    """What the networks run on, in words."""
    backend_reason: str
    processor: str = ""
    """Its model: another kind rounds differently."""


@dataclass(frozen=True, slots=True)
class Wanting:
    """The worker could begin another segment."""

    film: int


@dataclass(frozen=True, slots=True)
class Advanced:
    """A sign of life from a segment that is being made."""

    film: int
    number: int
    frames: int
    """Finished since the last one."""


@dataclass(frozen=True, slots=True)
class Made:
    """A segment that is written and proved."""

    film: int
    number: int
    part: str
    proved: Proved
    made: Mapping[str, int]
    """Counts; see `MADE`."""
    busy_s: Mapping[str, float]
    warnings: tuple[str, ...] = ()
    treated: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    between: str = ""
    """See `Done.between`."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """A segment that was given up because nobody needs it any more."""

    film: int
    number: int


@dataclass(frozen=True, slots=True)
class Failure:
    """An error of ours on its way between processes."""

    kind: str
    message: str
    hint: str

    @classmethod
    def of(cls, error: FastRestoreError) -> Failure:
        """Return an error as plain values. One whose class wants more than words becomes its base."""
        plain = next(each for each in type(error).__mro__ if "__init__" not in vars(each) or each is FastRestoreError)
        return cls(plain.__name__, error.message, error.hint)

    @property
    def error(self) -> FastRestoreError:
        """The error."""
        kind: type[FastRestoreError] = getattr(errors, self.kind, FastRestoreError)
        return kind(self.message, self.hint)

    @property
    def is_the_films(self) -> bool:
        """Whether every worker would fail in the same way, so that trying again is useless."""
        return not issubclass(type(self.error), errors.DeviceError | errors.EngineError)


@dataclass(frozen=True, slots=True)
class Failed:
    """A segment that failed; without a number, the film could not be opened."""

    film: int
    number: int | None
    failure: Failure


@dataclass(frozen=True, slots=True)
class Lost:
    """A worker that is gone."""

    reason: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Give a segment up."""

    film: int
    number: int


Message: TypeAlias = Order | Assignment | Stop
"""To a worker."""
Report: TypeAlias = Facts | Wanting | Advanced | Made | Stopped | Failed | Lost
"""From a worker, or about it."""


def part_name(number: int, worker: str) -> str:
    """Return the name of the file that a worker writes a segment to until it is on record."""
    return f"{number:06}.nut.{worker}.part"
