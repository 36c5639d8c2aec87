"""Segments are named and recorded once they are proved, in that order, and come out the same wherever one begins."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from tests.media_samples import SMALL, ramp

from fastrestore.config import EncodeOptions
from fastrestore.errors import EncodeError
from fastrestore.frames import FORMATS, Colour, Frame, StreamInfo
from fastrestore.runtime import segments as segments_module
from fastrestore.runtime.journal import Header, Record
from fastrestore.runtime.media.segment import Proof, SegmentWriter, prove_segment
from fastrestore.runtime.media.track import VideoTrack
from fastrestore.runtime.observation import Opening
from fastrestore.runtime.report import StageClock
from fastrestore.runtime.segments import Passed, Recipe, SegmentMaker, segment_files, whole_segments
from fastrestore.runtime.timeline import SegmentStart
from fastrestore.runtime.work import Mark
from fastrestore.runtime.workfolder import WorkFolder

_RATE, _SPAN, _COUNT = Fraction(25), 6, 4
_LAYOUT = FORMATS["yuv420p"]
RECIPE = Recipe(
    VideoTrack(SMALL, _LAYOUT, Colour(), StreamInfo(SMALL, _LAYOUT, Colour(), _RATE), _RATE, Fraction(0), None),
    EncodeOptions(preset="ultrafast"),
    Fraction(0),
)


def start(number: int) -> SegmentStart:
    """Return where a segment begins."""
    return SegmentStart(Opening(_SPAN * number, number * _SPAN / _RATE), Fraction(0), _SPAN * number)


def film(first: int = 0, count: int = _COUNT) -> Iterator[tuple[Frame, Mark | None]]:
    """Yield the frames of some segments."""
    for index in range(first * _SPAN, count * _SPAN):
        number, within = divmod(index, _SPAN)
        mark = Mark(start(number), 0, 0) if within == 0 else None
        yield Frame(ramp("yuv420p", index % 9), index / _RATE, 1 / _RATE), mark


def passed(mark: Mark | None) -> Passed:
    """Return what lies behind a mark."""
    end = _SPAN * _COUNT if mark is None else mark.start.opening.index
    return Passed(None if mark is None else mark.start, end, False, {"frames": 1})


def make(
    work: WorkFolder,
    record: Record,
    frames: Iterator[tuple[Frame, Mark | None]],
    on_frame: Callable[[], object] = lambda: None,
) -> None:
    """Make what is missing."""
    with SegmentMaker(work, record, RECIPE, StageClock()) as maker:
        maker.make(frames, passed, on_frame)


@pytest.fixture
def work(tmp_path: Path) -> Iterator[WorkFolder]:
    """A work folder that is held."""
    folder = WorkFolder(tmp_path / "out.mkv")
    with folder.held():
        yield folder


@pytest.fixture
def record(work: WorkFolder) -> Record:
    """A record on which all segments are."""
    record = work.journal.begin(Header({}, {}))
    make(work, record, film())
    return record


def names(work: WorkFolder) -> list[str]:
    """Return the files of segments."""
    return sorted(path.name for path in work.path.glob("0*"))


def test_all_is_on_record(work: WorkFolder, record: Record) -> None:
    assert work.journal.read() == record
    assert names(work) == [done.name for done in record.done] == [f"{number:06}.nut" for number in range(_COUNT)]
    assert [stamp for done in record.done for stamp in done.stamps] == list(range(_SPAN * _COUNT))
    assert [(done.source_begin, done.source_end) for done in record.done] == [(0, 6), (6, 12), (12, 18), (18, 24)]
    assert [done.next for done in record.done] == [start(1), start(2), start(3), None]
    assert whole_segments(work, record) == record.done and len(record.done) == _COUNT
    assert [file.path.name for file in segment_files(work, record)] == names(work)


@pytest.mark.parametrize("kept", range(1, _COUNT))
def test_going_on_makes_the_same(work: WorkFolder, record: Record, kept: int) -> None:
    whole = [done.sha256 for done in record.done]
    record.keep(record.done[:kept])
    work.journal.rewrite(record)
    make(work, record, film(kept))
    assert [done.sha256 for done in record.done] == whole
    assert whole_segments(work, record) == record.done and len(record.done) == _COUNT


@pytest.mark.parametrize("lost", [{0}, {1, 2}, {0, 3}, {3}])
def test_only_what_is_missing_is_made(work: WorkFolder, record: Record, lost: set[int]) -> None:
    whole, before = list(record.done), {path: path.stat().st_ino for path in work.path.glob("0*")}
    record.keep(done for done in whole if done.number not in lost)
    work.journal.rewrite(record)
    while not record.whole:
        make(work, record, film(len(record.done)))
    assert record.done == whole and record == work.journal.read()
    kept = {path for path, inode in before.items() if path.stat().st_ino == inode}
    assert kept == {work.segment(number) for number in set(range(_COUNT)) - lost}


def test_what_is_done_first(work: WorkFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The content is on the disk before the name, the name before the line in the journal."""
    record = work.journal.begin(Header({}, {}))
    seen: list[str] = []

    def watched(name: str) -> None:
        call = getattr(os, name)

        def look(what: int | Path, *args: object) -> object:
            path = Path(os.readlink(f"/proc/self/fd/{what}") if isinstance(what, int) else what)
            seen.append(f"{name} {path.name}")
            return call(what, *args)

        monkeypatch.setattr(os, name, look)

    for name in ("fsync", "replace", "write"):
        watched(name)
    make(work, record, film(count=1))
    part = "000000.nut.part"
    folder = work.path.name
    assert seen == [f"fsync {part}", f"replace {part}", f"fsync {folder}", "write journal", "fsync journal"]


