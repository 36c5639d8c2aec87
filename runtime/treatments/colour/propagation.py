"""Colours carried from one frame of a shot through those before or after it, along the motion between neighbours.

What is carried is not chroma but places: where in the coloured frame each pixel comes from. Places are put together
from frame to frame, and the coloured frame is sampled once, so that nothing blurs however far it is carried.

"Error" below is the mean distance of chroma from the truth at the end of the sample's first shot in colour, 52 frames
after the only example: 5.9 levels; the example's colours left in place give 12.7.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from fastrestore.geometry import Size
from fastrestore.kernels import film_colour as kernels
from fastrestore.kernels import film_tones as tones
from fastrestore.kernels.film_colour import FloatPlane, Luma
from fastrestore.runtime.flowpair import comparable

_LONGEST_PX: Final = 960
_SHORTEST_PX: Final = 96
_MEDIUM: Final = 2  # cv2.DISOPTICAL_FLOW_PRESET_MEDIUM
_MAX_SHARE: Final = 0.125  # of the longer side: anything longer was a mismatch
_DOUBT: Final = 0.15  # share of a trust that is lost in a frame that does not look like the coloured one
_FIND_EVERY: Final = 2  # frames from one search to the next; a search every frame takes a third longer, wins nothing
_FOUND: Final = 0.9  # trust of what was found again: no motion leads there
_FOUND_LIKE: Final = 0.6  # how alike it must be
_BETTER: Final = 0.02  # by how much it must beat what was trusted there
_MEMORY: Final = 4.0  # frames over which a guess is averaged; 1 flickers, 12 costs 0.2 levels of error, 40 costs 0.8


@dataclass(frozen=True, slots=True)
class Anchor:
    """A frame whose colours are given, at working size."""

    luma: Luma
    """`(h, w)`: the film's, not that of the picture that gave the colours."""
    chroma: FloatPlane
    """`(h, w, 2)`."""
    trust: FloatPlane
    """`(h, w)`: 1 where a person chose the colour, less where a network guessed it."""


@dataclass(frozen=True, slots=True)
class Coloured:
    """Chroma found for a frame."""

    chroma: FloatPlane
    """`(h, w, 2)`."""
    trust: FloatPlane
    """`(h, w)`: how surely the chroma is that of the same thing in a coloured frame."""


@dataclass(frozen=True, slots=True)
class Step:
    """Motion between two neighbouring frames, `(h, w, 2)` px each."""

    forward: FloatPlane
    """From the earlier frame to the later one."""
    backward: FloatPlane
    """From the later frame to the earlier one."""


