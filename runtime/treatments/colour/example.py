"""Coloured frames that a person gives: read, found in the film, and brought to its size."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from fastrestore.config import parse_time
from fastrestore.errors import UsageError
from fastrestore.frames import StreamInfo
from fastrestore.geometry import Size
from fastrestore.kernels import film_colour as kernels
from fastrestore.kernels.film_colour import FloatPlane, Luma, Rgb
from fastrestore.runtime.treatments.colour.propagation import Anchor, ColourFlow, working_size
from fastrestore.runtime.treatments.treatment import Film, Glimpse

_THUMBNAIL: Final = Size(96, 72)
_SHAPE_SLACK: Final = 0.04  # by which width over height may be off: a frame cut by a few lines still fits
_LEAST_LIKENESS: Final = 0.6
_RIVAL: Final = 0.015  # another shot with a frame this little less alike could be meant as well
_LEAST_CHROMA: Final = 1.0  # 8-bit levels on average: below that a picture is grey
_LARGEST_PX: Final = 1 << 27


@dataclass(frozen=True, slots=True)
class ExampleWord:
    """A coloured frame as it is named on the command line."""

    path: Path
    at: Fraction | None = None
    """Seconds in the film; None if it is to be looked for."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `FRAME.png` or `FRAME.png@TIME`. A file whose own name ends like that is taken for what it is.

        Raises:
            UsageError: If what follows the last `@` is no time.
        """
        name, at, time = text.rpartition("@")
        if not at or Path(text).is_file():
            return cls(Path(text))
        return cls(Path(name), parse_time(time))

    def __str__(self) -> str:
        return self.path.name


@dataclass(frozen=True, slots=True)
class Example:
    """A coloured frame, read."""

    word: ExampleWord
    sha256: str
    """Of the file."""
    luma: Luma
    """`(h, w)` at working size, in the film's matrix and range."""
    chroma: FloatPlane
    """`(h, w, 2)`, likewise."""

    @classmethod
    def read(cls, word: ExampleWord, info: StreamInfo) -> Self:
        """Read the file and bring it to the film's working size.

        Raises:
            UsageError: If it cannot be read, is grey, or has another shape than the film.
        """
        data, rgb = _read(word)
        fitted = _turned(rgb, word, info)
        size = working_size(info.size)
        small: Rgb = cv2.resize(fitted, (size.width, size.height), interpolation=cv2.INTER_AREA)
        luma, chroma = kernels.split_rgb(small, kernels.coded_colour(info.colour))
        if float(np.linalg.norm(chroma, axis=2).mean()) < _LEAST_CHROMA:
            raise UsageError(f"{word} has no colours", "colour it first")
        return cls(word, hashlib.sha256(data).hexdigest(), luma, chroma)

    def anchor(self, luma: Luma, flow: ColourFlow) -> Anchor:
        """Return its colours for the film's own frame.

        Args:
            luma: The frame's, `(h, w)`, at working size.
            flow: Finds by how much the picture lies beside the frame.

        Raises:
            UsageError: If it shows something else.
        """
        alike = correlation(thumbnail(self.luma), thumbnail(luma))
        if alike < _LEAST_LIKENESS:
            raise UsageError(
                f"{self.word} does not show the frame it is given for (likeness {alike:.2f} of 1)",
                "correct the time after `@`, or leave it out to have the frame looked for",
            )
        places = flow.one_way(luma, self.luma) + kernels.grid(*luma.shape)
        plain, moved = (
            float(kernels.likeness(kernels.relief(luma), kernels.relief(shown)).mean())
            for shown in (self.luma, kernels.fetch_luma(self.luma, places))
        )
        chroma = kernels.fetch(self.chroma, places) if moved > plain + 0.02 else self.chroma
        return Anchor(luma, chroma, np.ones(luma.shape, np.float32))


class ExampleProbe:
    """Compares every frame with coloured frames whose time is not given.

    Args:
        examples: The coloured frames.
    """

    def __init__(self, examples: Sequence[Example]) -> None:
        self._thumbnails = [thumbnail(example.luma) for example in examples]
        digests = hashlib.sha256("".join(example.sha256 for example in examples).encode())
        self.name = f"colour-examples-1-{digests.hexdigest()[:16]}"

    def look(self, glimpse: Glimpse) -> Sequence[float]:
        """Return the likeness to each of them, -1 to 1."""
        seen = thumbnail(glimpse.luma)
        return [correlation(each, seen) for each in self._thumbnails]


