"""Checks a finished file before it gets its name: what was promised is in it, and can be read back."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from fastrestore.errors import EncodeError
from fastrestore.runtime.media.tracks import is_made_by_muxer
from fastrestore.runtime.media.translate import reading


@dataclass(frozen=True, slots=True)
class Promise:
    """What a file must hold."""

    frames: int
    span: Fraction
    """Seconds from the first frame to the last."""
    tracks: int
    """Streams beside the restored video."""


def check_file(path: Path, promise: Promise) -> None:
    """Read all packets of a file back and compare.

    Raises:
        EncodeError: If frames are missing or doubled, timestamps do not rise or span another time, or a track
            is missing.
    """
    with reading(path), av.open(str(path)) as container:
        video = container.streams.video[0]
        streams = sum(not is_made_by_muxer(stream) for stream in container.streams)
        unit = video.time_base or Fraction(1)
        stamps = sorted(p.pts for p in container.demux(video) if p.pts is not None)
    problems = []
    if len(stamps) != promise.frames:
        problems.append(f"{len(stamps)} frames instead of {promise.frames}")
    if len(set(stamps)) != len(stamps):
        problems.append("two frames with one timestamp")
    # A container's clock may be coarser than ours (Matroska: 1 ms); both ends are rounded to it.
    if stamps and abs((stamps[-1] - stamps[0]) * unit - promise.span) > unit:
        problems.append(f"{float((stamps[-1] - stamps[0]) * unit):.6f} s instead of {float(promise.span):.6f} s")
    if streams < promise.tracks + 1:
        problems.append(f"{streams} tracks instead of {promise.tracks + 1}")
    if problems:
        raise EncodeError(
            f"the written file does not hold what it should: {'; '.join(problems)}",
            "this is a fault of fastrestore: please report it with the command",
        )
