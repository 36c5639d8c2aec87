"""Grain of a given spectrum, as large as a picture: laid over it at another place each time, it never repeats in it."""

from __future__ import annotations

from typing import Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from fastrestore.geometry import Size
from fastrestore.kernels.film_grain import LAGS, TEXTURE_UNIT

F64: TypeAlias = NDArray[np.float64]
FINE_PX: Final = 0.8
"""Of the grain that `fine` describes: sigma of the Gaussian that white noise would have to be smoothed with."""
_WHOLE_PX: Final = 2.0  # lags up to this length are taken as measured
_CLOUDS: Final = 1 / 24  # cycles a source pixel


def fine() -> F64:
    """Return the correlation of plain film grain, `(len(LAGS),)`, by lag in units of which one is its size."""
    return np.array([np.exp(-(dy * dy + dx * dx) / (4 * FINE_PX**2)) for dy, dx in LAGS])


def grain_texture(correlation: F64, scale: tuple[float, float], size: Size, seed: int) -> NDArray[np.int8]:
    """Return Gaussian noise of a given correlation, periodic, of mean 0 and standard deviation `TEXTURE_UNIT`.

    The spectrum of the enlarged grain is written down directly, so that the enlargement need not be whole, and nothing
    is resampled. Frequencies that the source's grid could not hold stay empty.

    Args:
        correlation: `(len(LAGS),)`, by lag in source pixels, 1 for the first.
        scale: How many samples of the texture a source pixel is wide and high.
        size: Least size of the texture; it is made a little larger where that is quicker.
        seed: The same one gives the same texture.

    Returns:
        `(h, w)` int8.
    """
    height, width = (cv2.getOptimalDFTSize(side) for side in (size.height, size.width))
    down, across = np.fft.fftfreq(height) * scale[1], np.fft.rfftfreq(width) * scale[0]
    rows, columns = np.abs(down) <= 0.5, int(np.count_nonzero(across <= 0.5))
    power = _spectrum(correlation, np.asarray(down[rows]), np.asarray(across[:columns]))
    amplitude = np.sqrt(power).astype(np.float32)
    rng = np.random.default_rng(seed)
    waves = np.zeros((height, columns), np.complex64)
    shape = amplitude.shape
    waves.real[rows], waves.imag[rows] = (amplitude * rng.standard_normal(shape, np.float32) for _ in range(2))
    waves[0, 0] = 0
    noise = np.fft.irfft(np.fft.ifft(waves, axis=0), n=width, axis=1)
    noise *= TEXTURE_UNIT / max(float(noise.std()), 1e-12)
    return np.clip(np.rint(noise), -127, 127).astype(np.int8)


def _spectrum(correlation: F64, down: F64, across: F64) -> F64:
    """Return the power at each frequency, in cycles a source pixel: the transform of the correlation, never below 0."""
    reach = max(dy for dy, _ in LAGS)
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    for (dy, dx), value in zip(LAGS, correlation, strict=True):
        # What is cut off in the middle of a tail comes out as a woven pattern: the tail is led to nothing.
        fades = np.clip((np.hypot(dy, dx) - _WHOLE_PX) / (reach + 1 - _WHOLE_PX), 0, 1)
        faded = value * np.cos(fades * np.pi / 2) ** 2
        kernel[reach + dy, reach + dx] = kernel[reach - dy, reach - dx] = faded
    lags = np.arange(-reach, reach + 1)
    power = np.exp(2j * np.pi * np.outer(down, lags)) @ kernel @ np.exp(2j * np.pi * np.outer(lags, across))
    # Waves longer than the blocks it was measured in were not measured: clouds, that look like no grain.
    cloudy = np.exp(-(np.square(down)[:, None] + np.square(across)) / _CLOUDS**2)
    return np.asarray(np.clip(power.real, 0, None) * (1 - cloudy), np.float64)
