"""What a moved picture no longer covers, taken from the frames around it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fastrestore.frames import Picture, Plane
from fastrestore.geometry import Rect
from fastrestore.kernels.film_steady import inset, plane_matrix, resample
from fastrestore.runtime.treatments.steady.global_motion import Similarity

_FEATHER_PX = 4.0
"""Over so much one frame passes into the next."""
_UNSEEN = 1 / 64
"""A frame with a smaller share nowhere adds enough to be drawn."""
_SOFT_SHARE = 1 / 48
"""Of the longer side: over so much the mirrored edge is blurred where no frame shows what lies there."""


@dataclass(frozen=True, slots=True)
class Source:
    """A frame that a picture is made of."""

    picture: Picture
    seen_from: Similarity
    """From places of the result to places of the frame."""


def moved(source: Source) -> Picture:
    """Return a frame as it is seen from the result. Beyond its edges it is mirrored. Constant planes are kept."""
    picture = source.picture
    matrix = source.seen_from.matrix(picture.size.width, picture.size.height)
    planes: list[Plane] = []
    for index, plane in enumerate(picture.planes):
        if index and picture.planes[index - 1] is plane:
            planes.append(planes[-1])
        elif index and bool((plane == plane[0, 0]).all()):
            planes.append(plane)
        else:
            planes.append(resample(plane, plane_matrix(matrix, picture, index), picture.format.bits))
    return Picture(tuple(planes), picture.format, picture.colour)


def filled(base: Picture, sources: Sequence[Source]) -> tuple[Picture, int]:
    """Return a moved picture with its edges filled in.

    Args:
        base: The moved picture.
        sources: The frame itself first, then those around it, the best one first.

    Returns:
        The picture, and how many of its pixels its own frame does not cover.
    """
    planes: list[Plane] = list(base.planes)
    for index, plane in enumerate(base.planes):
        if plane is sources[0].picture.planes[index]:
            continue  # constant
        if index and base.planes[index - 1] is plane:
            planes[index] = planes[index - 1]
        else:
            planes[index] = _Edges(sources, index).over(plane)
    return Picture(tuple(planes), base.format, base.colour), _Edges(sources, 0).uncovered


class _Edges:
    """The edges of one plane of a result, seen through its sources."""

    def __init__(self, sources: Sequence[Source], index: int) -> None:
        first = sources[0].picture
        width, height = first.size.width, first.size.height
        self._bits = first.format.bits
        self._planes = [source.picture.planes[index] for source in sources]
        self._matrices = [plane_matrix(source.seen_from.matrix(width, height), first, index) for source in sources]
        self._feather = max(1.0, _FEATHER_PX * self._planes[0].shape[1] / width)

    @property
    def uncovered(self) -> int:
        """How many samples of the result lie beyond the first source."""
        return sum(int((self._inset(0, strip) < 0).sum()) for strip in self._strips())

    def over(self, plane: Plane) -> Plane:
        """Return a plane with its edges drawn over."""
        out = plane.copy()
        for strip in self._strips():
            out[strip.slices] = self._render(strip)
        return out

    def _strips(self) -> list[Rect]:
        """Return rectangles, none over another, that hold all that the first source does not cover by itself.

        Lines stay straight: what an edge is short of is greatest at one of its ends.
        """
        height, width = self._planes[0].shape
        x, y = np.array([0, width - 1, 0, width - 1]), np.array([0, 0, height - 1, height - 1])
        across, down = self._matrices[0] @ np.stack([x, y, np.ones(4)])
        need = self._feather - 0.5
        scale = math.hypot(*self._matrices[0][:, 0])
        short = need + np.array(
            [
                -across[[0, 2]].min(),
                -down[[0, 1]].min(),
                across[[1, 3]].max() - (width - 1),
                down[[2, 3]].max() - (height - 1),
            ]
        )
        left, top, right, bottom = (max(0, math.ceil(amount / scale)) for amount in short)
        if left + right >= width or top + bottom >= height:
            return [Rect(0, 0, width, height)]
        found = [(0, 0, width, top), (0, height - bottom, width, height)]
        found += [(0, top, left, height - bottom), (width - right, top, width, height - bottom)]
        return [Rect(*corners) for corners in found if corners[0] < corners[2] and corners[1] < corners[3]]

    def _render(self, strip: Rect) -> Plane:
        total = np.zeros((strip.size.height, strip.size.width), np.float32)
        rest = np.ones_like(total)
        for number, (plane, matrix) in enumerate(zip(self._planes, self._matrices, strict=True)):
            share = rest * np.clip(self._inset(number, strip) / np.float32(self._feather), 0, 1)
            if float(share.max()) < _UNSEEN:
                continue
            total += share * resample(plane, matrix, self._bits, strip)
            rest -= share
            if float(rest.max()) < _UNSEEN:
                total /= 1 - rest
                break
        else:
            total += rest * resample(self._softened(), self._matrices[0], self._bits, strip)
        return np.rint(total).astype(self._planes[0].dtype)

    def _inset(self, number: int, strip: Rect) -> NDArray[np.float32]:
        height, width = self._planes[number].shape
        return inset(self._matrices[number], (height, width), strip)

    def _softened(self) -> Plane:
        """Return the first source's plane blurred."""
        plane = self._planes[0]
        side = 2 * max(1, round(max(plane.shape) * _SOFT_SHARE / 2)) + 1
        return np.asarray(cv2.blur(plane, (side, side), borderType=cv2.BORDER_REFLECT), plane.dtype)
