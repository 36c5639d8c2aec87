"""How the whole picture moves: corners followed from one frame of a shot to the others, and the similarity they share.

Every frame is compared with an anchor, an earlier frame of its shot, for as long as enough of it is still seen. Errors
therefore add up from anchor to anchor only, not from frame to frame, and one bad frame breaks nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fastrestore.kernels.film_steady import Matrix, even_contrast
from fastrestore.runtime.treatments.treatment import Glimpse

BACK, DX, DY, LOG_SCALE, ANGLE, TRUST, ERROR_PX = range(7)
"""What the numbers of a frame are: see `MotionProbe`."""
PROBE_NAME = "global-motion-1"

_WORKING_PX = 960
"""Larger pictures are reduced to this on their longer side: motion is known to a twentieth of a pixel there too."""
_MOST_CORNERS = 400
_CORNER_QUALITY = 0.02
_CORNER_DISTANCE_SHARE = 0.018
"""Of the longer side: corners are no closer to each other, so that no object holds them all."""
_MARGIN_SHARE = 0.04
"""Nothing is followed this close to the edges: what the gate shows there does not move with the picture."""
_WINDOW_PX = 21
_LEVELS = 3
_NEAR_PX = 1.5
"""Corners farther than this from where the common motion puts them move by themselves."""
_LEAST_CORNERS = 10
_LEAST_SHARE = 0.2
_ANCHOR_SHARE = 0.65
"""Of the anchor's corners: if fewer are followed, the next frames are compared with this one instead."""
_MOST_ERROR_PX = 0.25
_MOST_MISSES = 3
"""So many frames in a row that do not fit begin a new path: a cut that was not seen, or a dissolve."""
_TURN_PRIOR = 0.05
"""Standard deviation of scale and turn before anything is measured; decides only where corners cannot."""
_CORNER_NOISE_PX = 0.3


@dataclass(frozen=True, slots=True)
class Similarity:
    """`z -> factor * z + shift` over places `x + iy` in pixels from the middle of the picture."""

    factor: complex = 1 + 0j
    shift: complex = 0j

    def after(self, first: Similarity) -> Similarity:
        """Return the map that does `first`, then this."""
        return Similarity(self.factor * first.factor, self.factor * first.shift + self.shift)

    @property
    def inverse(self) -> Similarity:
        """The map back."""
        return Similarity(1 / self.factor, -self.shift / self.factor)

    def matrix(self, width: int, height: int) -> Matrix:
        """Return it as a map between places of a picture, whose first sample is at (0, 0)."""
        a, b = self.factor.real, self.factor.imag
        middle = complex((width - 1) / 2, (height - 1) / 2)
        offset = self.shift + middle - self.factor * middle
        return np.array([[a, -b, offset.real], [b, a, offset.imag]])


@dataclass(frozen=True, slots=True)
class Match:
    """The common motion of two pictures, first to second."""

    motion: Similarity
    share: float
    """Of the corners looked for: how many moved so."""
    error_px: float
    """Standard error of where it puts a pixel, RMS over the picture."""


@dataclass(frozen=True, slots=True)
class _View:
    """A picture made fit for tracking."""

    index: int
    image: NDArray[np.uint8]
    corners: NDArray[np.float32]
    """`(n, 2)` px of the image; empty if it is nobody's anchor."""


class MotionProbe:
    """Finds how each frame lies on an earlier one of its shot. Looks at every shot from its first frame on.

    Its numbers are:

    - `BACK`: how many frames earlier; 0 where a path begins, or where nothing is known of a frame;
    - `DX`, `DY`: where the middle of that frame has moved to, in px of the picture, right and down;
    - `LOG_SCALE`: natural logarithm of how much larger everything is;
    - `ANGLE`: how far it turned about the middle, in radians, from right to down;
    - `TRUST`: share of that frame's corners that moved so, `[0, 1]`; 1 where a path begins, 0 if nothing is known;
    - `ERROR_PX`: standard error of this, RMS over the picture, in px.
    """

    def __init__(self) -> None:
        self._anchor: _View | None = None
        self._last: _View | None = None
        self._pose = Similarity()
        self._misses = 0

    @property
    def name(self) -> str:
        """See `Probe.name`."""
        return PROBE_NAME

    def look(self, glimpse: Glimpse) -> Sequence[float]:
        """See `Probe.look`."""
        luma = glimpse.luma
        reduction = max(1.0, max(luma.shape) / _WORKING_PX)
        if reduction > 1:
            size = (round(luma.shape[1] / reduction), round(luma.shape[0] / reduction))
            luma = np.asarray(cv2.resize(luma, size, interpolation=cv2.INTER_AREA), np.uint8)
        view = _View(glimpse.index, even_contrast(luma), np.empty((0, 2), np.float32))
        if glimpse.previous is None or self._last is None or self._last.index != glimpse.index - 1:
            return self._begin(view)
        last, self._last = self._last, view
        match = self._follow(view, last)
        if match is None:
            self._misses += 1
            return self._begin(view) if self._misses >= _MOST_MISSES else [0.0] * 7
        assert self._anchor is not None, "a match is with an anchor"
        back, found = view.index - self._anchor.index, match.motion
        self._misses, self._pose = 0, found
        if match.share < _ANCHOR_SHARE:
            self._hold(view)
        factor = complex(found.factor)
        shift, error_px = found.shift * reduction, match.error_px * reduction
        turn = math.atan2(factor.imag, factor.real)
        return [float(back), shift.real, shift.imag, math.log(abs(factor)), turn, match.share, error_px]

    def _follow(self, view: _View, last: _View) -> Match | None:
        """Match a picture with the anchor or, failing that, with the frame before, which then is the anchor."""
        anchor = self._anchor
        if anchor is not None:
            match = match_corners(anchor.image, anchor.corners, view.image, self._pose)
            if match is not None or self._misses or last.index == anchor.index:
                return match
        self._hold(last)
        assert self._anchor is not None, "it has just been set"
        return match_corners(last.image, self._anchor.corners, view.image, Similarity())

    def _begin(self, view: _View) -> list[float]:
        """Begin a path with a picture; it is trusted if there is anything in it to follow."""
        self._hold(view)
        self._last, self._misses = view, 0
        assert self._anchor is not None, "it has just been set"
        seen = len(self._anchor.corners) >= _LEAST_CORNERS
        return [0.0, 0.0, 0.0, 0.0, 0.0, float(seen), 0.0]

    def _hold(self, view: _View) -> None:
        self._anchor = _View(view.index, view.image, find_corners(view.image))
        self._pose = Similarity()


