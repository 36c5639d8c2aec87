"""What is measured of a mark, to tell dust from what moves: its height, its shape, and how well all around it fits."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from fastrestore.kernels.film_clean import F32, U8
from fastrestore.runtime.treatments.dust_sight import Neighbour, Sight

F64 = NDArray[np.float64]
_I32 = NDArray[np.int32]

TRAITS: Final = (
    "height",  # mean level by which it stands out, in deviations of grain
    "peak",  # the most
    "sure",  # the most beyond all that the neighbours have around the place
    "area",  # px, of a picture of 480 rows, as all lengths
    "fill",  # of its box
    "slimness",  # length over breadth
    "breadth",
    "lesser_misfit",  # mean difference around it to the neighbour that fits better, in heights
    "greater_misfit",
    "misfit_in_grain",  # the lesser, in deviations of grain
    "apart",  # mean difference of the neighbours where it lies, in heights
    "apart_around",
    "texture",  # standard deviation of what is around it, in heights
    "freed",  # share of its rim, in the frame itself, that is a third of its height away from it
    "alone",  # two thirds
    "clutter",  # share of what is around it that stands out as well
    "shear",  # standard deviation of motion around it, px
    "outside",  # share of it that a neighbour does not reach
    "crowd",  # other marks within 32 px
    "likeness",  # correlation with the most like place near by, in the neighbour where it is higher; see `again`
    "lesser_likeness",
    "explained",  # share of the mark that the most like place explains
    "lesser_explained",
)
"""What is measured, in this order."""

CHEAP: Final = TRAITS.index("likeness")
"""So many of them cost little."""

_REFERENCE_PX: Final = 480  # lengths are given for a picture of this height; smaller ones keep them
_RIM_PX: Final = 2  # around a mark, where its soft edge is
_RING_PX: Final = 5  # around that, where motion has to fit
_CROWD_PX: Final = 32
_AGAIN_PX: Final = 12  # how far something may move beyond the motion found
_FREED: Final = 1 / 3
_ALONE: Final = 2 / 3


def lengthened(size: tuple[int, ...]) -> float:
    """Return how many times a length for a picture of 480 rows is to be taken."""
    return max(1.0, min(size) / _REFERENCE_PX)


def cheap_traits(sight: Sight, labels: _I32, stats: _I32, numbers: NDArray[np.intp]) -> F64:
    """Measure all marks at once by what costs little.

    Args:
        sight: What stands out in a frame.
        labels: As from `Sight.spots`.
        stats: Likewise.
        numbers: Of the marks that are asked for.

    Returns:
        `(marks, CHEAP)`.
    """
    of = np.zeros(len(stats), np.uint16)
    of[numbers] = np.arange(1, len(numbers) + 1)
    kept = of[labels]
    body, rim, ring = _Part(kept, len(numbers)), _around(kept, 1, 3, len(numbers)), _ring(kept, len(numbers))
    scale = lengthened(labels.shape)
    grain = np.maximum(body.mean(sight.levels[sight.calm.reshape(-1)[body.places]]), 1e-3)
    height = np.maximum(body.mean(body.of(sight.near)), 1e-3)
    one, other = (side.luma for side in sight.sides)
    apart = cv2.absdiff(one, other)
    misfits = np.sort([ring.mean(ring.of(cv2.absdiff(sight.luma, side))) for side in (one, other)], 0)
    flow = sight.sides[0].flow.reshape(-1, 2)[ring.places]
    return np.stack(
        [
            height / grain,
            body.most(body.of(sight.near)) / grain,
            body.most(body.of(sight.sure)) / grain,
            *_shape(body, stats[numbers], labels.shape[1], scale),
            *(misfits / height),
            misfits[0] / grain,
            body.mean(body.of(apart)) / height,
            ring.mean(ring.of(apart)) / height,
            ring.deviation(ring.of(sight.calm)) / height,
            *_freedom(sight, body, rim, height),
            ring.mean(ring.of(sight.near) > grain[ring.mark] * 2 + 3),
            np.hypot(ring.deviation(flow[:, 0]), ring.deviation(flow[:, 1])),
            np.maximum(*(body.mean(_outside(side.flow, body.places)) for side in sight.sides)),
            _crowd(stats[numbers], _CROWD_PX * scale),
        ],
        1,
    )


class _Part:
    """Samples that belong to marks, numbered from 0."""

    def __init__(self, numbered: NDArray[np.uint16], count: int) -> None:
        self.places = np.flatnonzero(numbered)
        """By their flat index."""
        self.mark = numbered.reshape(-1)[self.places].astype(np.intp) - 1
        self._marks = count
        self.count = np.maximum(np.bincount(self.mark, minlength=count), 1)

    def of(self, plane: NDArray[np.generic]) -> F64:
        return plane.reshape(-1)[self.places].astype(np.float64)

    def mean(self, values: NDArray[np.generic]) -> F64:
        return np.bincount(self.mark, values, self._marks) / self.count

    def deviation(self, values: NDArray[np.generic]) -> F64:
        away = values - self.mean(values)[self.mark]
        return np.sqrt(self.mean(away * away))

    def most(self, values: F64) -> F64:
        highest = np.zeros(self._marks)
        np.maximum.at(highest, self.mark, values)
        return highest


def _around(kept: NDArray[np.uint16], inner_px: int, outer_px: int, count: int) -> _Part:
    grown = cv2.dilate(kept, np.ones((2 * outer_px + 1,) * 2, np.uint8))
    grown[cv2.dilate((kept > 0).view(np.uint8), np.ones((2 * inner_px + 1,) * 2, np.uint8)) > 0] = 0
    return _Part(np.asarray(grown, np.uint16), count)


def _ring(kept: NDArray[np.uint16], count: int) -> _Part:
    return _around(kept, _RIM_PX, _RIM_PX + _RING_PX, count)


def _shape(body: _Part, stats: _I32, width: int, scale: float) -> tuple[F64, F64, F64, F64]:
    """Return area, fill of the box, slimness and breadth of the ellipses with the marks' moments."""
    y, x = np.divmod(body.places, width)
    away_x, away_y = x - body.mean(x)[body.mark], y - body.mean(y)[body.mark]
    xx, yy, xy = body.mean(away_x**2) + 1 / 12, body.mean(away_y**2) + 1 / 12, body.mean(away_x * away_y)
    half, root = (xx + yy) / 2, np.sqrt(((xx - yy) / 2) ** 2 + xy**2)
    least = np.maximum(half - root, 1 / 24)
    area = stats[:, cv2.CC_STAT_AREA].astype(np.float64)
    box = np.maximum(stats[:, cv2.CC_STAT_WIDTH] * stats[:, cv2.CC_STAT_HEIGHT], 1)
    return area / scale**2, area / box, np.sqrt((half + root) / least), 4 * np.sqrt(least) / scale


