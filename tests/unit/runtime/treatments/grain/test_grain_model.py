"""What is known of a film's grain, held against what was put there."""

from __future__ import annotations

import cv2
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

from fastrestore.geometry import Size
from fastrestore.kernels.film_grain import LAGS
from fastrestore.runtime.treatments.grain.model import PROBE, grain_of

_SEEN = slice(64, 200, 16)
"""Brightnesses that the sample has much of."""


def _lag(dy: int, dx: int) -> int:
    return LAGS.index((dy, dx))


@pytest.mark.parametrize(("sigma", "blur_px"), [(3.0, 0.0), (4.0, 0.75), (6.0, 1.2)])
def test_strength_and_correlation_are_those_of_the_grain(sigma: float, blur_px: float) -> None:
    film = film_of([grey(grainy(index, sigma, blur_px)) for index in range(11)])
    model = grain_of(film, film.shots[0])
    assert model is not None
    true = amplitude(np.arange(256.0), sigma)
    assert np.abs(model.strength / true - 1)[_SEEN].max() < 0.1
    for lag in (1, 2, 3):
        wanted = np.mean([correlation(noise(index, blur_px), lag) for index in range(6)])
        assert model.correlation[_lag(0, lag)] == pytest.approx(wanted, abs=0.04)
        assert model.correlation[_lag(lag, 0)] == pytest.approx(wanted, abs=0.04)
    assert model.chroma == (0.0, 0.0)


def test_a_deeper_picture_shows_the_same_grain() -> None:
    luma = [grainy(index, 4.0, 0.75) for index in range(5)]
    shallow, deep = (
        film_of([picture_of(each, "gray") for each in luma]),
        film_of([picture_of(each, "yuv422p12le") for each in luma]),
    )
    assert np.array_equal(shallow.findings[PROBE], deep.findings[PROBE])


def test_a_clean_film_has_none() -> None:
    film = film_of([grey(stored(shading(index))) for index in range(5)])
    assert grain_of(film, film.shots[0]) is None


def test_standing_texture_is_no_grain() -> None:
    texture = grey(grainy(0, 8.0, 0.75))
    film = film_of([texture] * 8)
    assert grain_of(film, film.shots[0]) is None


def test_blocks_of_a_coder_are_no_grain() -> None:
    rng = np.random.default_rng(3)
    frames = []
    for index in range(8):
        blocks = np.repeat(np.repeat(rng.normal(0, 4, (30, 40)), 8, 0), 8, 1)
        frames.append(grey(stored(shading(index) + blocks)))
    film = film_of(frames)
    assert grain_of(film, film.shots[0]) is None


def test_grain_is_told_from_texture_that_stands_behind_it() -> None:
    rng = np.random.default_rng(4)
    texture = cv2.GaussianBlur(rng.normal(0, 60, (240, 320)).astype(np.float32), (0, 0), 1)
    texture[:, :120] = 0
    film = film_of([grey(stored(shading(0) + texture + 3 * noise(index, 0.6))) for index in range(11)])
    model = grain_of(film, film.shots[0])
    assert model is not None
    assert np.abs(model.strength / 3 - 1)[_SEEN].max() < 0.15


def test_a_shot_of_one_frame_is_measured_in_space() -> None:
    film = film_of([grey(grainy(0, 5.0, 0.75))])
    model = grain_of(film, film.shots[0])
    assert model is not None
    assert np.abs(model.strength / amplitude(np.arange(256.0), 5.0) - 1)[_SEEN].max() < 0.25


def test_each_shot_has_its_own_grain() -> None:
    weak = [grey(grainy(index, 2.0, 0.6)) for index in range(10)]
    strong = [grey(grainy(index, 6.0, 0.6)) for index in range(10, 20)]
    film = film_of(weak + strong, cuts=(0, 10))
    models = [grain_of(film, shot) for shot in film.shots]
    levels = [model.strength[128] for model in models if model is not None]
    assert levels == [pytest.approx(2.0, rel=0.2), pytest.approx(6.0, rel=0.2)]


def test_coloured_grain_is_seen_in_chroma() -> None:
    pictures = []
    for index in range(8):
        picture = picture_of(grainy(index, 4.0, 0.6), "yuv444p")
        chroma = (stored(128 + 3 * noise(100 + index, 0.6)), stored(128 + 2 * noise(200 + index, 0.6)))
        pictures.append(type(picture)((picture.planes[0], *chroma), picture.format, picture.colour))
    film = film_of(pictures)
    model = grain_of(film, film.shots[0])
    assert model is not None
    assert list(model.chroma) == pytest.approx([3.0, 2.0], rel=0.15)


@pytest.mark.parametrize("size", [Size(1, 1), Size(16, 16), Size(17, 33)])
def test_tiny_pictures_are_looked_at_without_complaint(size: Size) -> None:
    film = film_of([picture_of(grainy(index, 4.0, 0.6, size), "yuv420p") for index in range(4)])
    assert np.isfinite(film.findings[PROBE]).all()
    grain_of(film, film.shots[0])
