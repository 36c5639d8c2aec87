"""Gives grey film colours: those of frames that a person coloured, or those that a network guesses.

A frame's chroma depends on all frames between it and the coloured ones. It is therefore found shot by shot before the
run and kept in files; from then on a frame's colours are looked up. Luma is never changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

import cv2
import numpy as np

from fastrestore.config import FilmOptions
from fastrestore.errors import UsageError
from fastrestore.frames import FORMATS, Picture, StreamInfo
from fastrestore.kernels import film_colour as kernels
from fastrestore.kernels.cpu import neutral_planes
from fastrestore.kernels.film_colour import Luma
from fastrestore.runtime.media.translate import writing
from fastrestore.runtime.state_files import write_synced
from fastrestore.runtime.treatments.colour.chroma_store import ChromaReader, ChromaWriter, is_whole
from fastrestore.runtime.treatments.colour.example import Example, ExampleProbe, ExampleWord, find_frames
from fastrestore.runtime.treatments.colour.guess import ColourGuesser, GuessSettings
from fastrestore.runtime.treatments.colour.own_colours import OwnColoursProbe, has_own_colours
from fastrestore.runtime.treatments.colour.propagation import Anchor, ColourFlow, working_size
from fastrestore.runtime.treatments.colour.shot import colour_shot
from fastrestore.runtime.treatments.table import Opened, Tools
from fastrestore.runtime.treatments.treatment import Film, Probe, Shot, Treated, Window

_REVISION: Final = 1  # of what is computed: files of another are not used
_UNSURE: Final = 0.5
_FALLEN: Final = 0.5  # of the trust in a network's own guess: where less is left, it guesses again


@dataclass(frozen=True, slots=True)
class ColourSettings:
    """Where colours come from."""

    examples: tuple[ExampleWord, ...] = ()
    """Coloured frames of the film."""
    guess: GuessSettings | None = None
    """The network for shots without any."""

    @classmethod
    def parse(cls, color_from: Sequence[str], colorize: str) -> Self:
        """Read the words of `--color-from` and `--colorize`.

        Raises:
            UsageError: If one is not understood.
        """
        return cls(
            tuple(ExampleWord.parse(word) for word in color_from),
            GuessSettings.parse(colorize) if colorize else None,
        )


def asked_for(options: FilmOptions) -> ColourStage | None:
    """Return the stage if colours are asked for.

    Raises:
        UsageError: If its words are not understood.
    """
    if not options.color_from and not options.colorize:
        return None
    return ColourStage(ColourSettings.parse(options.color_from, options.colorize))


class ColourStage:
    """The stage as it is asked for; see `Stage`.

    Args:
        settings: Where colours come from.
    """

    def __init__(self, settings: ColourSettings) -> None:
        self._settings = settings
        self._read: dict[tuple[object, ...], tuple[Example, ...]] = {}

    def probes(self, info: StreamInfo) -> tuple[Probe, ...]:
        """See `Stage.probes`.

        Raises:
            UsageError: If a coloured frame cannot be read or has another shape than the film.
        """
        sought = [example for example in self._examples(info) if example.word.at is None]
        return (OwnColoursProbe(), *((ExampleProbe(sought),) if sought else ()))

    def info(self, info: StreamInfo) -> StreamInfo:
        """See `Stage.info`: grey film becomes 4:2:0 of its own depth."""
        return coloured_info(info)

    def open(self, film: Film, tools: Tools) -> Opened:
        """Find the colours of every shot that gets any, and return the stage; see `Stage.open`."""
        found = find_frames(self._examples(film.info), film)
        _refuse_coloured(found, film)
        folder = tools.folder / "colour"
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        guesser = ColourGuesser(self._settings.guess, film.info) if self._settings.guess else None
        shots: dict[int, ColouredShot] = {}
        try:
            for shot in film.shots:
                examples = {index: found[index] for index in range(shot.begin, shot.end) if index in found}
                if examples:
                    shots[shot.number] = _by_examples(film, shot, examples, tools, folder)
                elif guesser is not None and not has_own_colours(film, shot):
                    shots[shot.number] = _by_guesses(film, shot, guesser, tools, folder)
        finally:
            if guesser is not None:
                guesser.close()
        return Opened(Colouring(film, shots))

    def _examples(self, info: StreamInfo) -> tuple[Example, ...]:
        """Read the coloured frames, once for a film."""
        key = (info.size, info.colour, info.pixel_aspect, info.rotation)
        if key not in self._read:
            self._read[key] = tuple(Example.read(word, info) for word in self._settings.examples)
        return self._read[key]


def coloured_info(info: StreamInfo) -> StreamInfo:
    """Return what a stream is once it has colours."""
    if info.format.kind == "yuv":
        return info
    tail = "" if info.format.bits == 8 else f"{info.format.bits}le"
    return replace(info, format=FORMATS[f"yuv420p{tail}"], colour=kernels.coded_colour(info.colour))


@dataclass(frozen=True, slots=True)
class ColouredShot:
    """Where the colours of a shot are, and where they come from."""

    path: Path
    source: str
    """`examples` or the name of a network."""
    given: tuple[int, ...]
    """Numbers of the frames whose colours were given or guessed."""


def _by_examples(film: Film, shot: Shot, examples: Mapping[int, Example], tools: Tools, folder: Path) -> ColouredShot:
    flow = ColourFlow()

    def anchor(index: int, luma: Luma) -> Anchor | None:
        return examples[index].anchor(luma, flow) if index in examples else None

    made_of = {str(index): example.sha256 for index, example in examples.items()}
    path = folder / _file_name(film, shot, made_of)
    if not is_whole(path):
        _write(film, shot, anchor, max(examples), tools, path)
    return ColouredShot(path, "examples", tuple(sorted(examples)))


def _by_guesses(film: Film, shot: Shot, guesser: ColourGuesser, tools: Tools, folder: Path) -> ColouredShot:
    """Guess in the middle of every stretch, and once more where the colours of those did not last."""
    path = _guessed(film, shot, guesser, guesser.key_frames(shot), tools, folder)
    note = path.with_suffix(".more")  # which frames the second round added: a later run goes straight to that
    more = _noted(note, shot)
    if more is None:
        more = _fallen(path, shot, guesser.key_frames(shot))
        with writing(note):
            write_synced(note, json.dumps(more).encode())
    keys = tuple(sorted({*guesser.key_frames(shot), *more}))
    if more:
        first, path = path, _guessed(film, shot, guesser, keys, tools, folder)
        first.unlink(missing_ok=True)
    return ColouredShot(path, guesser.name, keys)


def _guessed(film: Film, shot: Shot, guesser: ColourGuesser, keys: Sequence[int], tools: Tools, folder: Path) -> Path:
    """Return the file of a shot's colours with these frames guessed, or the one that a second round replaces."""

    def anchor(index: int, luma: Luma) -> Anchor | None:
        return guesser.anchor(luma) if index in keys else None

    path = folder / _file_name(film, shot, {"network": guesser.identity, "frames": list(keys)})
    if not is_whole(path) and not _noted(path.with_suffix(".more"), shot):
        _write(film, shot, anchor, max(keys), tools, path)
    return path


