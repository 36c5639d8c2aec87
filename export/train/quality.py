"""PSNR, SSIM, GMSD and sharpness of luma, as the figures of the default networks are given."""

import cv2
import numpy as np
from numpy.typing import NDArray

from fastrestore.export.train.degrade import LUMA
from fastrestore.export.train.resize import Bytes

BORDER_PX = 4
"""Rows and columns left out on every side."""

GMSD_C = 170.0
"""The authors' constant, for the range `[0, 255]`."""


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


def gmsd_y(found: Bytes, wanted: Bytes) -> float:
    """Return the gradient magnitude similarity deviation of luma: 0 is equal, less is better.

    Xue, Zhang, Mou and Bovik, 2014: Prewitt's gradients at half size, the standard deviation of their likeness.

    Args:
        found: `(H, W, 3)`, uint8, RGB.
        wanted: As `found`.
    """
    one, other = (_gradient(_halved(_luma(picture))) for picture in (found, wanted))
    likeness = (2 * one * other + GMSD_C) / (one**2 + other**2 + GMSD_C)
    return float(likeness.std())


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


def _halved(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return means of 2 x 2 pixels; an odd last row or column is left out."""
    height, width = (side // 2 for side in plane.shape)
    return np.asarray(plane[: 2 * height, : 2 * width].reshape(height, 2, width, 2).mean(axis=(1, 3)))


def _gradient(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the magnitude of Prewitt's gradient wherever the whole 3 x 3 kernel fits."""
    kernel = np.repeat(np.array([[1.0, 0.0, -1.0]]) / 3, 3, axis=0)
    along_x, along_y = (cv2.filter2D(plane, cv2.CV_64F, each) for each in (kernel, kernel.T))
    return np.asarray(np.hypot(along_x, along_y)[1:-1, 1:-1])


def _window(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weighted local mean wherever the whole window fits."""
    return np.asarray(cv2.GaussianBlur(plane, (11, 11), 1.5)[5:-5, 5:-5], dtype=np.float64)
