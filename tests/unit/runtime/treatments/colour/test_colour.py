"""Colour by example, on films whose colours are known."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.unit.runtime.treatments.colour.colour_samples import (
    COLOUR,
    ColourFilm,
    ball_film,
    chroma_of,
    distance,
    open_stage,
    picture,
    shown,
    station_film,
    write_example,
)

from fastrestore.config import FilmOptions
from fastrestore.errors import EncodeError, UsageError
from fastrestore.frames import FORMATS, Colour, Matrix, Picture
from fastrestore.runtime.treatments.colour import stage
from fastrestore.runtime.treatments.treatment import Window

FRAMES = 14


@lru_cache(maxsize=2)
def ball(flicker: float = 0.0) -> ColourFilm:
    return ball_film((160, 120), FRAMES, flicker=flicker)


def grey(film: ColourFilm, name: str = "gray") -> list[Picture]:
    return [picture(luma, name) for luma in film.luma]


def example(film: ColourFilm, index: int, folder: Path) -> str:
    """Write a frame of a film in colour and return it as on the command line."""
    path = write_example(folder / f"frame{index}.png", film.luma[index], film.chroma[index])
    return f"{path}@{index / 16}"


def change(film: ColourFilm, one: int, other: int) -> float:
    return float(np.linalg.norm(film.chroma[one] - film.chroma[other], axis=2).mean())


def test_the_sample_in_colour_by_its_first_frame_and_by_both_ends(tmp_path: Path) -> None:
    film = station_film((240, 180))
    pictures, last = grey(film), len(film.luma) - 1
    opened = open_stage(pictures, tmp_path, [example(film, 0, tmp_path)])
    (shot,) = opened.film.shots
    coloured = [opened.apply(index) for index in range(len(pictures))]
    assert distance(coloured[last], film.chroma[last]) <= 0.5 * change(film, 0, last)
    assert distance(coloured[20], film.chroma[20]) <= 0.5 * change(film, 0, 20)

    means = np.array([chroma_of(each).mean(axis=(0, 1)) for each in coloured])
    brightness = np.array([luma.mean() for luma in film.luma])
    assert np.diff(means, 2, axis=0).std(axis=0).max() < 0.1 * np.diff(brightness, 2).std()

    report = opened.treatment.report(shot)
    assert report["from"] == "examples" and report["at_s"] == "0.000"
    assert float(report["another_example_would_help_most_at_s"]) > 2

    both = open_stage(pictures, tmp_path, [example(film, 0, tmp_path), example(film, last, tmp_path)])
    assert distance(both.apply(last), film.chroma[last]) < 1
    assert distance(both.apply(26), film.chroma[26]) < distance(coloured[26], film.chroma[26])
    assert float(both.treatment.report(shot)["least_trust"]) > float(report["least_trust"])


@pytest.mark.parametrize("at", [0, 6, FRAMES - 1])
def test_colours_go_forwards_and_backwards(tmp_path: Path, at: int) -> None:
    film = ball()
    opened = open_stage(grey(film), tmp_path, [example(film, at, tmp_path)])
    for index in (0, 3, 9, FRAMES - 1):
        assert distance(opened.apply(index), film.chroma[index]) < 2.5, index
    assert opened.reads == [(0, FRAMES)]
    assert [path.suffix for path in (tmp_path / "colour").iterdir()] == [".zip"]


@pytest.mark.parametrize(
    ("name", "becomes"),
    [
        ("gray", "yuv420p"),
        ("gray12le", "yuv420p12le"),
        ("gbrp", "yuv420p"),
        ("yuv420p", "yuv420p"),
        ("yuv422p10le", "yuv422p10le"),
        ("yuv444p", "yuv444p"),
    ],
)
def test_luma_stays_as_it_is_in_every_layout(tmp_path: Path, name: str, becomes: str) -> None:
    full = ball()
    film = ColourFilm([luma[:79, :101] for luma in full.luma[:3]], [c[:79, :101] for c in full.chroma[:3]])
    own = Colour(Matrix.RGB, True) if name == "gbrp" else COLOUR
    pictures = [picture(luma, name, own) for luma in film.luma]
    # An R'G'B' film is in full range: its example must be, too.
    coded = Colour(Matrix.BT709, True) if name == "gbrp" else COLOUR
    path = write_example(tmp_path / "a.png", film.luma[0], film.chroma[0], coded)
    opened = open_stage(pictures, tmp_path, [f"{path}@0"])
    assert opened.treatment.info(opened.film.info).format == FORMATS[becomes]
    for index in range(3):
        found = opened.apply(index)
        assert found.format == FORMATS[becomes]
        np.testing.assert_array_equal(found.planes[0], pictures[index].planes[0])
        assert distance(found, film.chroma[index]) < 4


@pytest.mark.parametrize("size", [(16, 16), (64, 2), (17, 33)])
def test_tiny_pictures_and_a_single_frame(tmp_path: Path, size: tuple[int, int]) -> None:
    film = ball_film(size, 2)
    for count in (1, 2):
        opened = open_stage(grey(film)[:count], tmp_path / str(count), [example(film, 0, tmp_path)])
        assert distance(opened.apply(count - 1), film.chroma[count - 1]) < 8


def test_a_frame_depends_on_nothing_that_was_asked_before(tmp_path: Path) -> None:
    film = ball(0.05)
    words = [example(film, 2, tmp_path), example(film, 11, tmp_path)]
    once = open_stage(grey(film), tmp_path / "once", words)
    again = open_stage(grey(film), tmp_path / "again", words)
    forwards = [once.apply(index) for index in range(FRAMES)]
    for index in reversed(range(FRAMES)):
        assert again.apply(index).same_samples(forwards[index])
    one, other = (next((tmp_path / name / "colour").iterdir()) for name in ("once", "again"))
    assert one.name == other.name and one.read_bytes() == other.read_bytes()


def test_colours_found_before_are_used_again_and_others_are_not(tmp_path: Path) -> None:
    film = ball()
    words = [example(film, 0, tmp_path)]
    assert open_stage(grey(film), tmp_path, words).reads
    assert not open_stage(grey(film), tmp_path, words).reads
    assert open_stage(grey(film), tmp_path, [example(film, 1, tmp_path)]).reads
    (tmp_path / "frame0.png").write_bytes(
        write_example(tmp_path / "other.png", film.luma[0], -film.chroma[0]).read_bytes()
    )
    assert open_stage(grey(film), tmp_path, words).reads
    for path in (tmp_path / "colour").iterdir():
        path.write_bytes(path.read_bytes()[:-20])
    assert open_stage(grey(film), tmp_path, words).reads


def two_shots() -> tuple[list[Picture], ColourFilm]:
    film = ball()
    other = [picture(255 - luma[::-1]) for luma in film.luma]
    return grey(film) + other, film


def test_a_shot_without_example_stays_grey(tmp_path: Path) -> None:
    pictures, film = two_shots()
    opened = open_stage(pictures, tmp_path, [example(film, 3, tmp_path)])
    assert len(opened.film.shots) == 2
    untouched = opened.apply(FRAMES + 2)
    assert untouched.neutral_chroma and untouched.format == FORMATS["yuv420p"]
    assert opened.treatment.report(opened.film.shots[1]) == {"from": "film"}
    stored = [picture(each.planes[0], "yuv420p") for each in pictures]
    kept = open_stage(stored, tmp_path, [example(film, 3, tmp_path)])
    assert kept.apply(FRAMES + 2) is stored[FRAMES + 2]


def test_a_frame_is_found_by_what_it_shows(tmp_path: Path) -> None:
    pictures, film = two_shots()
    path = write_example(tmp_path / "some frame@home.png", film.luma[5], film.chroma[5])
    opened = open_stage(pictures, tmp_path, [str(path)])
    assert opened.treatment.report(opened.film.shots[0])["at_s"] == f"{5 / 16:.3f}"
    with pytest.raises(UsageError, match="two shots alike") as caught:
        open_stage(pictures + grey(film), tmp_path, [str(path)])
    assert "some frame@home.png@" in caught.value.hint
    stranger = ball_film((160, 120), 1, speed=0)
    noise = np.random.default_rng(1).integers(20, 230, (120, 160)).astype(np.uint8)
    path = write_example(tmp_path / "stranger.png", cv2.GaussianBlur(noise, (0, 0), 9), stranger.chroma[0])
    with pytest.raises(UsageError, match="no frame of the film"):
        open_stage(pictures, tmp_path, [str(path)])
    with pytest.raises(UsageError, match="does not show the frame"):
        open_stage(pictures, tmp_path, [f"{path}@0"])


def test_an_example_may_have_another_size_and_lie_a_little_beside(tmp_path: Path) -> None:
    film = ball()
    rgb = cv2.resize(shown(film.luma[0], film.chroma[0])[0], (640, 470), interpolation=cv2.INTER_CUBIC)
    beside = np.roll(rgb, 8, axis=1)
    path = tmp_path / "large.jpg"
    assert cv2.imwrite(str(path), beside[..., ::-1])
    opened = open_stage(grey(film), tmp_path, [f"{path}@0"])
    assert distance(opened.apply(4), film.chroma[4]) < 3


def test_an_example_is_turned_and_squeezed_as_the_film_is_coded(tmp_path: Path) -> None:
    film = ball()
    rgb = shown(film.luma[0], film.chroma[0])[0]
    upright = np.rot90(cv2.resize(rgb, (240, 120)), 1)  # pixels of 3:2, turned by 90 degrees
    path = tmp_path / "upright.png"
    assert cv2.imwrite(str(path), np.ascontiguousarray(upright[..., ::-1]))
    opened = open_stage(grey(film), tmp_path, [f"{path}@0"], pixel_aspect=Fraction(3, 2), rotation=90)
    assert distance(opened.apply(0), film.chroma[0]) < 2


def bad_examples(folder: Path) -> list[tuple[str, str]]:
    film = ball()
    (folder / "text.png").write_text("no picture")
    (folder / "empty.png").touch()
    wide = write_example(folder / "wide.png", film.luma[0][:60], film.chroma[0][:60])
    plain = write_example(folder / "plain.png", film.luma[0], film.chroma[0] * 0)
    good = write_example(folder / "good.png", film.luma[0], film.chroma[0])
    return [
        (f"{folder}/absent.png", "cannot be read"),
        (f"{folder}/text.png", "no picture"),
        (f"{folder}/empty.png", "no picture"),
        (str(wide), "another shape"),
        (f"{plain}@0", "no colours"),
        (f"{good}@99", "the film goes from"),
        (f"{good}@soon", "not understood"),
    ]


def test_examples_that_cannot_be_used(tmp_path: Path) -> None:
    for word, problem in bad_examples(tmp_path):
        with pytest.raises(UsageError, match=problem) as caught:
            open_stage(grey(ball()), tmp_path, [word])
        assert caught.value.hint
    good = f"{tmp_path}/good.png"
    with pytest.raises(UsageError, match="both for the frame"):
        open_stage(grey(ball()), tmp_path, [f"{good}@0", f"{good}@0.01"])


def coloured_film(name: str, tint: bool) -> list[Picture]:
    film, layout = ball(), FORMATS[name]
    pictures = []
    for luma, chroma in zip(film.luma, film.chroma, strict=True):
        colours = np.broadcast_to(np.array([-12, 14], np.float32), chroma.shape) if tint else chroma
        if layout.kind == "rgb":
            rgb = shown(luma, colours, Colour(Matrix.BT709, True))[0]
            pictures.append(Picture(tuple(np.ascontiguousarray(rgb[..., i]) for i in (1, 2, 0)), layout))
        else:
            planes = [np.rint(colours[..., i] + 128).astype(np.uint8) for i in range(2)]
            pictures.append(Picture((luma, *planes), layout, COLOUR))
    return pictures


def test_film_in_colour_is_refused_and_tinted_film_is_not(tmp_path: Path) -> None:
    word = example(ball(), 0, tmp_path)
    for name, problem in (("yuv444p", "colours of its own"), ("gbrp", "R'G'B'")):
        with pytest.raises(UsageError, match=problem):
            open_stage(coloured_film(name, tint=False), tmp_path, [word])
    opened = open_stage(coloured_film("yuv444p", tint=True), tmp_path, [word])
    assert distance(opened.apply(5), ball().chroma[5]) < 3


def test_the_stage_is_asked_for_by_either_option() -> None:
    assert stage.asked_for(FilmOptions()) is None
    assert stage.asked_for(FilmOptions(color_from=("a.png",))) is not None
    assert stage.asked_for(FilmOptions(colorize="some-model")) is not None


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    film = ball()
    opened = open_stage(grey(film), tmp_path, [example(film, 0, tmp_path)])
    (path,) = (tmp_path / "colour").iterdir()
    path.unlink()
    with pytest.raises(EncodeError, match="damaged"):
        opened.treatment.apply(Window(1, opened.film.shots[0], (opened.pictures[1],)))
