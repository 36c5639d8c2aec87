"""Makes a film's stages ready: looks it over, or reads what an earlier run has seen, and opens them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

from fastrestore.config import FilmOptions
from fastrestore.errors import JobError, UsageError
from fastrestore.frames import Picture, StreamInfo
from fastrestore.kernels.ops import Ops
from fastrestore.runtime.identity import identity
from fastrestore.runtime.parts import Stages
from fastrestore.runtime.source import Source
from fastrestore.runtime.treatments import study
from fastrestore.runtime.treatments.retouch import Moving, Retouch
from fastrestore.runtime.treatments.table import Opened, Stage, Tools, asked_for
from fastrestore.runtime.treatments.treating import Treating
from fastrestore.runtime.treatments.treatment import Film, Finish, Shot, Treatment


@dataclass(frozen=True, slots=True)
class FilmWork:
    """What is done to a film beside restoring it."""

    treating: Treating
    finishes: tuple[Finish, ...]
    retouch: Retouch | None = None

    def joined_to(self, stages: Stages) -> Stages:
        """Return the parts of a pipeline with what is done to restored and to finished pictures."""
        finish = self.finished if self.finishes else None
        return replace(stages, finish=finish, retouch=self.retouch)

    def finished(self, picture: Picture, index: int, pts: Fraction) -> Picture:
        """Return a picture of the output finished.

        Args:
            picture: The picture.
            index: Number of the output frame.
            pts: Its time on the source's clock, seconds.
        """
        film = self.treating.film
        # An instant just before a frame, as near as the file's clock rounds, shows that frame: see `Rules.near`.
        shot = film.shot_at(pts + film.info.near).number
        for finish in self.finishes:
            picture = finish.apply(picture, index, shot)
        return picture

    def report(self, counts: Mapping[int, Mapping[str, float]]) -> list[dict[str, Any]]:
        """Return what was done, by shot.

        Args:
            counts: What was counted, by shot and `stage.number`.
        """
        film = self.treating.film
        return [
            {
                "shot": shot.number,
                "begin_s": float(film.pts[shot.begin]),
                "frames": len(shot),
                **self.treating.report(shot),
                **_finishing(self.finishes if self.retouch is None else (*self.finishes, self.retouch), shot),
                **{name: round(value, 3) for name, value in counts.get(shot.number, {}).items()},
            }
            for shot in film.shots
        ]


def _finishing(finishes: Iterable[Finish | Retouch], shot: Shot) -> dict[str, float | str]:
    return {f"{finish.name}.{name}": value for finish in finishes for name, value in finish.report(shot).items()}


def treated_info(info: StreamInfo, options: FilmOptions) -> StreamInfo:
    """Return what a stream is once its stages are done.

    Raises:
        UsageError: If the words of a stage are not understood, or it does not fit the stream.
    """
    for stage in asked_for(options).values():
        info = stage.info(info)
    return info


def open_film_work(
    source: Source,
    options: FilmOptions,
    folder: Path,
    ops: Ops,
    on_frame: Callable[[int], object] | None = None,
    *,
    restored: bool = True,
) -> FilmWork | None:
    """Make a film's stages ready.

    Args:
        source: The film.
        options: What is asked for.
        folder: The work folder, where what was seen is kept.
        ops: Pixel kernels.
        on_frame: Called with the number of frames seen so far, while the film is looked over.
        restored: Whether networks restore it.

    Returns:
        The stages, or None if none is asked for.

    Raises:
        UsageError: If the film does not come from a file, or a stage does not fit it.
        FastRestoreError: If it cannot be read.
    """
    stages = asked_for(options)
    if not stages:
        return None
    film = _film(source, stages, folder / "film", ops, on_frame)
    tools = Tools(ops, lambda begin, end: _pictures(source, film, begin, end), folder, restored)
    opened: list[Opened] = []
    treatments: list[Treatment] = []
    for stage in stages.values():
        views = tuple(treatment.placed for treatment in treatments if isinstance(treatment, Moving))
        opened.append(stage.open(film, replace(tools, views=views)))
        if (treatment := opened[-1].treatment) is not None:
            treatments.append(treatment)
    finishes = tuple(each.finish for each in opened if each.finish is not None)
    retouch = next((each.retouch for each in opened if each.retouch is not None), None)
    return FilmWork(Treating(film, treatments), finishes, retouch)


def _film(
    source: Source,
    stages: Mapping[str, Stage],
    path: Path,
    ops: Ops,
    on_frame: Callable[[int], object] | None,
) -> Film:
    info = source.info
    probes = {probe.name: probe for stage in stages.values() for probe in stage.probes(info)}
    reader = source.reader
    if reader is None:
        raise UsageError("stages for old film need a file: they read it twice", "write the frames to a file first")
    key = {
        "source": identity(reader.path),
        "range": [str(reader.start), str(reader.end)],
        "fields": None if source.fields is None else source.fields.plan.to_json(),
        "probes": sorted(probes),
    }
    film = study.load(path, key, info)
    if film is None:
        with source.visited(None) as frames:
            film = study.look_over(frames, info, tuple(probes.values()), ops, on_frame)
        study.save(film, key, path)
    return film


def _pictures(source: Source, film: Film, begin: int, end: int) -> Iterator[Picture]:
    """Yield the film's own pictures from number `begin` up to `end`.

    Raises:
        JobError: If they are not what they were when the film was looked over.
    """
    count = 0
    with source.visited(film.place_of(begin)) as frames:
        for frame in islice(frames, end - begin):
            count += 1
            yield frame.picture
    if count < end - begin:
        raise JobError("the film has fewer frames than before", "add `--restart` to begin anew")
