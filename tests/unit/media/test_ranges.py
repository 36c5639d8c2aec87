"""`--start` and `--end`: exact frames, wherever seeking lands."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from tests.media_samples import Clip, write_clip

from fastrestore.errors import DecodeError
from fastrestore.frames import Frame
from fastrestore.runtime.media.reader import VideoReader

LONG = Clip(40, options={"bf": "3", "x264-params": "b-adapt=0:keyint=15:min-keyint=15"})
OPEN = Clip(40, options={"bf": "3", "x264-params": "b-adapt=0:keyint=15:min-keyint=15:open-gop=1"})
MPEG2 = Clip(40, "mpeg2video", options={"g": "15", "bf": "2"})
CLIPS = {"long": LONG, "open": OPEN, "mpeg2": MPEG2}


def frames(path: Path, start: Fraction | None = None, end: Fraction | None = None) -> list[Frame]:
    with VideoReader(path, start=start, end=end) as reader:
        return list(reader)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi", ".h264"])
@pytest.mark.parametrize("name", CLIPS)
def test_first_frame_is_the_first_at_or_after_start(tmp_path: Path, name: str, suffix: str) -> None:
    if (name, suffix) == ("mpeg2", ".h264"):
        suffix = ".m2v"
    path = write_clip(tmp_path / f"a{suffix}", CLIPS[name], format="mpeg2video" if suffix == ".m2v" else None)
    whole = frames(path)
    assert len(whole) == 40
    for k in (1, 4, 12, 13, 14, 15, 16, 17, 28, 29, 30, 31, 38):
        for shift in (0, Fraction(1, 1000), -Fraction(1, 1000)):
            start = whole[0].pts + Fraction(k, 25) + shift
            wanted = [frame for frame in whole if frame.pts >= start][:2]
            found = frames(path, start, start + Fraction(2, 25))
            assert [frame.pts for frame in found] == [frame.pts for frame in wanted]
            assert all(a.picture.same_samples(b.picture) for a, b in zip(found, wanted, strict=True))


def test_end_is_exclusive(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", LONG)
    assert [f.pts for f in frames(path, end=Fraction(3, 25))] == [0, Fraction(1, 25), Fraction(2, 25)]
    assert len(frames(path, end=Fraction(3, 25) + Fraction(1, 10**6))) == 4


def test_range_without_frames(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", LONG)
    with pytest.raises(DecodeError, match="in the chosen range"):
        VideoReader(path, start=Fraction(100))
