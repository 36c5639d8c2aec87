"""Two frames of one scene brought under one light, and what grain makes of their difference.

Cleaning comes before flicker is evened, so neighbours are compared under different light.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from fastrestore.kernels.film_clean import F32, U8

_SAMPLES_ACROSS: Final = 64
_CELL_PX: Final = 16  # light is the same over so much, which a median of 5x5 cells makes five times as much
_MOST_GAIN: Final = 1.4
_BINS: Final = 8  # of luma: grain is strongest in the middle tones
_LEVELS: Final = 64  # differences above are no grain
_DEVIATIONS: Final = 1.4826  # in a median absolute difference, of a normal distribution
_LEAST_MEDIAN: Final = 0.5  # levels: rounding


def evened(other: U8, luma: U8, gain: float) -> U8:
    """Return luma under the light of another frame of the same: one gain, and an offset that varies slowly.

    Args:
        other: `(H, W)` uint8, warped onto `luma`.
        luma: `(H, W)` uint8.
        gain: As from `light_gain`.
    """
    height, width = luma.shape
    cells = (max(3, -(-width // _CELL_PX)), max(3, -(-height // _CELL_PX)))
    mean, wanted = (cv2.resize(p, cells, interpolation=cv2.INTER_AREA).astype(np.float32) for p in (other, luma))
    offset = cv2.medianBlur(wanted - np.float32(gain) * mean, 5)
    lift = np.rint(np.clip(cv2.resize(offset, (width, height)), -128, 127) + 128).astype(np.uint8)
    return np.asarray(cv2.addWeighted(other, gain, lift, 1.0, -128.0), np.uint8)


def light_gain(other: U8, luma: U8) -> float:
    """Fit `luma = gain * other + offset` by least squares, without what moved or is soiled; return the gain.

    Args:
        other: `(H, W)` uint8, warped onto `luma`.
        luma: `(H, W)` uint8.
    """
    step = max(1, min(luma.shape) // _SAMPLES_ACROSS)
    x, y = (p[step // 2 :: step, step // 2 :: step].astype(np.float64).reshape(-1) for p in (other, luma))
    gain = 1.0
    for _ in range(3):
        spread = float(x.var()) if x.size else 0.0
        if spread < 16 or x.size < 16:
            break  # nothing to tell a gain by
        gain = float(np.mean((x - x.mean()) * (y - y.mean()))) / spread
        away = np.abs(y - y.mean() - gain * (x - x.mean()))
        keep = away <= 3 * np.median(away) + 0.5
        x, y = x[keep], y[keep]
    return min(max(gain, 1 / _MOST_GAIN), _MOST_GAIN)


def grain_levels(luma: U8, other: U8) -> F32:
    """Return the standard deviation of what grain makes of two frames' difference, `(256,)` float32, by luma.

    Args:
        luma: `(H, W)` uint8.
        other: `(H, W)` uint8, warped onto it and evened.
    """
    difference = np.asarray(cv2.absdiff(luma, other), np.uint8)
    counts = np.asarray(cv2.calcHist([luma, difference], [0, 1], None, [_BINS, _LEVELS], [0, 256, 0, _LEVELS]))
    whole = counts.sum(0, keepdims=True)
    overall = float(_medians(whole)[0])
    # Rare tones lean on the rest, and none may go far from it: a bright thing that moved is not bright grain.
    by_tone = _medians(counts + whole * (50 / max(float(whole.sum()), 1.0)))
    least, most = max(overall / 2, _LEAST_MEDIAN), max(overall * 1.5, 2 * _LEAST_MEDIAN)
    middles = (np.arange(_BINS) + 0.5) * 256 / _BINS
    deviations = np.interp(np.arange(256), middles, _DEVIATIONS * np.clip(by_tone, least, most))
    return np.asarray(deviations, np.float32)


def _medians(counts: F32) -> F32:
    """Return the median of each row of a histogram of whole levels, to a part of a level."""
    total = np.cumsum(counts, 1)
    half = total[:, -1] / 2
    at = np.argmax(total >= half[:, None], 1)
    rows = np.arange(len(counts))
    inside = counts[rows, at]
    below = total[rows, at] - inside
    # Level 0 holds absolute differences from 0 to 1/2, every other one from 1/2 below to 1/2 above.
    start, width = np.where(at > 0, at - 0.5, 0.0), np.where(at > 0, 1.0, 0.5)
    return np.asarray(start + width * (half - below) / np.maximum(inside, 1e-9), np.float32)
