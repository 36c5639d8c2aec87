"""What a file claims is checked before anything is decoded."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest
from tests.media_samples import Clip, write_clip

from fastrestore.errors import DecodeError
from fastrestore.geometry import Size
from fastrestore.runtime.media import decoding, limits
from fastrestore.runtime.media.reader import VideoReader


def refused(path: Path, words: str, **how: int) -> None:
    with pytest.raises(DecodeError, match=words) as caught:
        VideoReader(path, **how)  # type: ignore[arg-type]
    assert caught.value.hint


def forged(path: Path, old: bytes, new: bytes) -> Path:
    data = path.read_bytes()
    assert old in data and len(old) == len(new)
    path.write_bytes(data.replace(old, new))
    return path


def test_a_small_file_that_claims_huge_pictures(tmp_path: Path) -> None:
    header = (64).to_bytes(4, "little") + (48).to_bytes(4, "little")
    huge = (16000).to_bytes(4, "little") * 2
    wide = (20000).to_bytes(4, "little") + (48).to_bytes(4, "little")
    for number, size in enumerate((huge, wide)):
        path = write_clip(tmp_path / f"{number}.avi", Clip(3, "huffyuv", "yuv422p"))
        refused(forged(path, header, size), "claims pictures of (16000x16000|20000x48)")


def test_memory_is_known_before_a_picture_is_decoded(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", Clip(3, size=Size(640, 480)))
    needed = limits.reading_bytes(Size(640, 480), 12)
    refused(path, "640x480.*are allowed", max_memory=needed - 1)
    with VideoReader(path, max_memory=needed) as reader:
        assert len(list(reader)) == 3


def test_too_many_streams_and_too_much_beside_the_film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fonts = [(f"{k}.ttf", "font/ttf", b"font" * 100) for k in range(4)]
    path = write_clip(tmp_path / "a.mkv", Clip(3), attachments=fonts, tags={"comment": "x" * 1000})
    for name, most, words in (
        ("MOST_STREAMS", 4, "5 streams"),
        ("MOST_ATTACHED_BYTES", 1599, "attachments hold 1600"),
        ("MOST_TAG_BYTES", 999, "tags hold"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(limits, name, most)
            refused(path, words)
    assert len(list(VideoReader(path))) == 3


def test_a_header_that_cannot_be_true_is_not_believed() -> None:
    assert limits.believable_rate(Fraction(90000)) is None
    assert limits.believable_rate(Fraction(1, 10**6)) is None
    assert limits.believable_rate(Fraction(1000)) == 1000
    assert limits.believable_duration(Fraction(10**9)) is None
    assert limits.believable_duration(Fraction(3600)) == 3600


def test_pictures_that_grow_beyond_the_limit_do_not_decode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = [write_clip(tmp_path / f"{w}.h264", Clip(10, size=Size(w, w))) for w in (64, 640)]
    path = tmp_path / "a.h264"
    path.write_bytes(b"".join(clip.read_bytes() for clip in clips))
    monkeypatch.setattr(decoding, "MOST_PIXELS", 640 * 640 - 1)
    with VideoReader(path) as reader, pytest.raises(DecodeError, match="10 undecodable"):
        list(reader)


@pytest.mark.parametrize(
    ("ms", "words"),
    [([0, 40, 15_000_000], "no picture between"), ([10**15, 10**15 + 40], "shows a picture at")],
)
def test_a_clock_that_makes_an_endless_film(tmp_path: Path, ms: list[int], words: str) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as output:
        clip = Clip(len(ms), "ffv1", "gray")
        stream = clip.add(output)
        for packet, pts in zip(clip.packets(stream), ms, strict=True):
            packet.time_base, packet.pts, packet.dts = Fraction(1, 1000), pts, pts
            output.mux_one(packet)
    with VideoReader(path) as reader, pytest.raises(DecodeError, match=words) as caught:
        list(reader)
    assert caught.value.hint


def test_no_film_is_longer_than_the_longest(tmp_path: Path) -> None:
    day, hour = 86400, Fraction(3600)
    limits.check_times(tmp_path, Fraction(0), 10 * day - hour, Fraction(10 * day))
    with pytest.raises(DecodeError, match="longer than 240 hours"):
        limits.check_times(tmp_path, Fraction(0), 10 * day - hour + 1, Fraction(10 * day + 1))
