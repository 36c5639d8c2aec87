"""Upright scratches: found in every frame before the run, believed only where they do not move with the picture.

A scratch is where it is on many frames, so its neighbours in time have it too and do not help. What tells it from a
lamp post or a window bar is that those move as the picture around them does, while a scratch keeps its place on the
film. A line that stands still before a picture that stands still is therefore left alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from fastrestore.kernels.film_clean import F32, U8, line_votes
from fastrestore.runtime.treatments.treatment import Glimpse

_F64 = NDArray[np.float64]

PROBE: Final = "scratches-1"
"""By what the lines of a film are kept among its findings."""
LINES: Final = 10
"""Lines that a frame may have."""
_NUMBERS: Final = 7  # of each: see Line

_REFERENCE_PX: Final = 480
_BANDS: Final = 16
_LIMIT: Final = 3.0  # deviations of a sample's vote
_PRESENT: Final = 0.8  # deviations, in the mean of a band, from which the line is there
_LEAST_SPAN: Final = 0.35  # of the height
_WHOLE: Final = 0.7  # of its span over which it is there
_MOST_SLOPE: Final = 0.8  # columns a band
_MARGIN: Final = 0.04  # of the width
_STRIP_PX: Final = 40  # on each side of a line: the picture that it is held against
_ROWS_JOINED: Final = 4  # only what moves to the side counts


@dataclass(frozen=True, slots=True)
class Line:
    """An upright line on a frame. Px of the frame, x from its left edge."""

    top_x: float
    bottom_x: float
    """Where it would cross the first and the last row, if it went so far."""
    strength: float
    """Mean vote in deviations of all votes; below 0 where it is darker than what it crosses."""
    top: float
    bottom: float
    """First and last row, as shares of the height."""
    shift: float
    """Px to the right by which the picture on both sides has moved since the frame before."""
    surety: float
    """How sure that is: 0 not at all."""

    @property
    def x(self) -> float:
        """At half the height."""
        return (self.top_x + self.bottom_x) / 2


class ScratchProbe:
    """Finds the most marked upright lines of a frame, whatever they are."""

    name = PROBE

    def look(self, glimpse: Glimpse) -> Sequence[float]:
        """Return `LINES` times the numbers of a `Line`, 0 where there are fewer."""
        lines = find_lines(glimpse.luma)[:LINES]
        numbers = np.zeros((LINES, _NUMBERS))
        for row, (line, columns) in zip(numbers, lines, strict=False):
            shift, surety = (0.0, 0.0)
            if glimpse.previous is not None and glimpse.previous.shape == glimpse.luma.shape:
                shift, surety = _shift(glimpse.previous, glimpse.luma, columns)
            row[:] = line.top_x, line.bottom_x, line.strength, line.top, line.bottom, shift, surety
        return [float(value) for value in numbers.reshape(-1)]


def reach_px(size: tuple[int, ...]) -> int:
    """Return how far from its middle a scratch is surely over, in a picture of `(height, width)`."""
    return max(3, round(3 * min(size) / _REFERENCE_PX))


def find_lines(luma: U8) -> list[tuple[Line, F32]]:
    """Return the upright lines of a frame, the most marked first, each with its column in every band."""
    height, width = luma.shape
    reach = reach_px(luma.shape)
    if height < 2 * _BANDS or width < 8 * reach:
        return []
    deviation = max(_deviation(luma), 0.7)
    votes = line_votes(luma, reach, _LIMIT * deviation) / np.float32(deviation)
    bands = np.asarray(cv2.resize(votes, (width, _BANDS), interpolation=cv2.INTER_AREA), np.float32)
    margin = max(2 * reach, round(_MARGIN * width))  # the gate's own edges are there
    bands[:, :margin] = 0
    bands[:, -margin:] = 0
    small = np.asarray(cv2.resize(luma.astype(np.float32), (width, _BANDS), interpolation=cv2.INTER_AREA), np.float32)
    found = [line for sign in (1.0, -1.0) for line in _paths(bands * np.float32(sign), small, sign, reach)]
    found.sort(key=lambda pair: -abs(pair[0].strength) * (pair[0].bottom - pair[0].top))
    kept: list[tuple[Line, F32]] = []
    for line, columns in found:  # beside a line its sides look like lines of the other sign
        if all(abs(line.x - other.x) > 2.5 * reach for other, _ in kept):
            kept.append((line, columns))
    return kept


def lines_of(numbers: _F64) -> Iterator[Line]:
    """Read what the probe found in a frame."""
    for row in numbers.reshape(LINES, _NUMBERS):
        if row[2]:
            yield Line(*(float(value) for value in row))


def _deviation(luma: U8) -> float:
    """Return the standard deviation of the votes of a picture without lines, from its finest detail."""
    plane = luma[:, ::2].astype(np.float32)
    second = plane[:, 1:-1] - (plane[:, :-2] + plane[:, 2:]) * np.float32(0.5)
    return 1.4826 * float(np.median(np.abs(second)))


def _paths(votes: F32, small: F32, sign: float, reach: int) -> Iterator[tuple[Line, F32]]:
    """Follow the most votes from top to bottom, by at most one column a band; `votes` are above 0 for this sign."""
    gain = np.maximum(votes, 0)
    total, steps = gain[0], np.zeros(gain.shape, np.int8)
    for band in range(1, _BANDS):
        around = np.stack([np.roll(total, 1), total + np.float32(1e-3), np.roll(total, -1)])
        steps[band] = np.argmax(around, 0) - 1
        total = gain[band] + around.max(0)
    bands, taken = np.arange(_BANDS), np.zeros(gain.shape, np.bool_)
    for _ in range(2 * LINES):
        column = int(np.argmax(total))
        if total[column] < _PRESENT * _LEAST_SPAN * _BANDS:
            return
        total[max(column - reach, 0) : column + reach + 1] = 0
        columns = _backwards(steps, column)
        line = None if taken[bands, columns].any() else _line(gain[bands, columns], small, columns, sign, reach)
        if line is not None:
            for offset in range(-reach, reach + 1):
                taken[bands, np.clip(columns + offset, 0, gain.shape[1] - 1)] = True
            yield line


def _backwards(steps: NDArray[np.int8], column: int) -> NDArray[np.intp]:
    columns = np.empty(_BANDS, np.intp)
    for band in range(_BANDS - 1, -1, -1):
        columns[band] = column
        column = min(max(column + int(steps[band, column]), 0), steps.shape[1] - 1)
    return columns


def _line(values: F32, small: F32, columns: NDArray[np.intp], sign: float, reach: int) -> tuple[Line, F32] | None:
    """Return the line that goes through a column in every band, or None if it is too short or too broken."""
    bands = np.arange(_BANDS)
    present = values > _PRESENT
    if not present.any():
        return None
    first, last = int(np.argmax(present)), _BANDS - 1 - int(np.argmax(present[::-1]))
    if (last - first + 1) < _LEAST_SPAN * _BANDS or present[first : last + 1].mean() < _WHOLE:
        return None
    slope, start = np.polyfit(bands[present], columns[present], 1)
    if abs(slope) > _MOST_SLOPE:
        return None
    start += _offset(small, columns, present, sign, reach)
    strength = sign * float(values[first : last + 1].mean())
    ends = float(start - slope / 2), float(start + slope * (_BANDS - 0.5))
    line = Line(*ends, strength, first / _BANDS, (last + 1) / _BANDS, 0.0, 0.0)
    return line, np.asarray(start + slope * bands, np.float32)


def _offset(small: F32, columns: NDArray[np.intp], present: NDArray[np.bool_], sign: float, reach: int) -> float:
    """Return how far the middle of mass of a line's profile is from the columns that it was followed along, px."""
    across = np.arange(-reach, reach + 1)
    where = np.clip(columns[present, None] + across, 0, small.shape[1] - 1)
    profile = sign * small[np.flatnonzero(present)[:, None], where].mean(0)
    profile = profile - np.linspace(profile[0], profile[-1], len(across))
    profile = np.maximum(profile - 0.2 * profile.max(), 0)
    return float((profile * across).sum() / profile.sum()) if profile.sum() > 0 else 0.0


