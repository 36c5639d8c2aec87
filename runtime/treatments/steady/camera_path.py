"""Where the camera pointed in every frame of a shot, where it was meant to point, and the moves between the two."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastrestore.geometry import Size
from fastrestore.runtime.treatments.steady.global_motion import (
    ANGLE,
    BACK,
    DX,
    DY,
    ERROR_PX,
    LOG_SCALE,
    TRUST,
    Similarity,
)
from fastrestore.runtime.treatments.steady.whittaker import smoothed

_SIMPLER = 1.15
"""A simpler path may lie off the places so many times as far as the smooth one does."""
_WANDER_SHARE = 0.001
"""A camera that stood may seem to move by this share of the diagonal besides: film wanders slowly in the gate, too."""
_DRIFT_SHARE = 0.0025
"""Of the diagonal: how far the last quarter of a shot may lie from the first if the camera stood still."""
_SLOWEST = 4.0
"""Shake is at most so many times as strong as it looks from its changes of speed: what is slower was meant."""
_SURE = 2.5
"""So many standard deviations are no chance."""
_MOST_SHARE = 0.06
"""Of the diagonal: no picture is moved farther than this; a path that would need it follows the camera closer."""
_LEAST_TRUSTED = 0.5
"""Of the frames of a path: if fewer can be placed, all of them are left alone."""
_UNSEEN_PX = 0.1
"""Less shake, RMS, is left alone: resampling would take more than it gave."""
_KNOWN = 2.0
"""So is shake that is not so many times as large as the error it is known with."""
_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class Smoothing:
    """How shake is told from what was meant."""

    period_frames: float
    """Movements that take so long, there and back, are half kept; slower ones are kept, quicker ones are shake."""
    strength: float
    """Share of the shake that is taken out."""
    lock: bool | None
    """Whether the camera stood still; None to find out."""


@dataclass(frozen=True, slots=True)
class CameraPath:
    """What is known of the camera in a shot."""

    corrections: NDArray[np.float64]
    """`(n, 4)`: what each frame is to be moved by: right and down in px, log scale, radians; 0 where left alone."""
    shake: NDArray[np.float64]
    """`(n, 4)`: how each frame lies off where the camera was meant to point; 0 where not known."""
    error_px: NDArray[np.float64]
    """`(n,)`: standard error of that."""
    trusted: NDArray[np.bool_]
    """`(n,)`: whether the frame's place is measured; others are placed between their neighbours."""
    piece: NDArray[np.int64]
    """`(n,)`: which path the frame is on; nothing is known of how one path lies to another."""
    poses: tuple[Similarity, ...]
    """From places of the first frame of each frame's path to places of the frame, where trusted."""
    locked: bool
    """Whether the camera stood still throughout."""

    def correction(self, number: int) -> Similarity:
        """Return the map from places of a frame to where they belong."""
        x, y, log_scale, angle = self.corrections[number]
        factor = math.exp(log_scale) * complex(math.cos(angle), math.sin(angle))
        return Similarity(factor, complex(x, y))

    def between(self, number: int, other: int) -> Similarity | None:
        """Return the map from places of a frame to places of another one, or None if it is not known."""
        if self.piece[number] != self.piece[other] or not (self.trusted[number] and self.trusted[other]):
            return None
        return self.poses[other].after(self.poses[number].inverse)


def find_path(findings: NDArray[np.float64], size: Size, smoothing: Smoothing) -> CameraPath:
    """Find how the frames of a shot are to be moved.

    Args:
        findings: `(n, 7)` float64: the motion probe's numbers of the shot's frames.
        size: Of the picture.
        smoothing: What to take out.
    """
    count = len(findings)
    piece, places, trusted, poses = _placed(findings)
    corrections, shake, error = np.zeros((count, 4)), np.zeros((count, 4)), findings[:, ERROR_PX].copy()
    locked = True
    for number in range(int(piece[-1]) + 1 if count else 0):
        rows = np.flatnonzero(piece == number)
        known = trusted[rows]
        if len(rows) < 3 or known.sum() < max(2.0, _LEAST_TRUSTED * len(rows)):
            locked = False
            continue
        meant, still = _meant(_between(places[rows], known), known, size, smoothing)
        locked = locked and still
        shake[rows] = np.where(known[:, None], places[rows] - meant, 0)
        unsure_px = float(np.sqrt((error[rows][known] ** 2).mean()))
        if shake_px(shake[rows][known], size) <= max(_UNSEEN_PX, _KNOWN * unsure_px):
            continue
        corrections[rows] = smoothing.strength * (meant - _between(places[rows], known))
    return CameraPath(corrections, shake, error, trusted, piece, tuple(poses), locked and bool(trusted.any()))


