"""How the exposure changes from one frame to the next: what becomes of each tone, found where nothing moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fastrestore.frames import Picture
from fastrestore.kernels.film_tone import KNOTS, Curve, black_and_span, tones
from fastrestore.runtime.treatments.treatment import Glimpse

CELLS = (6, 8)
"""Rows and columns of cells in which local changes are found."""
SHARE, GAIN, CURVE = 0, 1, 2
"""Where a frame's numbers are: see `ExposureProbe`."""
FIELD = CURVE + len(KNOTS)

_CELL_PX = 20
_ROUNDS = 4
_BINS = 48
_DARKEST, _BRIGHTEST = 0.012, 0.985
"""Levels beyond these may be cut off and tell nothing."""
_REACH = 2.5
"""Pixels that differ from the others' change by more standard deviations have moved."""
_LEAST_SPREAD = 0.01
"""Of tones: what grain and rounding always do."""
_LEAST_SHARE = 0.1
"""Of the pixels: if fewer tell anything, nothing is known."""
_BEND, _SLOPE = 0.02, 0.002
"""How much a curve resists being bent, and being more than a change of exposure; the weight of all pixels is near 1."""
_LEAST_CONTRAST = 0.3
"""No curve takes away more than the rest of the contrast of neighbouring tones."""
_CELL_PRIOR = 0.015
"""Every cell is a little as the whole, as if so much of its pixels said so; one of which no pixel tells anything is."""


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of a frame's tones in the next one."""

    curve: Curve
    """`(K,)`: what is added to them, at `KNOTS` of the earlier frame."""
    gain: float
    """What is added to them on average over the picture."""
    share: float
    """Of the pixels that this was found from; 0 if it is not known."""
    field: NDArray[np.float64]
    """`CELLS`: what is added besides, around each cell."""


UNKNOWN = Change(np.zeros_like(KNOTS), 0.0, 0.0, np.zeros(CELLS))


class ExposureProbe:
    """Finds how the exposure of each frame differs from that of the frame before.

    Its numbers are `SHARE`, `GAIN`, from `CURVE` on the curve, and, if it looks at places, from `FIELD` on the field
    row by row, all as in `Change`. Where a shot begins they are 0.

    Args:
        places: Whether to look for changes that are not the same everywhere.
    """

    def __init__(self, *, places: bool) -> None:
        self._places = places
        self._luma: NDArray[np.uint8] | None = None
        self._tones = np.empty((0, 0))

    @property
    def name(self) -> str:
        """See `Probe.name`."""
        return probe_name(places=self._places)

    def look(self, glimpse: Glimpse) -> Sequence[float]:
        """See `Probe.look`."""
        before = None
        if glimpse.previous is not None:
            same = self._luma is glimpse.previous
            before = self._tones if same else small_tones(glimpse.previous, glimpse.picture)
        self._luma, self._tones = glimpse.luma, small_tones(glimpse.luma, glimpse.picture)
        change = UNKNOWN if before is None else find_change(before, self._tones)
        numbers = [change.share, change.gain, *change.curve.tolist()]
        return numbers + change.field.ravel().tolist() if self._places else numbers


def probe_name(*, places: bool) -> str:
    """Return the name by which the findings are kept."""
    return "exposure-field-1" if places else "exposure-1"


def small_tones(luma: NDArray[np.uint8], picture: Picture) -> NDArray[np.float64]:
    """Return the tones of a frame made small, `(rows * 20, columns * 20)` of `CELLS` float64."""
    black, span = black_and_span(picture)
    unit = 1 << (picture.format.bits - 8)
    size = (CELLS[1] * _CELL_PX, CELLS[0] * _CELL_PX)
    small = cv2.resize(luma.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return np.asarray(tones((small.astype(np.float64) - black / unit) / (span / unit)))


def find_change(before: NDArray[np.float64], after: NDArray[np.float64]) -> Change:
    """Find what becomes of a frame's tones in the next one.

    Pixels that changed otherwise than most of their tone have moved and are left out. Tones are told apart by the mean
    of both frames: noise in one of them alone would make every change look like a loss of contrast.
    """
    low, high = tones(np.array([_DARKEST, _BRIGHTEST]))
    told = (np.minimum(before, after) > low) & (np.maximum(before, after) < high)
    if told.mean() < _LEAST_SHARE:
        return UNKNOWN
    change, middle = (after - before)[told], ((after + before) / 2)[told]
    curve = np.full(len(KNOTS), float(np.median(change)))
    kept = np.ones(len(change), np.bool_)
    for _ in range(_ROUNDS):
        off = change - np.interp(middle - change / 2, KNOTS, curve)
        spread = max(_LEAST_SPREAD, 1.4826 * float(np.median(np.abs(off))))
        kept = np.abs(off) < _REACH * spread
        curve = _fitted(middle[kept], change[kept])
    mask = np.zeros(before.shape)
    mask[told] = kept
    share = float(mask.mean())
    if share < _LEAST_SHARE:
        return UNKNOWN
    rest = (after - before - np.interp(before, KNOTS, curve)) * mask
    return Change(curve, float(np.interp(before, KNOTS, curve).mean()), share, _in_cells(rest, mask))


def _fitted(middle: NDArray[np.float64], change: NDArray[np.float64]) -> Curve:
    """Return the curve through changes at tones, stiff where there are few."""
    place = (middle - KNOTS[0]) / (KNOTS[-1] - KNOTS[0]) * _BINS
    number = np.clip(place.astype(np.int64), 0, _BINS - 1)
    count = np.bincount(number, minlength=_BINS).astype(np.float64)
    full = count > 0
    mean = np.bincount(number, change, _BINS)[full] / count[full]
    tone = np.bincount(number, middle, _BINS)[full] / count[full] - mean / 2
    share = count[full] / count.sum()
    weight = share / (share + 1 / _BINS)
    position = np.clip((tone - KNOTS[0]) / (KNOTS[1] - KNOTS[0]), 0, len(KNOTS) - 1)
    hats = np.maximum(0, 1 - np.abs(position[:, None] - np.arange(len(KNOTS))[None, :]))
    left = hats.T @ (weight[:, None] * hats) + weight.sum() * _RESISTANCE
    curve = np.linalg.solve(left, hats.T @ (weight * mean))
    step = KNOTS[1] - KNOTS[0]
    rises = np.maximum(np.diff(curve), (_LEAST_CONTRAST - 1) * step)
    return np.asarray(curve.mean() + (np.cumsum([0.0, *rises]) - np.cumsum([0.0, *rises]).mean()))


def _resistance() -> NDArray[np.float64]:
    once, twice = np.diff(np.eye(len(KNOTS)), axis=0), np.diff(np.eye(len(KNOTS)), 2, axis=0)
    return np.asarray(_SLOPE * once.T @ once + _BEND * twice.T @ twice)


_RESISTANCE = _resistance()


def _in_cells(rest: NDArray[np.float64], mask: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of what is left in each cell, drawn to its neighbours' and to 0 where little is known."""
    rows, columns = CELLS
    sums = [plane.reshape(rows, _CELL_PX, columns, _CELL_PX).mean((1, 3)) for plane in (rest, mask)]
    total, known = (cv2.GaussianBlur(cells, (3, 3), 0.5, borderType=cv2.BORDER_REPLICATE) for cells in sums)
    return np.asarray(total / (known + _CELL_PRIOR))
