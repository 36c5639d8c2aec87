"""The stages for old film by their names, in the order in which they are carried out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from fastrestore.config import FilmOptions
from fastrestore.frames import Picture, StreamInfo
from fastrestore.kernels.ops import Ops
from fastrestore.runtime.treatments.retouch import Retouch, View
from fastrestore.runtime.treatments.treatment import Film, Finish, Probe, Treatment

Read = Callable[[int, int], Iterator[Picture]]
"""Reads the film's pictures from one number up to, not including, another."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What a stage may use to prepare itself."""

    ops: Ops
    read: Read
    folder: Path
    """Where it may keep what it made of the film; beside the unfinished output, and removed with it."""
    restored: bool = True
    """Whether networks restore the film."""
    views: tuple[View, ...] = ()
    """Where the stages before it put each frame's pixels, in order; none if they stay in place."""


class Stage(Protocol):
    """A stage as a user asked for it: what it looks for, and what it does about it."""

    def probes(self, info: StreamInfo) -> tuple[Probe, ...]:
        """Return what must look at the film beforehand."""
        ...

    def info(self, info: StreamInfo) -> StreamInfo:
        """Return what the stream is after it."""
        ...

    def open(self, film: Film, tools: Tools) -> Opened:
        """Return what it does to this film.

        Raises:
            UsageError: If what was asked for does not fit the film.
            FastRestoreError: If it cannot be prepared.
        """
        ...


@dataclass(frozen=True, slots=True)
class PlainStage:
    """A stage that treats source pictures, and leaves the stream what it was; see `Stage`."""

    look: Callable[[StreamInfo], tuple[Probe, ...]]
    """What `Stage.probes` returns."""
    treat: Callable[[Film, Ops], Treatment]
    """Makes the treatment of a film that was looked at, with pixel kernels."""

    def probes(self, info: StreamInfo) -> tuple[Probe, ...]:
        """See `Stage.probes`."""
        return self.look(info)

    def info(self, info: StreamInfo) -> StreamInfo:
        """See `Stage.info`."""
        return info

    def open(self, film: Film, tools: Tools) -> Opened:
        """See `Stage.open`."""
        return Opened(treatment=self.treat(film, tools.ops))


@dataclass(frozen=True, slots=True)
class Opened:
    """A stage ready for a film."""

    treatment: Treatment | None = None
    """What is done to source pictures."""
    finish: Finish | None = None
    """What is done to finished ones."""
    retouch: Retouch | None = None
    """What is done to restored ones."""


NAMES = ("clean", "colour", "deflicker", "steady", "grain", "faces")
"""In order."""


def asked_for(options: FilmOptions) -> dict[str, Stage]:
    """Return the stages that a user asked for, by name, in order.

    Raises:
        UsageError: If their words are not understood.
    """
    stages: dict[str, Stage] = {}
    if not options:
        return stages
    for name in NAMES:
        module = import_module(f"fastrestore.runtime.treatments.{name}.stage")
        stage = cast("Callable[[FilmOptions], Stage | None]", module.asked_for)(options)
        if stage is not None:
            stages[name] = stage
    return stages
