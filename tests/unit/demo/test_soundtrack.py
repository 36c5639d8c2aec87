import numpy as np
import pytest

from fastrestore.demo import scene, soundtrack


@pytest.fixture(scope="module")
def sound() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return soundtrack.render()


def test_as_long_as_the_picture(sound: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> None:
    assert soundtrack.LENGTH_S == scene.DURATION_S
    assert sound.shape == (int(scene.DURATION_S * soundtrack.RATE),)
    assert sound.dtype == np.float32


def test_neither_silent_nor_clipped(sound: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> None:
    assert 0.5 < np.abs(sound).max() <= 0.8501
    seconds = sound.reshape(6, -1)
    assert seconds[:5].std(1).min() > 0.03
    assert abs(float(sound.mean())) < 1e-3


def test_fades_out(sound: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> None:
    assert np.abs(sound[-2000:]).max() < 0.02
    assert abs(float(sound[-1])) < 1e-6


def test_always_the_same(sound: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> None:
    np.testing.assert_array_equal(soundtrack.render(), sound)


def test_the_whistle_blows_when_the_picture_shows_it(
    sound: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
) -> None:
    def share(start_s: float) -> float:
        part = sound[round(start_s * soundtrack.RATE) :][: soundtrack.RATE // 4]
        power = np.abs(np.fft.rfft(part * np.hanning(part.size))) ** 2
        pitch = np.fft.rfftfreq(part.size, 1 / soundtrack.RATE)
        return float(power[(pitch > 640) & (pitch < 672)].sum() / power.sum())

    assert share(1.08) > 2 * share(2.25)
