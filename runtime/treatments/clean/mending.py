"""What dust hides, put back from the frames before and after."""

from __future__ import annotations

from typing import Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from fastrestore.frames import Picture, Plane
from fastrestore.kernels.film_clean import F32, mended
from fastrestore.runtime.treatments.clean.dust import Dust
from fastrestore.runtime.treatments.clean.dust_sight import Neighbour

_Box: TypeAlias = tuple[slice, slice]

_MARGIN_PX: Final = 8  # around a mark: what light and reliability are judged by
_SQUARE: Final = np.ones((3, 3), np.uint8)


def soft(mask: NDArray[np.bool_]) -> F32:
    """Return how much of each sample is replaced, `(H, W)` in `[0, 1]`: all of what is masked, part of its rim."""
    wide = cv2.dilate(mask.view(np.uint8), _SQUARE).astype(np.float32)
    return np.asarray(np.maximum(mask, cv2.blur(wide, (3, 3), borderType=cv2.BORDER_REPLICATE) * wide), np.float32)


def mend(picture: Picture, dust: Dust) -> tuple[Picture, F32]:
    """Return a picture without its marks, and how much of each sample was replaced, `(H, W)` in `[0, 1]`."""
    mask = soft(dust.mask)
    pictures = (picture, *(side.picture for side in dust.sides))
    grey = picture.format.kind == "yuv" and all(each.neutral_chroma for each in pictures)
    wanted = (0,) if grey else range(picture.format.planes)
    planes: list[Plane] = [plane.copy() for plane in picture.planes]
    for mark in dust.boxes:
        box = _surroundings(mark, *mask.shape)
        share = _share(picture, dust, mask, box)
        for index in wanted:
            _mend_plane(picture, dust, mask, (box, index, share), planes[index])
    return Picture(tuple(planes), picture.format, picture.colour), mask


def _surroundings(box: tuple[int, int, int, int], height: int, width: int) -> _Box:
    """Return what lies around a mark, beginning on even rows and columns, where chroma samples do."""
    left, top, across, down = box
    first = max(top - _MARGIN_PX, 0) // 2 * 2, max(left - _MARGIN_PX, 0) // 2 * 2
    last = min(top + down + _MARGIN_PX, height), min(left + across + _MARGIN_PX, width)
    return slice(first[0], last[0]), slice(first[1], last[1])


def _share(picture: Picture, dust: Dust, mask: F32, box: _Box) -> float:
    """Return how much of the tones is to come from the frame before: more the better it fits around the mark."""
    clear = mask[box] == 0
    if not clear.any():
        return 0.5
    # The first side is as good as the other is bad; a part of a level keeps still pictures from tipping over.
    wrong = []
    for side in dust.sides:
        difference = side.luma[box].astype(np.float32) - dust.luma[box]
        wrong.append(float(np.mean(difference[clear] ** 2)) + 0.25)
    return wrong[1] / (wrong[0] + wrong[1])


def _mend_plane(picture: Picture, dust: Dust, mask: F32, where: tuple[_Box, int, float], out: Plane) -> None:
    box, index, share = where
    shift = picture.format.chroma_shift if index and picture.format.kind == "yuv" else (0, 0)
    part = _shrunken(box, shift, out.shape)
    sample = picture.planes[index][part].astype(np.float32)
    size = (sample.shape[1], sample.shape[0])
    amount = mask[box] if shift == (0, 0) else np.asarray(cv2.resize(mask[box], size, interpolation=cv2.INTER_AREA))
    sides = []
    for side in dust.sides:
        seen = _seen(side, box, index, part, shift)
        gain = 1.0 if index and picture.format.kind == "yuv" else side.gain
        lift = sample - np.float32(gain) * seen
        clear = lift[amount == 0]
        sides.append(np.float32(gain) * seen + _middle(clear if clear.size else lift.reshape(-1)))
    result = mended(sample, sides[0], sides[1], share, amount)
    stored = np.clip(np.rint(result), 0, (1 << picture.format.bits) - 1).astype(out.dtype)
    out[part] = np.where(amount > 0, stored, out[part])


def _seen(side: Neighbour, box: _Box, index: int, part: _Box, shift: tuple[int, int]) -> F32:
    """Return part of a neighbour's plane as seen from the frame; cubic, to keep its grain."""
    height, width = part[0].stop - part[0].start, part[1].stop - part[1].start
    flow = side.flow[box]
    if shift != (0, 0):
        flow = cv2.resize(flow, (width, height), interpolation=cv2.INTER_AREA)
    scale = np.array([1 / (1 << shift[0]), 1 / (1 << shift[1])], np.float32)
    where = flow * scale
    where[..., 0] += np.arange(part[1].start, part[1].stop, dtype=np.float32)
    where[..., 1] += np.arange(part[0].start, part[0].stop, dtype=np.float32)[:, None]
    plane = side.picture.planes[index]
    return np.asarray(cv2.remap(plane, where, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), np.float32)


def _middle(values: F32) -> np.float32:
    """Return a median of some values: `numpy.median` takes ten times as long on so few."""
    return np.float32(np.partition(values, values.size // 2)[values.size // 2])


def _shrunken(box: _Box, shift: tuple[int, int], size: tuple[int, ...]) -> _Box:
    """Return the part of a chroma plane under a box."""
    rows, columns = (
        slice(side.start >> s, min(-(-side.stop >> s), length))
        for side, s, length in zip(box, shift[::-1], size, strict=True)
    )
    return rows, columns
