"""What is done to restored pictures before frames are made between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from fastrestore.frames import Picture
from fastrestore.runtime.engine import Engine
from fastrestore.runtime.treatments.treatment import Shot

View: TypeAlias = Callable[[int], NDArray[np.float64]]
"""Returns where a treatment puts the places of a frame, by its number: `(2, 3)` over `(x, y)` in pixels, the middle of
the first sample at (0, 0)."""


@runtime_checkable
class Moving(Protocol):
    """What a treatment offers besides `Treatment` that moves pixels."""

    def placed(self, index: int) -> NDArray[np.float64]:
        """Return a `View` of one frame."""
        ...


@dataclass(frozen=True, slots=True)
class Moment:
    """When a picture is: at a frame of the source, or between two of them."""

    left: int
    """Number of a frame of the source."""
    right: int
    """The same, or that of a later frame of its shot."""
    t: float = 0.0
    """How far from the one to the other, 0 to 1."""

    @classmethod
    def of(cls, index: int) -> Moment:
        """Return that of a frame of the source."""
        return cls(index, index)


class Retouch(Protocol):
    """Changes restored pictures. What becomes of one depends on it, its moment and the film's findings alone."""

    @property
    def name(self) -> str:
        """As in reports."""
        ...

    def alike(self, first: int, second: int) -> bool:
        """Return whether the same picture at two frames of the source becomes the same."""
        ...

    def apply(self, picture: Picture, moment: Moment, engine: Engine) -> Picture:
        """Return a picture changed: a new one, or the very same. Called from one thread at a time.

        Args:
            picture: Restored.
            moment: When it is.
            engine: The network that is asked for.

        Raises:
            EngineError: If the network fails.
        """
        ...

    def report(self, shot: Shot) -> Mapping[str, float | str]:
        """Return what is done to a shot."""
        ...
