"""Fields of interlaced pictures: what tells whether two belong together, and two woven into one picture.

The top field is a picture's even lines from 0, the bottom field its odd ones.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from fastrestore.frames import Picture, Plane

_Luma = NDArray[np.uint8]

BLOCK_WIDTH_PX, BLOCK_FIELD_LINES = 16, 8
"""Blocks are 16x16 of the whole picture."""
LEAST_HEIGHT_PX = 16
"""Pictures with fewer lines are not measured."""
COUNTED_SHARE = 1 / 8
"""Of the blocks, those that move most are counted: a small thing that moves in a still picture counts in full."""
_NOISE_LEVELS: Final = 4.0
"""A line that stands out from its neighbours by less, in 8-bit levels, may be noise."""


def measure_fields(luma: _Luma, previous: _Luma) -> NDArray[np.float64]:
    """Return how the four fields of two successive frames fit together, over the blocks that move most.

    Combing is how much a bottom line stands out from both top lines around it, to the same side; it is measured
    between the top field of one frame and the bottom field of the same or the other one.

    Args:
        luma: `(H, W)` uint8, `H >= LEAST_HEIGHT_PX`.
        previous: Luma of the frame before, of the same size.

    Returns:
        `(5,)` float64, all in 8-bit levels: combing of the frame itself; of its top field with the bottom field
        before; of its bottom field with the top field before; mean absolute change of the top field; of the bottom
        field.
    """
    top, bottom = luma[0::2], luma[1::2]
    top_before, bottom_before = previous[0::2], previous[1::2]
    maps = np.stack(
        [
            _block_means(combing(top, bottom)),
            _block_means(combing(top, bottom_before)),
            _block_means(combing(top_before, bottom)),
            _block_means(cv2.absdiff(top, top_before)[:-1]),
            _block_means(cv2.absdiff(bottom, bottom_before)[: len(top) - 1]),
        ]
    ).reshape(5, -1)
    counted = max(1, round(maps.shape[1] * COUNTED_SHARE))
    moving = np.argpartition(np.maximum(maps[3], maps[4]), -counted)[-counted:]
    return np.asarray(maps[:, np.sort(moving)].mean(1), np.float64)


def combing(top: _Luma, bottom: _Luma) -> _Luma:
    """Return how far each line of a bottom field stands out from both top lines around it, beyond noise.

    Args:
        top: `(H, W)` uint8.
        bottom: `(H, W)` uint8, or one line fewer.

    Returns:
        `(H - 1, W)` uint8 levels: 0 where the line lies between its neighbours.
    """
    above, below, line = top[:-1], top[1:], bottom[: len(top) - 1]
    darker = cv2.min(cv2.subtract(above, line), cv2.subtract(below, line))
    brighter = cv2.min(cv2.subtract(line, above), cv2.subtract(line, below))
    return np.asarray(cv2.subtract(cv2.max(darker, brighter), _NOISE_LEVELS), np.uint8)


def weave(even: Picture, odd: Picture) -> Picture:
    """Return a picture with the even lines of one and the odd lines of another, in every plane.

    In 4:2:0 the lines of chroma are dealt out as those of luma: that is how interlaced chroma is sampled.
    """
    return Picture(tuple(map(_woven, even.planes, odd.planes)), even.format, even.colour)


def _woven(even: Plane, odd: Plane) -> Plane:
    plane = even.copy()
    plane[1::2] = odd[1::2]
    return plane


def _block_means(samples: _Luma) -> NDArray[np.float32]:
    """Return the mean of every whole block of a field, or of all of it where it is smaller than one."""
    height, width = samples.shape
    down, across = max(1, height // BLOCK_FIELD_LINES), max(1, width // BLOCK_WIDTH_PX)
    whole = samples[: max(down * BLOCK_FIELD_LINES, 1), : max(across * BLOCK_WIDTH_PX, 1)]
    means = cv2.resize(whole.astype(np.float32), (across, down), interpolation=cv2.INTER_AREA)
    return np.asarray(means, np.float32)
