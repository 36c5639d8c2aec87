"""What a run tells, and where."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
from tests.media_samples import Clip, write_clip

from fastrestore.api import convert
from fastrestore.config import ConvertOptions, EncodeOptions, RateTarget, Target
from fastrestore.errors import EncodeError
from fastrestore.runtime.provenance import read_record, record_path
from fastrestore.runtime.verify.provenance import check_provenance


def options(*, crf: int = 30, overwrite: bool = False, provenance: bool = False) -> ConvertOptions:
    encode = EncodeOptions(preset="ultrafast", crf=crf)
    return ConvertOptions(
        to=Target.parse("x1"), fps=RateTarget.parse("source"), encode=encode, overwrite=overwrite, provenance=provenance
    )


def test_a_record_is_never_of_the_film_before(tmp_path: Path) -> None:
    source, output = write_clip(tmp_path / "film.mp4", Clip(frames=3)), tmp_path / "out.mkv"
    convert(source, output, options(provenance=True))
    before = record_path(output).read_bytes()
    convert(source, output, options(crf=20, overwrite=True))
    assert record_path(output).read_bytes() != before
    assert check_provenance(output) == []


@pytest.mark.parametrize("name", ["out.mkv", "n" * 235 + ".mkv"])
def test_where_no_record_can_lie_nothing_is_begun(tmp_path: Path, name: str) -> None:
    source, output = write_clip(tmp_path / "film.mp4", Clip(frames=3)), tmp_path / name
    record_path(tmp_path / "out.mkv").mkdir()
    with pytest.raises(EncodeError, match=r"cannot write .*provenance\.json"):
        convert(source, output, options(provenance=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.mp4", "out.mkv.provenance.json"]
    convert(source, output, options())
    assert output.is_file()


def test_frames_that_stand_for_damaged_ones_are_told(tmp_path: Path) -> None:
    source, output = write_clip(tmp_path / "film.mkv", Clip(frames=40, codec="ffv1")), tmp_path / "out.mkv"
    with av.open(source) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        begin, end = (packets[20].pos or 0) + 40, (packets[20].pos or 0) + packets[20].size - 4
    content = bytearray(source.read_bytes())
    content[begin:end] = bytes(byte ^ 0x5A for byte in content[begin:end])
    source.write_bytes(content)
    report = convert(source, output, options(provenance=True))
    record = read_record(output)
    assert record is not None
    assert [f"source: {fault}" for fault in record["faults"]] == report.warnings
    assert "1 frame" in record["faults"][0]
    assert "Faults of the source were mended" in record["summary"]
