"""Dust and dirt: marks that are on one frame alone, found by what the frames around it have in their place.

A mark stands out from both neighbours to the same side. So does what moves too fast to be followed: an insect, a
spoke, a glint on water. Those are known by what dust does not do: it is not there again nearby in the frame before and
after, the frames on either side agree where it lies, and all around it motion fits.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from fastrestore.frames import Picture
from fastrestore.kernels.film_clean import F32, U8, spikes, warped
from fastrestore.runtime.treatments.clean_light import evened, grain_levels, light_gain
from fastrestore.runtime.treatments.short_motion import ShortMotion

_I32 = NDArray[np.int32]
_Flags = NDArray[np.bool_]

_REFERENCE_PX: Final = 480  # sizes of marks are given for a picture of this height; smaller ones keep them
_LARGEST_PX: Final = 60  # longer than this, a mark is a thing
_LONGEST_HAIR_PX: Final = 160  # unless it is as thin as a hair
_HAIR_FILL: Final = 0.3  # of its box
_POST_PX: Final = 30  # as high as this and upright, a mark is a post or a scratch
_POST_SLIMNESS: Final = 8
_CROWDED: Final = 0.12  # of the frame: so much is not dust, but motion that was not found
_MOST_SPOTS: Final = 4000
_RIM_PX: Final = 2  # around a mark, where its soft edge is
_RING_PX: Final = 5  # around that, where motion has to fit
_SPARED: Final = 0.15  # share of a mark's height by which its ring may be off
_APART_AROUND: Final = 0.2  # the same, in its ring: the surest sign of water, leaves and legs
_APART: Final = 0.4  # share of a mark's height by which the neighbours may differ where it lies
_OUTSIDE: Final = 0.3  # of a mark, where a neighbour does not reach
_TEXTURE_PX: Final = 7  # around its middle: whose texture it must stand out from
_AGAIN_PX: Final = 12  # how far something may move beyond the motion found, in a picture of that height
_ALIKE_BOTH: Final = 0.7  # correlation from which it is the same thing in both neighbours
_ALIKE_ONE: Final = 0.9  # and in one of them
_EXPLAINED: Final = 0.2  # of a mark, at least, if it is to be a thing: dust may be shaped like a thing of another tone
_STRAYS_PX: Final = 40  # how far around marks are counted that are no dust, in a picture of that height
_LEAST_PX: Final = 6  # such lengths are never less


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a mark must stand out."""

    peak: float = 3.0
    """At its highest, in standard deviations of grain, beyond all that the neighbours have around the place."""
    edge: float = 2.0
    """Where it ends, in standard deviations of grain."""
    floor: float = 5.0
    """Levels more than that: what rounding and compression do."""
    texture: float = 1.0
    """In standard deviations of the picture around it."""
    strays: int = 3
    """Marks around it, on this frame and both neighbours, that are no dust; with so many, it is none either."""

    @classmethod
    def of(cls, strength: float) -> Self:
        """Return the limits for a strength in `[0, 1]`."""
        ease = 2 * (0.5 - strength)
        return cls(3.0 + 1.5 * ease, 2.0 + 0.7 * ease, 5.0 + 2.0 * ease, 1.0 + 0.5 * ease, round(3 / 4**ease))


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A neighbour in time as seen from a frame."""

    picture: Picture
    flow: F32
    """`(H, W, 2)`, px."""
    gain: float
    """Of the frame's light over the neighbour's."""
    luma: U8
    """`(H, W)`: warped, under the frame's light."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What stands out in a frame."""

    luma: U8
    sides: tuple[Neighbour, Neighbour]
    """The frame before and the one after."""
    near: U8
    sure: U8
    """See `kernels.film_clean.spikes`."""
    calm: U8
    """`(H, W)`: mean of both neighbours, which no mark of the frame's is on."""
    levels: F32
    """`(256,)`: standard deviation of the grain, by luma."""


@dataclass(frozen=True, slots=True)
class Dust:
    """The marks of a frame."""

    mask: _Flags
    """`(H, W)`."""
    boxes: tuple[tuple[int, int, int, int], ...]
    """x, y, width and height of every one."""
    luma: U8
    """`(H, W)`: of the frame."""
    sides: tuple[Neighbour, Neighbour]
    """What the marks hide: the frame before and the one after."""


