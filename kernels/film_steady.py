"""Pixels of the steadying stage: luma made fit for tracking, and a plane resampled along a small similarity.

All positions are those of sample centres: the first sample of a plane lies at (0, 0).
"""

from __future__ import annotations

from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from fastrestore.frames import Picture, Plane
from fastrestore.geometry import Rect

Matrix: TypeAlias = NDArray[np.float64]
"""`(2, 3)` float64: the place in the source that a place in the result is taken from, both in pixels."""

_DETAIL_SHARE = 1 / 20
"""Width of the surroundings that contrast is measured against, as a share of the longer side."""
_LEAST_REACH_PX = 7
_NOISE_LEVELS = 3.0
"""Contrast, in 8-bit levels, that may be grain alone: what has no more is not raised."""
_UNIT = 40.0
"""Levels of the result for one standard deviation of local contrast."""


def even_contrast(luma: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return luma with its surroundings' mean and contrast taken out, `(H, W)` uint8 around 128.

    Neither the exposure of a frame nor slow shading across it is left in the result; specks of a pixel are gone and
    grain is dulled. Detail weaker than grain stays weak.
    """
    side = 2 * max(_LEAST_REACH_PX, round(max(luma.shape) * _DETAIL_SHARE / 2)) + 1
    window = (side, side)
    calm = cv2.GaussianBlur(cv2.medianBlur(luma, 3), (5, 5), 1.0).astype(np.float32)
    mean = cv2.boxFilter(calm, -1, window)
    variance = cv2.boxFilter(calm * calm, -1, window) - mean * mean
    deviation = np.sqrt(np.maximum(variance, 0) + np.float32(_NOISE_LEVELS**2))
    return np.asarray(cv2.convertScaleAbs((calm - mean) * (_UNIT / deviation) + 128), np.uint8)


def plane_matrix(matrix: Matrix, picture: Picture, index: int) -> Matrix:
    """Return a map between places of the picture as one between places of a plane of it, by its chroma siting."""
    if index == 0 or picture.format.kind != "yuv":
        return matrix
    step = 2.0 ** np.array(picture.format.chroma_shift)
    first = np.array(picture.colour.siting.value) * (step - 1)
    linear, offset = matrix[:, :2], matrix[:, 2]
    return np.column_stack([linear * step[None, :] / step[:, None], (linear @ first + offset - first) / step])


def resample(plane: Plane, matrix: Matrix, bits: int, where: Rect | None = None) -> Plane:
    """Return a plane resampled by Lanczos (4 lobes), or a rectangle of the result.

    Beyond its edges the plane is mirrored. Places are rounded to 1/32 sample.

    Args:
        plane: `(H, W)`, uint8 or uint16.
        matrix: From places of the result to places of the plane.
        bits: Bits of a sample: nothing overshoots them.
        where: What of the result is wanted, in its samples; all of the plane's size if None.

    Returns:
        `(h, w)` of the plane's type.
    """
    height, width = plane.shape
    if where is not None:
        corner = np.array([where.x0, where.y0], np.float64)
        matrix = np.column_stack([matrix[:, :2], matrix[:, 2] + matrix[:, :2] @ corner])
        width, height = where.size.width, where.size.height
    out: Any = cv2.warpAffine(
        plane,
        matrix,
        (width, height),
        flags=cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT,
    )
    if bits not in (8, 16):
        np.minimum(out, (1 << bits) - 1, out=out)
    result: Plane = out
    return result


def inset(matrix: Matrix, shape: tuple[int, int], where: Rect) -> NDArray[np.float32]:
    """Return how far inside a source plane the places of a result are taken from, in samples, `(h, w)` float32.

    Half a sample beyond the centre of the outermost one is 0; what lies outside is negative.

    Args:
        matrix: From places of the result to places of the source plane.
        shape: Height and width of the source plane.
        where: Which samples of the result.
    """
    x = np.arange(where.x0, where.x1, dtype=np.float32)[None, :]
    y = np.arange(where.y0, where.y1, dtype=np.float32)[:, None]
    (a, b, c), (d, e, f) = matrix.astype(np.float32)
    across, down = a * x + b * y + c, d * x + e * y + f
    half = np.float32(0.5)
    sideways = np.minimum(across, np.float32(shape[1] - 1) - across)
    return np.asarray(np.minimum(sideways, np.minimum(down, np.float32(shape[0] - 1) - down)) + half, np.float32)