def reach_px(moves: NDArray[np.float64], size: Size) -> NDArray[np.float64]:
    """Return how far moves take the corner they take farthest, `(n,)` px, for moves `(n, 4)` as in `corrections`."""
    half = complex(size.width, size.height) / 2
    factor = np.exp(moves[:, 2] + 1j * moves[:, 3])
    shift = moves[:, 0] + 1j * moves[:, 1]
    corners = [half, -half, half.conjugate(), -half.conjugate()]
    return np.asarray(np.max([np.abs((factor - 1) * corner + shift) for corner in corners], axis=0), np.float64)


def needed_zoom(path: CameraPath, size: Size) -> float:
    """Return by how much the corrected frames must be enlarged, at least 1, for none to show its edge.

    Infinity if no enlargement does it.
    """
    half = complex(size.width, size.height) / 2
    factor = np.exp(-(path.corrections[:, 2] + 1j * path.corrections[:, 3]))
    shift = -factor * (path.corrections[:, 0] + 1j * path.corrections[:, 1])
    zoom = 1.0
    for corner in (half, half.conjugate()):
        seen = factor * corner
        for extent, offset, limit in ((seen.real, shift.real, half.real), (seen.imag, shift.imag, half.imag)):
            room = limit - np.abs(offset)
            if (room <= 0).any():
                return math.inf
            zoom = max(zoom, float((np.abs(extent) / room).max()))
    return zoom


def _placed(
    findings: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_], list[Similarity]]:
    """Return each frame's path, where the camera is on it, `(n, 4)`, whether that is known, and its pose there.

    The place is the sum of the steps from frame to frame, each measured from the middle of the picture: what is done
    to a frame later is a small move about its own middle.
    """
    count = len(findings)
    piece, places, trusted = np.zeros(count, np.int64), np.zeros((count, 4)), np.zeros(count, np.bool_)
    poses = [Similarity()] * count
    current, last = 0, None
    for index, row in enumerate(findings):
        anchor = index - int(row[BACK])
        linked = row[BACK] > 0 and anchor >= 0 and bool(trusted[anchor]) and piece[anchor] == current
        if row[TRUST] > 0 and not linked:
            current += index > 0 and last is not None
            last = None
        piece[index] = current
        if row[TRUST] <= 0:
            continue
        trusted[index] = True
        poses[index] = _similarity(row).after(poses[anchor]) if linked else Similarity()
        if last is not None:
            step = poses[index].after(poses[last].inverse)
            turn = math.atan2(step.factor.imag, step.factor.real)
            places[index] = places[last] + (step.shift.real, step.shift.imag, math.log(abs(step.factor)), turn)
        last = index
    return piece, places, trusted, poses


def _similarity(row: NDArray[np.float64]) -> Similarity:
    angle = float(row[ANGLE])
    factor = math.exp(row[LOG_SCALE]) * complex(math.cos(angle), math.sin(angle))
    return Similarity(factor, complex(row[DX], row[DY]))


