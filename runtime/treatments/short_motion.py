"""Motion between a frame and its neighbours, cheap and blind to small things: good enough to compare samples by.

It is found on shrunken luma by the quickest settings of OpenCV's DIS, once for each pair of frames.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np

from fastrestore.frames import Picture
from fastrestore.kernels.film_clean import F32, U8, warped
from fastrestore.kernels.ops import Ops

_ULTRAFAST: Final = 0  # cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST
_FINEST_SCALE: Final = 1  # the preset stops at 2, which loses a tenth of the dust
_MIN_SIDE_PX: Final = 64  # DIS builds a pyramid of 8 px patches
_SMALL_PX: Final = 128  # a picture with a side below this is not shrunken
_LARGE_PX: Final = 900  # one with no side below this is shrunken four times
_KEPT: Final = 5  # frames of a window
_MAX_SHARE: Final = 0.125  # of the longer side: anything longer is a mismatch
_ASTRAY_PX: Final = 0.7  # on the shrunken grid: further than grain leads a vector astray
_DOUBTFUL_PX: Final = 7  # a patch of DIS is 8 px wide: so far around one that went astray none is trusted
_CELL_PX: Final = 4
_REACH_CELLS: Final = (3, 9, 33)  # sides of the squares that a vector is taken from, the smallest first
_ENOUGH: Final = 0.1  # of such a square


@dataclass(frozen=True, slots=True)
class _Seen:
    """A picture and what was made of it."""

    picture: Picture
    luma: U8
    small: U8


class ShortMotion:
    """Finds how neighbouring frames lie on each other. What it keeps changes nothing but the time taken.

    Args:
        ops: Pixel kernels.
        two_ways: Whether vectors that do not lead back to where they came from are replaced by those around. A mark
            has no partner in the other frame, and bends the motion around it towards whatever looks like it.
    """

    def __init__(self, ops: Ops, *, two_ways: bool = True) -> None:
        cv: Any = cv2  # OpenCV's own stubs lack this factory
        self._ops = ops
        self._two_ways = two_ways
        self._dis = cv.DISOpticalFlow_create(_ULTRAFAST)
        self._dis.setFinestScale(_FINEST_SCALE)
        self._seen: OrderedDict[int, _Seen] = OrderedDict()
        self._flows: OrderedDict[tuple[int, int], tuple[_Seen, _Seen, F32]] = OrderedDict()

    def luma(self, picture: Picture) -> U8:
        """Return luma, `(H, W)` uint8."""
        return self._see(picture).luma

    def flow(self, source: Picture, target: Picture) -> F32:
        """Return how the samples of one picture are found in another of its size.

        Returns:
            `(H, W, 2)` float32, (x, y) px: `source(x)` matches `target(x + flow(x))`.
        """
        key = id(source), id(target)
        if key not in self._flows:
            # An entry holds its pictures, so no other ones can get the same ids while it is kept.
            ends = self._see(source), self._see(target)
            there, back = self._both_ways(ends[0].small, ends[1].small)
            self._flows[key] = *ends, there
            self._flows[key[::-1]] = *ends[::-1], back
            while len(self._flows) > 2 * _KEPT:
                self._flows.popitem(last=False)
        start, _, flow = self._flows[key]
        height, width = start.luma.shape
        if flow.shape[:2] == start.luma.shape:
            return flow
        return np.asarray(cv2.resize(flow, (width, height)) * np.float32(width / flow.shape[1]), np.float32)

    def _see(self, picture: Picture) -> _Seen:
        if id(picture) not in self._seen:
            luma = self._ops.luma8(picture)
            height, width = luma.shape
            side = min(height, width)
            factor = 1 if side < _SMALL_PX else 2 if side < _LARGE_PX else 4
            size = (-(-width // factor), -(-height // factor))
            small = luma if factor == 1 else cv2.resize(luma, size, interpolation=cv2.INTER_AREA)
            self._seen[id(picture)] = _Seen(picture, luma, np.asarray(small, np.uint8))
            while len(self._seen) > _KEPT:
                self._seen.popitem(last=False)
        return self._seen[id(picture)]

    def _both_ways(self, first: U8, second: U8) -> tuple[F32, F32]:
        there, back = self._match(first, second), self._match(second, first)
        if not self._two_ways:
            return there, back
        return _filled(there, _astray(there, back)), _filled(back, _astray(back, there))

    def _match(self, source: U8, target: U8) -> F32:
        height, width = source.shape
        below, right = max(_MIN_SIDE_PX - height, 0), max(_MIN_SIDE_PX - width, 0)
        if below or right:
            edges = (0, below, 0, right, cv2.BORDER_REPLICATE)
            source, target = (np.asarray(cv2.copyMakeBorder(p, *edges), np.uint8) for p in (source, target))
        flow: F32 = self._dis.calc(source, target, None)[:height, :width]
        limit = np.float32(_MAX_SHARE * max(height, width))
        return np.ascontiguousarray(np.clip(np.nan_to_num(flow), -limit, limit))


def _astray(there: F32, back: F32) -> F32:
    """Return `(h, w)`, px: how far one is from where one began after going there and back."""
    round_trip = there + warped(back, there)
    return np.asarray(cv2.magnitude(round_trip[..., 0], round_trip[..., 1]), np.float32)


def _filled(flow: F32, astray: F32) -> F32:
    """Return the flow with vectors that went astray replaced by the mean of those around that did not."""
    trusted = cv2.erode((astray <= _ASTRAY_PX).view(np.uint8), np.ones((_DOUBTFUL_PX,) * 2, np.uint8))
    weight = trusted.astype(np.float32)
    height, width = weight.shape
    coarse = max(width // _CELL_PX, 1), max(height // _CELL_PX, 1)
    share = np.asarray(cv2.resize(weight, coarse, interpolation=cv2.INTER_AREA), np.float32)
    total = np.asarray(cv2.resize(flow * weight[..., None], coarse, interpolation=cv2.INTER_AREA), np.float32)
    fill = total / np.maximum(share, 1e-6)[..., None]
    missing = share <= _ENOUGH
    for cells in _REACH_CELLS:
        if not missing.any():
            break
        shares, totals = (cv2.blur(p, (cells, cells), borderType=cv2.BORDER_CONSTANT) for p in (share, total))
        near = missing & (shares > _ENOUGH)
        fill[near] = totals[near] / shares[near][:, None]
        missing &= ~near
    fill[missing] = 0 if missing.all() else np.median(fill[~missing], 0)
    around = np.asarray(cv2.resize(fill, (width, height)), np.float32)
    return np.where(trusted[..., None] > 0, flow, around)
