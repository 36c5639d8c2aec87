"""What is measured of a mark, to tell dust from what moves: its height, its shape, and how well all around it fits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from fastrestore.kernels.film_clean import F32, U8
from fastrestore.runtime.treatments.clean.dust_sight import Neighbour, Sight, Spots

F64 = NDArray[np.float64]
_I32 = NDArray[np.int32]

TRAITS: Final = (
    "height",  # mean level by which it stands out, in deviations of grain
    "peak",  # the most
    "sure",  # the most beyond all that the neighbours have around the place
    "area",  # px, of a picture of 480 rows, as all lengths
    "slimness",  # length over breadth
    "breadth",
    "lesser_misfit",  # mean difference around it to the neighbour that fits better, in heights
    "greater_misfit",
    "misfit_in_grain",  # the lesser, in deviations of grain
    "apart",  # mean difference of the neighbours where it lies, in heights
    "apart_around",
    "texture",  # standard deviation of what is around it, in heights
    "unevenness",  # its own, in the frame
    "freed",  # share of its rim, in the frame, that is a third of its height away from it: an edge joins its own tone
    "least_freed",  # how far the nearest tone of its rim is, in heights; below 0 beyond it
    "extreme",  # the same of all around it
    "likeness",  # correlation with the most like place near by, in the neighbour that is more so
    "lesser_likeness",
    "explained",  # share of the mark that the most like place explains
    "lesser_explained",
    "left",  # how far it stands out where what is around it fits best, in heights, in the neighbour that fits better
    "other_left",
)
"""What is measured, in this order."""

CHEAP: Final = TRAITS.index("likeness")
"""So many are measured of all marks at once."""
SOUGHT: Final = TRAITS.index("left")
"""So many are known without the last and dearest look."""

_REFERENCE_PX: Final = 480  # lengths are given for a picture of this height; smaller ones keep them
_RIM_PX: Final = 2  # around a mark, where its soft edge is
_RING_PX: Final = 5  # around that, where motion has to fit
_AGAIN_PX: Final = 12  # how far something may move beyond the motion found
_BESIDE_PX: Final = 8  # how far what is around a mark may
_FREED: Final = 1 / 3
_FAR: Final = 9.0  # heights: of nothing


def lengthened(size: tuple[int, ...]) -> float:
    """Return how many times a length for a picture of 480 rows is to be taken."""
    return max(1.0, min(size) / _REFERENCE_PX)


def cheap_traits(sight: Sight, spots: Spots, numbers: NDArray[np.intp]) -> F64:
    """Measure all marks at once by what costs little.

    Args:
        sight: What stands out in a frame.
        spots: Likewise.
        numbers: Of the marks that are asked for.

    Returns:
        `(marks, CHEAP)`.
    """
    labels, stats = spots.labels, spots.stats
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
            body.deviation(body.of(sight.luma)) / height,
            *_freedom(sight, body, (rim, ring), height),
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

    def deviation(self, values: F64) -> F64:
        away = values - self.mean(values)[self.mark]
        return np.sqrt(self.mean(away * away))

    def most(self, values: F64) -> F64:
        highest = np.zeros(self._marks)
        np.maximum.at(highest, self.mark, values)
        return highest

    def least(self, values: F64) -> F64:
        lowest = np.full(self._marks, _FAR)
        np.minimum.at(lowest, self.mark, values)
        return lowest


def _around(kept: NDArray[np.uint16], inner_px: int, outer_px: int, count: int) -> _Part:
    grown = cv2.dilate(kept, np.ones((2 * outer_px + 1,) * 2, np.uint8))
    grown[cv2.dilate((kept > 0).view(np.uint8), np.ones((2 * inner_px + 1,) * 2, np.uint8)) > 0] = 0
    return _Part(np.asarray(grown, np.uint16), count)


def _ring(kept: NDArray[np.uint16], count: int) -> _Part:
    return _around(kept, _RIM_PX, _RIM_PX + _RING_PX, count)


def _shape(body: _Part, stats: _I32, width: int, scale: float) -> tuple[F64, F64, F64]:
    """Return area, and slimness and breadth of the ellipses with the marks' moments."""
    y, x = np.divmod(body.places, width)
    away_x, away_y = x - body.mean(x)[body.mark], y - body.mean(y)[body.mark]
    xx, yy, xy = body.mean(away_x**2) + 1 / 12, body.mean(away_y**2) + 1 / 12, body.mean(away_x * away_y)
    half, root = (xx + yy) / 2, np.sqrt(((xx - yy) / 2) ** 2 + xy**2)
    least = np.maximum(half - root, 1 / 24)
    area = stats[:, cv2.CC_STAT_AREA].astype(np.float64)
    return area / scale**2, np.sqrt((half + root) / least), 4 * np.sqrt(least) / scale


def _freedom(sight: Sight, body: _Part, around: tuple[_Part, _Part], height: F64) -> tuple[F64, F64, F64]:
    """Return how a mark stands out from its rim and from all around it in the frame itself."""
    luma = body.of(sight.luma)
    tone = body.mean(luma)
    sign = np.where(body.mean(luma - body.of(sight.calm)) > 0, 1.0, -1.0)
    rim, ring = ((tone[part.mark] - part.of(sight.luma)) * (sign / height)[part.mark] for part in around)
    return around[0].mean(rim > _FREED), around[0].least(rim), around[1].least(ring)