class DustFinder:
    """Finds marks. What it keeps changes nothing but the time taken.

    Args:
        motion: Finds how frames lie on each other.
        limits: How much a mark must stand out.
    """

    radius: Final = 2
    """Frames it looks at on either side."""

    def __init__(self, motion: ShortMotion, limits: Limits) -> None:
        self._motion, self._limits = motion, limits
        self._sights: OrderedDict[tuple[int, int, int], tuple[tuple[Picture, ...], Sight, Marks]] = OrderedDict()

    def find(self, pictures: tuple[Picture | None, ...]) -> Dust | None:
        """Find the marks of the frame in the middle of five, or None if it has none or lacks a neighbour.

        The first and last frame of a shot are left alone: what is on the first frame and not on the second may have
        been covered in between.
        """
        middle = len(pictures) // 2
        sight, marks = self._sight(pictures[middle - 1 : middle + 2])
        if sight is None or not marks.alive.any():
            return None
        others = self._sight(pictures[middle - 2 : middle + 1])[1], self._sight(pictures[middle : middle + 3])[1]
        numbers = [n for n in np.flatnonzero(marks.alive).tolist() if self._plain(n, sight, marks, others)]
        chosen = np.zeros(len(marks.alive), np.bool_)
        chosen[numbers] = True
        mask = chosen[marks.labels]
        if not numbers or mask.mean() > _CROWDED:
            return None
        return Dust(mask, tuple(marks.box(number) for number in numbers), sight.luma, sight.sides)

    def _sight(self, pictures: tuple[Picture | None, ...]) -> tuple[Sight | None, Marks]:
        """Return what stands out in the frame in the middle of three: nothing if one is lacking."""
        before, picture, after = pictures
        if before is None or picture is None or after is None:
            return None, Marks.none()
        key = id(before), id(picture), id(after)
        if key not in self._sights:
            sight = self._look(picture, before, after)
            # The pictures are kept with it, so that no other ones can get their ids.
            self._sights[key] = (before, picture, after), sight, Marks.on(sight, self._limits)
            while len(self._sights) > 3:
                self._sights.popitem(last=False)
        return self._sights[key][1:]

    def _look(self, picture: Picture, before: Picture, after: Picture) -> Sight:
        luma = self._motion.luma(picture)
        sides = self._neighbour(picture, before), self._neighbour(picture, after)
        near, sure = spikes(luma, sides[0].luma, sides[1].luma)
        calm = np.asarray(cv2.addWeighted(sides[0].luma, 0.5, sides[1].luma, 0.5, 0), np.uint8)
        levels = np.maximum(grain_levels(luma, sides[0].luma), grain_levels(luma, sides[1].luma))
        return Sight(luma, sides, near, sure, calm, levels)

    def _neighbour(self, picture: Picture, other: Picture) -> Neighbour:
        flow = self._motion.flow(picture, other)
        seen = warped(self._motion.luma(other), flow)
        luma = self._motion.luma(picture)
        gain = light_gain(seen, luma)
        return Neighbour(other, flow, gain, evened(seen, luma, gain))

    def _plain(self, number: int, sight: Sight, marks: Marks, others: tuple[Marks, Marks]) -> bool:
        """Whether a mark stands out from the picture around it, and is nothing that moves."""
        x, y, width, height = marks.box(number)
        middle = x + width // 2, y + height // 2
        patch = sight.calm[_around(middle, _TEXTURE_PX, sight.luma.shape)]
        if marks.height[number] < self._limits.texture * float(patch.std()):
            return False
        strays = marks.strays_near(middle, (0, 0))
        for side, other in zip(sight.sides, others, strict=True):
            strays += other.strays_near(middle, side.flow[middle[1], middle[0]])
        if strays >= self._limits.strays:
            return False
        grain = float(sight.levels[patch].mean())
        grain = float(sight.levels[patch].mean())
        again = [
            _again(sight.luma, side, self._motion.luma(side.picture), (x, y, width, height), grain)
            for side in sight.sides
        ]
        alike, explained = (sorted(values) for values in zip(*again, strict=True))
        return bool((alike[0] < _ALIKE_BOTH and alike[1] < _ALIKE_ONE) or explained[0] < _EXPLAINED)


