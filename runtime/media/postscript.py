"""A text kept behind the content of a video file, where no player looks: the manifest.

In MP4 and QuickTime files it is a `uuid` box at the end, in Matroska and WebM a second `Tags` element. It is added once
the muxer is done, for only then everything is known that it says. FFmpeg's own way to keep such a tag in MP4 files
(`use_metadata_tags`) would cost them their cover pictures and the tags that other players read.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple
from uuid import UUID

from fastrestore.errors import DecodeError, EncodeError
from fastrestore.runtime.manifest import TAG
from fastrestore.runtime.media.translate import reading, writing

LARGEST_BYTES = 64 << 20
"""Longest text; a file that claims more is damaged."""
_MOST_PARTS = 1 << 20
"""Boxes or elements that are looked at: a film of two hours has some ten thousand."""
_BOX = UUID("d3f2b8c4-6a1e-4f57-9c35-fa57e570e001").bytes
_ISO_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip")
_EBML, _SEGMENT, _TAGS = 0x1A45DFA3, 0x18538067, 0x1254C367
_ONE_TAG, _TARGETS, _SIMPLE_TAG, _TAG_NAME, _TAG_STRING = 0x7373, 0x63C0, 0x67C8, 0x45A3, 0x4487
_LENGTH_BYTES = 8
"""Bytes of the length of a segment as FFmpeg writes it."""


class _Part(NamedTuple):
    """A box or element; positions are in the file."""

    kind: int
    begin: int
    payload: int
    end: int | None
    """None if it reaches to the end of what holds it."""


def append(path: Path, text: str) -> None:
    """Add a text to a finished file.

    Raises:
        EncodeError: If the file cannot be written, is of another kind, or has no room for it.
    """
    payload = text.encode()
    if len(payload) > LARGEST_BYTES:
        raise EncodeError(f"cannot write {path}: a manifest of {len(payload)} bytes", "make longer segments")
    with writing(path), path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        if _is_iso(file):
            if any(box.end is None for box in _boxes(file, size)):
                raise _no_room(path)
            file.seek(size)
            file.write((24 + len(payload)).to_bytes(4, "big") + b"uuid" + _BOX + payload)
            return
        segment = _segment(file, size)
        if segment is None or segment.end != size or segment.payload - segment.begin != 4 + _LENGTH_BYTES:
            raise _no_room(path)
        tags = _tags(payload)
        file.seek(size)
        file.write(tags)
        length = size + len(tags) - segment.payload
        file.seek(segment.begin + 4)
        file.write(((1 << 7 * _LENGTH_BYTES) | length).to_bytes(_LENGTH_BYTES, "big"))


def read(path: Path) -> str | None:
    """Return the text that was added to a file, or None if there is none.

    Raises:
        DecodeError: If the file cannot be read, or the text in it is damaged.
    """
    with reading(path), path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        payload = _from_boxes(path, file, size) if _is_iso(file) else _from_elements(path, file, size)
    if payload is None:
        return None
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        raise _damaged(path, "it is no text") from error


def _from_boxes(path: Path, file: BinaryIO, size: int) -> bytes | None:
    found = None
    for box in _boxes(file, size):
        if box.kind == int.from_bytes(b"uuid", "big"):
            file.seek(box.payload)
            if file.read(len(_BOX)) == _BOX:
                found = _payload(path, file, box._replace(payload=box.payload + len(_BOX)), size)
    return found


def _from_elements(path: Path, file: BinaryIO, size: int) -> bytes | None:
    segment, found = _segment(file, size), None
    if segment is None:
        return None
    for element in _elements(file, segment.payload, segment.end or size):
        if element.kind == _TAGS:
            held = _tag(_payload(path, file, element, size))
            found = found if held is None else held
    return found


def _payload(path: Path, file: BinaryIO, part: _Part, size: int) -> bytes:
    end = size if part.end is None else part.end
    if end > size:
        raise _damaged(path, f"it ends {end - size} bytes behind the file's end")
    if end - part.payload > LARGEST_BYTES + 1024:
        raise _damaged(path, f"it claims {end - part.payload} bytes")
    file.seek(part.payload)
    return file.read(end - part.payload)


def _is_iso(file: BinaryIO) -> bool:
    file.seek(0)
    return file.read(8)[4:] in _ISO_BOXES


def _boxes(file: BinaryIO, size: int) -> Iterator[_Part]:
    """Yield the boxes of an MP4 or QuickTime file, those inside others left out."""
    at = 0
    for _ in range(_MOST_PARTS):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            return
        length, skipped = int.from_bytes(head[:4], "big"), 8
        if length == 1 and len(head) == 16:
            length, skipped = int.from_bytes(head[8:], "big"), 16
        end = None if length == 0 else at + length
        if end is not None and end < at + skipped:
            return  # damaged
        yield _Part(int.from_bytes(head[4:8], "big"), at, at + skipped, end)
        if end is None or end >= size:
            return
        at = end


def _segment(file: BinaryIO, size: int) -> _Part | None:
    return next((each for each in _elements(file, 0, size, levels=(_EBML, _SEGMENT)) if each.kind == _SEGMENT), None)


def _elements(file: BinaryIO, begin: int, end: int, levels: tuple[int, ...] = ()) -> Iterator[_Part]:
    """Yield the EBML elements that lie side by side in a part of a file, up to the first that is damaged.

    Args:
        file: What to read.
        begin: Where the first one begins.
        end: Where the last one ends.
        levels: Kinds to expect; any other ends the search. Empty expects all.
    """
    at = begin
    for _ in range(_MOST_PARTS):
        file.seek(at)
        head = file.read(12)
        name_bytes = 9 - head[0].bit_length() if head else 9
        if at >= end or name_bytes > 4 or len(head) <= name_bytes:
            return
        kind = int.from_bytes(head[:name_bytes], "big")
        length_bytes = 9 - head[name_bytes].bit_length()
        payload = at + name_bytes + length_bytes
        if length_bytes > 8 or name_bytes + length_bytes > len(head) or (levels and kind not in levels):
            return
        most = (1 << 7 * length_bytes) - 1
        length = int.from_bytes(head[name_bytes : name_bytes + length_bytes], "big") & most
        yield _Part(kind, at, payload, None if length == most else payload + length)
        if length == most:
            return  # it reaches to the end of a live recording, or to its next cluster
        at = payload + length


def _tags(payload: bytes) -> bytes:
    """Return a `Tags` element that holds one text."""
    held = _element(_TAG_NAME, TAG.encode()) + _element(_TAG_STRING, payload)
    return _element(_TAGS, _element(_ONE_TAG, _element(_TARGETS, b"") + _element(_SIMPLE_TAG, held)))


def _tag(tags: bytes) -> bytes | None:
    """Return the text in the payload of a `Tags` element, or None."""
    for one in _inside(tags, _ONE_TAG):
        for simple in _inside(one, _SIMPLE_TAG):
            if TAG.encode() in _inside(simple, _TAG_NAME):
                return next(iter(_inside(simple, _TAG_STRING)), b"")
    return None


def _inside(data: bytes, kind: int) -> list[bytes]:
    parts = _elements(io.BytesIO(data), 0, len(data))
    return [data[part.payload : part.end] for part in parts if part.kind == kind]


def _element(kind: int, payload: bytes) -> bytes:
    length = (1 << 7 * _LENGTH_BYTES) | len(payload)
    return kind.to_bytes((kind.bit_length() + 7) // 8, "big") + length.to_bytes(_LENGTH_BYTES, "big") + payload


def _no_room(path: Path) -> EncodeError:
    return EncodeError(
        f"cannot write {path}: its end is not as our muxers leave it, so that no manifest can be added",
        "use an `.mkv`, `.mp4`, `.mov` or `.webm` output on a disk that can seek",
    )


def _damaged(path: Path, reason: str) -> DecodeError:
    return DecodeError(f"the manifest in {path} cannot be read: {reason}", "the file was damaged or cut off")
