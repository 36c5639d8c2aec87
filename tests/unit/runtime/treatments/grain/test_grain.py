"""Grain that is laid over finished pictures: like the source's, everywhere new, and nothing else changed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from tests.unit.runtime.treatments.grain.grain_samples import (
    amplitude,
    correlation,
    film_of,
    grainy,
    grey,
    noise,
    picture_of,
    shading,
    stored,
)

from fastrestore.config import FilmOptions
from fastrestore.errors import UsageError
from fastrestore.frames import FORMATS, Colour, Picture
from fastrestore.geometry import Size
from fastrestore.kernels.cpu import CpuOps
from fastrestore.runtime.treatments.grain.model import grain_of
from fastrestore.runtime.treatments.grain.stage import GrainFinish, GrainMode, GrainSettings, asked_for
from fastrestore.runtime.treatments.table import Tools
from fastrestore.runtime.treatments.treatment import Film

_SEEN = slice(64, 200, 16)
_NONSENSE = (
    *("", "kept", "keep,", "keep=1", "keep,strength=", "keep,strength=much", "keep,strength=5", "keep,size=0"),
    *("keep,left=1.5", "remove,size=1", "add,strength=21", "add,left=1"),
)


@lru_cache(maxsize=1)
def film() -> Film:
    return film_of([grey(grainy(index, 4.0, 0.75)) for index in range(11)])


def finish(words: str = "keep,left=0") -> GrainFinish:
    return GrainFinish(film(), GrainSettings.parse(words))


def even(tone: int, size: Size, name: str = "gray", colour: Colour | None = None) -> Picture:
    return picture_of(np.full((size.height, size.width), tone, np.uint8), name, colour or Colour(full_range=True))


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("keep", GrainSettings(GrainMode.KEEP)),
        ("keep,strength=0.7", GrainSettings(GrainMode.KEEP, 0.7)),
        ("keep, size=2, left=0", GrainSettings(GrainMode.KEEP, 1.0, 2.0, 0.0)),
        ("remove", GrainSettings(GrainMode.REMOVE)),
        ("remove,strength=2", GrainSettings(GrainMode.REMOVE, 2.0)),
        ("add", GrainSettings(GrainMode.ADD, 3.0)),
        ("add,strength=5,size=1.5", GrainSettings(GrainMode.ADD, 5.0, 1.5)),
    ],
)
def test_the_option_is_understood(words: str, wanted: GrainSettings) -> None:
    assert GrainSettings.parse(words) == wanted


@pytest.mark.parametrize("words", _NONSENSE)
def test_what_cannot_be_meant_is_refused_with_a_hint(words: str) -> None:
    with pytest.raises(UsageError, match="--grain") as caught:
        GrainSettings.parse(words)
    assert "`keep`" in caught.value.hint


def test_each_mode_opens_what_it_needs(tmp_path: Path) -> None:
    assert asked_for(FilmOptions()) is None
    tools = Tools(CpuOps(), lambda begin, end: iter(()), tmp_path)
    opened = {}
    for word, probes in (("keep", ["grain/1"]), ("remove", ["grain/1"]), ("add", [])):
        stage = asked_for(FilmOptions(grain=word))
        assert stage is not None
        assert [probe.name for probe in stage.probes(film().info)] == probes
        assert stage.info(film().info) is film().info
        opened[word] = stage.open(film(), tools)
    assert [each.treatment is None for each in opened.values()] == [True, False, True]
    assert [each.finish is None for each in opened.values()] == [False, True, False]


def test_regenerated_grain_is_like_the_sources() -> None:
    laid = [finish().apply(grey(stored(shading(index))), index, 0) for index in range(11)]
    again = film_of(laid)
    model, true = grain_of(again, again.shots[0]), amplitude(np.arange(256.0), 4.0)
    assert model is not None
    assert np.abs(model.strength / true - 1)[_SEEN].max() < 0.1
    for lag in (1, 2):
        wanted = np.mean([correlation(noise(index, 0.75), lag) for index in range(6)])
        assert model.correlation[lag] == pytest.approx(wanted, abs=0.05)


def test_it_grows_with_the_picture() -> None:
    size = Size(960, 720)
    added = finish().apply(even(128, size), 5, 0).planes[0].astype(np.float64) - 128
    assert added.std() == pytest.approx(4.0, rel=0.1)
    for lag in (1, 2):
        wanted = np.mean([correlation(noise(index, 0.75), lag) for index in range(6)])
        assert correlation(added, 3 * lag) == pytest.approx(wanted, abs=0.06)
        assert correlation(added, 3 * lag, axis=0) == pytest.approx(wanted, abs=0.06)
    finer = finish("keep,size=0.5,left=0").apply(even(128, size), 5, 0).planes[0].astype(np.float64) - 128
    assert correlation(finer, 3) == pytest.approx(correlation(added, 6), abs=0.06)


def test_no_more_is_laid_over_than_restoration_took() -> None:
    half = finish("keep,left=0.6").apply(even(128, Size(320, 240)), 0, 0).planes[0].astype(np.float64)
    assert half.std() == pytest.approx(0.8 * 4.0, rel=0.1)
    whole = finish("keep,left=1")
    picture = even(128, Size(320, 240))
    assert whole.apply(picture, 0, 0) is picture


def test_two_runs_are_alike_and_two_frames_are_not() -> None:
    picture, one, two = even(128, Size(320, 240)), finish(), finish()
    forwards = [one.apply(picture, index, 0).crc32 for index in range(6)]
    with ThreadPoolExecutor(3) as pool:
        backwards = list(pool.map(lambda index: two.apply(picture, index, 0).crc32, range(5, -1, -1)))
    assert forwards == backwards[::-1]
    assert len(set(forwards)) == 6
    first, second = (one.apply(picture, index, 0).planes[0] - 128.0 for index in (0, 1))
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.03


def test_it_does_not_repeat_within_a_frame() -> None:
    added = finish("add,strength=4").apply(even(128, Size(1440, 1080)), 3, 0).planes[0].astype(np.float32) - 128
    power = np.abs(np.fft.rfft2(added - added.mean())) ** 2
    alike = np.fft.irfft2(power, s=added.shape)
    alike /= alike[0, 0]
    near = 8
    alike[:near, :near] = alike[-near:, :near] = alike[:near, -near:] = alike[-near:, -near:] = 0
    assert np.abs(alike).max() < 0.03


@pytest.mark.parametrize("name", ["gray", "yuv420p", "yuv422p10le", "yuv444p12le", "gray16le", "gbrp", "gbrp10le"])
@pytest.mark.parametrize("full", [False, True])
def test_mean_and_range_stay(name: str, full: bool) -> None:
    layout = FORMATS[name]
    unit = 1 << (layout.bits - 8)
    limited = not full and layout.kind != "rgb"
    low, high = (16, 235) if limited else (0, 255)
    tones = np.linspace(low, high, 321 * 241).astype(np.uint8).reshape(241, 321)
    picture = picture_of(tones, name, Colour(full_range=full))
    laid = [finish("add,strength=6").apply(picture, index, 0) for index in range(4)]
    for plane, made in zip(picture.planes, laid[0].planes, strict=True):
        assert made.dtype == plane.dtype
    added = np.stack([each.planes[0].astype(np.float64) - picture.planes[0] for each in laid]) / unit
    assert abs(added.mean()) < 0.05
    assert added.std() > 2
    for each in laid:
        assert each.planes[0].min() >= low * unit
        assert each.planes[0].max() <= (high * unit if limited else (256 * unit - 1))
        if layout.kind == "yuv":
            assert each.planes[1] is picture.planes[1]  # grain without colour


def test_what_lies_beyond_the_range_is_left_alone() -> None:
    tones = np.repeat(np.array([[2, 15, 236, 254]], np.uint8), 64, 0).repeat(16, 1)
    picture = picture_of(tones, "gray", Colour(full_range=False))
    assert finish("add,strength=6").apply(picture, 0, 0).same_samples(picture)


def test_coloured_grain_comes_back_in_colour() -> None:
    pictures = []
    for index in range(8):
        picture = picture_of(grainy(index, 4.0, 0.6), "yuv420p")
        first, second = (stored(128 + 3 * noise(k + index, 0.6, Size(160, 120))) for k in (100, 200))
        pictures.append(Picture((picture.planes[0], first, second), picture.format, picture.colour))
    coloured = film_of(pictures)
    made = GrainFinish(coloured, GrainSettings.parse("keep,left=0"))
    laid = made.apply(even(128, Size(640, 480), "yuv420p"), 0, 0)
    one, two = (plane.astype(np.float64) - 128 for plane in laid.planes[1:])
    assert one.std() == pytest.approx(3.0, rel=0.15)
    assert two.std() == pytest.approx(3.0, rel=0.15)
    assert abs(np.corrcoef(one.ravel(), two.ravel())[0, 1]) < 0.05


def test_a_film_without_grain_gets_none() -> None:
    clean = film_of([grey(stored(shading(index))) for index in range(4)])
    made = GrainFinish(clean, GrainSettings.parse("keep"))
    picture = even(128, Size(64, 64))
    assert made.apply(picture, 0, 0) is picture
    assert made.report(clean.shots[0]) == {"done": "none found"}


def test_the_report_says_how_much() -> None:
    told = finish("keep,left=0.6").report(film().shots[0])
    assert told["done"] == "regenerated"
    assert told["sigma"] == pytest.approx(0.8 * float(amplitude(np.arange(256.0), 4.0).mean()), rel=0.15)
    assert told["width_px"] == pytest.approx(1.27, abs=0.15)


@pytest.mark.parametrize("size", [Size(1, 1), Size(2, 1), Size(16, 16), Size(33, 17)])
def test_tiny_pictures_are_finished_without_complaint(size: Size) -> None:
    for words in ("keep", "add,size=4"):
        laid = finish(words).apply(even(128, size, "yuv420p"), 0, 0)
        assert laid.size == size