def _shift(previous: U8, luma: U8, columns: F32) -> tuple[float, float]:
    """Return how far the picture beside a line has moved to the right, px, and how sure that is."""
    height, width = luma.shape
    reach = reach_px(luma.shape)
    middle, half = round(float(columns.mean())), max(_STRIP_PX, _STRIP_PX * min(luma.shape) // _REFERENCE_PX)
    left, right = max(middle - half, 0), min(middle + half, width)
    near = slice(max(middle - left - 2 * reach, 1), min(middle - left + 2 * reach, right - left - 1))
    strips = []
    for frame in (previous, luma):
        size = right - left, max(height // _ROWS_JOINED, 1)
        strip = np.asarray(cv2.resize(frame[:, left:right], size, interpolation=cv2.INTER_AREA), np.float32)
        ramp = np.linspace(0, 1, near.stop - near.start, dtype=np.float32)
        before, after = strip[:, near.start - 1, None], strip[:, near.stop, None]
        strip[:, near] = before + (after - before) * ramp  # without the line itself
        strip -= cv2.blur(strip, (2 * half + 1, 7))
        strips.append(strip)
    window = cv2.createHanningWindow((right - left, len(strips[0])), cv2.CV_32F)
    (shift, _), response = cv2.phaseCorrelate(strips[0], strips[1], window)
    if not np.isfinite(shift) or not np.isfinite(response) or abs(shift) > half / 2:
        return 0.0, 0.0
    return float(shift), float(response)
