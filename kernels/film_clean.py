"""What `--clean` does to each sample: how far it stands out from its neighbours in time, and what is put in its place.

Luma is 8-bit, `(H, W)` uint8, in stored levels; saturating 8-bit arithmetic keeps a frame's worth of it near a
millisecond. A function here knows nothing of films or settings, so that a CUDA twin can stand beside it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

U8: TypeAlias = NDArray[np.uint8]
F32: TypeAlias = NDArray[np.float32]

TONE_PX = 5
"""Side of the Gaussian that parts tones from detail where samples are mended."""
TONE_SIGMA_PX = 1.2
"""Its sigma."""
_NEIGHBOURHOOD = np.ones((3, 3), np.uint8)


def warped(plane: NDArray[Any], flow: F32) -> NDArray[Any]:
    """Return a plane as seen along a flow, by linear interpolation: `out(x) = plane(x + flow(x))`.

    Args:
        plane: `(H, W)` or `(H, W, 2)`, uint8, uint16 or float32; replicated beyond its edges.
        flow: `(H, W, 2)` float32, (x, y) px.
    """
    where = cv2.add(_grid(*flow.shape[:2]), flow)
    return np.asarray(cv2.remap(plane, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


@lru_cache(maxsize=4)
def _grid(height: int, width: int) -> F32:
    """Return the place of each sample, `(H, W, 2)` float32, (x, y) px. Not to be written to."""
    grid = np.empty((height, width, 2), np.float32)
    grid[..., 0] = np.arange(width, dtype=np.float32)
    grid[..., 1] = np.arange(height, dtype=np.float32)[:, None]
    grid.setflags(write=False)
    return grid


def spikes(luma: U8, before: U8, after: U8) -> tuple[U8, U8]:
    """Return how far samples stand out from both neighbours in time, to the same side, in levels.

    Args:
        luma: The frame.
        before: The frame before it, warped onto it.
        after: The frame after it, warped onto it.

    Returns:
        The smaller of the two differences where both have one sign, else 0 (the spike detection index "SDIa"); and the
        distance beyond everything that either neighbour has within a pixel of the place (as the rank order detector):
        lower, but blind to motion that is wrong by less than a pixel.
    """
    low, high = cv2.min(before, after), cv2.max(before, after)
    near = cv2.max(cv2.subtract(luma, high), cv2.subtract(low, luma))
    high, low = cv2.dilate(high, _NEIGHBOURHOOD), cv2.erode(low, _NEIGHBOURHOOD)
    sure = cv2.max(cv2.subtract(luma, high), cv2.subtract(low, luma))
    return near.astype(np.uint8, copy=False), sure.astype(np.uint8, copy=False)


def mended(sample: F32, before: F32, after: F32, share: float, mask: F32) -> F32:
    """Return samples with what is masked taken from the neighbours in time.

    Tones are a blend of both neighbours; what is finer than two samples is that of one alone, for two grains blended
    are weaker than either.

    Args:
        sample: `(H, W)`, of the frame, in stored levels.
        before: `(H, W)`, of the frame before, warped and of the same light.
        after: `(H, W)`, of the frame after, likewise.
        share: `[0, 1]`: how much of the tones comes from `before`.
        mask: `(H, W)`, `[0, 1]`: how much is replaced.
    """
    better = before if share >= 0.5 else after
    tone = cv2.addWeighted(before, share, after, 1 - share, 0)
    return np.asarray(sample + mask * (_smooth(tone) + better - _smooth(better) - sample), np.float32)


def line_votes(luma: U8, reach: int, limit: float) -> F32:
    """Return how much samples look like part of an upright line, `(H, W)`, in levels, bright ones above 0.

    A sample votes by how far it is from the mean of what is `reach` to its left and right; but not by more than
    `limit`, so that no single thing outvotes a line, and not at all where left and right differ by more: an edge.

    Args:
        luma: The frame.
        reach: Px from the middle of a line to where it is surely over, at least 2.
        limit: Levels.
    """
    plane = luma.astype(np.float32)
    side = cv2.blur(plane, (3, 1), borderType=cv2.BORDER_REPLICATE)
    left, right = np.empty_like(side), np.empty_like(side)
    left[:, reach:], left[:, :reach] = side[:, :-reach], side[:, :1]
    right[:, :-reach], right[:, -reach:] = side[:, reach:], side[:, -1:]
    votes = plane - (left + right) * np.float32(0.5)
    votes[np.abs(votes) <= np.abs(left - right)] = 0
    return np.asarray(np.clip(votes, -limit, limit), np.float32)


def healed(strip: F32, half: int, run: int, room: float) -> tuple[F32, F32]:
    """Return the middle of a strip along a scratch without the scratch, and how much of it that was.

    What the scratch adds is the middle of what `run` rows have more than their sides lead one to expect. Taking that
    away leaves the picture and its grain under a scratch that one can see through; where nothing is left under it,
    the bounds hold it to what its sides have.

    Args:
        strip: `(H, 2 * (half + 2) + 1)`, stored levels; the scratch in the middle.
        half: Samples on each side of the middle one that the scratch covers.
        run: Rows, odd.
        room: Levels that the picture may differ from a straight line between the sides.

    Returns:
        `(H, 2 * half + 1)` each.
    """
    left, right = strip[:, :2].mean(1, keepdims=True), strip[:, -2:].mean(1, keepdims=True)
    across = (np.arange(2 * half + 1, dtype=np.float32) + 1.5) / (2 * half + 3)
    bridge = left + (right - left) * across
    middle = strip[:, 2:-2]
    padded = np.pad(middle - bridge, ((run // 2, run // 2), (0, 0)), mode="edge")
    rows = np.lib.stride_tricks.sliding_window_view(padded, run, 0)
    added = np.asarray(np.median(rows, -1), np.float32)
    return np.clip(middle - added, bridge - room, bridge + room), added


def _smooth(plane: F32) -> F32:
    side = (TONE_PX, TONE_PX)
    return np.asarray(cv2.GaussianBlur(plane, side, TONE_SIGMA_PX, borderType=cv2.BORDER_REPLICATE), np.float32)
