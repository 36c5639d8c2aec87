"""A contact sheet shows a film's frames as they are and as a conversion would make them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.media_samples import Clip, write_clip

from fastrestore.api import convert, open_video
from fastrestore.config import ConvertOptions, EncodeOptions, FilmOptions, RateTarget, Target
from fastrestore.contact_sheet import write_sheet
from fastrestore.errors import DecodeError, UsageError
from fastrestore.frames import FORMATS, Frame, Picture
from fastrestore.geometry import Size
from fastrestore.kernels.ops import open_ops

SIZE, COUNT = Size(192, 96), 12
STAGES = FilmOptions(deflicker="global")
TITLE_PX, GAP_PX = 22, 6


class Flickering(Clip):
    """A texture that stands still under light that does not."""

    def picture(self, index: int) -> Picture:
        texture = np.kron(np.random.default_rng(3).uniform(60, 170, (12, 24)), np.ones((8, 8)))
        gain = 1 + 0.12 * np.random.default_rng(index).uniform(-1, 1)
        luma = np.clip(texture * gain, 16, 235).round().astype(np.uint8)
        middle = np.full((SIZE.height // 2, SIZE.width // 2), 128, np.uint8)
        return Picture((luma, middle, middle.copy()), FORMATS["yuv420p"])


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film that flickers."""
    clip = Flickering(COUNT, "ffv1", "yuv420p", SIZE, Fraction(16))
    return write_clip(tmp_path_factory.mktemp("film") / "film.mkv", clip)


def frames(path: Path) -> list[Frame]:
    """Return every frame of a file."""
    with open_video(path) as reader:
        return list(reader)


def shown(picture: Picture) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return a picture as OpenCV reads it from a file."""
    rgb = np.clip(open_ops("cpu").to_rgb(picture), 0, 1)
    return (rgb[::-1] * 255).round().astype(np.uint8).transpose(1, 2, 0)


def test_it_shows_what_a_conversion_would_make(film: Path, tmp_path: Path) -> None:
    options = ConvertOptions(
        to=Target.parse("x1"), fps=RateTarget.parse("source"), encode=EncodeOptions("ffv1"), film=STAGES
    )
    convert(film, tmp_path / "even.mkv", options)
    write_sheet(film, tmp_path / "sheet.png", [Fraction(1, 4), Fraction(1, 2)], STAGES)
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet is not None
    before, after = frames(film), frames(tmp_path / "even.mkv")
    for row, number in enumerate((4, 8)):
        top = TITLE_PX + row * (SIZE.height + TITLE_PX + GAP_PX)
        cells = [sheet[top : top + SIZE.height, left : left + SIZE.width] for left in (0, SIZE.width + GAP_PX)]
        assert np.array_equal(cells[0], shown(before[number].picture))
        assert np.array_equal(cells[1], shown(after[number].picture))
        assert not np.array_equal(cells[0], cells[1])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["even.mkv", "even.mkv.provenance.json", "sheet.png"]


def test_frames_are_no_wider_than_asked(film: Path, tmp_path: Path) -> None:
    write_sheet(film, tmp_path / "small.jpg", [Fraction(0)], STAGES, widest_px=96)
    small = cv2.imread(str(tmp_path / "small.jpg"))
    assert small is not None and small.shape[0] == SIZE.height // 2 + TITLE_PX + GAP_PX


@pytest.mark.parametrize(
    ("name", "time", "stages", "message"),
    [
        ("sheet.gif", 0, STAGES, "no picture"),
        ("missing/sheet.png", 0, STAGES, "no folder"),
        ("sheet.png", 0, FilmOptions(), "no stage"),
        ("sheet.png", 0, FilmOptions(deflicker="sometimes"), "sometimes"),
        ("sheet.png", 5, STAGES, "no frame at 5.000 s"),
    ],
)
def test_what_cannot_be_shown_is_refused(
    name: str, time: int, stages: FilmOptions, message: str, film: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        write_sheet(film, tmp_path / name, [Fraction(time)], stages)
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_where_it_was_repaired_can_be_inspected(film: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="only `clean` makes one"):
        write_sheet(film, tmp_path / "sheet.png", [Fraction(1, 4)], STAGES, mask=tmp_path / "mask.png")
    assert list(tmp_path.iterdir()) == []
    stages = FilmOptions(clean="medium")
    write_sheet(film, tmp_path / "sheet.png", [Fraction(1, 4)], stages, mask=tmp_path / "mask.png")
    mask = cv2.imread(str(tmp_path / "mask.png"), cv2.IMREAD_GRAYSCALE)
    assert mask is not None and mask.shape == (SIZE.height, SIZE.width)
    assert not mask.any(), "it flickers, and has no dust"


def test_a_time_far_beyond_the_film_is_refused(film: Path, tmp_path: Path) -> None:
    with pytest.raises(DecodeError, match="no video frame in the chosen range"):
        write_sheet(film, tmp_path / "sheet.png", [Fraction(500)], STAGES)
