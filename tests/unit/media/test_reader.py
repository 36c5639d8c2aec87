"""What the reader says of a file: colour, aspect, rotation, times, and what is wrong with it."""

from __future__ import annotations

import gc
import os
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.stream import Disposition
from tests.media_samples import Clip, Sound, raw_frame, restore, write_clip

from fastrestore.errors import DecodeError, UsageError
from fastrestore.frames import Matrix
from fastrestore.geometry import Size
from fastrestore.runtime.media.reader import VideoReader

TURNED = (0, 65536, 0, -65536, 0, 0, 48 * 65536, 0, 1 << 30)


def times(path: Path) -> list[Fraction]:
    with VideoReader(path) as reader:
        return [frame.pts for frame in reader]


@pytest.mark.parametrize(
    ("matrix", "range_"), [(Matrix.BT709, 1), (Matrix.SMPTE170M, 2), (Matrix.BT2020_NCL, 1), (Matrix.BT470BG, 2)]
)
def test_colour_tags(tmp_path: Path, matrix: Matrix, range_: int) -> None:
    tags = {"colorspace": int(matrix), "color_range": range_, "color_primaries": 9, "color_trc": 16}
    with VideoReader(write_clip(tmp_path / "a.mp4", Clip(2, colour=tags))) as reader:
        colour = reader.info.colour
    assert (colour.matrix, colour.full_range, colour.primaries, colour.transfer) == (matrix, range_ == 2, 9, 16)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_rotation_and_aspect(tmp_path: Path, suffix: str) -> None:
    clip = Clip(2, pixel_aspect=Fraction(16, 15), matrix=TURNED)
    with VideoReader(write_clip(tmp_path / f"a{suffix}", clip)) as reader:
        assert reader.info.rotation % 360 == 270
        assert reader.info.shown_upright == Size(48, 64)
        assert reader.info.pixel_aspect == Fraction(16, 15)
        assert reader.display_matrix is not None and reader.display_matrix[:5] == TURNED[:5]


def test_variable_rate_without_frame_count(tmp_path: Path) -> None:
    clip = Clip(6, pts=[0, 40, 55, 200, 210, 500], time_base=Fraction(1, 1000))
    with VideoReader(write_clip(tmp_path / "a.mkv", clip)) as reader:
        assert [frame.pts * 1000 for frame in reader] == [0, 40, 55, 200, 210, 500]
        assert reader.info.frame_count is None
        assert reader.notes.repaired_timestamps == 0


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_nonzero_start(tmp_path: Path, suffix: str) -> None:
    path = write_clip(tmp_path / f"a{suffix}", Clip(5, pts=range(10, 15)))
    assert times(path) == [Fraction(k, 25) for k in range(10, 15)]


def test_what_an_edit_list_hides_is_not_read(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", Clip(12, pts=range(-4, 8), options={"bf": "2"}))
    assert times(path) == [Fraction(k, 25) for k in range(8)]


def test_missing_timestamps_are_counted(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.h264", Clip(9, options={"bf": "2"}))
    with VideoReader(path) as reader:
        assert [frame.pts for frame in reader] == [Fraction(k, 25) for k in range(9)]
        assert reader.notes.repaired_timestamps == 9


def test_backward_timestamps_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as output:
        clip = Clip(5, "ffv1", "gray")
        stream = clip.add(output)
        for index, (packet, pts) in enumerate(zip(clip.packets(stream), (0, 40, 30, 120, 160), strict=True)):
            packet.time_base = Fraction(1, 1000)
            packet.pts, packet.dts = pts, 10 * index
            output.mux_one(packet)
    with VideoReader(path) as reader:
        assert [frame.pts * 1000 for frame in reader] == [0, 40, 80, 120, 160]
        assert reader.notes.repaired_timestamps == 1


@pytest.mark.parametrize("share", [0.97, 0.7, 0.3])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_cut_off_file_is_an_error(tmp_path: Path, suffix: str, share: float) -> None:
    path = write_clip(
        tmp_path / f"a{suffix}",
        Clip(20, pictures="noise"),
        options={"movflags": "+faststart"} if suffix == ".mp4" else {},
    )
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(DecodeError, match=r"was cut off") as caught:
        VideoReader(path)
    assert "--end" in caught.value.hint
    with VideoReader(path, end=Fraction(1, 25)) as reader:
        assert len(list(reader)) == 1  # what is there can be had
    with VideoReader(path, end=Fraction(100)) as reader, pytest.raises(DecodeError, match="ends early"):
        list(reader)


def test_whole_files_are_not_taken_for_cut_off(tmp_path: Path) -> None:
    for suffix in (".mp4", ".mkv", ".mov", ".webm", ".avi", ".ts"):
        codec = "libvpx" if suffix == ".webm" else "libx264"
        assert len(times(write_clip(tmp_path / f"a{suffix}", Clip(5, codec)))) == 5


def test_cover_art_is_not_the_video(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mkv", Clip(4), attachments=[("cover.jpg", "image/jpeg", jpeg())])
    with VideoReader(source) as reader:
        assert len(list(reader)) == 4
    only = write_clip(
        tmp_path / "b.mkv", None, [Sound(codec="flac")], attachments=[("cover.jpg", "image/jpeg", jpeg())]
    )
    with pytest.raises(DecodeError, match="no video"):
        VideoReader(only)
    assert "stream 1 video mjpeg" in restore(source, tmp_path / "o.mp4").tracks.copied
    with av.open(str(tmp_path / "o.mp4")) as back:
        cover = back.streams[1]
        assert cover.disposition == Disposition.attached_pic
        assert [bytes(p) for p in back.demux(cover) if p.size] == [jpeg()]


def test_video_may_be_the_second_stream(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", Clip(4), first=[Sound(codec="flac")])
    with VideoReader(path) as reader:
        assert reader.stream_index == 1
        assert len(list(reader)) == 4


def test_unreadable_files(tmp_path: Path) -> None:
    empty, text = tmp_path / "a.mp4", tmp_path / "a.txt"
    empty.write_bytes(b"")
    text.write_text("hello" * 100)
    sound = write_clip(tmp_path / "b.mp4", None, [Sound()])
    for path, words in (
        (empty, "Invalid data"),
        (text, "text file"),
        (sound, "no video"),
        (tmp_path, "folder"),
        (tmp_path / "none.mp4", "No such file"),
    ):
        with pytest.raises(DecodeError, match=words) as caught:
            VideoReader(path)
        assert caught.value.hint


def test_frames_are_read_once_and_not_after_close(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", Clip(3))
    reader = VideoReader(path)
    assert len(list(reader)) == 3
    with pytest.raises(DecodeError, match="read already"):
        iter(reader)
    reader.close()
    reader.close()
    with pytest.raises(DecodeError, match="closed"):
        iter(reader)
    with pytest.raises(UsageError):
        VideoReader(path, start=Fraction(2), end=Fraction(1))


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts threads in /proc")
def test_close_ends_the_decoders_threads(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", Clip(3))
    gc.collect()
    gc.disable()
    try:
        before = len(os.listdir("/proc/self/task"))
        readers = [VideoReader(path) for _ in range(3)]
        for reader in readers:
            reader.close()
        assert len(os.listdir("/proc/self/task")) <= before
    finally:
        gc.enable()


def jpeg() -> bytes:
    """Return a small picture as JPEG."""
    encoder = av.CodecContext.create("mjpeg", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 64, 48, "yuvj420p", Fraction(1, 25)
    frame = raw_frame(Clip().picture(0)).reformat(format="yuvj420p")
    return b"".join(bytes(p) for p in [*encoder.encode(frame), *encoder.encode(None)])
