"""A finished file that lacks something does not pass."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from tests.media_samples import Clip, Sound, write_clip

from fastrestore.errors import DecodeError, EncodeError
from fastrestore.runtime.media.verify import Promise, check_file

SPAN = Fraction(9, 25)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_whole_file_passes(tmp_path: Path, suffix: str) -> None:
    path = write_clip(tmp_path / f"a{suffix}", Clip(10, options={"bf": "2"}), [Sound()], chapters=[(0, 400, "one")])
    check_file(path, Promise(10, SPAN, 1))


def test_missing_frame(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", Clip(9, pts=[0, 1, 2, 3, 4, 5, 6, 7, 9]))
    with pytest.raises(EncodeError, match="9 frames instead of 10"):
        check_file(path, Promise(10, SPAN, 0))


def test_doubled_timestamp(tmp_path: Path) -> None:
    clip = Clip(10, "ffv1", pts=[0, 40, 80, 80, 160, 200, 240, 280, 320, 360], time_base=Fraction(1, 1000))
    path = write_clip(tmp_path / "a.mkv", clip)
    with pytest.raises(EncodeError, match="two frames with one timestamp"):
        check_file(path, Promise(10, SPAN, 0))


def test_wrong_span(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", Clip(10))
    with pytest.raises(EncodeError, match=r"0\.360000 s instead of 0\.400000 s"):
        check_file(path, Promise(10, Fraction(2, 5), 0))


@pytest.mark.parametrize("tags", [{}, {"timecode": "01:00:00:00"}])
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_missing_track_though_the_muxer_added_its_own(tmp_path: Path, suffix: str, tags: dict[str, str]) -> None:
    path = write_clip(tmp_path / f"a{suffix}", Clip(10), [Sound()], chapters=[(0, 400, "one")], tags=tags)
    with pytest.raises(EncodeError, match="2 tracks instead of 3") as caught:
        check_file(path, Promise(10, SPAN, 2))
    assert "report" in caught.value.hint


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(DecodeError):
        check_file(tmp_path / "none.mp4", Promise(1, Fraction(0), 0))
