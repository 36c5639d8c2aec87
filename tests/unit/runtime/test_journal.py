"""A record survives whatever a crash or a disk does to its end, and is believed only where it is whole."""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastrestore.errors import EncodeError, JobError
from fastrestore.kernels.ops import Difference
from fastrestore.runtime import journal as journal_module
from fastrestore.runtime.journal import SCHEMA, Done, Finished, Header, Journal, Record
from fastrestore.runtime.media.stamps import Stamps
from fastrestore.runtime.observation import Opening
from fastrestore.runtime.timeline import SegmentStart

SAME_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)

counts = st.integers(0, 1 << 40)
times = st.fractions(max_denominator=10**9)
words = st.text(max_size=20)
shares = st.floats(allow_nan=False, allow_infinity=False)
differences = st.builds(Difference, shares, shares, shares)
openings = st.builds(
    Opening,
    counts,
    st.none() | times,
    st.booleans(),
    st.none() | times,
    st.lists(differences, max_size=8).map(tuple),
    st.none() | counts,
)
starts = st.builds(SegmentStart, openings, times, counts, counts, counts)
stamps = st.builds(
    Stamps, st.integers(), st.lists(st.tuples(st.integers(1), st.integers(1)), max_size=5).map(tuple), counts
)
hashes = st.text("0123456789abcdef", min_size=64, max_size=64)
names = st.integers(0, 999_999).map(lambda number: f"{number:06}.nut")
dones = st.builds(
    Done,
    names,
    counts,
    hashes,
    hashes,
    counts,
    stamps,
    counts,
    counts,
    st.none() | starts,
    st.booleans(),
    st.dictionaries(words, counts, max_size=5),
    st.lists(words, max_size=3).map(tuple),
    made=st.none() | st.dictionaries(words, counts, max_size=2),
)
headers = st.builds(
    Header, st.dictionaries(words, words, max_size=5), st.dictionaries(words, words | counts, max_size=4)
)
finishes = st.builds(Finished, counts, st.dictionaries(words, words | counts | st.booleans(), max_size=4))


def done(number: int) -> Done:
    """Return a segment of an ordinary run."""
    pts = Fraction(1001 * number, 24000)
    opening = Opening(24 * number, pts, False, Fraction(1001, 24000), (Difference(0.01, 0.1, 0.99),) * 3, 7)
    part = Stamps.of([60 * number + k for k in range(60)], 1)
    start = SegmentStart(opening, Fraction(0), 60 * number)
    return Done(f"{number:06}.nut", 1000, "0" * 64, "1" * 64, 2, part, 24 * number, 24 * (number + 1), start)


def written(path: Path, segments: int = 3) -> Journal:
    """Write the journal of a run that was interrupted."""
    journal = Journal(path)
    journal.begin(Header({"codec": "x264"}, {"bytes": 1000}))
    for number in range(segments):
        journal.append(done(number))
    return journal


@SAME_FOLDER
@given(
    header=headers, entries=st.lists(dones, max_size=4, unique_by=lambda done: done.name), finished=st.none() | finishes
)
def test_round_trip(tmp_path: Path, header: Header, entries: list[Done], finished: Finished | None) -> None:
    journal = Journal(tmp_path / "journal")
    assert journal.begin(header) == Record(header)
    for entry in entries:
        journal.append(entry)
    if finished is not None:
        journal.append(finished)
    expected = Record(header, finished=finished)
    expected.keep(entries)
    expected.finished = finished
    assert Journal(tmp_path / "journal").read() == expected


def test_nothing_comes_after_the_end(tmp_path: Path) -> None:
    journal = written(tmp_path / "journal", 1)
    journal.append(Finished(5))
    journal.append(done(1))
    assert journal.read() == Record(Header({"codec": "x264"}, {"bytes": 1000}), [done(0)], Finished(5))