def test_what_is_not_proved_gets_no_name(work: WorkFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    record = work.journal.begin(Header({}, {}))
    prove, calls = prove_segment, 0

    def doubting(path: Path, *args: Any, **kwargs: Any) -> Proof:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise EncodeError("planted")
        return prove(path, *args, **kwargs)

    monkeypatch.setattr(segments_module, "prove_segment", doubting)
    with pytest.raises(EncodeError, match="planted"):
        make(work, record, film())
    assert calls == 2, "nothing is proved after that"
    assert work.journal.read() == record and len(record.done) == 1
    assert [name for name in names(work) if not name.endswith(".part")] == ["000000.nut"]


def test_no_frames(work: WorkFolder) -> None:
    with pytest.raises(EncodeError, match="no frame"):
        make(work, work.journal.begin(Header({}, {})), iter(()))


def test_a_source_that_fails(work: WorkFolder) -> None:
    def broken() -> Iterator[tuple[Frame, Mark | None]]:
        yield from film(count=2)
        raise EncodeError("planted")

    record = work.journal.begin(Header({}, {}))
    with pytest.raises(EncodeError, match="planted"):
        make(work, record, broken())
    assert [done.name for done in record.done] == ["000000.nut"]
    make(work, record, film(1))
    assert whole_segments(work, record) == record.done and len(record.done) == _COUNT


def test_encoders_do_not_pile_up(work: WorkFolder) -> None:
    alive: list[int] = []

    def count() -> None:
        alive.append(sum(type(each) is SegmentWriter for each in gc.get_objects()))

    make(work, work.journal.begin(Header({}, {})), film(), count)
    assert max(alive) <= 2


def test_links_are_not_written_through(work: WorkFolder, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine")
    for number in range(_COUNT):
        (work.path / f"{number:06}.nut.part").symlink_to(mine)
    make(work, work.journal.begin(Header({}, {})), film())
    assert mine.read_text() == "mine"


def missing(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def longer(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"\0")


def changed(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def linked(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [missing, empty, cut, longer, changed, linked, folder])
@pytest.mark.parametrize("number", range(_COUNT))
def test_damaged_segments(work: WorkFolder, record: Record, damage: Callable[[Path], None], number: int) -> None:
    damage(work.path / record.done[number].name)
    assert [done.number for done in whole_segments(work, record)] == [k for k in range(_COUNT) if k != number]


def test_an_unreadable_segment(work: WorkFolder, record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(path: Path) -> str:
        raise EncodeError(f"cannot read {path}")

    monkeypatch.setattr(segments_module, "file_sha256", failing)
    assert whole_segments(work, record) == []
