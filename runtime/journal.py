"""The record of an unfinished run: what was asked for, and every segment that is done. It only ever grows.

One line each, and before it the CRC-32 of the line: a line that was torn by a crash or a failing disk is known as such,
and the record ends before it. The first line is the header. Segments may be recorded in any order. Links are not
followed.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from fastrestore.errors import JobError
from fastrestore.files import part_path
from fastrestore.kernels.ops import Difference
from fastrestore.runtime.media.stamps import Stamps
from fastrestore.runtime.media.translate import writing
from fastrestore.runtime.observation import Opening
from fastrestore.runtime.timeline import SegmentStart

SCHEMA = "fastrestore.journal/1"
_NAME = re.compile(r"(\d{6})\.nut")
LONGEST_BYTES = 256 << 20
"""A longer record is no record of ours: a film of a thousand hours has 100 MB."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a run was asked to do. A run goes on only where all of it is the same."""

    settings: Mapping[str, str]
    """Everything that the output depends on, in words."""
    source: Mapping[str, Any]
    """What the source was: size, time of change, a checksum."""
    encoder_threads: int = 0
    """With how many the segments are encoded, where that changes them; whoever goes on takes the same number. 0: it
    does not, or nobody fixed it."""


@dataclass(frozen=True, slots=True)
class Done:
    """A segment that is on the disk, proved."""

    name: str
    """Of its file in the work folder."""
    bytes: int
    sha256: str
    """Of the file."""
    payload_sha256: str
    """Of its packets in decoding order."""
    reorder: int
    stamps: Stamps
    source_begin: int
    """Number of its first source frame."""
    source_end: int
    """Number of the first source frame after it."""
    next: SegmentStart | None
    """Where the next segment begins, or None after the last."""
    sequential: bool = False
    """Whether the source must be read from its beginning to get to the next one: it had faults so far."""
    totals: Mapping[str, int] = field(default_factory=dict)
    """Counts of the source for the report, from the film's beginning up to here."""
    warnings: tuple[str, ...] = ()
    """What the report has to tell of the source, from the film's beginning up to here."""
    treated: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    """What the stages for old film did to this segment's source frames, in numbers, by shot."""
    made: Mapping[str, int] | None = None
    """Counts of what was done for this segment alone; None in older records, whose `totals` hold them."""
    between: str = ""
    """Which of its output frames lie between two source frames, as a `FrameSet`."""

    @property
    def number(self) -> int:
        """Of the segment in the film, from 0.

        Raises:
            ValueError: If its file does not have a segment's name.
        """
        match = _NAME.fullmatch(self.name)
        if match is None:
            raise ValueError(f"{self.name!r} is no segment's name")
        return int(match[1])


@dataclass(frozen=True, slots=True)
class Finished:
    """The whole output is written and verified under its temporary name; only its own name is missing."""

    bytes: int
    report: Mapping[str, Any] = field(default_factory=dict)
    """The run's report."""


@dataclass
class Record:
    """What a journal says."""

    header: Header
    done: list[Done] = field(default_factory=list)
    """The segments from the first on, in order, as far as none is missing."""
    finished: Finished | None = None
    ahead: dict[int, Done] = field(default_factory=dict)
    """The segments beyond the first that is missing, by number."""

    def add(self, done: Done) -> None:
        """Note a segment.

        Raises:
            ValueError: If it is on record already, or its file does not have a segment's name.
        """
        number = done.number
        if number < len(self.done) or number in self.ahead:
            raise ValueError(f"segment {number} is on record already")
        self.ahead[number] = done
        while (following := self.ahead.pop(len(self.done), None)) is not None:
            self.done.append(following)

    @property
    def whole(self) -> bool:
        """Whether every segment of the film is there."""
        return bool(self.done) and self.done[-1].next is None

    @property
    def frames(self) -> int:
        """Output frames of all segments."""
        return sum(len(done.stamps) for done in (*self.done, *self.ahead.values()))

    def keep(self, kept: Iterable[Done]) -> None:
        """Forget all segments but these, and that the output was finished."""
        self.done, self.ahead, self.finished = [], {}, None
        for done in kept:
            self.add(done)

    def counts(self) -> dict[str, int]:
        """Return the report's counts up to the first segment that is missing."""
        if not self.done:
            return {}
        counts = dict(self.done[-1].totals)
        made: Counter[str] = Counter()
        for done in self.done:
            if done.made is None:
                made = Counter({name: done.totals.get(name, 0) for name in MADE})
            else:
                made.update(done.made)
        return {**counts, **made}


MADE = ("restored_frames", "synthesized_frames")
"""What is counted for each segment alone."""


def treated_counts(record: Record) -> dict[int, dict[str, float]]:
    """Return what the stages for old film did to all of the film, by shot."""
    totals: dict[int, dict[str, float]] = {}
    for done in record.done:
        for shot, counts in done.treated.items():
            total = totals.setdefault(shot, {})
            for name, value in counts.items():
                total[name] = total.get(name, 0.0) + value
    return totals


