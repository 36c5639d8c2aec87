"""What a muxer will make of a packet is known before it does."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.verify_samples import COLOUR, OPTIONS, SIZE, Scene

from fastrestore.runtime.media.payload import as_muxed


@pytest.mark.parametrize(
    ("codec", "layout", "suffixes"),
    [
        ("libx264", "yuv420p", (".mkv", ".mp4", ".mov")),
        ("libx264", "yuv444p10le", (".mkv", ".mp4", ".mov")),
        ("libx265", "yuv420p", (".mkv", ".mp4", ".mov")),
        ("libx265", "yuv420p10le", (".mkv", ".mp4", ".mov")),
        ("libsvtav1", "yuv420p", (".mkv", ".mp4", ".webm")),
        ("libsvtav1", "yuv420p10le", (".mkv", ".mp4", ".webm")),
        ("ffv1", "yuv420p16le", (".mkv",)),
    ],
)
def test_as_muxers_do(tmp_path: Path, codec: str, layout: str, suffixes: tuple[str, ...]) -> None:
    written = {}
    for suffix in (".nut", *suffixes):
        clip = Scene(30, codec, layout, SIZE, options=OPTIONS[codec], colour=COLOUR, pictures="noise")
        path = tmp_path / f"a{suffix}"
        with av.open(str(path), "w") as output:
            stream = clip.add(output)
            output.start_encoding()
            packets = clip.packets(stream)
            given = [bytes(packet) for packet in packets]
            output.mux(packets)
        with av.open(str(path)) as container:
            name = container.streams.video[0].codec_context.codec.canonical_name
            written[suffix] = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    assert written[".nut"] == given
    expected = [as_muxed(name, payload) for payload in written[".nut"]]
    for suffix in suffixes:
        assert written[suffix] == expected


@given(st.sampled_from(["h264", "hevc", "av1", "ffv1"]), st.binary(max_size=300))
def test_any_bytes(codec: str, payload: bytes) -> None:
    assert isinstance(as_muxed(codec, payload), bytes)


def test_units_keep_their_zeros() -> None:
    stream = b"\0\0\0\1\x65ab\0\0\0\0\1\x41\0\0\3c\0\0\1\x41"
    assert as_muxed("h264", stream) == b"\0\0\0\4\x65ab\0" + b"\0\0\0\5\x41\0\0\3c" + b"\0\0\0\1\x41"
