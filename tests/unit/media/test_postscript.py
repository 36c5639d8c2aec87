"""The manifest behind a file's content: it is found again, and nothing else changes."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import av
import pytest
from av.packet import Packet
from av.stream import Disposition
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.media_samples import Clip, Sound, packets_of, write_clip

from fastrestore.errors import DecodeError, EncodeError
from fastrestore.runtime.media import postscript
from fastrestore.runtime.media.truncation import missing_bytes

CODECS = {".mkv": "libx264", ".mp4": "libx264", ".mov": "libx264", ".webm": "libsvtav1"}
TAGS = {"title": "A title", "artist": "Someone", "comment": "Words", "date": "1959"}


@pytest.fixture(params=CODECS)
def clip(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    codec = CODECS[request.param]
    options = {"movflags": "+faststart"} if request.param in (".mp4", ".mov") else {}
    path = tmp_path / f"clip{request.param}"
    sound = Sound(codec="libopus" if request.param == ".webm" else "aac")
    return write_clip(path, Clip(10, codec), [sound], tags=TAGS, chapters=[(0, 300, "one")], options=options)


@pytest.mark.parametrize("size", [1, 50_000, 1_000_000])
def test_comes_back_and_nothing_else_changes(clip: Path, size: int) -> None:
    before = [packets_of(clip, index) for index in (0, 1)]
    with av.open(str(clip)) as container:
        tags = dict(container.metadata)
    text = 'é"\n' * size
    assert postscript.read(clip) is None
    postscript.append(clip, text)
    assert postscript.read(clip) == text
    assert [packets_of(clip, index) for index in (0, 1)] == before
    with av.logging.Capture() as logs, av.open(str(clip)) as container:
        assert dict(container.metadata) == tags
        assert TAGS.items() <= {key.lower(): value for key, value in tags.items()}.items()
        assert len(container.chapters()) == 1
        assert missing_bytes(clip, container) == 0
        sum(1 for _ in container.decode(video=0))
    assert [log for log in logs if log[0] <= av.logging.WARNING and log[1] != "libdav1d"] == []


def test_of_two_the_later_counts(clip: Path) -> None:
    postscript.append(clip, "one")
    postscript.append(clip, "two")
    assert postscript.read(clip) == "two"


def test_cut_off(clip: Path) -> None:
    begin = clip.stat().st_size
    postscript.append(clip, "words" * 1000)
    data = clip.read_bytes()
    for length in (begin + 40, len(data) - 1):
        clip.write_bytes(data[:length])
        with pytest.raises(DecodeError, match="bytes behind the file's end"):
            postscript.read(clip)


def test_a_tag_in_the_header_is_found_too(tmp_path: Path) -> None:
    """Other programs move our element there when they copy a Matroska file."""
    path = write_clip(tmp_path / "a.mkv", Clip(5), tags={"FASTRESTORE": "words"})
    assert postscript.read(path) == "words"


def test_no_place(tmp_path: Path) -> None:
    for name in ("a.avi", "b.mkv"):
        write_clip(tmp_path / name, Clip(5), options={"live": "1"} if name == "b.mkv" else {})
        with pytest.raises(EncodeError, match="its end is not as our muxers leave it"):
            postscript.append(tmp_path / name, "words")
    with pytest.raises(EncodeError):
        postscript.append(tmp_path / "none.mkv", "words")
    with pytest.raises(DecodeError):
        postscript.read(tmp_path / "none.mkv")


def test_text_that_is_none(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", Clip(5))
    postscript.append(path, "abc")
    path.write_bytes(path.read_bytes()[:-3] + b"\xff\xfe\xfd")
    with pytest.raises(DecodeError, match="it is no text"):
        postscript.read(path)


def test_ffmpeg_s_own_way_would_lose_the_cover(tmp_path: Path) -> None:
    """Why there is this module: remove it once this fails."""
    covers = {}
    for flags in ("+faststart", "+faststart+use_metadata_tags"):
        path = tmp_path / "a.mp4"
        with av.open(str(path), "w", options={"movflags": flags}) as output:
            clip = Clip(3)
            video = clip.add(output)
            cover = output.add_mux_stream("png", width=1, height=1)
            cover.disposition = Disposition.attached_pic
            output.start_encoding()
            picture: Packet[Any] = Packet(b"\x89PNG")
            picture.stream, picture.pts, picture.dts = cover, 0, 0
            output.mux([picture, *clip.packets(video)])
        with av.open(str(path)) as container:
            covers[flags] = [s for s in container.streams if s.disposition & Disposition.attached_pic]
    assert [len(found) for found in covers.values()] == [1, 0]


@settings(max_examples=300, deadline=None)
@given(head=st.sampled_from([b"", b"\0\0\0\x14ftypisom", b"\x1aE\xdf\xa3\x80\x18S\x80g"]), tail=st.binary(max_size=200))
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, head: bytes, tail: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.bin"
    path.write_bytes(head + tail)
    with contextlib.suppress(DecodeError):
        postscript.read(path)
