"""Figures, pairs of frames and the page."""

from __future__ import annotations

import base64
import json
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.media_samples import Clip, Sound, write_clip

from fastrestore import compare
from fastrestore.api import Pipeline
from fastrestore.config import EncodeOptions
from fastrestore.errors import DecodeError, EncodeError, UsageError
from fastrestore.files import write_whole
from fastrestore.frames import FORMATS, Colour, Frame, Matrix, Picture
from fastrestore.geometry import Size
from fastrestore.kernels.ops import open_ops

F32 = NDArray[np.float32]
SIZE = Size(48, 32)


def plane(seed: int = 0) -> F32:
    noise = np.random.default_rng(seed).random((64, 80), np.float32)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 1.5), np.float32)


def frames(*pts: str) -> list[Frame]:
    return [
        Frame(Picture((np.full((2, 2), index, np.uint8),), FORMATS["gray"]), Fraction(text))
        for index, text in enumerate(pts)
    ]


def shots_of(page: Path) -> list[dict[str, Any]]:
    found = re.search(r'type="application/json">(.*?)</script>', page.read_text(encoding="utf-8"))
    assert found is not None
    return list(json.loads(found[1]))


def decoded(url: str) -> NDArray[np.uint8]:
    data = np.frombuffer(base64.b64decode(url.partition(",")[2]), np.uint8)
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def test_psnr() -> None:
    assert compare.psnr(plane(), plane()) == compare.PEAK_DB
    assert compare.psnr(plane(), plane() + np.float32(0.1)) == pytest.approx(20, abs=1e-3)
    assert compare.psnr(plane(), plane() + np.float32(1e-7)) == compare.PEAK_DB


def test_ssim() -> None:
    assert compare.ssim(plane(), plane()) == pytest.approx(1, abs=1e-6)
    shifted = np.roll(plane(), 1, 1)
    assert 0 < compare.ssim(plane(), shifted) < compare.ssim(plane(), plane() + np.float32(0.01)) < 1
    assert compare.ssim(plane(1), plane(2)) < 0.3


def test_frames_at_the_same_instants_are_paired() -> None:
    left, right = frames("0", "1/3", "2/3", "1"), frames("0.0004", "1/6", "0.333", "0.5", "5/6", "1", "2")
    pairs = [(int(a.planes[0][0, 0]), int(b.planes[0][0, 0])) for a, b in compare._same_instants(left, right)]
    assert pairs == [(0, 0), (1, 2), (3, 5)]


@pytest.mark.parametrize(("instant", "shown"), [("-1", 0), ("0", 0), ("0.4", 0), ("0.5", 1), ("7", 2)])
def test_the_frame_on_screen(instant: str, shown: int) -> None:
    found = compare._last_until(frames("0", "0.5", "1"), Fraction(instant))
    assert int(found.picture.planes[0][0, 0]) == shown


def test_videos_of_another_size_or_rate_have_no_figures(tmp_path: Path) -> None:
    small = write_clip(tmp_path / "a.mkv", Clip(frames=3, size=SIZE))
    large = write_clip(tmp_path / "b.mkv", Clip(frames=3, size=Size(64, 48)))
    result = compare.compare(small, large)
    assert (result.psnr_y_db, result.ssim_y, result.compared_frames) == (None, None, 0)
    assert json.loads(result.to_json())["schema"] == "fastrestore.compare/1"


def test_page_of_videos_shorter_than_its_frames(tmp_path: Path) -> None:
    """A single picture, and a film whose sound goes on after its last picture."""
    one = write_clip(tmp_path / "one.mp4", Clip(frames=1, size=SIZE))
    long_sound = write_clip(tmp_path / "sound.mkv", Clip(frames=3, size=SIZE), [Sound(seconds=2)])
    page = tmp_path / "page.html"
    for left, right in ((one, one), (one, long_sound), (long_sound, long_sound)):
        compare.write_page(left, right, page)
        assert len(shots_of(page)) == compare.PAGE_FRAMES