class Marks:
    """Connected samples that stand out, by number.

    Args:
        labels: `(H, W)` int32: the number of the mark that each sample is of.
        stats: As OpenCV's connected components have them.
    """

    def __init__(self, labels: _I32, stats: _I32) -> None:
        self.labels, self.stats = labels, stats
        self.alive = np.zeros(len(stats), np.bool_)
        """Which may be dust."""
        self.height = np.zeros(len(stats))
        """Mean level by which each of those stands out."""
        self._strays = np.zeros((0, 2))

    @classmethod
    def none(cls) -> Self:
        """Return no marks."""
        return cls(np.zeros((0, 0), np.int32), np.zeros((0, 5), np.int32))

    @classmethod
    def on(cls, sight: Sight, limits: Limits) -> Self:
        """Join samples above the lower limit, keep what has one above the higher, and tell dust from other things."""
        low = _by_tone(sight.calm, sight.levels * limits.edge + 0.6 * limits.floor)
        high = _by_tone(sight.calm, sight.levels * limits.peak + limits.floor)
        _, labels, stats, _ = cv2.connectedComponentsWithStats((sight.near > low).view(np.uint8), connectivity=8)
        marks = cls(np.asarray(labels, np.int32), np.asarray(stats, np.int32))
        seeds = np.bincount(marks.labels[sight.sure > high], minlength=len(stats)) > 0
        seeds[0] = False
        if not seeds.any() or seeds.sum() > _MOST_SPOTS:
            return marks
        marks.alive = seeds & marks.shapely(sight.luma.shape)
        if marks.alive.any():
            marks.alive &= marks.reliable(sight)
        strays = marks.stats[seeds & ~marks.alive]
        marks._strays = strays[:, :2] + strays[:, 2:4] / 2
        return marks

    def strays_near(self, middle: tuple[int, int], move: F32 | tuple[int, int]) -> int:
        """Return how many marks that are no dust lie around the place that a motion leads to."""
        place = middle[0] + float(move[0]), middle[1] + float(move[1])
        away = np.abs(self._strays - place).max(1, initial=0)
        return int((away <= _scaled(_STRAYS_PX, *self.labels.shape)).sum())

    def box(self, number: int) -> tuple[int, int, int, int]:
        """Return x, y, width and height of a mark."""
        left, top, width, height = (int(v) for v in self.stats[number, :4])
        return left, top, width, height

    def shapely(self, size: tuple[int, ...]) -> _Flags:
        """Which have the size of dust, or are hairs; and no upright lines."""
        scale = max(1.0, min(size) / _REFERENCE_PX)
        width, height = self.stats[:, cv2.CC_STAT_WIDTH], self.stats[:, cv2.CC_STAT_HEIGHT]
        longest = np.maximum(width, height)
        thin = self.stats[:, cv2.CC_STAT_AREA] < _HAIR_FILL * (width * height)
        sized = (longest <= _LARGEST_PX * scale) | (thin & (longest <= _LONGEST_HAIR_PX * scale))
        upright = (height >= _POST_PX * scale) & (height >= _POST_SLIMNESS * width)
        return np.asarray(sized & ~upright)

    def reliable(self, sight: Sight) -> _Flags:
        """Which lie where the neighbours agree with each other, and with the frame all around."""
        count = len(self.alive)
        numbers = np.cumsum(self.alive).astype(np.uint16) * self.alive  # few enough for 16 bits
        kept = numbers[self.labels]
        rim = cv2.dilate(kept, np.ones((2 * _RIM_PX + 1,) * 2, np.uint8))
        reach = 2 * (_RIM_PX + _RING_PX) + 1
        ring_of = cv2.dilate(kept, np.ones((reach, reach), np.uint8))
        ring_of[rim > 0] = 0
        inside, ring = np.flatnonzero(kept), np.flatnonzero(ring_of)
        grain = float(sight.levels.mean())
        one, other = (side.luma for side in sight.sides)
        apart = cv2.absdiff(one, other)
        residual = cv2.min(cv2.absdiff(sight.luma, one), cv2.absdiff(sight.luma, other))
        body, edge = kept.reshape(-1)[inside], ring_of.reshape(-1)[ring]
        means = [
            _means(plane.reshape(-1)[places], of, count)
            for plane, places, of in (
                (sight.near, inside, body), (apart, inside, body), (apart, ring, edge), (residual, ring, edge),
            )
        ]  # fmt: skip
        outside = np.maximum(*(_means(_outside(side.flow, inside), body, count) for side in sight.sides))
        height, apart_inside, apart_around, residual_around = (m[numbers] for m in means)
        self.height = height
        return np.asarray(
            (apart_inside < _APART * height + grain)
            & (apart_around < _APART_AROUND * height + grain)
            & (residual_around < _SPARED * height + grain)
            & (outside[numbers] < _OUTSIDE)
        )