def _noted(note: Path, shot: Shot) -> list[int] | None:
    """Return the frames that a note names, or None if there is no note that can be used."""
    try:
        found = json.loads(note.read_bytes())
    except (OSError, ValueError):
        return None
    named = isinstance(found, list) and all(isinstance(each, int) and shot.begin <= each < shot.end for each in found)
    return found if named else None


def _fallen(path: Path, shot: Shot, keys: Sequence[int]) -> list[int]:
    """Return the frame least trusted of every run in which trust has fallen below what the guesses began with."""
    trust = np.asarray(_facts(path))
    floor = _FALLEN * float(np.mean([trust[key - shot.begin] for key in keys]))
    low = np.flatnonzero(trust < floor)
    runs = np.split(low, np.flatnonzero(np.diff(low) > 1) + 1) if len(low) else []
    return [shot.begin + int(run[np.argmin(trust[run])]) for run in runs]


def _write(
    film: Film,
    shot: Shot,
    anchor: Callable[[int, Luma], Anchor | None],
    last: int,
    tools: Tools,
    path: Path,
) -> None:
    size = working_size(film.info.size)

    def frames() -> Iterator[tuple[int, Luma]]:
        for index, picture in enumerate(tools.read(shot.begin, shot.end), shot.begin):
            luma = tools.ops.luma8(picture)
            small = cv2.resize(luma, (size.width, size.height), interpolation=cv2.INTER_AREA)
            yield index, np.asarray(small, np.uint8)

    with ChromaWriter(path, shot.begin, shot.end, fine=film.info.format.bits > 8) as sink:
        colour_shot(frames(), anchor, last, sink, path.with_suffix(".waiting"))


