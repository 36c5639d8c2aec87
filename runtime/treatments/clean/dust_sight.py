"""What stands out in a frame from both of its neighbours in time, brought onto it and under its light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from fastrestore.frames import Picture
from fastrestore.kernels.film_clean import F32, U8, spikes, warped
from fastrestore.runtime.treatments.clean.light import evened, grain_levels, light_gain
from fastrestore.runtime.treatments.short_motion import ShortMotion

_CORE: Final = 0.4  # of a mark's peak: less is its rim, or what runs into it
_BLATANT: Final = 1.4  # times the higher limit: beyond, what the neighbours have around the place is no excuse


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a mark must stand out to be looked at, and how much like dust it must be."""

    peak: float = 3.0
    """At its highest, in standard deviations of grain, beyond all that the neighbours have around the place."""
    edge: float = 2.0
    """Where it ends, in standard deviations of grain."""
    floor: float = 5.0
    """Levels more than that: what rounding and compression do."""
    odds: float = 0.3
    """Logarithm of the odds that it is dust; see `dust_forest`."""

    @classmethod
    def of(cls, strength: float) -> Self:
        """Return the limits for a strength in `[0, 1]`."""
        ease = 2 * (0.5 - strength)
        return cls(3.0 + 1.5 * ease, 2.0 + 0.7 * ease, 5.0 + 2.0 * ease, 0.3 + 2.0 * ease)


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
class Spots:
    """Samples of a frame that stand out together."""

    labels: NDArray[np.int32]
    """`(H, W)`: the number of the spot that each sample is of, 0 for none."""
    stats: NDArray[np.int32]
    """`(spots, 5)`: box and area of each, as OpenCV's connected components have them."""
    marked: NDArray[np.intp]
    """Numbers of those that stand out enough to be looked at."""
    low: NDArray[np.bool_]
    """`(H, W)`: what stands out at all."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What stands out in a frame. All planes are `(H, W)`."""

    luma: U8
    sides: tuple[Neighbour, Neighbour]
    """The frame before and the one after."""
    near: U8
    sure: U8
    """See `kernels.film_clean.spikes`."""
    calm: U8
    """Mean of both neighbours, which no mark of the frame's is on."""
    levels: F32
    """`(256,)`: standard deviation of the grain, by luma."""

    @classmethod
    def of(cls, motion: ShortMotion, before: Picture, picture: Picture, after: Picture) -> Self:
        """Look at a frame between two others."""
        luma = motion.luma(picture)
        sides = _neighbour(motion, picture, before), _neighbour(motion, picture, after)
        near, sure = spikes(luma, sides[0].luma, sides[1].luma)
        calm = np.asarray(cv2.addWeighted(sides[0].luma, 0.5, sides[1].luma, 0.5, 0), np.uint8)
        levels = np.maximum(grain_levels(luma, sides[0].luma), grain_levels(luma, sides[1].luma))
        return cls(luma, sides, near, sure, calm, levels)

    def spots(self, limits: Limits) -> Spots:
        """Join samples that stand out, each spot down to a share of its own peak: what runs into it is none of it."""
        low = self.near > _by_tone(self.calm, self.levels * limits.edge + 0.6 * limits.floor)
        high = self.levels * limits.peak + limits.floor
        seeds = (self.sure > _by_tone(self.calm, high)) | (self.near > _by_tone(self.calm, _BLATANT * high))
        count, loose = cv2.connectedComponents(low.view(np.uint8), connectivity=8, ltype=cv2.CV_32S)
        places = np.flatnonzero(low)
        of, near = loose.reshape(-1)[places], self.near.reshape(-1)[places]
        peak = np.zeros(count, np.uint8)
        np.maximum.at(peak, of, near)
        core = np.zeros(low.shape, np.uint8)
        core.reshape(-1)[places] = near > peak[of] * _CORE
        _, labels, stats, _ = cv2.connectedComponentsWithStats(core, connectivity=8)
        marked = np.zeros(len(stats), np.bool_)
        marked[labels[seeds]] = True
        marked[0] = False
        return Spots(np.asarray(labels, np.int32), np.asarray(stats, np.int32), np.flatnonzero(marked), low)


def _neighbour(motion: ShortMotion, picture: Picture, other: Picture) -> Neighbour:
    flow = motion.flow(picture, other)
    seen = warped(motion.luma(other), flow)
    luma = motion.luma(picture)
    gain = light_gain(seen, luma)
    return Neighbour(other, flow, gain, evened(seen, luma, gain))


def _by_tone(tone: U8, levels: NDArray[np.floating]) -> U8:
    return np.asarray(cv2.LUT(tone, np.clip(np.ceil(levels), 0, 255).astype(np.uint8)), np.uint8)
