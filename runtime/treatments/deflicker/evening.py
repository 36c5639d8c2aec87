"""What evens the exposure of a shot: each frame held against those around it that are lit alike.

A frame is compared with its neighbours in time by following its tones from frame to frame. Neighbours whose exposure
lies farther off than this shot flickers are of another light: they do not count. So a lamp that is lit, a flash, or a
fast fade is left to be what it is, and a slow fade is kept because a straight line is laid through the neighbours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastrestore.kernels.film_tone import KNOTS
from fastrestore.runtime.treatments.deflicker.exposure import CURVE, FIELD, GAIN, SHARE

_CUTOFF = 4.5
"""Neighbours whose exposure is off by more than so many times the shot's flicker do not count at all."""
_LEAST_FLICKER = 0.004
"""What a measurement is off by anyway."""
_QUIET = 0.002
"""A shot that flickers less from frame to frame is left alone: clean films that were measured have 0.0015."""
_ISOLATED = 0.03
"""But for single frames that are off by more."""
_FLASH = 6.0
"""A frame that is off by more than so many times the shot's flicker is no flicker,"""
_LEAST_FLASH = 0.25
"""if it is also off by this: a change of light, which is left alone."""
_SURE = 1.0
"""A fade must be so many times as steep as chance would have it to be believed half."""
_MOST = 0.7
"""No tone is changed by more."""
_MOST_FIELD = 0.3
_NEIGHBOURHOOD = 8
_ROUNDS = 6
_CHUNK = 256


@dataclass(frozen=True, slots=True)
class Evening:
    """What evens a shot."""

    curves: NDArray[np.float64]
    """`(n, K)`: what is added to each frame's tones at `KNOTS`."""
    fields: NDArray[np.float64]
    """`(n, cells)`: what is added besides at each cell; `(n, 0)` if places were not looked at."""
    flicker: NDArray[np.float64]
    """`(n,)`: how far each frame's exposure is off, as it is found; tones."""
    rest: NDArray[np.float64]
    """`(n,)`: how far it is off afterwards, by the same measure."""
    flashes: NDArray[np.bool_]
    """`(n,)`: frames that are left alone as changes of light."""


def find_evening(findings: NDArray[np.float64], reach: int, strength: float) -> Evening:
    """Find what evens a shot.

    Args:
        findings: `(n, numbers)` float64: `ExposureProbe`'s of the shot's frames.
        reach: How many frames either way a frame is held against.
        strength: Share of the flicker that is taken out.
    """
    count, knots = len(findings), len(KNOTS)
    out = Evening(
        np.zeros((count, knots)),
        np.zeros((count, findings.shape[1] - FIELD)),
        np.zeros(count),
        np.zeros(count),
        np.zeros(count, np.bool_),
    )
    begins = [0, *(i for i in range(1, count) if findings[i, SHARE] <= 0)]
    for begin, end in zip(begins, [*begins[1:], count], strict=True):
        if end - begin > 2:
            _even(findings[begin:end], reach, strength, out, begin)
    return out


def _even(findings: NDArray[np.float64], reach: int, strength: float, out: Evening, begin: int) -> None:
    """Fill in what evens the frames from one place where nothing is known of the change to the next."""
    count = len(findings)
    rows = slice(begin, begin + count)
    exposure = _path(findings[:, GAIN : GAIN + 1])
    places = _path(findings[:, FIELD:])
    aim, curves, fields = _aims(exposure, places, findings[:, CURVE:FIELD], min(reach, count - 1))
    flashes = np.abs(aim) > np.maximum(_FLASH * _flicker(exposure[:, 0]), _LEAST_FLASH)
    quiet = (_jitter(exposure) < _QUIET) & (np.abs(aim) < _ISOLATED)
    share = np.where(flashes | quiet, 0.0, strength)
    out.curves[rows] = share[:, None] * np.clip(curves, -_MOST, _MOST)
    if places.shape[1] and _jitter(places) >= _QUIET:
        out.fields[rows] = np.where(flashes, 0.0, strength)[:, None] * np.clip(fields, -_MOST_FIELD, _MOST_FIELD)
    evened = exposure + (share * aim)[:, None]
    out.flicker[rows], out.flashes[rows] = aim, flashes
    out.rest[rows] = _aims(evened, places[:, :0], None, min(reach, count - 1))[0]


