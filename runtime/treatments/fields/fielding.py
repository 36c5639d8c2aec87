"""Makes a source give the pictures that its frames were made of, where it is woven of fields or repeats frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastrestore.config import FilmOptions
from fastrestore.frames import Frame
from fastrestore.kernels.ops import open_ops
from fastrestore.runtime.identity import identity
from fastrestore.runtime.media.reader import VideoReader
from fastrestore.runtime.observation import Opening
from fastrestore.runtime.treatments import study
from fastrestore.runtime.treatments.fields.plan import FieldPlan
from fastrestore.runtime.treatments.fields.planner import FieldSettings, plan_of
from fastrestore.runtime.treatments.fields.statistics import FieldProbe
from fastrestore.runtime.treatments.treatment import Film

_FILE = "fields"


@dataclass(frozen=True, slots=True)
class Fielding:
    """What becomes of a file's frames before anything else is done to them."""

    film: Film
    """The file's frames as they are read."""
    plan: FieldPlan
    key: dict[str, Any]
    """What it depends on."""

    def place_before(self, index: int) -> Opening | None:
        """Return from where on the file must be read for picture number `index`; None for its beginning."""
        return self.film.place_of(self.plan.source_index(index))

    def pictures(self, frames: Iterable[Frame], begin: int) -> Iterator[Frame]:
        """Yield the pictures from number `begin` on.

        Args:
            frames: The file's, from `place_before(begin)` to its end.
            begin: Number of the first picture.

        Raises:
            JobError: If there are more or fewer of them than when the file was looked over.
        """
        own = self.film.numbered(frames, self.plan.source_index(begin))
        return self.plan.applied((frame for _, frame in own), begin)

    def save(self, folder: Path) -> None:
        """Keep what was found in a work folder.

        Raises:
            EncodeError: If it cannot be written.
        """
        if study.load(folder / _FILE, self.key, self.film.info) is None:
            study.save(self.film, self.key, folder / _FILE)


def fielding_of(
    reader: VideoReader, options: FilmOptions, folder: Path | None, on_frame: Callable[[int], object] | None = None
) -> Fielding | None:
    """Look at all frames of a file, or read what an earlier run has seen, and decide what becomes of them.

    Args:
        reader: The file, not read yet; another reader looks at it.
        options: What is asked for.
        folder: The work folder, if there is one.
        on_frame: Called with the number of frames seen after each.

    Returns:
        What becomes of them, or None if nothing is asked for or nothing is to be done.

    Raises:
        UsageError: If the words are not understood.
        DecodeError: If the file cannot be read.
    """
    settings = FieldSettings.parse(options.deinterlace or "off", detelecine=options.detelecine)
    if settings.does_nothing:
        return None
    probe = FieldProbe()
    key = {"source": identity(reader.path), "range": [str(reader.start), str(reader.end)], "probes": [probe.name]}
    film = None if folder is None else study.load(folder / _FILE, key, reader.info)
    if film is None:
        with reader.again() as again:
            film = study.look_over(again, reader.info, [probe], open_ops("cpu"), on_frame)
    return Fielding(film, plan_of(film, settings), key)