def _between(places: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the places with the unknown ones put evenly between those known."""
    where = np.arange(len(places))
    columns = [np.interp(where, where[known], column[known]) for column in places.T]
    return np.stack(columns, axis=1)


def _meant(
    places: NDArray[np.float64], known: NDArray[np.bool_], size: Size, smoothing: Smoothing
) -> tuple[NDArray[np.float64], bool]:
    """Return where the camera was meant to point, `(n, 4)`, and whether it was meant to stand still.

    The simplest of three is taken: it stood, it moved evenly, or it followed a smooth path.
    """
    smooth = _smooth(places, known, size, smoothing.period_frames)
    usual = shake_px((places - smooth)[known], size)
    most = _MOST_SHARE * math.hypot(size.width, size.height)
    still = np.repeat(np.median(places[known], axis=0)[None], len(places), axis=0)
    wander = _WANDER_SHARE * math.hypot(size.width, size.height)
    stands = shake_px((places - still)[known], size) <= _SIMPLER * usual + wander and not _drifts(smooth, size, usual)
    within = float(reach_px(still - places, size)[known].max()) <= most
    if within and (stands if smoothing.lock is None else smoothing.lock):
        return still, True
    even = smoothed(places, known.astype(np.float64), np.full(len(places), 1e12))
    meant = even if shake_px((places - even)[known], size) <= _SIMPLER * usual else smooth
    weight = known.astype(np.float64)
    for _ in range(_ROUNDS):
        excess = reach_px(meant - places, size) / most
        if float(excess.max()) <= 1:
            break
        weight = np.maximum(weight, 0.01) * np.maximum(1, excess) ** 4
        meant = smoothed(places, weight, np.full(len(places), _stiffness(smoothing.period_frames)))
    return meant, False


def _smooth(
    places: NDArray[np.float64], known: NDArray[np.bool_], size: Size, period_frames: float
) -> NDArray[np.float64]:
    """Return a path without what is quicker than the period, but for moves that are too large for shake.

    A jerk must not draw the path after it, so places far off the path count less. And a pan that sets in at once must
    not be rounded off: where the places lie off the path all to one side, for longer than shake would, it bends easier.
    """
    stiffness = np.full(len(places), _stiffness(period_frames))
    weight = known.astype(np.float64)
    meant = smoothed(places, weight, stiffness)
    lever = math.hypot(size.width, size.height) / math.sqrt(12)
    in_px = np.array([1.0, 1.0, lever, lever])
    sigma = max(1.0, period_frames / 8)
    jolts = 1.5 * float(np.median(np.hypot(*np.diff(places[:, :2], 2, axis=0).T))) / math.sqrt(6)
    for _ in range(_ROUNDS):
        off = (places - meant) * in_px
        one_sided, chance = _local_mean(off, known, sigma)
        away = np.hypot(*(off - one_sided)[:, :2].T)
        usual = max(1e-3, min(1.5 * float(np.median(away[known])), _SLOWEST * jolts))
        stiffness = stiffness / np.maximum(1, np.abs(one_sided).max(1) / (_SURE * usual * chance)) ** 2
        meant = smoothed(places, weight * np.minimum(1, 3 * usual / np.maximum(away, 1e-9)), stiffness)
    return meant


def _stiffness(period_frames: float) -> float:
    """Return the stiffness at which half of a wave of that period is left."""
    return (period_frames / (2 * math.pi)) ** 4


def _local_mean(
    columns: NDArray[np.float64], known: NDArray[np.bool_], sigma: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean of the known rows around each, `(n, k)`, and its error where a row's is 1, `(n,)`."""
    reach = math.ceil(3 * sigma)
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weight = np.maximum(_blurred(known.astype(np.float64), taps), 1e-9)
    mean = np.stack([_blurred(column * known, taps) / weight for column in columns.T], axis=1)
    return mean, np.sqrt(_blurred(known.astype(np.float64), taps**2)) / weight


def _blurred(column: NDArray[np.float64], taps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a column blurred over time; beyond its ends there is nothing."""
    return np.convolve(np.pad(column, len(taps) // 2), taps, "valid")


def _drifts(smooth: NDArray[np.float64], size: Size, usual: float) -> bool:
    """Whether a camera ends up elsewhere than where it began, by more than the gate would take it."""
    quarter = max(1, len(smooth) // 4)
    drift = smooth[-quarter:].mean(0) - smooth[:quarter].mean(0)
    return float(reach_px(drift[None], size)[0]) > max(_DRIFT_SHARE * math.hypot(size.width, size.height), usual)


def shake_px(moves: NDArray[np.float64], size: Size) -> float:
    """Return how far moves take a pixel, RMS over the picture and the frames."""
    if not len(moves):
        return 0.0
    lever = (size.width**2 + size.height**2) / 12
    squares = (moves[:, :2] ** 2).sum(1) + lever * (moves[:, 2:] ** 2).sum(1)
    return float(np.sqrt(squares.mean()))


def taken_out(paths: Sequence[CameraPath], strength: float, size: Size) -> tuple[float, float]:
    """Return the shake of some shots' measured frames before and, as far as it can be known, after; px RMS."""
    shake = np.concatenate([path.shake[path.trusted] for path in paths])
    error = np.concatenate([path.error_px[path.trusted] for path in paths])
    before = shake_px(shake, size)
    rest = math.sqrt(float((error**2).mean())) if len(error) else 0.0
    return before, math.hypot((1 - strength) * before, rest)
