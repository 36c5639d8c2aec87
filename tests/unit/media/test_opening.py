"""A file is opened whatever its name, and only that file."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from tests.media_samples import Clip, Sound, write_clip

from fastrestore.errors import DecodeError
from fastrestore.geometry import Size
from fastrestore.runtime.media.opening import demux, open_file
from fastrestore.runtime.media.reader import VideoReader

NAMES = (
    "plain.mkv",
    "-i.mkv",
    "--help",
    " two  words .mkv",
    "new\nline.mkv",
    "tab\tand\x1b[31mcolour.mkv",
    "quote'\"`$(true).mkv",
    "100%d.mkv",
    "concat:a.mkv|b.mkv",
    "file:a.mkv",
    "pipe:0",
    "data:,x",
    "a?b#c&d=e.mkv",
    "Größe 雪 \u202e.mkv",
    "x" * 251 + ".mkv",
    os.fsdecode(b"\xff\xfe latin \xe9.mkv"),
)


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    made = write_clip(tmp_path / "made.mkv", Clip(3))
    made.rename(tmp_path / name)
    with VideoReader(tmp_path / name) as reader:
        assert len(list(reader)) == 3
    monkeypatch.chdir(tmp_path)
    with VideoReader(Path(name)) as reader:
        assert len(list(reader)) == 3
    with pytest.raises(DecodeError):
        VideoReader(tmp_path / f"{name}-"[-200:] / "none")


def test_very_long_paths(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d" * 200] * 10)
    deep.mkdir(parents=True)
    path = write_clip(tmp_path / "a.mkv", Clip(3)).rename(deep / "a.mkv")
    with VideoReader(path) as reader:
        assert len(list(reader)) == 3
    for name in ("n" * 300, "/".join(["p" * 200] * 30)):
        with pytest.raises(DecodeError, match="too long"):
            VideoReader(tmp_path / name)


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mkv")
    for path, words in (
        (tmp_path / "pipe.mkv", "no regular file"),
        (Path("/dev/zero"), "no regular file"),
        (tmp_path / "a\0b", "zero byte"),
        (tmp_path / "none" / "a.mkv", "No such file"),
    ):
        with pytest.raises(DecodeError, match=words) as caught:
            VideoReader(path)
        assert caught.value.hint


@pytest.fixture
def address() -> Iterator[tuple[str, list[str]]]:
    """A web server's address and what it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_playlists_fetch_nothing(tmp_path: Path, address: tuple[str, list[str]]) -> None:
    url, asked = address
    film = write_clip(tmp_path / "film.ts", Clip(5))
    lists = {
        "a.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{url}/a.ts\n#EXT-X-ENDLIST\n",
        "b.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{film}\n#EXT-X-ENDLIST\n",
        "c.txt": "ffconcat version 1.0\nfile film.ts\n",
        "d.mkv": f"ffconcat version 1.0\nfile {url}/a.ts\n",
        "e.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
        "a=rtpmap:96 H264/90000\n",
    }
    for name, text in lists.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(DecodeError) as caught:
            VideoReader(tmp_path / name)
        assert caught.value.hint
    assert not asked


def test_a_stream_that_begins_in_the_middle_of_a_file_is_left_out(tmp_path: Path) -> None:
    # FFmpeg looks for streams in the first 5 MB.
    noise = Clip(80, size=Size(320, 240), pictures="noise", options={"qp": "4", "preset": "ultrafast"})
    one = write_clip(tmp_path / "a.flv", noise)
    assert one.stat().st_size > 6_000_000
    both = write_clip(tmp_path / "b.flv", Clip(20), [Sound(seconds=0.8)])
    path = tmp_path / "c.flv"
    header = 9 + 4
    path.write_bytes(one.read_bytes() + both.read_bytes()[header:])
    with open_file(path) as container:
        assert len(container.streams) == 1
        packets = list(demux(container, container.streams.video[0]))
        assert len(container.streams) == 1
    assert len([packet for packet in packets if packet.size]) == 100
