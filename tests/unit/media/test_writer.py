"""What the writer promises of the video stream: times, tags, layout, and how it fails."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from tests.conftest import REPOSITORY
from tests.media_samples import SMALL, Clip, packets_of, ramp, restore, write_clip, write_film

from fastrestore.config import EncodeOptions
from fastrestore.errors import EncodeError, UsageError
from fastrestore.frames import FORMATS, Colour, Frame, Matrix, StreamInfo
from fastrestore.geometry import Size
from fastrestore.runtime.media.encoders import find_encoder, output_format
from fastrestore.runtime.media.reader import VideoReader
from fastrestore.runtime.media.segment import SegmentWriter
from fastrestore.runtime.media.survey import survey
from fastrestore.runtime.media.track import VideoTrack
from fastrestore.runtime.media.writer import FilmWriter

HDR: dict[str, Any] = {
    "mastering": (
        *(Fraction(n, 50000) for n in (35400, 14600, 8500, 39850, 6550, 2300, 15635, 16450)),
        Fraction(50, 10000),
        Fraction(1000),
    ),
    "light_level": (1000, 400),
}
TURNED = (0, 65536, 0, -65536, 0, 0, 48 * 65536, 0, 1 << 30)
PQ = Colour(Matrix.BT2020_NCL, False, primaries=9, transfer=16)


@dataclass
class Track:
    """A video stream to write, as short as can be."""

    codec: str = "x264"
    layout: str = "yuv420p"
    rate: Fraction | None = Fraction(60)
    times: Sequence[Fraction] = tuple(Fraction(k, 60) for k in range(6))
    last: Fraction = Fraction(1, 60)
    clock: Fraction = Fraction(1, 25)
    colour: Colour = field(default_factory=Colour)
    hdr: Any = None
    aspect: Fraction = Fraction(1)
    matrix: tuple[int, ...] | None = None

    def track(self) -> VideoTrack:
        layout = FORMATS[self.layout]
        info = StreamInfo(
            SMALL, layout, self.colour, Fraction(25), pixel_aspect=self.aspect, time_base=self.clock, hdr=self.hdr or {}
        )
        return VideoTrack(SMALL, layout, self.colour, info, self.rate, self.times[0], self.matrix)

    def open(self, path: Path) -> SegmentWriter:
        return SegmentWriter(path, self.track(), EncodeOptions(codec=self.codec))

    def frames(self) -> list[Frame]:
        ends = [*self.times[1:], self.times[-1] + self.last]
        pictures = [ramp(self.layout, k, colour=self.colour) for k in range(len(self.times))]
        return [Frame(p, a, b - a) for p, a, b in zip(pictures, self.times, ends, strict=True)]

    def write(self, path: Path) -> FilmWriter:
        return write_film(path, self.track(), EncodeOptions(codec=self.codec), self.frames(), split=3)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("tail", ["", "10le"])
@pytest.mark.parametrize("codec", ["x264", "x265", "svtav1", "ffv1"])
def test_everything_about_the_picture_is_kept(tmp_path: Path, codec: str, tail: str, suffix: str) -> None:
    track = Track(codec, f"yuv420p{tail}", colour=PQ, hdr=HDR, aspect=Fraction(16, 15), matrix=TURNED)
    writer = track.write(tmp_path / f"a{suffix}")
    with VideoReader(tmp_path / f"a{suffix}") as reader:
        info, frames = reader.info, list(reader)
    assert info.format.name == track.layout
    assert info.rotation % 360 == 270
    assert info.colour == Colour(Matrix.BT2020_NCL, False, info.colour.siting, 9, 16)
    nearness = 0 if codec == "ffv1" else 8 << (info.format.bits - 8)
    for found, wanted in zip(frames, track.frames(), strict=True):
        for a, b in zip(found.picture.planes, wanted.picture.planes, strict=True):
            assert np.abs(a.astype(int) - b).max() <= nearness
    if codec == "ffv1":
        assert any("HDR" in line for line in writer.tracks.left_out)
    else:
        assert info.hdr["light_level"] == HDR["light_level"]
        for a, b in zip(info.hdr["mastering"], HDR["mastering"], strict=True):
            assert abs(a - b) <= Fraction(1, 16384)  # AV1 stores fixed-point numbers
    lost = any("pixel aspect 16:15" in line or "pixel aspect 16/15" in line for line in writer.tracks.left_out)
    assert lost == (suffix == ".mkv" and codec in ("svtav1", "ffv1"))
    assert lost or info.pixel_aspect == Fraction(16, 15)


@pytest.mark.parametrize("rate", [Fraction(60), Fraction(60000, 1001), Fraction(24000, 1001)])
@pytest.mark.parametrize("first", [Fraction(0), Fraction(1001, 90000)])
def test_instants_are_exact(tmp_path: Path, rate: Fraction, first: Fraction) -> None:
    times = [first + k / rate for k in range(8)]
    track = Track(rate=rate, times=times, last=1 / rate)
    for suffix, tolerance in ((".mp4", Fraction(0)), (".mov", Fraction(0)), (".mkv", Fraction(1, 1000))):
        track.write(tmp_path / f"a{suffix}")
        packets = sorted(packets_of(tmp_path / f"a{suffix}", 0), key=lambda p: p.pts)
        assert all(abs(p.pts - t) <= tolerance for p, t in zip(packets, times, strict=True))
        assert abs(packets[-1].duration - 1 / rate) <= tolerance


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("split", [2, 3, 4])
def test_segments_are_told_apart_wherever_they_begin(tmp_path: Path, split: int, suffix: str) -> None:
    """At 60 frames a second two of three instants are no whole milliseconds: Matroska rounds one up, one down."""
    track = Track(times=[Fraction(k, 60) for k in range(9)])
    path = tmp_path / f"a{suffix}"
    write_film(path, track.track(), EncodeOptions(), track.frames(), split=split)
    seams = [Fraction(k, 60) for k in range(split, 9, split)]
    runs = survey(path, seams=seams).video.runs
    assert [run.packets for run in runs] == [min(split, 9 - k) for k in range(0, 9, split)]


@pytest.mark.parametrize(("codec", "suffix"), [("x264", ".mp4"), ("x265", ".mp4"), ("svtav1", ".mkv")])
def test_variable_instants_and_last_duration(tmp_path: Path, codec: str, suffix: str) -> None:
    times = [Fraction(ms, 1000) for ms in (0, 40, 55, 200, 201, 500)]
    Track(codec, rate=None, times=times, last=Fraction(77, 1000), clock=Fraction(1, 1000)).write(
        tmp_path / f"a{suffix}"
    )
    packets = sorted(packets_of(tmp_path / f"a{suffix}", 0), key=lambda p: p.pts)
    assert [p.pts for p in packets] == times
    assert packets[-1].duration == Fraction(77, 1000)


def test_times_closer_than_the_clock_do_not_collide(tmp_path: Path) -> None:
    times = [Fraction(0), Fraction(1, 1000), Fraction(3, 2000), Fraction(2, 1000), Fraction(1, 25)]
    Track(rate=None, times=times, clock=Fraction(1, 1000)).write(tmp_path / "a.mkv")
    assert len({p.pts for p in packets_of(tmp_path / "a.mkv", 0)}) == 5


def test_hevc_in_mp4_has_the_tag_that_apple_wants(tmp_path: Path) -> None:
    Track("x265").write(tmp_path / "a.mp4")
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].codec_context.codec_tag == "hvc1"


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("a.webm", "cannot hold x264"),
        ("a.xyz", "`.xyz`"),
        ("a", "no extension"),
    ],
)
def test_misfit_is_a_usage_error_before_any_work(tmp_path: Path, name: str, wanted: str) -> None:
    with pytest.raises(UsageError, match=wanted) as caught:
        FilmWriter(tmp_path / name, tmp_path / name, Track().track(), EncodeOptions())
    assert caught.value.hint
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("codec", "name"), [("svtav1", "a.mov"), ("ffv1", "a.mov"), ("x265", "a.webm")])
def test_more_misfits(tmp_path: Path, codec: str, name: str) -> None:
    with pytest.raises(UsageError, match=f"cannot hold {codec}"):
        FilmWriter(tmp_path / name, tmp_path / name, Track(codec).track(), EncodeOptions(codec=codec))


@pytest.mark.parametrize("codec", ["h264_nvenc", "hevc_nvenc", "av1_nvenc"])
def test_nvenc_without_a_card(tmp_path: Path, codec: str) -> None:
    try:
        av.CodecContext.create(codec, "w")
    except av.codec.codec.UnknownCodecError:
        pytest.skip(f"this FFmpeg has no {codec}")
    if Path("/dev/nvidiactl").exists():
        pytest.skip("there is an NVIDIA card")
    with pytest.raises(EncodeError, match=f"{codec} does not start") as caught:
        Track(codec).open(tmp_path / "a.mp4")
    assert "x264" in caught.value.hint


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="looks at open files in /proc")
def test_failure_leaves_nothing_open(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    writer = Track().open(path)
    writer.write(Track().frames()[0])
    writer.abort()
    writer.abort()
    with pytest.raises(RuntimeError), Track().open(path):
        raise RuntimeError
    with pytest.raises(EncodeError, match="no frame"), Track().open(path) as empty:
        empty.finish()
    opened = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if fd.isdigit() and _is_link(fd)]
    assert str(path) not in opened


def _is_link(fd: str) -> bool:
    return Path(f"/proc/self/fd/{fd}").is_symlink()


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(EncodeError, match="cannot write") as caught:
        Track().open(tmp_path / "none" / "a.mp4")
    assert "folder" in caught.value.hint


@pytest.mark.parametrize(
    ("source", "size", "codec", "wanted"),
    [
        ("yuv444p", SMALL, "x264", "yuv444p"),
        ("yuv444p", SMALL.times(2), "x264", "yuv420p"),
        ("yuv422p10le", SMALL, "x265", "yuv422p10le"),
        ("yuv422p", SMALL, "h264_nvenc", "yuv444p"),
        ("yuv444p", SMALL, "svtav1", "yuv420p"),
        ("gray16le", SMALL, "ffv1", "yuv420p16le"),
        ("yuv420p12le", SMALL, "ffv1", "yuv420p12le"),
        ("yuv420p12le", SMALL, "x265", "yuv420p10le"),
        ("gbrp", SMALL, "x264", "yuv444p"),
        ("yuv422p", Size(128, 48), "x264", "yuv422p"),
        ("yuv420p", SMALL, "x264", "yuv420p"),
    ],
)
def test_layout_rule(source: str, size: Size, codec: str, wanted: str) -> None:
    info = StreamInfo(SMALL, FORMATS[source], Colour())
    assert output_format(info, size, EncodeOptions(codec=codec)).name == wanted


@pytest.mark.parametrize(
    "options",
    [
        EncodeOptions("mpeg9"),
        EncodeOptions("x264", preset="warp"),
        EncodeOptions("ffv1", preset="fast"),
        EncodeOptions("x264", crf=52),
        EncodeOptions("ffv1", crf=1),
        EncodeOptions("h264_nvenc", bit_depth=10),
    ],
)
def test_impossible_settings(options: EncodeOptions) -> None:
    with pytest.raises(UsageError) as caught:
        find_encoder(options)
    assert caught.value.hint


def test_deep_grey_and_fine_chroma_reach_the_file(tmp_path: Path) -> None:
    grey = write_clip(tmp_path / "grey.mkv", Clip(2, "ffv1", "gray16le"))
    restore(grey, tmp_path / "g.mkv", codec="ffv1")
    fine = write_clip(tmp_path / "fine.mkv", Clip(2, "ffv1", "yuv444p"))
    restore(fine, tmp_path / "f.mp4")
    for name, layout in (("g.mkv", "yuv420p16le"), ("f.mp4", "yuv444p")):
        with VideoReader(tmp_path / name) as reader:
            assert reader.info.format.name == layout


def test_encoders_are_silent(tmp_path: Path) -> None:
    """In a process of its own: SVT-AV1 reads once, at its first use, how much to print."""
    program = (
        "import sys; from pathlib import Path; from tests.unit.media.test_writer import Track;"
        "[Track(codec).write(Path(sys.argv[1])) for codec in ('x264', 'x265', 'svtav1', 'ffv1')]"
    )
    environment = {key: value for key, value in os.environ.items() if key != "SVT_LOG"}
    environment["PYTHONPATH"] = os.pathsep.join(map(str, (REPOSITORY / "src", REPOSITORY)))
    command = [sys.executable, "-c", program, str(tmp_path / "a.mkv")]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert (tmp_path / "a.mkv").is_file()
    assert run.stdout + run.stderr == ""
