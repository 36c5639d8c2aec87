"""Looks at a whole film once, and keeps what was found beside the unfinished output.

The file is one line of JSON and the findings' numbers after it: a run that goes on, and every process that works on
the film, reads the very same numbers. A file that is not whole, or is of another film, counts as absent.
"""

from __future__ import annotations

import errno
import hashlib
import json
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrestore.config import Spans
from fastrestore.errors import DecodeError
from fastrestore.frames import Frame, StreamInfo
from fastrestore.kernels.ops import Ops
from fastrestore.runtime.media.translate import writing
from fastrestore.runtime.observation import Observer, Opening
from fastrestore.runtime.state_files import read_bounded, write_synced
from fastrestore.runtime.treatments.treatment import Film, Glimpse, Probe, Shot

SCHEMA = "fastrestore.film/2"
LONGEST_BYTES = 4 << 30
"""A longer file is none of ours: a film of ten hours with every probe has under 1 GB."""
_NO_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_CHECKSUM_BYTES = 64  # of the file's first line, without its end: SHA-256 of all the rest, in hexadecimal
_UNDIVIDED = Spans(Fraction(10**9), Fraction(10**9))


def look_over(
    frames: Iterable[Frame],
    info: StreamInfo,
    probes: Sequence[Probe],
    ops: Ops,
    on_frame: Callable[[int], object] | None = None,
) -> Film:
    """Show every frame of a film to all probes.

    Args:
        frames: The whole film.
        info: What it is.
        probes: What looks at it. Each has its own name.
        ops: Pixel kernels, for luma and for finding cuts.
        on_frame: Called with the number of frames seen after each.

    Raises:
        DecodeError: If the film cannot be read, or has no frame.
    """
    pts: list[Fraction] = []
    checksums: list[int] = []
    cuts: list[int] = []
    repeats: list[bool] = []
    found = {probe.name: array("d") for probe in probes}  # of a film of hours: a list's floats take four times as much
    previous: NDArray[np.uint8] | None = None
    for seen in Observer(ops, _UNDIVIDED, Opening()).observe(frames):
        frame = seen.frame
        luma = ops.luma8(frame.picture)
        if seen.cut_before or seen.index == 0:
            cuts.append(seen.index)
            previous = None
        glimpse = Glimpse(seen.index, frame.picture, luma, previous)
        for probe in probes:
            found[probe.name].extend(probe.look(glimpse))
        pts.append(frame.pts)
        checksums.append(frame.picture.crc32)
        repeats.append(seen.repeats)
        previous = luma
        if on_frame is not None:
            on_frame(len(pts))
    if not pts:
        raise DecodeError("the film has no frame", "check `--start` and `--end`")
    findings = {name: np.asarray(rows).reshape(len(pts), -1) for name, rows in found.items()}
    return Film(info, tuple(pts), _shots(cuts, len(pts)), findings, tuple(checksums), tuple(repeats))


def save(film: Film, key: Mapping[str, Any], path: Path) -> None:
    """Keep what is known of a film: complete under its name, or not there at all.

    Args:
        film: The film.
        key: What the findings depend on; plain data.
        path: The file.

    Raises:
        EncodeError: If it cannot be written.
    """
    facts = {
        "pts": [str(time) for time in film.pts],
        "checksums": film.checksums,
        "repeats": "".join(str(int(repeat)) for repeat in film.repeats),
        "shots": [shot.begin for shot in film.shots],
        "findings": {name: rows.shape[1] for name, rows in film.findings.items()},
    }
    head = json.dumps({"schema": SCHEMA, "key": _plain(key), **facts}, separators=(",", ":")).encode() + b"\n"
    whole = bytearray(_CHECKSUM_BYTES) + b"\n" + head  # one buffer: the findings of a long film are large
    for rows in film.findings.values():
        whole += np.ascontiguousarray(rows, "<f8").tobytes()
    whole[:_CHECKSUM_BYTES] = hashlib.sha256(memoryview(whole)[_CHECKSUM_BYTES + 1 :]).hexdigest().encode()
    with writing(path):
        write_synced(path, memoryview(whole))


def load(path: Path, key: Mapping[str, Any], info: StreamInfo) -> Film | None:
    """Return what is known of a film, or None if that is not on record, not whole, or of something else.

    Args:
        path: The file.
        key: As it was saved.
        info: What the film is.

    Raises:
        EncodeError: If the file is there and cannot be read.
    """
    with writing(path):
        try:
            whole = read_bounded(path, LONGEST_BYTES)
        except OSError as error:
            if error.errno in _NO_FILE:
                return None
            raise
    begin = _CHECKSUM_BYTES + 1
    if whole is None or whole[:begin] != hashlib.sha256(memoryview(whole)[begin:]).hexdigest().encode() + b"\n":
        return None
    offset = whole.index(b"\n", begin) + 1
    facts = json.loads(whole[begin:offset])
    if facts["schema"] != SCHEMA or facts["key"] != _plain(key):
        return None
    count = len(facts["pts"])
    findings: dict[str, NDArray[np.float64]] = {}
    for name, width in facts["findings"].items():
        # Copied, for sums over what is not aligned round otherwise, and the bytes of a long film can be let go of.
        findings[name] = np.frombuffer(whole, "<f8", count * width, offset).reshape(count, width).copy()
        offset += 8 * count * width
    pts = tuple(map(Fraction, facts["pts"]))
    repeats = tuple(digit == "1" for digit in facts["repeats"])
    return Film(info, pts, _shots(facts["shots"], count), findings, tuple(facts["checksums"]), repeats)


def _shots(cuts: Sequence[int], frames: int) -> tuple[Shot, ...]:
    ends = [*cuts[1:], frames]
    return tuple(Shot(number, begin, end) for number, (begin, end) in enumerate(zip(cuts, ends, strict=True)))


def _plain(key: Mapping[str, Any]) -> Any:
    """Return a key as it reads after a way through JSON."""
    return json.loads(json.dumps(key, sort_keys=True, default=str))
