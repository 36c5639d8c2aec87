"""What a finished file promises to hold. It travels inside the file, so that it can be checked years later."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from typing import Any

from fastrestore.errors import DecodeError

SCHEMA = "fastrestore.manifest/1"
TAG = "FASTRESTORE"
"""Name of the container's tag that holds it."""


@dataclass(frozen=True, slots=True)
class SegmentPromise:
    """A run of frames that was encoded by itself."""

    frames: int
    first: Fraction
    """Seconds of its first frame."""
    last: Fraction
    """Seconds of its last frame."""
    sha256: str
    """Of the payloads of its packets, in decoding order, as a demuxer yields them."""


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
    """Of all timestamps in presentation order, in units, as decimal numbers joined by commas."""


@dataclass(frozen=True, slots=True)
class TrackPromise:
    """A track beside the video."""

    kind: str
    """`audio`, `subtitle`, `video`, `attachment` or `data`."""
    codec: str
    language: str
    packets: int
    first: Fraction | None
    """Seconds of the earliest packet, or None if there is none."""
    last: Fraction | None
    """Seconds of the latest packet."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """A file's promise."""

    video: VideoPromise
    segments: tuple[SegmentPromise, ...]
    tracks: tuple[TrackPromise, ...] = ()
    chapters: int = 0
    settings: Mapping[str, str] = field(default_factory=dict)
    """How it was made, in words."""
    version: str = ""
    """Of fastrestore."""

    @property
    def frames(self) -> int:
        """Frames of the whole video."""
        return sum(segment.frames for segment in self.segments)

    def to_text(self) -> str:
        """Return it as one line of JSON; times are `"numerator/denominator"`."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, default=str, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> Manifest:
        """Read a manifest.

        Raises:
            DecodeError: If it is damaged or of another schema.
        """
        try:
            data = json.loads(text)
            if data.pop("schema") != SCHEMA:
                raise ValueError("another schema")
            return cls(
                video=VideoPromise(**_timed(data.pop("video"), "rate", "unit")),
                segments=tuple(SegmentPromise(**_timed(each, "first", "last")) for each in data.pop("segments")),
                tracks=tuple(TrackPromise(**_timed(each, "first", "last")) for each in data.pop("tracks")),
                **data,
            )
        except (ValueError, TypeError, KeyError, AttributeError, ZeroDivisionError) as error:
            raise DecodeError(f"the file's manifest cannot be read: {error}", "it was damaged or edited") from error


def _timed(row: Mapping[str, Any], *times: str) -> dict[str, Any]:
    return {k: Fraction(v) if k in times and v is not None else v for k, v in row.items()}
