"""PSNR, SSIM and sharpness of luma, as the figures of the default networks are given."""

import cv2
import numpy as np
from numpy.typing import NDArray

from fastrestore.export.train.degrade import LUMA
from fastrestore.export.train.resize import Bytes

BORDER_PX = 4
"""Rows and columns left out on every side."""


def psnr_y(found: Bytes, wanted: Bytes) -> float:
    """Return the peak signal-to-noise ratio of luma in dB, peak 255.

    Args:
        found: `(H, W, 3)`, uint8, RGB.
        wanted: As `found`.
    """
    error = float(np.mean((_luma(found) - _luma(wanted)) ** 2))
    return float(10.0 * np.log10(255.0**2 / max(error, 1e-10)))


def ssim_y(found: Bytes, wanted: Bytes) -> float:
    """Return the structural similarity of luma: Gaussian window of 11 px, sigma 1.5 px.

    Args:
        found: `(H, W, 3)`, uint8, RGB.
        wanted: As `found`.
    """
    a, b = _luma(found), _luma(wanted)
    mean_a, mean_b = _window(a), _window(b)
    variance_a = _window(a * a) - mean_a**2
    variance_b = _window(b * b) - mean_b**2
    covariance = _window(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255.0) ** 2, (0.03 * 255.0) ** 2
    likeness = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    return float(np.mean(likeness / ((mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2))))


def sharpness(found: Bytes, wanted: Bytes) -> float:
    """Return how steep the luma of a picture is, as a share of what is wanted: 1 is as sharp, less is softer.

    Args:
        found: `(H, W, 3)`, uint8, RGB.
        wanted: As `found`.
    """
    return _steepness(_luma(found)) / max(_steepness(_luma(wanted)), 1e-10)


def _steepness(plane: NDArray[np.float64]) -> float:
    """Return the mean absolute difference of neighbours along both axes."""
    return sum(float(np.abs(np.diff(plane, axis=axis)).mean()) for axis in (0, 1))


def _luma(picture: Bytes) -> NDArray[np.float64]:
    """Return BT.601 full-range luma without the border, `(H - 8, W - 8)`, float64, `[0, 255]`."""
    inner = picture[BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX]
    return np.asarray(inner.astype(np.float64) @ LUMA.astype(np.float64))


def _window(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weighted local mean wherever the whole window fits."""
    return np.asarray(cv2.GaussianBlur(plane, (11, 11), 1.5)[5:-5, 5:-5], dtype=np.float64)