def find_frames(examples: Sequence[Example], film: Film) -> dict[int, Example]:
    """Return the examples by the number of the frame that each shows.

    Args:
        examples: All coloured frames of a film.
        film: With what `ExampleProbe` found for those without a time.

    Raises:
        UsageError: If one shows no frame of the film, or two alike ones, or two show the same one.
    """
    sought = [example for example in examples if example.word.at is None]
    found: dict[int, Example] = {}
    for example in examples:
        if example.word.at is None:
            row = film.findings[ExampleProbe(sought).name][:, sought.index(example)]
            index = _most_alike(example.word, row, film)
        else:
            index = _nearest(example.word, example.word.at, film)
        if index in found:
            time = float(film.pts[index])
            raise UsageError(
                f"{found[index].word} and {example.word} are both for the frame at {time:.3f} s",
                "give one of them, or correct a time",
            )
        found[index] = example
    return found


def thumbnail(luma: NDArray[np.uint8]) -> FloatPlane:
    """Return luma at a size at which pictures are compared, its mean taken away and its norm 1; 0 if it is flat."""
    size = (_THUMBNAIL.width, _THUMBNAIL.height)
    small = cv2.resize(luma, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    small -= small.mean()
    norm = float(np.linalg.norm(small))
    return np.asarray(small / norm if norm > 1 else small * 0, np.float32)


def correlation(one: FloatPlane, other: FloatPlane) -> float:
    """Return how alike two thumbnails are, -1 to 1: blind to gain and offset, hence to flicker."""
    return float(np.vdot(one, other))


def _most_alike(word: ExampleWord, row: NDArray[np.float64], film: Film) -> int:
    index = int(np.argmax(row))
    hint = f"give its time, for example `{word}@{float(film.pts[index]):.2f}`"
    if row[index] < _LEAST_LIKENESS:
        raise UsageError(
            f"{word} shows no frame of the film (most alike, {row[index]:.2f} of 1: {float(film.pts[index]):.2f} s)",
            hint,
        )
    own = film.shot_of(index)
    rivals = [max(range(s.begin, s.end), key=row.__getitem__) for s in film.shots if s is not own]
    rival = max(rivals, key=row.__getitem__, default=index)
    if rival != index and row[rival] > row[index] - _RIVAL:
        times = " and ".join(f"{float(film.pts[i]):.2f} s" for i in sorted((index, rival)))
        raise UsageError(f"{word} shows two shots alike, at {times}", hint)
    return index


def _nearest(word: ExampleWord, at: Fraction, film: Film) -> int:
    later = bisect_left(film.pts, at)
    index = min((i for i in (later - 1, later) if 0 <= i < len(film.pts)), key=lambda i: abs(film.pts[i] - at))
    away = abs(film.pts[index] - at)
    if away > 1 and (later in (0, len(film.pts))):
        ends = f"{float(film.pts[0]):.2f} to {float(film.pts[-1]):.2f} s"
        raise UsageError(f"{word} is for {float(at):.2f} s, the film goes from {ends}", "correct the time after `@`")
    return index


def _read(word: ExampleWord) -> tuple[bytes, Rgb]:
    hint = "give a PNG or JPEG file that can be read"
    try:
        data = word.path.read_bytes()
    except OSError as error:
        raise UsageError(f"coloured frame {word.path} cannot be read: {error.strerror}", hint) from error
    try:
        read = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH) if data else None
    except cv2.error as error:
        raise UsageError(f"coloured frame {word.path} is no picture: {error.err}", hint) from error
    if read is None or read.dtype not in (np.uint8, np.uint16) or read.size > 3 * _LARGEST_PX:
        raise UsageError(f"coloured frame {word.path} is no picture that can be used", hint)
    rgb: Rgb = np.ascontiguousarray(read[..., ::-1])
    return data, rgb


def _turned(rgb: Rgb, word: ExampleWord, info: StreamInfo) -> Rgb:
    """Return a picture turned as the film is coded: it may be what a player shows, upright and in square pixels."""
    coded = info.size.width / info.size.height
    shown = coded * float(info.pixel_aspect)
    found = rgb.shape[1] / rgb.shape[0]
    quarter = info.rotation // 90 % 4
    upright = 1 / shown if quarter % 2 else shown
    if _fits(found, upright):
        turned = np.ascontiguousarray(np.rot90(rgb, -quarter))
        return turned.astype(np.uint8, copy=False) if rgb.dtype == np.uint8 else turned.astype(np.uint16, copy=False)
    if _fits(found, coded):
        return rgb
    raise UsageError(
        f"{word} is {rgb.shape[1]}x{rgb.shape[0]}, another shape than the film's {info.size.width}x{info.size.height}",
        "cut or enlarge it to what the film shows",
    )


def _fits(found: float, wanted: float) -> bool:
    return abs(found / wanted - 1) <= _SHAPE_SLACK
