"""Runs side by side that read their sources one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from fastrestore.frames import Frame


class Turn(Protocol):
    """When a run may read its source."""

    def begin(self) -> None:
        """Wait until the run may read. Called by the thread that runs it, once all is ready.

        Raises:
            JobCancelledError: If it never may.
        """
        ...

    def end(self) -> None:
        """Say that the source has been read to its end: the next run may begin, while this one's pictures drain.

        Called by the thread that decodes.
        """
        ...


def in_turn(frames: Iterable[Frame], turn: Turn) -> Iterator[Frame]:
    """Wait for the run's turn; return its frames, after the last of which the turn ends."""
    turn.begin()
    return _ending(frames, turn)


def _ending(frames: Iterable[Frame], turn: Turn) -> Iterator[Frame]:
    yield from frames
    turn.end()
