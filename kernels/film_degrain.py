"""What `--grain remove` does to each sample: which neighbours in time agree with it, their mean, and what is left.

Samples are float32 in 8-bit code values, whatever the depth they are stored in. A function here knows nothing of films
or settings, so that a CUDA twin can stand beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

F32: TypeAlias = NDArray[np.float32]

_COMPARED: Final = (7, 7)  # px: with fewer, grain alone looks like disagreement too often
AGREES: Final = 1.4
"""Mean squared difference, in units of what grain alone makes, up to which a neighbour counts in full."""
DIFFERS: Final = 2.6
"""From which on it does not count at all."""
_SMOOTHED: Final = (5, 5)  # px, of the filter in space
_RIM: Final = cv2.BORDER_REFLECT_101


def agreement(sample: F32, neighbour: F32, variance: F32) -> F32:
    """Return how much a neighbour is believed, `(H, W)` in `[0, 1]`.

    Args:
        sample: `(H, W)`, of the frame.
        neighbour: `(H, W)`, of the frame beside it, warped onto it.
        variance: `(H, W)`, of the grain in one frame; above 0.
    """
    squared = cv2.boxFilter(cv2.pow(cv2.subtract(sample, neighbour), 2), -1, _COMPARED, borderType=_RIM)
    ratio = cv2.divide(squared, variance, scale=0.5)
    # One multiplication and two bounds in place of the way from `AGREES` to `DIFFERS` in words.
    believed = cv2.addWeighted(ratio, -1 / (DIFFERS - AGREES), ratio, 0, DIFFERS / (DIFFERS - AGREES))
    return np.asarray(np.clip(believed, 0, 1), np.float32)


def averaged(sample: F32, neighbours: Sequence[F32], weights: Sequence[F32]) -> F32:
    """Return the weighted mean of samples and their neighbours; the sample itself weighs 1.

    Args:
        sample: `(H, W)`, of the frame.
        neighbours: `(H, W)` each, warped onto it.
        weights: `(H, W)` each.
    """
    if not neighbours:
        return sample
    total, share = sample.copy(), np.ones_like(sample)
    for neighbour, weight in zip(neighbours, weights, strict=True):
        total += neighbour * weight
        share += weight
    return np.asarray(total / share, np.float32)


def variance_left(weights: Sequence[F32], shape: tuple[int, int]) -> F32:
    """Return which share of the variance of grain is left by `averaged`, `(H, W)` in `(0, 1]`."""
    squares, share = np.ones(shape, np.float32), np.ones(shape, np.float32)
    for weight in weights:
        squares += weight * weight
        share += weight
    return np.asarray(squares / (share * share), np.float32)


def calmed(sample: F32, variance: F32) -> F32:
    """Return samples drawn to the mean around them where they vary no more than grain does (Lee's filter).

    Args:
        sample: `(H, W)`.
        variance: `(H, W)`, of the grain that is in them.
    """
    mean = cv2.boxFilter(sample, -1, _SMOOTHED, borderType=_RIM)
    spread = cv2.boxFilter(cv2.pow(sample, 2), -1, _SMOOTHED, borderType=_RIM) - mean * mean
    kept = np.clip(1 - variance / np.maximum(spread, np.float32(1e-3)), 0, 1)
    return np.asarray(mean + kept * (sample - mean), np.float32)