def _file_name(film: Film, shot: Shot, made_of: Mapping[str, object]) -> str:
    """Return a name that tells everything the colours of a shot depend on from everything else."""
    facts = {
        "revision": _REVISION,
        "made_of": made_of,
        "frames": [shot.begin, shot.end],
        "checksums": film.checksums[shot.begin : shot.end],
        "info": [str(film.info.size), film.info.format.name, repr(film.info.colour)],
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return f"shot-{shot.number:05d}-{digest[:16]}.zip"


def _facts(path: Path) -> tuple[float, ...]:
    reader = ChromaReader(path)
    reader.close()
    return reader.facts.trust


def _refuse_coloured(found: Mapping[int, Example], film: Film) -> None:
    """Refuse what would take away colours that the film has.

    Raises:
        UsageError: If an example is for a shot in colour, or the film is stored so that colour and luma are one.
    """
    coloured = {shot.number: shot for shot in film.shots if has_own_colours(film, shot)}
    if film.info.format.kind == "rgb" and coloured:
        time = float(film.pts[next(iter(coloured.values())).begin])
        raise UsageError(
            f"the film is stored as R'G'B' and has colours of its own, from {time:.2f} s on",
            "convert it to Y'CbCr first",
        )
    for index, example in found.items():
        if (shot := coloured.get(film.shot_of(index).number)) is not None:
            time = float(film.pts[shot.begin])
            raise UsageError(
                f"{example.word} is for a shot that has colours of its own, the one that begins at {time:.2f} s",
                "`--color-from` is for grey and tinted film; leave the picture out, or take the film's colours away",
            )


class Colouring:
    """The stage on a film; see `Treatment`.

    Args:
        film: The film.
        shots: What has colours, by number of the shot.
    """

    def __init__(self, film: Film, shots: Mapping[int, ColouredShot]) -> None:
        self._film, self._shots = film, shots
        self._info = coloured_info(film.info)
        self._trust = {number: _facts(each.path) for number, each in shots.items()}
        self._open: tuple[int, ChromaReader] | None = None

    @property
    def name(self) -> str:
        """See `Treatment.name`."""
        return "colour"

    @property
    def radius(self) -> int:
        """See `Treatment.radius`."""
        return 0

    def info(self, info: StreamInfo) -> StreamInfo:
        """See `Treatment.info`."""
        return coloured_info(info)

    def apply(self, window: Window) -> Treated:
        """See `Treatment.apply`.

        Raises:
            EncodeError: If the file of the shot's colours is damaged.
        """
        picture, number = window.picture, window.shot.number
        if number not in self._shots:
            return Treated(self._grey(picture))
        found = self._reader(number).get(window.index)
        layout, colour = self._info.format, kernels.coded_colour(picture.colour)
        luma = kernels.luma_plane(picture)
        guide = np.asarray(luma if layout.bits == 8 else luma >> (layout.bits - 8), np.uint8)
        chroma = kernels.enlarged(found.chroma, guide, layout.plane_size(picture.size, 1))
        planes = kernels.stored(chroma, layout, colour)
        unsure = float(np.count_nonzero(found.trust < _UNSURE)) / found.trust.size
        counts = {"frames": 1.0, "unsure_frames": unsure}
        return Treated(Picture((luma, *planes), layout, colour), counts)

    def report(self, shot: Shot) -> Mapping[str, float | str]:
        """See `Treatment.report`: where the colours come from, and where another example would help most."""
        coloured = self._shots.get(shot.number)
        if coloured is None:
            return {"from": "film"}
        trust = self._trust[shot.number]
        least = int(np.argmin(trust))
        told: dict[str, float | str] = {
            "from": coloured.source,
            "at_s": ", ".join(f"{float(self._film.pts[index]):.3f}" for index in coloured.given),
            "trust": round(float(np.mean(trust)), 3),
            "least_trust": round(trust[least], 3),
        }
        if trust[least] < _UNSURE:
            told["another_example_would_help_most_at_s"] = round(float(self._film.pts[shot.begin + least]), 3)
        return told

    def _grey(self, picture: Picture) -> Picture:
        layout = self._info.format
        if picture.format == layout:
            return picture
        planes = (kernels.luma_plane(picture), *neutral_planes(layout.plane_size(picture.size, 1), layout))
        return Picture(planes, layout, kernels.coded_colour(picture.colour))

    def _reader(self, number: int) -> ChromaReader:
        if self._open is None or self._open[0] != number:
            if self._open is not None:
                self._open[1].close()
            self._open = (number, ChromaReader(self._shots[number].path))
        return self._open[1]