def _freedom(sight: Sight, body: _Part, rim: _Part, height: F64) -> tuple[F64, F64]:
    """Return what share of a mark's rim differs from it in the frame itself: an edge that slid joins its own tone."""
    luma = body.of(sight.luma)
    tone = body.mean(luma)
    sign = np.where(body.mean(luma - body.of(sight.calm)) > 0, 1.0, -1.0)
    beyond = (tone[rim.mark] - rim.of(sight.luma)) * (sign / height)[rim.mark]
    return rim.mean(beyond > _FREED), rim.mean(beyond > _ALONE)


def _outside(flow: F32, places: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Which of some samples, by their flat index, lie outside the other picture."""
    height, width = flow.shape[:2]
    y, x = np.divmod(places, width)
    to_x, to_y = (flow.reshape(-1, 2)[places] + np.stack([x, y], 1)).T
    return np.asarray((to_x < -0.5) | (to_x > width - 0.5) | (to_y < -0.5) | (to_y > height - 0.5))


def _crowd(stats: _I32, reach: float) -> F64:
    """Return how many other marks' middles are within reach of each mark's."""
    middle = stats[:, :2] + stats[:, 2:4] / 2
    near = np.abs(middle[:, None] - middle).max(2, initial=0) <= reach
    return near.sum(1) - 1.0


def again(sight: Sight, others: tuple[U8, U8], box: tuple[int, int, int, int]) -> tuple[float, float, float, float]:
    """Return how well a mark is found again near by in its neighbours, as they were before they were warped.

    Args:
        sight: What stands out in the frame.
        others: Luma of the frame before and of the one after.
        box: x, y, width and height of the mark.

    Returns:
        The last four of `TRAITS`.
    """
    found = [_again(sight, side, other, box) for side, other in zip(sight.sides, others, strict=True)]
    alike, explained = (sorted(values) for values in zip(*found, strict=True))
    return alike[1], alike[0], explained[1], explained[0]


def _again(sight: Sight, side: Neighbour, other: U8, box: tuple[int, int, int, int]) -> tuple[float, float]:
    """Return likeness of the best place in shape, as a correlation, and how much of the mark it explains.

    The latter is 0 for nothing, 1 for all but the grain.
    """
    luma, (x, y, width, height) = sight.luma, box
    margin = _RIM_PX + 1
    left, right = max(x - margin, 0), min(x + width + margin, luma.shape[1])
    top, bottom = max(y - margin, 0), min(y + height + margin, luma.shape[0])
    mark, seen = luma[top:bottom, left:right], side.luma[top:bottom, left:right]
    reach = round(_AGAIN_PX * lengthened(luma.shape))
    dx, dy = (round(float(v)) for v in side.flow[y + height // 2, x + width // 2])
    rows = slice(max(top + dy - reach, 0), max(bottom + dy + reach, 0))
    columns = slice(max(left + dx - reach, 0), max(right + dx + reach, 0))
    area = other[rows, columns]
    if area.shape[0] < mark.shape[0] or area.shape[1] < mark.shape[1]:
        return 0.0, 0.0
    likeness = max(float(cv2.matchTemplate(area, mark, cv2.TM_CCOEFF_NORMED).max()), 0.0)
    # What is left of the mark after the best fit of one gain and one offset, against what is left of it unmoved.
    noise = mark.size * float(sight.levels[sight.calm[y + height // 2, x + width // 2]]) ** 2
    _, spread = cv2.meanStdDev(mark)
    left_over = (1 - likeness**2) * mark.size * float(spread[0, 0]) ** 2 - noise
    _, unlike = cv2.meanStdDev(cv2.subtract(mark, seen, dtype=cv2.CV_16S))
    unmoved = mark.size * float(unlike[0, 0]) ** 2 - noise
    return likeness, min(max(1 - max(left_over, 0.0) / max(unmoved, 1.0), -1.0), 1.0)
