"""Faces: cut out of a picture upright and at one size, matched to it in tone, and laid back into its planes.

Maps between places are affine, `(2, 3)` float64 over `(x, y)`; the middle of the first sample is at (0, 0).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from fastrestore.frames import FloatImage, Plane
from fastrestore.geometry import Rect

F32: TypeAlias = NDArray[np.float32]
Matrix: TypeAlias = NDArray[np.float64]

_OVAL: Final = (0.499, 0.537, 0.39, 0.45)
"""The oval of an upright face from brow to chin, hair and background left out: its middle (x, y) and half its width and
height, as shares of the picture's side."""
_WHOLE: Final = 0.7
"""Up to this share of the oval's reach a face counts in full; towards its edge, less and less."""
_TONE_PX: Final = 32
"""Side in pixels of the blocks whose means are what a face's tone is measured on."""
_LEAST_SPREAD: Final = 1e-3
_MOST_GAIN: Final = 1.6


def combined(second: Matrix, first: Matrix) -> Matrix:
    """Return the map that does `first`, then `second`."""
    return np.column_stack([second[:, :2] @ first[:, :2], second[:, :2] @ first[:, 2] + second[:, 2]])


def inverted(matrix: Matrix) -> Matrix:
    """Return the map back."""
    linear = np.linalg.inv(matrix[:, :2])
    return np.column_stack([linear, -linear @ matrix[:, 2]])


@lru_cache(maxsize=4)
def face_mask(side: int) -> F32:
    """Return how much of a rebuilt face is taken, `(side, side)` float32 in `[0, 1]`: none at the edges."""
    middle_x, middle_y, wide, high = _OVAL
    along = (np.arange(side, dtype=np.float64) + 0.5) / side
    distance = np.hypot((along[None, :] - middle_x) / wide, (along[:, None] - middle_y) / high)
    inside = np.clip((1 - distance) / (1 - _WHOLE), 0, 1)
    mask = np.asarray(inside * inside * (3 - 2 * inside), np.float32)
    mask.setflags(write=False)
    return mask


def cut_out(rgb: FloatImage, matrix: Matrix, side: int) -> FloatImage:
    """Return a face cut out of a picture, as many planes of `(side, side)` float32, clipped to `[0, 1]`.

    What lies beyond the picture is its mirror image. Where the face is made smaller it is softened first, so that
    nothing flickers when it moves by less than a sample.

    Args:
        rgb: `(n, h, w)` float32, nominal range `[0, 1]`.
        matrix: From places of the picture to places of the face.
        side: In pixels.
    """
    sigma = _softening(inverted(matrix))
    out = np.empty((len(rgb), side, side), np.float32)
    for plane, face in zip(rgb, out, strict=True):
        soft = cv2.GaussianBlur(plane, (0, 0), sigma) if sigma else plane
        cv2.warpAffine(soft, matrix, (side, side), face, cv2.INTER_CUBIC, cv2.BORDER_REFLECT_101)
    np.maximum(out, 0, out=out)
    return np.minimum(out, 1, out=out)


def changes(given: FloatImage, rebuilt: FloatImage, mask: F32) -> FloatImage:
    """Return by how much a picture changes where a face is rebuilt, `(3, side, side)` float32.

    The rebuilt face is first given the tone of the other one: mean and spread of its coarse brightness, for each
    channel, weighted by the mask. What is the same in both changes nothing.

    Args:
        given: The face as it was, `(3, side, side)`, `[0, 1]`.
        rebuilt: The face as the network has it; clipped to `[0, 1]` here.
        mask: `(side, side)`, `[0, 1]`.
    """
    blocks = max(1, mask.shape[0] // _TONE_PX)
    weight = _coarse(mask, blocks)
    weight /= weight.sum()
    out = np.empty_like(given)
    for number, (before, after) in enumerate(zip(given, np.clip(rebuilt, 0, 1), strict=True)):
        coarse = _coarse(before, blocks), _coarse(after, blocks)
        means = [float((weight * each).sum()) for each in coarse]
        spreads = [
            float(np.sqrt((weight * (each - mean) ** 2).sum())) for each, mean in zip(coarse, means, strict=True)
        ]
        gain = np.clip((spreads[0] + _LEAST_SPREAD) / (spreads[1] + _LEAST_SPREAD), 1 / _MOST_GAIN, _MOST_GAIN)
        out[number] = ((after - np.float32(means[1])) * np.float32(gain) + np.float32(means[0]) - before) * mask
    return out


def laid_in(plane: Plane, change: F32, matrix: Matrix, where: Rect, most: int) -> Plane:
    """Return a plane with a change added to a rectangle of it: a copy. Other samples stay exactly as they are.

    Args:
        plane: `(H, W)`, uint8 or uint16.
        change: `(side, side)` float32, in samples of the plane; 0 at its edges.
        matrix: From places of the plane to places of the change.
        where: The rectangle of the plane.
        most: The largest sample.
    """
    sigma = _softening(matrix)
    soft = cv2.GaussianBlur(change, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT) if sigma else change
    corner = np.array([where.x0, where.y0], np.float64)
    shifted = np.column_stack([matrix[:, :2], matrix[:, 2] + matrix[:, :2] @ corner])
    size = (where.size.width, where.size.height)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    added = cv2.warpAffine(soft, shifted, size, flags=flags, borderMode=cv2.BORDER_CONSTANT)
    out = plane.copy()
    part: Any = out[where.slices]
    part[:] = np.clip(np.rint(part + added), 0, most)
    return out


def _softening(matrix: Matrix) -> float:
    """Return the sigma, in samples of what is sampled, by which it is softened before every n-th of it is taken."""
    step = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    return 0.4 * float(np.sqrt(step * step - 1)) if step > 1.05 else 0.0


def _coarse(plane: F32, blocks: int) -> F32:
    return np.asarray(cv2.resize(plane, (blocks, blocks), interpolation=cv2.INTER_AREA), np.float32)
