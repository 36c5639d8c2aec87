"""A look at the source alone tells all that the journal of a run says of its segments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from tests.unit.runtime.fleet.samples import QUICK, faulty_film, film

from fastrestore.api import open_source
from fastrestore.config import ConvertOptions, RateTarget
from fastrestore.frames import Frame
from fastrestore.kernels.ops import open_ops
from fastrestore.runtime.fleet.reading import Reading
from fastrestore.runtime.fleet.scan import Stretch, scan
from fastrestore.runtime.journal import Done, Header, Record
from fastrestore.runtime.making import InLine, Making
from fastrestore.runtime.segments import whole_segments
from fastrestore.runtime.stages import open_stages
from fastrestore.runtime.workfolder import WorkFolder


def scanned(source: Path, options: ConvertOptions, done: list[Done] | None = None) -> list[Stretch]:
    """Return the segments of a film."""
    record = Record(Header({}, {}), done or [])
    with open_source(source, options) as reader:
        return list(scan(Making.of(reader, options), record, None, open_ops("cpu")))


def made(source: Path, options: ConvertOptions, work: WorkFolder) -> list[Done]:
    """Return what one process puts on record."""
    with work.held(), open_source(source, options) as reader:
        making = Making.of(reader, options)
        record = work.journal.begin(Header({}, {}))
        with open_stages(making.plan, options) as (stages, choice):
            InLine(making, stages, choice).make(work, record, None, None)
        assert whole_segments(work, record) == record.done
        return record.done


@pytest.mark.parametrize("make", [film, faulty_film])
@pytest.mark.parametrize("rate", [RateTarget.parse("12"), RateTarget()], ids=["12", "source"])
def test_it_knows_what_will_be_on_record(tmp_path: Path, make: Callable[[Path], Path], rate: RateTarget) -> None:
    source = make(tmp_path / "film.mkv")
    options = replace(QUICK, fps=rate, start=Fraction(1, 2))
    done = made(source, options, WorkFolder(tmp_path / "out.mkv"))
    found = scanned(source, options)
    assert len(found) == len(done) >= 3
    for stretch, wanted in zip(found, done, strict=True):
        assert stretch.number == wanted.number
        assert stretch.stamps == wanted.stamps
        assert (stretch.start.opening.index, stretch.passed.source_end) == (wanted.source_begin, wanted.source_end)
        assert stretch.passed.next == wanted.next
        assert {**stretch.passed.totals} == {**wanted.totals}
    assert found[-1].passed.warnings == done[-1].warnings
    assert found[-1].sequential == (make is faulty_film)
    for kept in range(1, len(done)):
        assert scanned(source, options, done[:kept]) == found[kept:]


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 0, 2), (0, 3, 0)])
@pytest.mark.parametrize("make", [film, faulty_film])
def test_reading_finds_every_segment_in_any_order(
    tmp_path: Path, make: Callable[[Path], Path], order: tuple[int, ...]
) -> None:
    source = make(tmp_path / "film.mkv")
    stretches = scanned(source, QUICK)

    def known(frames: list[Frame]) -> list[tuple[Fraction, int]]:
        return [(frame.pts, frame.picture.crc32) for frame in frames]

    with open_source(source, QUICK) as reader:
        making = Making.of(reader, QUICK)
        whole = known(list(reader))
    reading = Reading(making.source, None)
    for number in order:
        stretch = stretches[number]
        frames = reading.at(stretch.start, sequential=stretch.sequential)
        begin, end = stretch.start.opening.index, stretch.passed.source_end
        assert known([next(frames) for _ in range(begin, end)]) == whole[begin:end]
        assert number == len(stretches) - 1 or known([next(frames)]) == whole[end : end + 1]
    reading.close()
