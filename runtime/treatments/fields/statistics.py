"""What the fields of a film say: seen in a pass over it, and turned into evidence that cadences are held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fastrestore.kernels.film_fields import LEAST_HEIGHT_PX, measure_fields
from fastrestore.runtime.treatments.treatment import Film, Glimpse

_Row = NDArray[np.float64]

INTERLACE_RATIO: Final = 1.25
PROGRESSIVE_RATIO: Final = 1.5
"""The ratios that a frame is judged by, as in libavfilter's `idet`. There the first is 1.04, of sums over the whole
picture; here only the blocks that move most are counted, which differ more."""

_REACH: Final = 6
"""Frames on either side that what counts as moving is judged by."""
_AMONG: Final = 3
"""It is the median of so many of the largest values there: a flash or an unseen cut is not what counts as moving."""
_STILL_LEVELS, _MOVING_LEVELS = 0.8, 2.5
"""Change of the most moving blocks, in 8-bit levels: up to the first nothing can be told, from the second all."""
_REPEATED: Final = (0.1, 0.35)
"""Change of a frame as a share of what counts as moving: up to the first it repeats, coded anew; from the second it
moves. A shaking camera moves some frames a fifth as far as others."""
_ONE_FIELD: Final = (0.2, 0.6)
"""Change of one field as a share of the other's: likewise."""
_LEAST_LEVELS: Final = 1e-3
_COMBED_LEVELS: Final = 1.0
"""Combing of less is not seen."""
_WEAK: Final = 0.1
"""Combing that differs by less than such a share of what is usual does not differ: the frame repeats."""
_CHANCE_LEVELS, _CHANCE_OF_COMBING, _CHANCE_OF_CHANGE = 0.05, 0.04, 0.05
"""Differences of combing up to so many levels, or such a share of combing or of change, are chance."""


class FieldProbe:
    """Measures every frame with the one before it."""

    name = "fields/1"

    def look(self, glimpse: Glimpse) -> Sequence[float]:
        """See `Probe.look`: combing (own, with bottom before, with top before), change (top, bottom), 8-bit levels.

        Five zeros where a shot begins and in pictures too small to tell.
        """
        if glimpse.previous is None or glimpse.luma.shape[0] < LEAST_HEIGHT_PX:
            return (0.0,) * 5
        return tuple(float(x) for x in measure_fields(glimpse.luma, glimpse.previous))


class Verdict(Enum):
    """What one frame looks like by itself, as by `idet`."""

    PROGRESSIVE = "progressive"
    TOP_FIRST = "top field first"
    BOTTOM_FIRST = "bottom field first"
    UNDETERMINED = "undetermined"


def verdicts(film: Film) -> tuple[Verdict, ...]:
    """Return what every frame looks like with those before and after it, by `idet`'s rules."""
    own, with_bottom, with_top, _, _ = film.findings[FieldProbe.name].T
    bottom_first = with_bottom + np.append(with_bottom[1:], 0)
    top_first = with_top + np.append(with_top[1:], 0)
    found = []
    for top, bottom, delta in zip(top_first, bottom_first, 2 * own, strict=True):
        if top > INTERLACE_RATIO * bottom:
            found.append(Verdict.TOP_FIRST)
        elif bottom > INTERLACE_RATIO * top:
            found.append(Verdict.BOTTOM_FIRST)
        else:
            found.append(Verdict.PROGRESSIVE if bottom > PROGRESSIVE_RATIO * delta else Verdict.UNDETERMINED)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Evidence:
    """How far each frame speaks for what: arrays of an entry a frame, float64 unless said."""

    bottom_before: _Row
    """Combing of its top field with the bottom field before, less own combing; 1 is by how much the three differ."""
    top_before: _Row
    """Combing of its bottom field with the top field before, less own combing; in the same unit."""
    top_changed: _Row
    """How much the top field changed: 0 repeats, 1 moves."""
    bottom_changed: _Row
    combing_weight: _Row
    """In `[0, 1]`: how much the combing of a frame tells."""
    change_weight: _Row
    """In `[0, 1]`: how much the change of a frame tells; 0 where everything stands still."""
    combed: NDArray[np.bool_]
    """Whether a frame's fields fit together plainly worse than one of them and one of the frame before."""

    def __len__(self) -> int:
        return len(self.top_changed)

    def changes(self, index: int) -> bool:
        """Whether a frame shows another picture than the one before."""
        return max(float(self.top_changed[index]), float(self.bottom_changed[index])) > 1 / 2


def evidence(film: Film) -> Evidence:
    """Return what the findings of `FieldProbe` say, each frame judged by those around it in its shot."""
    own, with_bottom, with_top, top, bottom = film.findings[FieldProbe.name].T
    known = np.ones(len(own))
    known[[shot.begin for shot in film.shots]] = 0
    highest = np.maximum(own, np.maximum(with_bottom, with_top))
    spread = highest - np.minimum(own, np.minimum(with_bottom, with_top))
    scale, moving = np.zeros_like(own), np.zeros_like(own)
    for shot in film.shots:
        inside = slice(shot.begin, shot.end)
        scale[inside] = _usual(spread[inside])
        moving[inside] = _usual(np.maximum(top, bottom)[inside])
    chance = np.maximum(_CHANCE_LEVELS, np.maximum(_CHANCE_OF_COMBING * highest, _CHANCE_OF_CHANGE * moving))
    change_weight = _ramp(moving, _STILL_LEVELS, _MOVING_LEVELS) * known
    unit = np.maximum(np.maximum(spread, chance), _WEAK * scale)
    more = np.maximum(np.maximum(top, bottom), _LEAST_LEVELS)
    changed = _ramp(more / np.maximum(moving, _STILL_LEVELS), *_REPEATED)
    combing_weight = _ramp(np.maximum(spread, scale) / chance, 1, 3) * change_weight
    worse = own - np.minimum(with_bottom, with_top)
    return Evidence(
        bottom_before=(with_bottom - own) / unit,
        top_before=(with_top - own) / unit,
        top_changed=changed * _ramp(top / more, *_ONE_FIELD),
        bottom_changed=changed * _ramp(bottom / more, *_ONE_FIELD),
        combing_weight=combing_weight,
        change_weight=change_weight,
        combed=(worse > _COMBED_LEVELS) & (worse > unit / 2) & (combing_weight > 1 / 2),
    )


def _usual(values: _Row) -> _Row:
    """Return for every frame the median of the few largest values within reach."""
    padded = np.pad(values, _REACH)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * _REACH + 1)
    return np.asarray(np.median(np.sort(windows, axis=1)[:, -_AMONG:], axis=1))


def _ramp(values: _Row, low: float, high: float) -> _Row:
    return np.clip((values - low) / (high - low), 0, 1)