def _by_tone(tone: U8, levels: NDArray[np.floating]) -> U8:
    return np.asarray(cv2.LUT(tone, np.clip(np.ceil(levels), 0, 255).astype(np.uint8)), np.uint8)


def _means(values: NDArray[np.generic], of: NDArray[np.uint16], count: int) -> NDArray[np.float64]:
    """Return the mean of the values of each number; 0 where it has none."""
    return np.bincount(of, values, count) / np.maximum(np.bincount(of, minlength=count), 1)


def _outside(flow: F32, places: NDArray[np.intp]) -> _Flags:
    """Which of some samples, by their flat index, lie outside the other picture."""
    height, width = flow.shape[:2]
    y, x = np.divmod(places, width)
    to_x, to_y = (flow.reshape(-1, 2)[places] + np.stack([x, y], 1)).T
    return np.asarray((to_x < -0.5) | (to_x > width - 0.5) | (to_y < -0.5) | (to_y > height - 0.5))


def _scaled(length_px: int, height: int, width: int) -> int:
    return max(_LEAST_PX, round(length_px * min(height, width) / _REFERENCE_PX))


def _around(middle: tuple[int, int], reach: int, size: tuple[int, ...]) -> tuple[slice, slice]:
    (x, y), (height, width) = middle, size
    return slice(max(y - reach, 0), min(y + reach + 1, height)), slice(max(x - reach, 0), min(x + reach + 1, width))


def _again(luma: U8, side: Neighbour, other: U8, box: tuple[int, int, int, int], grain: float) -> tuple[float, float]:
    """Return how well a mark is found again near by in a neighbour, as it was before it was warped.

    Returns:
        How alike the best place is in shape, as a correlation, and how much of the mark the most fitting place
        explains: 0 nothing, 1 all but the grain.
    """
    x, y, width, height = box
    margin = _RIM_PX + 1
    left, right = max(x - margin, 0), min(x + width + margin, luma.shape[1])
    top, bottom = max(y - margin, 0), min(y + height + margin, luma.shape[0])
    mark, seen = luma[top:bottom, left:right], side.luma[top:bottom, left:right]
    reach = max(_AGAIN_PX, _scaled(_AGAIN_PX, *luma.shape))
    dx, dy = (round(float(v)) for v in side.flow[y + height // 2, x + width // 2])
    rows = slice(max(top + dy - reach, 0), max(bottom + dy + reach, 0))
    columns = slice(max(left + dx - reach, 0), max(right + dx + reach, 0))
    area = other[rows, columns]
    if area.shape[0] < mark.shape[0] or area.shape[1] < mark.shape[1]:
        return 0.0, 0.0
    likeness = float(cv2.matchTemplate(area, mark, cv2.TM_CCOEFF_NORMED).max())
    # What is left of the mark after the best fit of one gain and one offset, against what is left of it unmoved.
    noise = mark.size * grain**2
    left_over = (1 - max(likeness, 0.0) ** 2) * mark.size * float(mark.var()) - noise
    unmoved = mark.size * float((mark.astype(np.float32) - seen).var()) - noise
    return likeness, 1 - max(left_over, 0.0) / max(unmoved, 1.0)