def test_every_truncation(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    written(path)
    whole = path.read_bytes()
    ends = [at + 1 for at, byte in enumerate(whole) if byte == ord("\n")]
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        journal = Journal(path)
        record, lines = journal.read(), sum(end <= length for end in ends)
        assert path.read_bytes() == whole[:length], "reading changes nothing"
        if lines == 0:
            assert record is None
            continue
        assert record is not None and record.done == [done(number) for number in range(lines - 1)]
        if length % 25 == 0 or whole[length - 1] == ord("\n"):
            journal.append(done(lines - 1))
            assert path.read_bytes() == whole[: ends[lines]]


def test_every_flipped_byte(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    written(path, 2)
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        journal = Journal(path)
        record, line = journal.read(), whole.count(b"\n", 0, at)
        if line == 0:
            assert record is None
            continue
        assert record is not None and record.done == [done(number) for number in range(line - 1)]
        if at % 25 == 0:
            following = done(len(record.done))
            journal.append(following)
            again = Journal(path).read()
            assert again is not None and again.done == [*record.done, following]


@SAME_FOLDER
@given(tail=st.binary(max_size=200), cut=st.integers(0, 4000))
def test_any_tail(tmp_path: Path, tail: bytes, cut: int) -> None:
    path = tmp_path / "journal"
    written(path)
    path.write_bytes(path.read_bytes()[:cut] + tail)
    record = Journal(path).read()
    if record is not None:
        assert record.done == [done(number) for number in range(len(record.done))]


def forged(text: str) -> bytes:
    """Return a line with a checksum that fits."""
    return b"%08x %s\n" % (zlib.crc32(text.encode()), text.encode())


GOOD_START = '{"opening":{"index":1,"pts":"1","cut_before":false,"step":null,"recent":[],"crc32":1},"origin":"0"}'
GOOD = (
    '{"kind":"done","name":"000000.nut","bytes":1,"sha256":"0","payload_sha256":"0","reorder":0,'
    f'"stamps":{{"first":0,"gaps":[[1,2]],"last_duration":1}},"source_begin":0,"source_end":1,"next":{GOOD_START}}}'
)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"000000.nut"', '"../000000.nut"'),
        ('"000000.nut"', '"/etc/passwd"'),
        ('"first":0', '"first":Infinity'),
        ('"first":0', '"first":NaN'),
        ('"first":0', '"first":[]'),
        ('"pts":"1"', '"pts":"1/0"'),
        ('"pts":"1"', '"pts":Infinity'),
        ('"recent":[]', '"recent":[{}]'),
        ('"recent":[]', '"recent":7'),
        ('"reorder":0', '"reorder":0,"more":1'),
        ('"stamps":{', '"stamps":[],"more":{'),
        ('"kind":"done"', '"kind":"else"'),
        ('"kind":"done"', '"kind":"header"'),
        ('"kind":"done",', ""),
    ],
)
def test_forged_lines_end_the_record(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "journal"
    written(path, 0)
    header = path.read_bytes()
    path.write_bytes(header + forged(GOOD))
    record = Journal(path).read()
    assert record is not None and len(record.done) == 1
    assert old in GOOD
    path.write_bytes(header + forged(GOOD.replace(old, new)))
    record = Journal(path).read()
    assert record is not None and not record.done


@pytest.mark.parametrize(
    "text", ["[]", "7", "null", '"header"', "{}", '{"kind":"header"}', '{"kind":"done"}', "[" * 9999]
)
def test_what_is_no_header(tmp_path: Path, text: str) -> None:
    path = tmp_path / "journal"
    path.write_bytes(forged(text))
    if text == '{"kind":"header"}':
        with pytest.raises(JobError, match="another version"):
            Journal(path).read()
    else:
        assert Journal(path).read() is None


def test_another_schema(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(forged('{"kind":"header","schema":"fastrestore.journal/99","settings":{},"source":{}}'))
    with pytest.raises(JobError, match="another version") as caught:
        Journal(path).read()
    assert "--restart" in caught.value.hint
    Journal(path).begin(Header({}, {}))
    assert Journal(path).read() == Record(Header({}, {}))
    assert SCHEMA.encode() in path.read_bytes()


def test_keep(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = written(path)
    journal.append(Finished(5))
    record = journal.read()
    assert record is not None
    record.keep(record.done[:2])
    journal.rewrite(record)
    assert record.done == [done(0), done(1)] and record.finished is None
    assert Journal(path).read() == record
    journal.append(done(2))
    again = Journal(path).read()
    assert again is not None and again.done == [done(0), done(1), done(2)]


def test_a_record_that_is_cut_short_is_there_at_every_instant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is killed while old lines are dropped loses none of those that are kept."""
    path = tmp_path / "journal"
    journal = written(path)
    record, seen = journal.read(), []
    assert record is not None

    def watched(name: str) -> None:
        call: Callable[..., object] = getattr(os, name)

        def look(*args: object, **kwargs: object) -> object:
            found = Journal(path).read()
            seen.append(-1 if found is None else len(found.done))
            return call(*args, **kwargs)

        monkeypatch.setattr(os, name, look)

    for name in ("write", "fsync", "replace", "unlink", "ftruncate"):
        watched(name)
    record.keep(record.done[:2])
    journal.rewrite(record)
    assert seen and min(seen) >= 2


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2)])
def test_segments_are_recorded_in_any_order(tmp_path: Path, order: tuple[int, ...]) -> None:
    journal = written(tmp_path / "journal", 0)
    missing = set(order)
    for number in order:
        journal.append(done(number))
        missing.remove(number)
        record = journal.read()
        assert record is not None
        assert record.done == [done(k) for k in range(min(missing, default=4))]
        assert {*range(len(record.done)), *record.ahead} == set(order) - missing
        assert record.frames == 60 * (4 - len(missing))
        with pytest.raises(ValueError, match="already"):
            record.add(done(number))


def test_a_segment_that_is_there_twice_ends_the_record(tmp_path: Path) -> None:
    journal = written(tmp_path / "journal", 2)
    for number in (4, 4, 5):
        journal.append(done(number))
    record = journal.read()
    assert record is not None and len(record.done) == 2 and list(record.ahead) == [4]


def test_counts_of_older_records_hold_all_that_was_made_before() -> None:
    record = Record(Header({}, {}))
    assert record.counts() == {}
    older = {"restored_frames": 7, "synthesized_frames": 3, "cuts": 1}
    record.keep([done(0), replace(done(1), totals=older)])
    assert record.counts() == older
    record.add(replace(done(2), totals={"cuts": 2}, made={"restored_frames": 5, "synthesized_frames": 1}))
    assert record.counts() == {"restored_frames": 12, "synthesized_frames": 4, "cuts": 2}
    record.add(replace(done(4), totals={"cuts": 9}, made={"restored_frames": 50}))
    assert record.counts()["restored_frames"] == 12, "what lies beyond a gap does not count yet"


@contextmanager
def short_writes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the disk take only a part of what is written."""
    whole = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, data: whole(descriptor, data[: len(data) // 2]))
        yield


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal"
    journal = written(path, 1)
    with short_writes(monkeypatch), pytest.raises(EncodeError, match=os.strerror(errno.ENOSPC)) as caught:
        journal.append(done(1))
    assert "free some space" in caught.value.hint
    journal.append(done(1))  # even the same one goes on behind what is whole
    record = Journal(path).read()
    assert record is not None and record.done == [done(0), done(1)]


def test_links_and_other_things(tmp_path: Path) -> None:
    path, mine = tmp_path / "journal", tmp_path / "mine"
    written(mine)
    content = mine.read_bytes() + b"torn"
    mine.write_bytes(content)
    path.symlink_to(mine)
    assert Journal(path).read() is None
    with pytest.raises(EncodeError):
        Journal(path).append(done(0))
    (tmp_path / "journal.part").symlink_to(mine)
    Journal(path).begin(Header({}, {}))
    assert mine.read_bytes() == content and not path.is_symlink()
    path.unlink()
    os.mkfifo(path)
    assert Journal(path).read() is None
    path.unlink()
    path.mkdir()
    assert Journal(path).read() is None
    assert Journal(tmp_path / "none").read() is None


def test_a_file_that_is_too_long_to_be_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "journal")
    monkeypatch.setattr(journal_module, "LONGEST_BYTES", 100)
    assert Journal(tmp_path / "journal").read() is None
