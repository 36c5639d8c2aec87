"""A segment that is not what was encoded is found out; the same frames always give the same file."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from tests.media_samples import SMALL, noise, ramp

from fastrestore.config import EncodeOptions
from fastrestore.errors import DecodeError, EncodeError, FastRestoreError
from fastrestore.frames import FORMATS, Colour, Frame, StreamInfo
from fastrestore.geometry import Size
from fastrestore.runtime.media.segment import Encoded, SegmentWriter, prove_segment
from fastrestore.runtime.media.stamps import Stamps
from fastrestore.runtime.media.track import VideoTrack

CODECS = {
    "x264": EncodeOptions("x264", preset="ultrafast"),
    "x264 slow": EncodeOptions("x264", preset="medium"),
    "x265": EncodeOptions("x265", preset="ultrafast"),
    "ffv1": EncodeOptions("ffv1"),
    "svtav1": EncodeOptions("svtav1", preset="12"),
}
SIZE = Size(64, 64)
COUNT = 12


def track(size: Size = SIZE, rate: Fraction | None = Fraction(25)) -> VideoTrack:
    """Return a track."""
    layout = FORMATS["yuv420p"]
    info = StreamInfo(size, layout, Colour(), Fraction(25), time_base=Fraction(1, 1000))
    return VideoTrack(size, layout, Colour(), info, rate, Fraction(0), None)


def frames(count: int = COUNT, begin: Fraction = Fraction(0)) -> list[Frame]:
    """Return smooth pictures, each unlike its neighbours."""
    return [Frame(ramp("yuv420p", 2 * (k % 9), SIZE), begin + Fraction(k, 25), Fraction(1, 25)) for k in range(count)]


def encode(path: Path, options: EncodeOptions, pictures: list[Frame], rate: Fraction | None = Fraction(25)) -> Encoded:
    """Write a segment."""
    with SegmentWriter(path, track(rate=rate), options) as writer:
        for frame in pictures:
            writer.write(frame)
        return writer.finish()


@pytest.mark.parametrize("codec", CODECS)
def test_a_good_segment(tmp_path: Path, codec: str) -> None:
    encoded = encode(tmp_path / "a.nut", CODECS[codec], frames())
    proof = prove_segment(tmp_path / "a.nut", track(), encoded)
    assert prove_segment(tmp_path / "a.nut", track(), encoded, decode=False) == proof
    assert list(encoded.stamps) == list(range(COUNT))


@pytest.mark.parametrize("codec", CODECS)
def test_the_same_frames_give_the_same_file(tmp_path: Path, codec: str) -> None:
    """Whatever was encoded before, and whenever in the film they are shown."""
    for name, begin in (("a.nut", Fraction(0)), ("b.nut", Fraction(0)), ("c.nut", Fraction(7200))):
        encode(tmp_path / name, CODECS[codec], frames(begin=begin))
    assert (tmp_path / "a.nut").read_bytes() == (tmp_path / "b.nut").read_bytes() == (tmp_path / "c.nut").read_bytes()


def refused(path: Path, encoded: Encoded, word: str, *, decode: bool = True) -> None:
    """Check that a file is not taken for what was encoded."""
    with pytest.raises(EncodeError, match=word):
        prove_segment(path, track(), encoded, decode=decode)


@pytest.mark.parametrize("decode", [True, False])
def test_dropped_and_doubled_frames(tmp_path: Path, decode: bool) -> None:
    options, path = CODECS["x264"], tmp_path / "a.nut"
    whole = frames()
    wanted = encode(tmp_path / "wanted.nut", options, whole)
    for at in range(COUNT):
        encode(path, options, [*whole[:at], *whole[at + 1 :]])
        refused(path, wanted, "does not hold", decode=decode)
    doubled = [replace(frame, pts=Fraction(k, 25)) for k, frame in enumerate([*whole[:5], whole[4], *whole[5:]])]
    encode(path, options, doubled)
    refused(path, wanted, "does not hold", decode=decode)


def test_a_frame_in_the_place_of_another(tmp_path: Path) -> None:
    whole, path = frames(), tmp_path / "a.nut"
    wanted = encode(tmp_path / "wanted.nut", CODECS["x264"], whole)
    for at in range(COUNT):
        other = [*whole]
        other[at] = replace(whole[at], picture=noise("yuv420p", at, SIZE))
        encoded = encode(path, CODECS["x264"], other)
        refused(path, replace(encoded, thumbnails=wanted.thumbnails), f"frame {at + 1} shows another picture")


def test_times_that_differ(tmp_path: Path) -> None:
    path = tmp_path / "a.nut"
    times = [Fraction(40 * k, 1000) for k in range(COUNT)]
    times[5] += Fraction(1, 1000)
    pictures = [replace(frame, pts=pts) for frame, pts in zip(frames(), times, strict=True)]
    encoded = encode(path, CODECS["x264"], pictures, rate=None)
    prove_segment(path, track(rate=None), encoded)
    steady = Stamps.of([40 * k for k in range(COUNT)], 40)
    with pytest.raises(EncodeError, match=r"a frame 0\.201000 s after the first"):
        prove_segment(path, track(rate=None), replace(encoded, stamps=steady))


def test_another_size(tmp_path: Path) -> None:
    encoded = encode(tmp_path / "a.nut", CODECS["x264"], frames())
    with pytest.raises(EncodeError, match="64x64"):
        prove_segment(tmp_path / "a.nut", track(SMALL), encoded)


@pytest.mark.parametrize("codec", ["x264", "x264 slow", "ffv1"])
@pytest.mark.parametrize("decode", [True, False])
def test_flipped_bytes(tmp_path: Path, codec: str, decode: bool) -> None:
    """Whatever is flipped, the packets are those that were encoded, or the segment is refused."""
    path = tmp_path / "a.nut"
    encoded = encode(path, CODECS[codec], frames())
    whole, good = path.read_bytes(), prove_segment(path, track(), encoded)
    found = 0
    for at in range(0, len(whole), max(1, len(whole) // 150)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        try:
            assert prove_segment(path, track(), encoded, decode=decode) == good
        except FastRestoreError:
            found += 1
    assert found > 75


def test_truncated(tmp_path: Path) -> None:
    path = tmp_path / "a.nut"
    encoded = encode(path, CODECS["x264"], frames())
    whole = path.read_bytes()
    for length in range(0, len(whole) * 9 // 10, max(1, len(whole) // 40)):
        path.write_bytes(whole[:length])
        with pytest.raises((EncodeError, DecodeError)):
            prove_segment(path, track(), encoded)


def test_no_frames(tmp_path: Path) -> None:
    with (
        SegmentWriter(tmp_path / "a.nut", track(), CODECS["x264"]) as writer,
        pytest.raises(EncodeError, match="no frame"),
    ):
        writer.finish()


def test_times_never_stand_still(tmp_path: Path) -> None:
    """Closer together than the clock ticks, and not beyond the segment before."""
    path = tmp_path / "a.nut"
    pictures = [replace(frame, pts=Fraction(k, 10_000)) for k, frame in enumerate(frames())]
    with SegmentWriter(path, track(rate=None), CODECS["x264"], after=3) as writer:
        for frame in pictures:
            writer.write(frame)
        encoded = writer.finish()
    assert list(encoded.stamps) == list(range(4, 4 + COUNT))
    prove_segment(path, track(rate=None), encoded)