class Journal:
    """A journal file.

    Args:
        path: The file. `begin` makes it, `read` reads it, `append` adds to it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._length: int | None = None
        """Bytes of whole lines, once known."""

    def begin(self, header: Header) -> Record:
        """Start an empty record.

        Raises:
            EncodeError: If it cannot be written.
        """
        record = Record(header)
        self.rewrite(record)
        return record

    def read(self) -> Record | None:
        """Return what is on record, up to the first line that is not whole; None if there is no whole header.

        Reading changes nothing: whoever holds no lock may read too. `append` cuts off what is not whole.

        Raises:
            EncodeError: If the file cannot be read.
            JobError: If it was written by another version.
        """
        with writing(self._path):
            data = self._content()
        record: Record | None = None
        whole = 0
        for line in data.splitlines(keepends=True):
            entry = _entry(line)
            if entry is None:
                break
            record, understood = _add(record, *entry)
            if not understood:
                break
            whole += len(line)
        self._length = None if record is None else whole
        return record

    def append(self, entry: Done | Finished) -> None:
        """Add a line and put it on the disk. Whoever appends must hold the lock since `read` or `begin`.

        Raises:
            EncodeError: If it cannot be written.
        """
        with writing(self._path):
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
            try:
                if self._length is not None and os.fstat(descriptor).st_size > self._length:
                    os.ftruncate(descriptor, self._length)
                _write(descriptor, _line(entry))
                self._length = os.fstat(descriptor).st_size
            finally:
                os.close(descriptor)

    def rewrite(self, record: Record) -> None:
        """Write a record's header and segments anew: they take the old record's place as a whole.

        Raises:
            EncodeError: If it cannot be written.
        """
        part = part_path(self._path)
        data = b"".join([_line(record.header), *map(_line, (*record.done, *record.ahead.values()))])
        with writing(self._path):
            part.unlink(missing_ok=True)
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            try:
                _write(descriptor, data)
            finally:
                os.close(descriptor)
            part.replace(self._path)
        self._length = len(data)

    def _content(self) -> bytes:
        """Return the file's content; nothing if it is no file, or longer than any of ours."""
        try:
            # What lies there may be a pipe, whose opening would wait for a writer.
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            if error.errno in _NO_FILE:
                return b""
            raise
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > LONGEST_BYTES:
            os.close(descriptor)
            return b""
        with open(descriptor, "rb") as file:
            return file.read()


_NO_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)


def _line(entry: Header | Done | Finished) -> bytes:
    fields = {"schema": SCHEMA, **asdict(entry)} if isinstance(entry, Header) else asdict(entry)
    text = json.dumps({"kind": type(entry).__name__.lower(), **fields}, default=str, separators=(",", ":"))
    return f"{zlib.crc32(text.encode()):08x} {text}\n".encode()


def _write(descriptor: int, data: bytes) -> None:
    if os.write(descriptor, data) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # it took what it had room for
    os.fsync(descriptor)


def _entry(line: bytes) -> tuple[str, dict[str, Any]] | None:
    """Return a line's kind and fields, or None if it is not whole."""
    checksum, _, text = line.partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text[:-1]):
        return None
    try:
        fields = json.loads(text)
        return str(fields.pop("kind")), fields
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _add(record: Record | None, kind: str, fields: dict[str, Any]) -> tuple[Record | None, bool]:
    """Add a whole line to a record; say whether it was understood."""
    try:
        if kind == "header" and record is None:
            if (found := fields.pop("schema", None)) != SCHEMA:
                raise JobError(f"unfinished work of another version ({found})", "add `--restart` to begin anew")
            return Record(Header(**fields)), True
        if record is None or record.finished is not None:
            return record, False
        if kind == "done":
            record.add(_done(fields))
        elif kind == "finished":
            record.finished = Finished(**fields)
        else:
            return record, False
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError):
        return record, False
    return record, True


def _done(fields: dict[str, Any]) -> Done:
    stamps, after = fields["stamps"], fields["next"]
    gaps = ((int(gap), int(count)) for gap, count in stamps["gaps"])
    fields["stamps"] = Stamps.of_gaps(int(stamps["first"]), gaps, int(stamps["last_duration"]))
    fields["next"] = None if after is None else _start(after)
    fields["warnings"] = tuple(map(str, fields.get("warnings", ())))
    treated = fields.get("treated", {})
    fields["treated"] = {int(shot): {str(k): float(v) for k, v in row.items()} for shot, row in treated.items()}
    made = fields.get("made")
    fields["made"] = None if made is None else {str(name): int(count) for name, count in made.items()}
    return Done(**fields)


def _start(fields: dict[str, Any]) -> SegmentStart:
    opening = dict(fields["opening"])
    for key in ("pts", "step"):
        opening[key] = None if opening[key] is None else Fraction(opening[key])
    opening["recent"] = tuple(Difference(**each) for each in opening["recent"])
    return SegmentStart(**{**fields, "opening": Opening(**opening), "origin": Fraction(fields["origin"])})