def find_corners(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return corners worth following, `(n, 2)` float32 px, spread over the picture."""
    height, width = image.shape
    mask = np.zeros_like(image)
    x, y = math.ceil(width * _MARGIN_SHARE), math.ceil(height * _MARGIN_SHARE)
    mask[y : height - y, x : width - x] = 255
    distance = max(3.0, max(height, width) * _CORNER_DISTANCE_SHARE)
    found = cv2.goodFeaturesToTrack(image, _MOST_CORNERS, _CORNER_QUALITY, distance, mask=mask, blockSize=7)
    return np.empty((0, 2), np.float32) if found is None else np.asarray(found, np.float32).reshape(-1, 2)


def match_corners(
    first: NDArray[np.uint8], corners: NDArray[np.float32], second: NDArray[np.uint8], guess: Similarity
) -> Match | None:
    """Find the similarity that most corners of a picture share in another one.

    Args:
        first: `(H, W)` uint8, of even contrast.
        corners: `(n, 2)` float32 px of the first picture.
        second: `(H, W)` uint8, of even contrast.
        guess: Where to begin.

    Returns:
        What is shared, or None if too few corners agree to know it.
    """
    if len(corners) < _LEAST_CORNERS:
        return None
    height, width = first.shape
    middle = np.array([(width - 1) / 2, (height - 1) / 2], np.float32)
    begin = corners @ guess.matrix(width, height)[:, :2].T + guess.matrix(width, height)[:, 2]
    moved, seen, _ = cv2.calcOpticalFlowPyrLK(
        first,
        second,
        corners,
        np.ascontiguousarray(begin, np.float32),
        winSize=(_WINDOW_PX, _WINDOW_PX),
        maxLevel=_LEVELS,
        criteria=(cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 20, 0.01),
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )
    inside = ((moved >= 0) & (moved <= 2 * middle)).all(1) & (seen.reshape(-1) != 0)
    if int(inside.sum()) < _LEAST_CORNERS:
        return None
    before, after = corners[inside] - middle, moved[inside] - middle
    fitted = fit_similarity(before.astype(np.float64), after.astype(np.float64), float(np.hypot(width, height)))
    if fitted is None:
        return None
    motion, agreeing, error_px = fitted
    share = agreeing / len(corners)
    if agreeing < _LEAST_CORNERS or share < _LEAST_SHARE or error_px > _MOST_ERROR_PX:
        return None
    return Match(motion, share, error_px)


def fit_similarity(
    before: NDArray[np.float64], after: NDArray[np.float64], diagonal_px: float
) -> tuple[Similarity, int, float] | None:
    """Return the similarity that most of the places share, how many do, and its error; None if there is none.

    Args:
        before: `(n, 2)` px from the middle of the picture.
        after: `(n, 2)`, where they have moved to.
        diagonal_px: Of the picture.
    """
    # OpenCV seeds its random choice with a constant: the same places give the same answer.
    rough, _ = cv2.estimateAffinePartial2D(
        before, after, method=cv2.RANSAC, ransacReprojThreshold=_NEAR_PX, maxIters=500, confidence=0.995, refineIters=0
    )
    if rough is None or not np.isfinite(rough).all():
        return None
    z, w = before[:, 0] + 1j * before[:, 1], after[:, 0] + 1j * after[:, 1]
    factor, shift = complex(rough[0, 0], rough[1, 0]), complex(rough[0, 2], rough[1, 2])
    prior = (_CORNER_NOISE_PX / _TURN_PRIOR) ** 2
    spread = _NEAR_PX
    for _ in range(6):
        away = np.abs(w - factor * z - shift)
        weight = np.where(away < 3 * spread, (1 - (away / (3 * spread)) ** 2) ** 2, 0.0)
        total = float(weight.sum())
        if total <= 0:
            return None
        mean_z, mean_w = (weight @ z) / total, (weight @ w) / total
        reach = float(weight @ np.abs(z - mean_z) ** 2) + prior
        factor = complex((weight @ (np.conj(z - mean_z) * (w - mean_w)) + prior) / reach)
        shift = complex(mean_w - factor * mean_z)
        spread = min(_NEAR_PX, max(0.1, 1.5 * float(np.median(away[weight > 0]))))
    near = np.abs(w - factor * z - shift) < _NEAR_PX
    noise_px = max(0.05, float(np.sqrt((weight @ np.abs(w - factor * z - shift) ** 2) / total)))
    lever = diagonal_px**2 / 12 + abs(mean_z) ** 2
    if not 0.5 < abs(factor) < 2:
        return None
    return Similarity(factor, shift), int(near.sum()), noise_px * math.sqrt(1 / total + lever / reach)
