"""A source with faults: mended, told of and counted, or refused, as the user asks."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest
from tests.e2e.command import QUICK, probe, run
from tests.media_samples import Clip, write_clip

from fastrestore.geometry import Size


@pytest.fixture
def gapped(tmp_path: Path) -> Path:
    """A steady film of 600 frames, one of which is damaged beyond decoding."""
    whole = write_clip(
        tmp_path / "whole.mkv",
        Clip(
            frames=600,
            size=Size(48, 32),
            rate=Fraction(24),
            codec="ffv1",
            options={"slicecrc": "1", "level": "3", "g": "1"},
        ),
    )
    path = tmp_path / "sources" / "faulty.mkv"
    path.parent.mkdir()
    with av.open(str(whole)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0], opaque=True)
        for number, packet in enumerate(source.demux(video=0)):
            if packet.size:
                data = bytes(packet)
                broken = av.Packet(data[:40] + bytes(len(data) - 40) if number == 300 else data)
                broken.pts, broken.dts, broken.duration = packet.pts, packet.dts, packet.duration
                broken.time_base, broken.stream, broken.is_keyframe = packet.time_base, stream, True
                target.mux(broken)
    return path


def test_a_single_fault_is_mended_and_told(gapped: Path, tmp_path: Path) -> None:
    ran = run("convert", gapped, "-o", "out.mkv", *QUICK, "--fps", "source", folder=tmp_path)
    assert ran.code == 0, ran.err
    warnings = [line for line in ran.err.splitlines() if line.startswith("warning: source: ")]
    assert len(warnings) == 1 and "12.500 s" in warnings[0]
    assert probe(tmp_path / "out.mkv").frames == 600


def test_a_fault_ends_the_run_if_asked(gapped: Path, tmp_path: Path) -> None:
    ran = run("convert", gapped, "-o", "out.mkv", *QUICK, "--on-error", "fail", folder=gapped.parent)
    ran.assert_failed(1, "faulty", "12.500 s")
    assert "--on-error repair" in ran.err
    assert not (gapped.parent / "out.mkv").exists()
    assert (gapped.parent / "out.mkv.fastrestore" / "000000.nut").exists()  # what is good is there to go on with
