import itertools
import time

import cv2
import numpy as np
import pytest

from fastrestore.demo import scene, train
from fastrestore.demo.canvas import Canvas


def frame(index: int, height: int = 180) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return scene.draw(float(index / scene.FPS), (height * 4 // 3, height))


@pytest.mark.parametrize("index", [0, scene.CUT_INDEX, scene.FRAME_COUNT - 1])
def test_picture_is_float_grey_in_range_and_the_same_each_time(index: int) -> None:
    first, second = frame(index), frame(index)
    assert first.shape == (180, 240)
    assert first.dtype == np.float32
    assert first.min() >= 0
    assert first.max() <= 1
    assert first.std() > 0.12
    np.testing.assert_array_equal(first, second)


def test_result_belongs_to_the_caller() -> None:
    first = frame(5)
    kept = first.copy()
    first[:] = 0
    np.testing.assert_array_equal(frame(5), kept)


def test_the_only_cut_is_the_cut() -> None:
    pictures = [frame(index, 90) for index in range(scene.CUT_INDEX - 4, scene.CUT_INDEX + 4)]
    steps = [float(np.abs(b - a).mean()) for a, b in itertools.pairwise(pictures)]
    cut = steps.pop(3)
    assert cut > 3 * max(steps)
    assert min(steps) > 0.002


@pytest.mark.parametrize("time_s", [1.3, 4.6])
@pytest.mark.parametrize(("height", "mean", "tail"), [(180, 0.016, 0.15), (360, 0.010, 0.11)])
def test_drawing_large_and_reducing_is_drawing_small(time_s: float, height: int, mean: float, tail: float) -> None:
    size = (height * 4 // 3, height)
    small = scene.draw(time_s, size)
    large = scene.draw(time_s, (size[0] * 2, size[1] * 2))
    off = np.abs(cv2.resize(large, size, interpolation=cv2.INTER_AREA) - small)
    # Sheets are placed with bilinear sampling, so edges a pixel wide may differ (the less, the larger the picture).
    assert float(off.mean()) < mean
    assert float(np.quantile(off, 0.99)) < tail


def test_a_wider_picture_shows_the_same_middle() -> None:
    narrow, wide = scene.draw(4.0, (160, 120)), scene.draw(4.0, (214, 120))
    assert float(np.abs(wide[:, 27:-27] - narrow).mean()) < 0.03


def test_wheels_and_rods_turn() -> None:
    def engine(turned: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        canvas = Canvas.opaque((320, 240), -0.25)
        canvas.fill(0.7)
        train.draw_train(canvas.moved(0.0, 0.6), turned, 240)
        return canvas.tone

    still, quarter = engine(0.0), engine(np.pi / 2 * train.DRIVER_RADIUS)
    full = engine(2 * np.pi * train.DRIVER_RADIUS)
    changed = np.abs(quarter - still)
    rows = np.flatnonzero(changed.max(1) > 0.1)
    assert rows.min() > 0.6 * 240 - 1.3 * 2 * train.DRIVER_RADIUS * 240
    assert rows.max() <= 0.6 * 240 + 1
    middle = slice(int(240 * (0.6 - 2 * train.DRIVER_RADIUS)), int(240 * 0.6))
    drivers = slice(int(160 + 240 * (-0.315 - 0.06 + 0.25)), int(160 + 240 * (-0.178 + 0.06 + 0.25)))
    assert changed[middle, drivers].mean() > 0.05
    assert np.abs(full - still)[middle, drivers].mean() < 0.01


def test_the_lamp_post_hides_the_walker() -> None:
    # The walker passes behind the right lamp, at x = 0.34 of the platform, about 1.5 s into the film.
    def beside_and_on_post(time_s: float) -> tuple[float, float, float]:
        share = time_s / 3.25
        pan = 1.12 * 0.22 * (0.75 * share + 0.25 * share * share * (3 - 2 * share))
        x = round(240 + 360 * (0.34 - pan))
        rows = scene.draw(time_s, (480, 360))[270:300]
        return (
            float(rows[:, x - 14 : x - 6].mean()),
            float(rows[:, x + 6 : x + 14].mean()),
            float(rows[:, x - 2 : x + 2].mean()),
        )

    (left_0, right_0, post_0), (left_1, right_1, post_1), (left_2, right_2, post_2) = map(
        beside_and_on_post, (1.3, 1.5, 1.7)
    )
    assert right_0 < 0.25 < 0.4 < left_0  # still to the right of the post
    assert max(left_1, right_1) < 0.4  # seen on both sides of it
    assert left_2 < 0.25 < 0.4 < right_2  # gone past
    assert max(post_0, post_1, post_2) - min(post_0, post_1, post_2) < 0.05  # and the post stands before him throughout


def test_a_frame_is_drawn_quickly() -> None:
    frame(3, 360)
    start = time.perf_counter()
    frame(4, 360)
    assert time.perf_counter() - start < 0.5  # about 20 ms; the limit only catches a lost cache


@pytest.mark.parametrize("time_s", [-0.1, 6.01, float("nan")])
def test_times_outside_the_film_are_refused(time_s: float) -> None:
    with pytest.raises(ValueError, match="wanted 0 to 6"):
        scene.draw(time_s, (40, 30))


def test_an_empty_size_is_refused() -> None:
    with pytest.raises(ValueError, match="0x30"):
        scene.draw(0.0, (0, 30))
