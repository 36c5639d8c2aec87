"""Finds the place in a source at which an interrupted run goes on, and makes sure that it is the place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from fastrestore.errors import DecodeError, JobError
from fastrestore.frames import Frame
from fastrestore.runtime.media.reader import VideoReader
from fastrestore.runtime.observation import Opening

Reopen = Callable[[Opening], VideoReader]
"""Opens the source again, to be read from a frame on."""


@dataclass(frozen=True, slots=True)
class Entered:
    """A source that is being read from an opening on."""

    reader: VideoReader | None
    """The one that reads, whose notes are those of this reading; None for frames that come from elsewhere."""
    frames: Iterator[Frame]


@contextmanager
def frames_from(reader: VideoReader, reopen: Reopen, opening: Opening, *, sequential: bool) -> Iterator[Entered]:
    """Read the source from an opening on.

    Seeking saves reading everything before, but depends on the file: the frame found must have the very time and
    samples that are on record, else the source is read from its beginning.

    Args:
        reader: The source, opened at its beginning and not read yet.
        reopen: Opens it again.
        opening: The frame to go on from.
        sequential: Do not seek: the source has faults, whose repair depends on what was read before them.

    Raises:
        JobError: If the frame is not found: the source is not what it was.
        DecodeError: If the source cannot be read.
    """
    found = None if sequential else _sought(reopen, opening)
    with nullcontext() if found is None else closing(found[0]):
        if found is None:
            frames = known(islice(iter(reader), opening.index, None), opening, reader.path)
        else:
            reader, frames = found
        yield Entered(reader, frames)


def known(frames: Iterator[Frame], opening: Opening, path: Path) -> Iterator[Frame]:
    """Return frames, once the first of them is seen to be the one on record.

    Raises:
        JobError: If it is not.
        DecodeError: If it cannot be read.
    """
    first = next(frames, None)
    if first is None or not _is(first, opening):
        raise JobError(
            f"the unfinished work goes on with frame {opening.index} of {path}, which is another one now",
            "add `--restart` to begin anew",
        )
    return chain([first], frames)


def _sought(reopen: Reopen, opening: Opening) -> tuple[VideoReader, Iterator[Frame]] | None:
    try:
        reader = reopen(opening)
    except DecodeError:
        return None
    frames = iter(reader)
    first = next(frames, None)
    if first is not None and _is(first, opening):
        return reader, chain([first], frames)
    reader.close()
    return None


def _is(frame: Frame, opening: Opening) -> bool:
    return frame.pts == opening.pts and frame.picture.crc32 == opening.crc32