def working_size(size: Size) -> Size:
    """Return the size at which colours are carried: half, as chroma is stored; less for large pictures."""
    longest, shortest = max(size.width, size.height), min(size.width, size.height)
    factor = 1 if shortest < 2 * _SHORTEST_PX else max(2, -(-longest // _LONGEST_PX))
    return Size(-(-size.width // factor), -(-size.height // factor))


class ColourFlow:
    """Finds motion at working size. Keeps OpenCV's work buffers: one for a thread.

    The steps are those of `DisFlow`. Between neighbours, stopping at half the working size is three times as fast and
    costs 2 levels of error; the preset's own, finer steps take three times as long and win nothing.
    """

    def __init__(self) -> None:
        self._fine, self._coarse = _dis(finest_scale=0), _dis(finest_scale=1)

    def between(self, earlier: Luma, later: Luma) -> Step:
        """Return the motion between two frames, both ways."""
        first, second = comparable(earlier, later)
        return Step(self._match(first, second, earlier.shape), self._match(second, first, earlier.shape))

    def one_way(self, source: Luma, target: Luma) -> FloatPlane:
        """Return the motion from one frame to another, `(h, w, 2)` px, roughly."""
        first, second = comparable(source, target)
        return self._match(first, second, source.shape, self._coarse)

    def _match(self, source: Luma, target: Luma, shape: tuple[int, ...], dis: Any = None) -> FloatPlane:
        flow: NDArray[np.float32] = (dis or self._fine).calc(source, target, None)
        limit = np.float32(_MAX_SHARE * max(source.shape))
        return np.clip(np.nan_to_num(flow[: shape[0], : shape[1]]), -limit, limit)


def _dis(finest_scale: int) -> Any:
    cv: Any = cv2  # OpenCV's own stubs lack this factory
    dis = cv.DISOpticalFlow_create(_MEDIUM)
    dis.setFinestScale(finest_scale)
    dis.setGradientDescentIterations(12)
    dis.setVariationalRefinementIterations(2)
    dis.setPatchStride(5)
    return dis


class Carrier:
    """Carries the colours of one frame to its neighbours, one frame a call, always the same way in time.

    Trust falls where the motion does not lead back, as it does where things are covered, and where a frame does not
    look like the coloured one. It comes back only where a pixel is found in the coloured frame itself: things that were
    covered and come into view again, and what had drifted. Chroma that is not trusted is guessed from neighbours of the
    same tone and, in the end, from what the coloured frame has at that tone.

    Args:
        anchor: The coloured frame.
        flow: Finds motion.
    """

    def __init__(self, anchor: Anchor, flow: ColourFlow) -> None:
        self._anchor, self._flow = anchor, flow
        self._relief = kernels.relief(anchor.luma)
        self._palette = tones.palette_of(anchor.chroma, anchor.trust, anchor.luma)
        self._places = kernels.grid(*anchor.luma.shape)
        self._trust = np.ones(anchor.luma.shape, np.float32)
        self._chroma = anchor.chroma
        self._age = np.full(anchor.luma.shape, _MEMORY, np.float32)
        self._count = 0

    def carry(self, luma: Luma, there: FloatPlane, back: FloatPlane) -> Coloured:
        """Carry on to the next frame.

        Args:
            luma: Of that frame.
            there: `(h, w, 2)` px: its motion to the frame carried to before.
            back: `(h, w, 2)` px: the motion of the frame carried to before to it.
        """
        source = there + kernels.grid(*luma.shape)
        kept, moving = kernels.returning(there, back), kernels.moving(there)
        self._places = kernels.fetch(self._places, source)
        self._trust = np.minimum(kernels.fetch(self._trust, source), kept)
        relief = kernels.relief(luma)
        seen = kernels.likeness(relief, kernels.fetch(self._relief, self._places))
        self._trust = self._trust * (1 - np.float32(_DOUBT) * (1 - seen))
        if self._count % _FIND_EVERY == 0:
            seen = self._find(luma, relief, seen, moving)
        self._count += 1
        own = kernels.fetch(self._anchor.chroma, self._places)
        trust = self._trust * seen
        self._age = np.minimum(kernels.fetch(self._age, source) * kept + 1, np.float32(_MEMORY))
        fresh = tones.spread(own, trust, luma, moving, self._palette)
        guess = kernels.mixed(fresh, kernels.fetch(self._chroma, source), np.reciprocal(self._age))
        self._chroma = kernels.mixed(own, guess, trust)
        return Coloured(self._chroma, trust * kernels.fetch(self._anchor.trust, self._places))

    def _find(self, luma: Luma, relief: FloatPlane, seen: FloatPlane, moving: NDArray[np.bool_]) -> FloatPlane:
        """Look for every pixel in the coloured frame itself; return how alike the places now are."""
        around = self._surroundings(self._trust * seen, moving)
        drawn = kernels.fetch_luma(self._anchor.luma, around)
        drift = self._flow.one_way(luma, drawn) + kernels.grid(*luma.shape)
        for places in (around, kernels.fetch(around, drift)):
            again = kernels.likeness(relief, kernels.fetch(self._relief, places)) * kernels.inside(places)
            found = (again > _FOUND_LIKE) & (again * _FOUND > self._trust * seen + _BETTER)
            self._places = np.where(found[..., None], places, self._places)
            self._trust = np.where(found, np.maximum(np.float32(_FOUND), self._trust), self._trust)
            seen = np.where(found, again, seen)
        return np.asarray(seen, np.float32)

    def _surroundings(self, trust: FloatPlane, moving: NDArray[np.bool_]) -> FloatPlane:
        """Return where pixels come from if they come along with the trusted ones around them that move as they do."""
        here = kernels.grid(*trust.shape)
        shift = self._places - here
        with_moving, with_still = (kernels.surrounding(shift, trust * layer) for layer in (moving, ~moving))
        return np.asarray(here + np.where(moving[..., None], with_moving, with_still), np.float32)
