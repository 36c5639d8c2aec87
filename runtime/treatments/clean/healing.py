"""Scratches taken away from a frame: what they add is measured along them, and subtracted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from fastrestore.frames import Picture, Plane
from fastrestore.kernels.film_clean import F32, U8, healed
from fastrestore.runtime.treatments.clean.scratches import Line, reach_px

_Columns = NDArray[np.intp]

_RUN_ROWS: Final = 11  # over which what a scratch adds is the same, for a picture of 480 rows
_FOLLOW_ROWS: Final = 31  # over which it keeps its column
_BEYOND: Final = 1 / 16  # of the height above and below where it was seen: it fades out
_EDGE: Final = 0.15  # of a scratch's height, down to which it is part of it
_LEAST_ADDED: Final = 1.0  # deviations of grain: a row with less is whole
_ROOM: Final = 3.0  # deviations of the picture beside it
_COLOURED: Final = 1.5  # 8-bit levels of chroma from which a scratch is coloured


@dataclass(frozen=True, slots=True)
class _Trace:
    """A scratch as it runs through one frame."""

    rows: slice
    columns: _Columns
    """Its middle in each row."""
    half: int
    """Px that it covers on each side of its middle."""


@dataclass(frozen=True, slots=True)
class Healed:
    """A picture without its scratches."""

    picture: Picture
    """The very same one if nothing was changed."""
    mask: F32
    """`(H, W)` in `[0, 1]`: how much of each sample was replaced."""
    count: int
    """How many scratches there were."""


def heal(picture: Picture, luma: U8, lines: Sequence[Line]) -> Healed:
    """Take scratches away.

    Args:
        picture: The frame.
        luma: Its luma, `(H, W)` uint8.
        lines: The scratches.
    """
    planes: list[Plane] = [plane.copy() for plane in picture.planes]
    mask, count = np.zeros(luma.shape, np.float32), 0
    for line in lines:
        trace = _trace(luma, line)
        amount = _amount(luma, trace, line)
        if not amount.any():
            continue
        count += 1
        at = _around(trace.columns, trace.half, luma.shape[1])
        rows = np.arange(trace.rows.start, trace.rows.stop)[:, None]
        mask[rows, at] = np.maximum(mask[rows, at], amount[:, None])
        for index, plane in enumerate(planes):
            _heal_plane(picture, index, plane, trace, amount)
    return Healed(Picture(tuple(planes), picture.format, picture.colour) if count else picture, mask, count)


def _trace(luma: U8, line: Line) -> _Trace:
    """Follow a line through the rows of a frame."""
    height, width = luma.shape
    reach = reach_px(luma.shape)
    first = max(int((line.top - _BEYOND) * height), 0)
    last = min(int(np.ceil((line.bottom + _BEYOND) * height)), height)
    share = np.arange(first, last) / max(height - 1, 1)
    start = np.rint(line.top_x + share * (line.bottom_x - line.top_x)).astype(np.intp)
    _, strip = _strip(luma, slice(first, last), start, 2 * reach)
    sign = np.float32(np.sign(line.strength))
    ends = (strip[:, :reach].mean(1, keepdims=True) + strip[:, -reach:].mean(1, keepdims=True)) / 2
    stands = cv2.blur(sign * (strip - ends), (3, _odd(_FOLLOW_ROWS, height)), borderType=cv2.BORDER_REPLICATE)
    offsets = np.argmax(stands[:, reach:-reach], 1).astype(np.float32) - reach
    offsets = cv2.blur(offsets[:, None], (1, _odd(_FOLLOW_ROWS, height)), borderType=cv2.BORDER_REPLICATE)[:, 0]
    columns = np.clip(start + np.rint(offsets).astype(np.intp), 0, width - 1)
    _, strip = _strip(luma, slice(first, last), columns, 2 * reach)
    profile = np.median(sign * (strip - ends), 0)
    over = profile[2 * reach] * _EDGE
    half = 1
    while half < reach and max(profile[2 * reach - half - 1], profile[2 * reach + half + 1]) > over:
        half += 1
    return _Trace(slice(first, last), columns, half)


def _amount(luma: U8, trace: _Trace, line: Line) -> F32:
    """Return how much each row of a scratch is to be healed: not where it is broken."""
    height = luma.shape[0]
    _, strip = _strip(luma, trace.rows, trace.columns, trace.half + 2)
    _, added = healed(strip, trace.half, _odd(_RUN_ROWS, height), 255.0)
    middle = np.float32(np.sign(line.strength)) * added[:, trace.half - 1 : trace.half + 2].mean(1)
    least = _LEAST_ADDED * max(_roughness(strip), 1.0)
    amount = np.clip(middle / least - 0.5, 0, 1).astype(np.float32)
    return np.asarray(cv2.blur(amount[:, None], (1, 3), borderType=cv2.BORDER_REPLICATE)[:, 0], np.float32)


def _heal_plane(picture: Picture, index: int, out: Plane, trace: _Trace, amount: F32) -> None:
    chroma = index > 0 and picture.format.kind == "yuv"
    across, down = picture.format.chroma_shift if chroma else (0, 0)
    rows = slice(trace.rows.start >> down, min(-(-trace.rows.stop >> down), out.shape[0]))
    picked = np.minimum((np.arange(rows.start, rows.stop) << down) - trace.rows.start, len(amount) - 1).clip(0)
    half = trace.half if across == 0 else (trace.half >> across) + 1
    at, strip = _strip(out, rows, trace.columns[picked] >> across, half + 2)
    unit = 1 << (picture.format.bits - 8)
    room = _ROOM * _roughness(strip) + 2 * unit
    middle, added = healed(strip, half, _odd(_RUN_ROWS >> down, out.shape[0]), room)
    if chroma and np.median(np.abs(added[:, half])) < _COLOURED * unit:
        return
    old = strip[:, 2:-2]
    new = old + amount[picked, None] * (middle - old)
    stored = np.clip(np.rint(new), 0, (1 << picture.format.bits) - 1).astype(out.dtype)
    out[np.arange(rows.start, rows.stop)[:, None], at[:, 2:-2]] = stored


def _around(columns: _Columns, half: int, width: int) -> _Columns:
    """Return the columns of a strip in every row, `(rows, 2 * half + 1)`, those beyond the picture at its edge."""
    return np.asarray(np.clip(columns[:, None] + np.arange(-half, half + 1), 0, width - 1), np.intp)


def _strip(plane: Plane, rows: slice, columns: _Columns, half: int) -> tuple[_Columns, F32]:
    at = _around(columns, half, plane.shape[1])
    return at, plane[np.arange(rows.start, rows.stop)[:, None], at].astype(np.float32)


def _roughness(strip: F32) -> float:
    """Return the standard deviation of grain and texture beside a scratch."""
    beside = np.concatenate([strip[:, 0] - strip[:, 1], strip[:, -1] - strip[:, -2]])
    return 1.4826 / 1.4142 * float(np.median(np.abs(beside)))


def _odd(rows: int, height: int) -> int:
    """Return about so many rows of a picture of 480, odd."""
    return max(3, round(rows * height / 480)) | 1