def test_page_seeks_in_long_videos(tmp_path: Path) -> None:
    """Frames three seconds apart: the one on screen began long before the second that is looked at first."""
    clip = Clip(frames=12, size=SIZE, rate=Fraction(1), pts=[3 * i for i in range(12)], time_base=Fraction(1))
    video = write_clip(tmp_path / "slow.mkv", clip)
    assert compare._shown_at(video, Fraction(25)).pts == 24
    page = tmp_path / "page.html"
    compare.write_page(video, video, page)
    assert len({shot["left"] for shot in shots_of(page)}) == compare.PAGE_FRAMES


def test_pictures_are_turned_and_shaped_as_players_show_them(tmp_path: Path) -> None:
    quarter = (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
    video = write_clip(tmp_path / "v.mp4", Clip(frames=2, size=SIZE, matrix=quarter, pixel_aspect=Fraction(4, 3)))
    page = tmp_path / "page.html"
    compare.write_page(video, video, page)
    assert decoded(shots_of(page)[0]["left"]).shape == (48, 32, 3)
    assert "--ratio: 0.500000" in page.read_text(encoding="utf-8")


def test_names_cannot_break_the_page(tmp_path: Path) -> None:
    video = write_clip(tmp_path / "<b>{{shots}}&.mkv", Clip(frames=2, size=SIZE))
    page = tmp_path / "page.html"
    compare.write_page(video, video, page, title="</title>{{left}}")
    text = page.read_text(encoding="utf-8")
    assert "<title>&lt;/title&gt;{{left}}</title>" in text
    assert "&lt;b&gt;{{shots}}&amp;.mkv" in text
    assert len(shots_of(page)) == compare.PAGE_FRAMES


def test_pages_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"does not end in \.html"):
        compare.check_page(tmp_path / "film.mp4")
    with pytest.raises(EncodeError, match="folder that exists"):
        compare.check_page(tmp_path / "none" / "page.html")
    with pytest.raises(DecodeError):
        compare.write_page(tmp_path / "a.mp4", tmp_path / "b.mp4", tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []


def test_a_text_file_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Path, target: Path) -> None:
        assert self.read_text() == "new"
        raise OSError(28, "No space left on device")

    path = tmp_path / "report.json"
    write_whole(path, "old \udcff")
    assert path.read_text() == "old \\udcff"
    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(EncodeError, match=r"cannot write .*report\.json: No space left"):
        write_whole(path, "new")
    assert [file.name for file in tmp_path.iterdir()] == ["report.json"]
    assert path.read_text() == "old \\udcff"


def test_side_by_side(tmp_path: Path) -> None:
    left = write_clip(tmp_path / "l.mkv", Clip(frames=4, size=SIZE, rate=Fraction(10), codec="ffv1"))
    right = write_clip(tmp_path / "r.mkv", Clip(frames=8, size=Size(96, 64), rate=Fraction(20), codec="ffv1"))
    found = list(compare.side_by_side(left, right))
    assert [frame.pts for frame in found] == [Fraction(k, 20) for k in range(8)]
    assert {frame.picture.size for frame in found} == {Size(96, 64)}
    assert {frame.picture.size for frame in compare.side_by_side(left, right, shrink=2)} == {SIZE}
    luma = found[0].picture.planes[0]
    assert luma[:, 47:49].min() == 255


def test_range_and_depth_do_not_count_as_difference(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (3, 48, 1))
    paths = []
    for name, full_range in (("yuv444p10le", False), ("yuv444p10le", True)):
        colour = Colour(Matrix.BT709, full_range)
        picture = open_ops("cpu").from_rgb(ramp, Size(64, 48), FORMATS[name], colour)
        paths.append(tmp_path / f"{full_range}.mkv")
        Pipeline().write([Frame(picture, Fraction(0), Fraction(1, 10))], paths[-1], encode=EncodeOptions("ffv1"))
    result = compare.compare(*paths)
    assert result.psnr_y_db is not None
    assert result.psnr_y_db > 60
