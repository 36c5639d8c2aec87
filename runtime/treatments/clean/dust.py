"""Dust and dirt: marks that are on one frame alone, found by what the frames around it have in their place.

A mark stands out from both neighbours to the same side. So does what moves too fast to be followed: an insect, a
spoke, a glint on water. What tells them apart is measured (`dust_traits`) and weighed (`dust_forest`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from fastrestore.frames import Picture
from fastrestore.kernels.film_clean import U8
from fastrestore.runtime.treatments.clean.dust_forest import open_forest
from fastrestore.runtime.treatments.clean.dust_sight import Limits, Neighbour, Sight, Spots
from fastrestore.runtime.treatments.clean.dust_traits import Cutting, cheap_traits, left, lengthened, sought
from fastrestore.runtime.treatments.short_motion import ShortMotion

_Numbers = NDArray[np.intp]

_LARGEST_PX: Final = 60  # of a picture of 480 rows; longer than this, a mark is a thing
_LONGEST_HAIR_PX: Final = 160  # unless it is as thin as a hair
_HAIR_FILL: Final = 0.3  # of its box
_POST_PX: Final = 30  # as high as this and upright, a mark is a post or a scratch
_POST_SLIMNESS: Final = 8
_CROWDED: Final = 0.12  # of the frame: so much is not dust, but motion that was not found
_MOST_SPOTS: Final = 4000
_OUTSIDE: Final = 0.3  # of a mark, where a neighbour does not reach
_SQUARE: Final = np.ones((3, 3), np.uint8)


@dataclass(frozen=True, slots=True)
class Dust:
    """The marks of a frame."""

    mask: NDArray[np.bool_]
    """`(H, W)`."""
    boxes: tuple[tuple[int, int, int, int], ...]
    """x, y, width and height of every one."""
    luma: U8
    """`(H, W)`: of the frame."""
    sides: tuple[Neighbour, Neighbour]
    """What the marks hide: the frame before and the one after."""


class DustFinder:
    """Finds marks.

    Args:
        motion: Finds how frames lie on each other. What it keeps changes nothing but the time taken.
        limits: How much a mark must stand out, and how much like dust it must be.
    """

    radius: Final = 1
    """Frames it looks at on either side."""

    def __init__(self, motion: ShortMotion, limits: Limits) -> None:
        self._motion, self._limits = motion, limits
        self._forest = open_forest()

    def find(self, pictures: tuple[Picture | None, ...]) -> Dust | None:
        """Find the marks of the frame in the middle, or None if it has none or lacks a neighbour.

        The first and last frame of a shot are left alone: what is on the first frame and not on the second may have
        been covered in between.
        """
        middle = len(pictures) // 2
        before, picture, after = pictures[middle - 1 : middle + 2]
        if before is None or picture is None or after is None:
            return None
        sight = Sight.of(self._motion, before, picture, after)
        spots = sight.spots(self._limits)
        numbers = spots.marked[_shapely(spots.stats[spots.marked], spots.labels.shape)]
        if not 0 < len(numbers) <= _MOST_SPOTS:
            return None
        numbers = self._likely(sight, (self._motion.luma(before), self._motion.luma(after)), spots, numbers)
        numbers = np.array([number for number in numbers if not _outside(sight, spots, int(number))], np.intp)
        chosen = np.zeros(len(spots.stats), np.bool_)
        chosen[numbers] = True
        mask = chosen[spots.labels]
        if not len(numbers) or mask.mean() > _CROWDED:
            return None
        mask = (cv2.dilate(mask.view(np.uint8), _SQUARE) > 0) & spots.low
        boxes = [(int(x), int(y), int(width), int(height)) for x, y, width, height in spots.stats[numbers, :4]]
        return Dust(mask, tuple(boxes), sight.luma, sight.sides)

    def _likely(self, sight: Sight, others: tuple[U8, U8], spots: Spots, numbers: _Numbers) -> _Numbers:
        """Return which are likely dust. What takes time is measured only of those that it could still make so."""
        traits = cheap_traits(sight, spots, numbers)
        for measure in (sought, left):
            hopeful = self._forest.most_odds(traits) > self._limits.odds
            numbers, traits = numbers[hopeful], traits[hopeful]
            if not len(numbers):
                return numbers
            more = [measure(sight, others, Cutting.of(spots, int(number))) for number in numbers]
            traits = np.hstack([traits, np.array(more)])
        return numbers[self._forest.odds(traits) > self._limits.odds]


def _shapely(stats: NDArray[np.int32], size: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which have the size of dust, or are hairs; and no upright lines."""
    scale = lengthened(size)
    width, height = stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]
    longest = np.maximum(width, height)
    thin = stats[:, cv2.CC_STAT_AREA] < _HAIR_FILL * (width * height)
    sized = (longest <= _LARGEST_PX * scale) | (thin & (longest <= _LONGEST_HAIR_PX * scale))
    upright = (height >= _POST_PX * scale) & (height >= _POST_SLIMNESS * width)
    return np.asarray(sized & ~upright)


def _outside(sight: Sight, spots: Spots, number: int) -> bool:
    """Whether a neighbour does not reach to where much of a mark lies."""
    x, y, width, height = (int(v) for v in spots.stats[number, :4])
    box = slice(y, y + height), slice(x, x + width)
    rows, columns = np.nonzero(spots.labels[box] == number)
    bottom, right = np.array(spots.labels.shape) - 0.5
    for side in sight.sides:
        to_x, to_y = (side.flow[box][rows, columns] + np.stack([columns + x, rows + y], 1)).T
        if np.mean((to_x < -0.5) | (to_x > right) | (to_y < -0.5) | (to_y > bottom)) > _OUTSIDE:
            return True
    return False
