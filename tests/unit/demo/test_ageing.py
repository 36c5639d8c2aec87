import dataclasses

import numpy as np
import pytest

from fastrestore.demo import sample, scene
from fastrestore.demo.ageing import AgeingSettings, age

SIZE = (240, 180)
CLEAN = scene.draw(1.0, SIZE)
OFF = AgeingSettings.off()


def test_everything_off_gives_the_clean_picture() -> None:
    aged = age(CLEAN, 7, OFF)
    assert aged.pixels.dtype == np.uint8
    np.testing.assert_array_equal(aged.pixels, np.rint(CLEAN * 255).astype(np.uint8))
    assert (aged.gain, aged.shift_px) == (1.0, (0.0, 0.0))
    assert not aged.dust.any()
    assert not aged.scratched.any()


def test_same_index_same_faults_and_the_picture_is_left_alone() -> None:
    before = CLEAN.copy()
    first, again, other = age(CLEAN, 3), age(CLEAN, 3), age(CLEAN, 4)
    np.testing.assert_array_equal(CLEAN, before)
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert np.abs(first.pixels.astype(int) - other.pixels.astype(int)).mean() > 1


def test_gain_is_the_truth() -> None:
    flat = np.full((60, 80), 0.5, np.float32)
    gains = []
    for index in range(20):
        aged = age(flat, index, dataclasses.replace(OFF, flicker=0.05))
        assert float(aged.pixels.mean()) / 127.5 == pytest.approx(aged.gain, abs=0.005)
        gains.append(aged.gain)
    assert max(abs(gain - 1) for gain in gains) <= 0.05
    assert np.std(gains) > 0.008


def test_shift_is_the_truth() -> None:
    ramp = np.tile(np.linspace(0.1, 0.9, 161, dtype=np.float32), (40, 1))
    for index in range(12):
        aged = age(ramp, index, dataclasses.replace(OFF, weave_px=0.5))
        assert max(map(abs, aged.shift_px)) <= 0.5
        moved = (ramp[5:-5, 5:-5] * 255 - aged.pixels[5:-5, 5:-5]).mean() / (255 * 0.8 / 160)
        assert moved == pytest.approx(aged.shift_px[0], abs=0.06)


def test_dust_and_scratches_lie_where_the_masks_say() -> None:
    settings = dataclasses.replace(OFF, specks=4.0, hairs=0.3, scratches=2)
    clean = age(CLEAN, 0, OFF).pixels
    seen = [age(CLEAN, index, settings) for index in range(48)]
    assert sum(bool(aged.dust.any()) for aged in seen) > 30
    runs = [bool(aged.scratched.any()) for aged in seen]
    assert 5 <= sum(runs) < 48
    for aged in seen:
        assert (aged.pixels == clean)[~(aged.dust | aged.scratched)].all()


def test_grain_has_the_strength_asked_for() -> None:
    flat = np.full((120, 160), 0.5, np.float32)
    noise = age(flat, 0, dataclasses.replace(OFF, grain=0.03, grain_px=0.7)).pixels / 255 - 0.5
    assert noise.std() == pytest.approx(0.03, rel=0.1)
    assert np.corrcoef(noise[:, :-1].ravel(), noise[:, 1:].ravel())[0, 1] > 0.3


def test_sample_frames_are_what_will_be_encoded() -> None:
    found = sample.frames()
    first = next(found)
    assert first.shape == (scene.HEIGHT, scene.WIDTH)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, age(scene.draw(0.0), 0).pixels)
    assert scene.FRAME_COUNT / scene.FPS == scene.DURATION_S == 6


def test_settings_that_describe_no_print_are_refused() -> None:
    with pytest.raises(ValueError, match="contrast is 0"):
        AgeingSettings(contrast=0)
    with pytest.raises(ValueError, match=r"black is 0\.5"):
        AgeingSettings(black=0.5)
    with pytest.raises(ValueError, match="uint8"):
        age(np.zeros((4, 4), np.uint8), 0)
