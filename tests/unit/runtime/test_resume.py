"""Reading goes on with the very frame that is on record, by seeking where that leads there, else from the beginning."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from tests.media_samples import Clip, write_clip

from fastrestore.errors import DecodeError, JobError
from fastrestore.frames import Frame
from fastrestore.runtime.media.reader import VideoReader
from fastrestore.runtime.observation import Opening
from fastrestore.runtime.resume import frames_from

COUNT = 40


@pytest.fixture(params=["mkv", "mp4", "ts", "avi", "mpg"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Clips in containers that seek differently well."""
    if request.param == "mpg":
        return write_clip(tmp_path / "clip.mpg", Clip(COUNT, "mpeg2video", options={"g": "8"}), format="mpeg")
    codec = "mpeg4" if request.param == "avi" else "libx264"
    return write_clip(tmp_path / f"clip.{request.param}", Clip(COUNT, codec, options={"g": "8"}))


def known(frames: list[Frame]) -> list[tuple[Fraction, int]]:
    """Return by what frames are known again."""
    return [(frame.pts, frame.picture.crc32) for frame in frames]


def all_of(path: Path) -> list[tuple[Fraction, int]]:
    """Return every frame of a file."""
    with VideoReader(path) as reader:
        return known(list(reader))


def opening(frames: list[tuple[Fraction, int]], index: int) -> Opening:
    """Return an opening at a frame."""
    return Opening(index, frames[index][0], crc32=frames[index][1])


def rest(source: Path, at: Opening, *, sequential: bool, reopened: Path | None = None) -> list[tuple[Fraction, int]]:
    """Return the frames from an opening on."""
    with (
        VideoReader(source) as reader,
        frames_from(
            reader, lambda where: VideoReader(reopened or source, start=where.pts), at, sequential=sequential
        ) as entered,
    ):
        return known(list(entered.frames))


@pytest.mark.parametrize("sequential", [False, True])
@pytest.mark.parametrize("index", [1, 7, 8, 23, COUNT - 1])
def test_the_rest_is_the_rest(source: Path, index: int, sequential: bool) -> None:
    whole = all_of(source)
    assert len(whole) == COUNT
    assert rest(source, opening(whole, index), sequential=sequential) == whole[index:]


def test_the_reader_is_the_one_that_reads(source: Path) -> None:
    """Its notes are what is told of; where nothing was sought it is the one that was given."""
    at = opening(all_of(source), 9)
    opened: list[VideoReader] = []

    def reopen(where: Opening) -> VideoReader:
        opened.append(VideoReader(source, start=where.pts))
        return opened[-1]

    with VideoReader(source) as reader:
        with frames_from(reader, reopen, at, sequential=False) as entered:
            assert entered.reader is opened[0]
            next(entered.frames)
        with pytest.raises(DecodeError, match="closed"):
            iter(opened[0])
        with frames_from(reader, reopen, at, sequential=True) as entered:
            assert entered.reader is reader and len(opened) == 1


def test_a_seek_that_leads_elsewhere(tmp_path: Path) -> None:
    """Then the source is read from its beginning."""
    source = write_clip(tmp_path / "a.mkv", Clip(COUNT))
    other = write_clip(tmp_path / "b.mkv", Clip(COUNT, pictures="noise"))
    whole = all_of(source)
    assert rest(source, opening(whole, 9), sequential=False, reopened=other) == whole[9:]
    assert rest(source, opening(whole, 9), sequential=False, reopened=tmp_path / "none.mkv") == whole[9:]


@pytest.mark.parametrize("sequential", [False, True])
@pytest.mark.parametrize(
    "at",
    [Opening(9, Fraction(9, 25), crc32=1), Opening(9, Fraction(91, 250), crc32=0), Opening(400, Fraction(16), crc32=1)],
)
def test_another_source_is_refused(tmp_path: Path, at: Opening, sequential: bool) -> None:
    source = write_clip(tmp_path / "a.mkv", Clip(COUNT))
    with pytest.raises(JobError, match="another one now") as caught:
        rest(source, at, sequential=sequential)
    assert "--restart" in caught.value.hint


def test_everything_is_closed_on_the_way_out(source: Path) -> None:
    at, opened = opening(all_of(source), 9), list[VideoReader]()

    def reopen(where: Opening) -> VideoReader:
        opened.append(VideoReader(source, start=where.pts))
        return opened[-1]

    with VideoReader(source) as reader:
        with frames_from(reader, reopen, at, sequential=False) as entered:
            next(entered.frames)
        with pytest.raises(DecodeError, match="closed"):
            iter(opened[0])
        with pytest.raises(DecodeError, match="closed"):
            next(entered.frames)