@dataclass(frozen=True, slots=True)
class Cutting:
    """A mark and what is around it in the frame."""

    box: tuple[slice, slice]
    """What is cut out: the mark with its rim and ring."""
    closer: tuple[slice, slice]
    """The mark with little more than its rim."""
    body: NDArray[np.bool_]
    """Where in `box` the mark lies."""
    middle: tuple[int, int]
    """Row and column of the frame."""

    @classmethod
    def of(cls, spots: Spots, number: int) -> Self:
        """Cut a mark out."""
        x, y, width, height = (int(v) for v in spots.stats[number, :4])
        box, closer = (
            (slice(max(y - m, 0), min(y + height + m, rows)), slice(max(x - m, 0), min(x + width + m, columns)))
            for rows, columns in (spots.labels.shape,)
            for m in (_RIM_PX + _RING_PX, _RIM_PX + 1)
        )
        return cls(box, closer, spots.labels[box] == number, (y + height // 2, x + width // 2))


def sought(sight: Sight, others: tuple[U8, U8], cutting: Cutting) -> F64:
    """Return how well a mark is found again near by in its neighbours, as they were before they were warped.

    Args:
        sight: What stands out in the frame.
        others: Luma of the frame before and of the one after.
        cutting: The mark.

    Returns:
        `TRAITS` from `CHEAP` to `SOUGHT`.
    """
    found = [_again(sight, side, other, cutting) for side, other in zip(sight.sides, others, strict=True)]
    alike, explained = (sorted(values) for values in zip(*found, strict=True))
    return np.array([alike[1], alike[0], explained[1], explained[0]])


def _again(sight: Sight, side: Neighbour, other: U8, cutting: Cutting) -> tuple[float, float]:
    """Return likeness of the best place in shape, as a correlation, and how much of the mark it explains.

    The latter is 0 for nothing, 1 for all but the grain.
    """
    mark, seen = sight.luma[cutting.closer], side.luma[cutting.closer]
    area = _area(side, other, cutting.closer, cutting.middle, round(_AGAIN_PX * lengthened(other.shape)))
    if area.shape[0] < mark.shape[0] or area.shape[1] < mark.shape[1]:
        return 0.0, 0.0
    likeness = max(float(cv2.matchTemplate(area, mark, cv2.TM_CCOEFF_NORMED).max()), 0.0)
    # What is left of the mark after the best fit of one gain and one offset, against what is left of it unmoved.
    noise = float(sight.levels[sight.calm[cutting.middle]]) ** 2
    left_over = (1 - likeness**2) * _variance(mark) - noise
    unmoved = _variance(cv2.subtract(mark, seen, dtype=cv2.CV_32F)) - noise
    return likeness, min(max(1 - max(left_over, 0.0) / max(unmoved, 1 / mark.size), -1.0), 1.0)


def _variance(plane: NDArray[np.generic]) -> float:
    return float(cv2.meanStdDev(plane)[1][0, 0]) ** 2  # `numpy.var` takes five times as long on so few


def left(sight: Sight, others: tuple[U8, U8], cutting: Cutting) -> F64:
    """Return how far a mark stands out of its neighbours where they look most like what is around it.

    Motion that was found wrong, for the mark or for what moves near by, does not count here.

    Args:
        sight: What stands out in the frame.
        others: Luma of the frame before and of the one after.
        cutting: The mark.

    Returns:
        `TRAITS` from `SOUGHT` on.
    """
    grown, rim = (
        cv2.dilate(cutting.body.view(np.uint8), np.ones((2 * reach + 1,) * 2, np.uint8))
        for reach in (_RIM_PX + _RING_PX, _RIM_PX)
    )
    luma, ring = sight.luma[cutting.box].astype(np.float32), (grown > rim).astype(np.float32)
    sides = zip(sight.sides, others, strict=True)
    found = sorted(_beside(luma, side, other, cutting, ring) for side, other in sides)
    height = float((luma - sight.calm[cutting.box])[cutting.body].mean())
    return np.array([difference for _, difference in found]) / (height if abs(height) >= 1 else 1.0)


def _beside(luma: F32, side: Neighbour, other: U8, cutting: Cutting, ring: F32) -> tuple[float, float]:
    """Return how badly the best place fits around a mark, and the mean by which the mark differs from it."""
    area = _area(side, other, cutting.box, cutting.middle, _BESIDE_PX)
    share = float(ring.sum())
    if share == 0 or area.shape[0] < ring.shape[0] or area.shape[1] < ring.shape[1]:
        return math.inf, 0.0
    middle = luma.mean()  # sums of squares of what is near 0 keep their digits
    wanted, seen = luma - middle, area * np.float32(side.gain) - middle
    # The mean square of what differs under the ring but for its mean, by sums at all places at once.
    sums = cv2.matchTemplate(seen, ring, cv2.TM_CCORR)
    squares = cv2.matchTemplate(seen * seen, ring, cv2.TM_CCORR)
    products = cv2.matchTemplate(seen, ring * wanted, cv2.TM_CCORR)
    offset = (float((ring * wanted).sum()) - sums) / share
    misfit = (squares - 2 * products) / share - offset * offset
    _, _, (x, y), _ = cv2.minMaxLoc(misfit)
    there = seen[y : y + ring.shape[0], x : x + ring.shape[1]]
    difference = float((wanted - there)[cutting.body].mean()) - float(offset[y, x])
    return float(misfit[y, x]) + float((ring * wanted * wanted).sum()) / share, difference


def _area(side: Neighbour, other: U8, box: tuple[slice, slice], middle: tuple[int, int], reach: int) -> U8:
    """Return the part of a neighbour in which a box is to be searched for: so far around where motion leads."""
    dx, dy = (round(float(v)) for v in side.flow[middle])
    rows, columns = (
        slice(max(part.start + move - reach, 0), max(part.stop + move + reach, 0))
        for part, move in zip(box, (dy, dx), strict=True)
    )
    return other[rows, columns]