def _path(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where steps from frame to frame lead, `(n, k)`, from 0 on."""
    return np.cumsum(np.concatenate([np.zeros_like(steps[:1]), steps[1:]]), axis=0)


def _aims(
    exposure: NDArray[np.float64], places: NDArray[np.float64], curves: NDArray[np.float64] | None, reach: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return what leads each frame to the line through its neighbours.

    Args:
        exposure: `(n, 1)`: tones.
        places: `(n, cells)`: tones.
        curves: `(n, K)`: of the changes from the frame before; None if they are not wanted.
        reach: Frames either way.

    Returns:
        What is to be added to its exposure, `(n,)`, to its tones at `KNOTS`, `(n, K)`, and in its cells, `(n, cells)`.
    """
    count = len(exposure)
    usual = _flicker(exposure[:, 0])
    aim, field, curve = np.zeros(count), np.zeros_like(places), np.zeros((count, len(KNOTS)))
    for first in range(0, count, _CHUNK):
        frames = np.arange(first, min(first + _CHUNK, count))
        off = _differences(exposure, frames, reach)
        weights, believed = _weights(off[..., 0], usual[frames])
        aim[frames] = _at_zero(off, weights, believed)[:, 0]
        field[frames] = _at_zero(_differences(places, frames, reach), weights, believed)
        if curves is not None:
            curve[frames] = _at_zero(_followed(curves, frames, reach), weights, believed)
    return aim, curve, field


def _jitter(places: NDArray[np.float64]) -> float:
    """Return how much exposures change from frame to frame other than evenly, `(n, k)`, as a standard deviation."""
    return 1.4826 * float(np.median(np.abs(np.diff(places, 2, axis=0)))) / math.sqrt(6)


def _flicker(exposure: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far exposures lie off those around them, `(n,)`: a standard deviation for each time, robustly."""
    off = np.abs(exposure - _median(exposure, _NEIGHBOURHOOD))
    return np.maximum(_LEAST_FLICKER, 1.4826 * _median(off, 2 * _NEIGHBOURHOOD))


def _median(values: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """Return the median around each value; at the ends they are mirrored."""
    reach = min(reach, len(values) - 1)
    around = np.lib.stride_tricks.sliding_window_view(np.pad(values, reach, mode="reflect"), 2 * reach + 1)
    return np.asarray(np.median(around, axis=1), np.float64)


def _differences(places: NDArray[np.float64], frames: NDArray[np.int64], reach: int) -> NDArray[np.float64]:
    """Return how far the frames around some are off them, `(m, 2 reach + 1, k)`; NaN beyond the ends."""
    around = frames[:, None] + np.arange(-reach, reach + 1)[None, :]
    off = places[np.clip(around, 0, len(places) - 1)] - places[frames][:, None, :]
    off[(around < 0) | (around >= len(places))] = np.nan
    return np.asarray(off, np.float64)


def _weights(off: NDArray[np.float64], usual: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how much each frame's neighbours count, `(m, 2 reach + 1)`, and how far their slope is believed, `(m,)`.

    The exposure that most neighbours share is looked for from the median of the nearest three on: a flash is not where
    its own search begins, and a frame after a step begins beyond the step.
    """
    reach = off.shape[1] // 2
    there = np.isfinite(off)
    off = np.where(there, _times(off), 0.0)
    time = np.arange(-reach, reach + 1, dtype=np.float64)
    near = np.where(there, np.exp(-0.5 * (time / max(1.0, reach / 2)) ** 2), 0.0)
    centre = np.nanmedian(np.where(there, off, np.nan)[:, reach - 1 : reach + 2], axis=1)
    slope, believed = np.zeros(len(off)), np.zeros(len(off))
    weights = near
    for _ in range(_ROUNDS):
        apart = (off - centre[:, None] - slope[:, None] * time) / (_CUTOFF * usual * (1 + centre))[:, None]
        weights = near * np.clip(1 - apart * apart, 0, 1) ** 2
        total = np.maximum(weights.sum(1), 1e-9)
        middle = weights @ time / total
        mean = (weights * off).sum(1) / total
        lever = (weights * (time - middle[:, None]) ** 2).sum(1)
        raw = (weights * (time - middle[:, None]) * off).sum(1) / np.maximum(lever, 1e-9)
        chance = (_SURE * usual) ** 2 / np.maximum(lever, 1e-9)
        believed = raw * raw / (raw * raw + chance)
        slope = raw * believed
        centre = mean - slope * middle
    return weights, believed


def _at_zero(
    off: NDArray[np.float64], weights: NDArray[np.float64], believed: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return where lines through the neighbours, `(n, 2 reach + 1, k)`, meet each frame's own time, `(n, k)`."""
    reach = off.shape[1] // 2
    time = np.arange(-reach, reach + 1, dtype=np.float64)
    off = np.nan_to_num(_times(off))
    total = np.maximum(weights.sum(1), 1e-9)
    middle = weights @ time / total
    mean = np.einsum("nd,ndk->nk", weights, off) / total[:, None]
    away = weights * (time - middle[:, None])
    lever = np.maximum((away * (time - middle[:, None])).sum(1), 1e-9)
    slope = np.einsum("nd,ndk->nk", away, off) / lever[:, None]
    return np.asarray(np.log1p(np.maximum(mean - (believed * middle)[:, None] * slope, -0.9)))


def _times(off: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return differences of tones as how much more light there is: what a fade changes evenly. It is kept in bounds."""
    return np.asarray(np.expm1(np.minimum(off, 2.0)))


def _followed(curves: NDArray[np.float64], frames: NDArray[np.int64], reach: int) -> NDArray[np.float64]:
    """Return what becomes of the tones `KNOTS` of some frames in the frames around, `(m, 2 reach + 1, K)`.

    Beyond the ends it is of no meaning.
    """
    off = np.zeros((len(frames), 2 * reach + 1, len(KNOTS)))
    first = max(0, int(frames[0]) - reach)
    back = _backwards(curves[first : frames[-1] + 1])
    for step in range(1, reach + 1):
        on = np.minimum(frames + step, len(curves) - 1)
        off[:, reach + step] = off[:, reach + step - 1] + _at(curves[on], KNOTS + off[:, reach + step - 1])
        of = np.maximum(frames - step + 1 - first, 0)
        off[:, reach - step] = off[:, reach - step + 1] + _at(back[of], KNOTS + off[:, reach - step + 1])
    return off


def _backwards(curves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the curves that undo some."""
    return np.stack([np.interp(KNOTS, KNOTS + curve, -curve) for curve in curves])


def _at(curves: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return curves, `(m, K)`, at tones, `(m, K)`."""
    place = np.clip((at - KNOTS[0]) / (KNOTS[1] - KNOTS[0]), 0, len(KNOTS) - 1 - 1e-9)
    index = place.astype(np.int64)
    share = place - index
    rows = np.arange(len(curves))[:, None]
    return np.asarray(curves[rows, index] * (1 - share) + curves[rows, index + 1] * share)


def usual_flicker(off: NDArray[np.float64]) -> float:
    """Return exposures' standard deviation in percent."""
    return 100 * math.expm1(float(np.sqrt((off**2).mean()))) if len(off) else 0.0
