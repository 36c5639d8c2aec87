"""Colour arithmetic: the affine maps between stored samples and R'G'B'. Numbers only, no pixels.

Sources: ITU-R BT.601, BT.709, BT.2020 for the weights; ITU-T H.273 section 8.3 for ranges.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fastrestore.errors import MediaError
from fastrestore.frames import Colour, Matrix

_LUMA_WEIGHTS = {  # (Kr, Kb)
    Matrix.BT709: (0.2126, 0.0722),
    Matrix.FCC: (0.30, 0.11),
    Matrix.BT470BG: (0.299, 0.114),
    Matrix.SMPTE170M: (0.299, 0.114),
    Matrix.SMPTE240M: (0.212, 0.087),
    Matrix.BT2020_NCL: (0.2627, 0.0593),
}
DITHER_SIDE = 8
"""Side of the ordered dither pattern in pixels."""


@dataclass(frozen=True, slots=True)
class Affine:
    """`out = matrix @ in + offset`, over three components."""

    matrix: NDArray[np.float64]
    """`(3, 3)` float64."""
    offset: NDArray[np.float64]
    """`(3,)` float64."""


def luma_weights(matrix: Matrix) -> tuple[float, float, float]:
    """Return (Kr, Kg, Kb), which sum to 1.

    Raises:
        MediaError: If the matrix has no weights (unspecified, or not a Y'CbCr matrix).
    """
    if matrix not in _LUMA_WEIGHTS:
        raise MediaError(f"no luma weights for colour matrix {matrix.name}", "convert the source to BT.709 first")
    kr, kb = _LUMA_WEIGHTS[matrix]
    return kr, 1.0 - kr - kb, kb


def middle(bits: int) -> int:
    """Return the sample that stands for no chroma."""
    return 1 << (bits - 1)


@lru_cache(maxsize=64)
def samples_from_rgb(colour: Colour, bits: int) -> Affine:
    """Return the map from R'G'B' in `[0, 1]` to stored Y', Cb, Cr samples of `bits` bits."""
    kr, kg, kb = luma_weights(colour.matrix)
    luma = np.array([kr, kg, kb])
    blue = (np.array([0.0, 0.0, 1.0]) - luma) / (2 * (1 - kb))
    red = (np.array([1.0, 0.0, 0.0]) - luma) / (2 * (1 - kr))
    unit = 1 << (bits - 8)
    if colour.full_range:
        peak = (1 << bits) - 1
        scale, offset = np.array([peak, peak, peak]), np.array([0, middle(bits), middle(bits)])
    else:
        scale, offset = np.array([219, 224, 224]) * unit, np.array([16, 128, 128]) * unit
    return Affine(np.stack([luma, blue, red]) * scale[:, None], offset.astype(np.float64))


@lru_cache(maxsize=64)
def rgb_from_samples(colour: Colour, bits: int) -> Affine:
    """Return the map from stored Y', Cb, Cr samples of `bits` bits to R'G'B' in `[0, 1]`."""
    forward = samples_from_rgb(colour, bits)
    inverse = np.linalg.inv(forward.matrix)
    return Affine(np.asarray(inverse, np.float64), np.asarray(-inverse @ forward.offset, np.float64))


@lru_cache(maxsize=64)
def samples_from_grey(colour: Colour, bits: int) -> tuple[float, float]:
    """Return (scale, offset) from grey in `[0, 1]` to stored luma samples of `bits` bits."""
    if colour.full_range:
        return float((1 << bits) - 1), 0.0
    unit = 1 << (bits - 8)
    return 219.0 * unit, 16.0 * unit


def sample_scale(full_range: bool, kind: str, bits: int) -> tuple[float, float, float]:
    """Return what maps samples between depths: (span, luma origin, chroma origin) of samples of `bits` bits.

    A sample keeps its meaning if `(sample - origin) / span` stays the same.
    """
    unit = 1 << (bits - 8)
    if kind == "rgb" or full_range:
        return float((1 << bits) - 1), 0.0, float(middle(bits))
    return float(unit), 16.0 * unit, 128.0 * unit


@lru_cache(maxsize=1)
def dither_pattern() -> NDArray[np.float32]:
    """Return the ordered dither, `(8, 8)` float32 in `(0, 1)`: Bayer's matrix, mean exactly 1/2.

    A sample is stored as `floor(value + pattern)`. Whole values are kept whatever the pattern, as long as
    rounding errors stay below 1/128.
    """
    pattern = np.zeros((1, 1))
    while pattern.shape[0] < DITHER_SIDE:
        pattern = np.block([[4 * pattern, 4 * pattern + 2], [4 * pattern + 3, 4 * pattern + 1]])
    return ((pattern + 0.5) / DITHER_SIDE**2).astype(np.float32)
