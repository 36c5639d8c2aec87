"""What a finished file promises to hold. It travels inside the file, so that it can be checked years later."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from typing import Any

from fastrestore.errors import DecodeError

SCHEMA = "fastrestore.manifest/1"
TAG = "FASTRESTORE"
"""Name under which a container holds it."""
_FRACTION = re.compile(r"-?[0-9]{1,40}(/[0-9]{1,40})?")


@dataclass(frozen=True, slots=True)
class SegmentPromise:
    """A run of frames that was encoded by itself."""

    frames: int
    first: Fraction
    """Seconds of its first frame."""
    last: Fraction
    """Seconds of its last frame."""
    sha256: str
    """Of the payloads of its packets, in decoding order, as MP4 and Matroska files hold them."""


@dataclass(frozen=True, slots=True)
class VideoPromise:
    """The restored video."""

    width: int
    height: int
    layout: str
    """FFmpeg's name of the pixel format."""
    matrix: int
    primaries: int
    transfer: int
    full_range: bool
    rate: Fraction | None
    """Steady frames a second, or None."""
    unit: Fraction
    """The clock of the file, in seconds: timestamps are rounded to it."""
    times_sha256: str
    """What `times_digest` returns for all timestamps, in units."""
    codec: str = ""
    """FFmpeg's name of the coding, such as `hevc`; empty promises none."""
    pixel_aspect: Fraction | None = None
    """Width of a pixel over its height; None promises none."""
    rotation: int | None = None
    """Degrees counter-clockwise by which a player turns the picture; None promises none."""


@dataclass(frozen=True, slots=True)
class TrackPromise:
    """A track beside the video."""

    kind: str
    """`audio`, `subtitle`, `video`, `attachment` or `data`."""
    codec: str
    """FFmpeg's name of the coding."""
    language: str
    """As the file says it; empty if it does not."""
    packets: int
    first: Fraction | None
    """Seconds of the earliest packet, or None if there is none."""
    last: Fraction | None
    """Seconds of the latest packet."""
    sha256: str = ""
    """Of the payloads of its packets, as the finished file holds them; empty promises none."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """A file's promise."""

    video: VideoPromise
    segments: tuple[SegmentPromise, ...]
    tracks: tuple[TrackPromise, ...] = ()
    """In the order of the file's streams."""
    chapters: int = 0
    settings: Mapping[str, str] = field(default_factory=dict)
    """How it was made, in words. A part of a film has `start` and `end`: the range on the source's clock in seconds,
    as fractions; each only where it was cut."""
    version: str = ""
    """Of fastrestore."""

    @property
    def frames(self) -> int:
        """Frames of the whole video."""
        return sum(segment.frames for segment in self.segments)

    @property
    def seams(self) -> tuple[Fraction, ...]:
        """Seconds half-way between the last frame of a segment and the first of the next: they tell segments apart."""
        return tuple((a.last + b.first) / 2 for a, b in zip(self.segments, self.segments[1:], strict=False))

    @property
    def start(self) -> Fraction | None:
        """Where on the source's clock it begins, in seconds; None for its beginning."""
        return _time(self.settings["start"]) if "start" in self.settings else None

    @property
    def end(self) -> Fraction | None:
        """Where on the source's clock it ends at the latest, in seconds; None for its end."""
        return _time(self.settings["end"]) if "end" in self.settings else None

    def to_text(self) -> str:
        """Return it as one line of JSON; times are `"numerator/denominator"`."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, default=str, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> Manifest:
        """Read a manifest; nothing in it is trusted.

        Raises:
            DecodeError: If it is damaged or of another schema.
        """
        try:
            data = json.loads(text)
            if data.pop("schema") != SCHEMA:
                raise ValueError("another schema")
            manifest = cls(
                video=VideoPromise(**_row(data.pop("video"), _VIDEO)),
                segments=tuple(SegmentPromise(**_row(each, _SEGMENT)) for each in data.pop("segments")),
                tracks=tuple(TrackPromise(**_row(each, _TRACK)) for each in data.pop("tracks")),
                **_row(data, _REST),
            )
            _ = manifest.start, manifest.end  # they are read when asked for, and must be sound by then
        except (ValueError, TypeError, KeyError, AttributeError, ZeroDivisionError, RecursionError) as error:
            raise DecodeError(f"the file's manifest cannot be read: {error}", "it was damaged or edited") from error
        return manifest


def times_digest(stamps: Iterable[int]) -> str:
    """Return the sha256 of timestamps in presentation order: decimal numbers joined by commas."""
    return hashlib.sha256(",".join(map(str, stamps)).encode()).hexdigest()


def stamp_of(time: Fraction, unit: Fraction) -> int:
    """Return a time in whole units as FFmpeg's muxers round it: to the nearest, halves away from zero."""
    count = time / unit
    whole = (2 * abs(count.numerator) + count.denominator) // (2 * count.denominator)
    return whole if count >= 0 else -whole


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 62:
        raise ValueError(f"`{value!r:.40}` is no count")
    return value


def _degrees(value: Any) -> int:
    if type(value) is not int or abs(value) > 360:
        raise ValueError(f"`{value!r:.40}` is no angle")
    return value


def _flag(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError(f"`{value!r:.40}` is neither true nor false")
    return value


def _text(value: Any) -> str:
    if type(value) is not str:
        raise ValueError(f"`{value!r:.40}` is no text")
    return value


def _time(value: Any) -> Fraction:
    # A bare `Fraction(value)` would compute the power of ten in "1e999999999".
    if type(value) is not str or not _FRACTION.fullmatch(value):
        raise ValueError(f"`{value!r:.40}` is no time")
    return Fraction(value)


def _positive(value: Any) -> Fraction:
    found = _time(value)
    if found <= 0:
        raise ValueError(f"`{value}` is not above 0")
    return found


def _words(value: Any) -> dict[str, str]:
    return {_text(key): _text(word) for key, word in value.items()}


def _optional(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else read(value)


def _row(row: Mapping[str, Any], readers: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    return {key: readers[key](value) for key, value in row.items()}


_SEGMENT = {"frames": _count, "first": _time, "last": _time, "sha256": _text}
_VIDEO = {
    **dict.fromkeys(("width", "height", "matrix", "primaries", "transfer"), _count),
    **dict.fromkeys(("layout", "times_sha256", "codec"), _text),
    "full_range": _flag,
    "rate": _optional(_positive),
    "unit": _positive,
    "pixel_aspect": _optional(_positive),
    "rotation": _optional(_degrees),
}
_TRACK = {
    **dict.fromkeys(("kind", "codec", "language", "sha256"), _text),
    "packets": _count,
    "first": _optional(_time),
    "last": _optional(_time),
}
_REST = {"chapters": _count, "settings": _words, "version": _text}
