"""Natural pictures for the proofs: the demo's scene, which this package can draw at any size, in colour.

A proof on noise says little: noise drives a network where no film does, and its errors are of another size. The scene
has what film has (sky, edges of every direction, fine fences and lettering, smooth shades) and needs no file. It is
blurred as by a lens and has grain: without grain, roundings to half precision came out five times as large as on
photographs, because networks that were trained on photographs have seen no perfectly smooth sky.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from fastrestore.demo.scene import draw
from fastrestore.models.spec import Tensor

Array = NDArray[np.float32]
_DRAWN_PX = (240, 320)
"""Pictures are cut out of one whose height and width are multiples of these: drawn smaller, the scene would be a few
blots; and drawing takes longer than most networks."""
_LENS_PX, _GRAIN = 0.55, 0.02
"""Sigma of the blur in pixels, and of the grain in `[0, 1]`."""
_FIRST_S, _STEP_S = 1.0, 0.61
_SPELL_S = 1.0 / 16
"""Seconds between the two pictures that a motion network is given: a frame of the scene."""
_SKY, _EARTH = (1.5, 1.05, 0.7), (0.7, 1.0, 1.45)
"""Exponents of red, green and blue for what lies high and low: a blue sky, warm ground and faces."""


def picture(index: int, height: int, width: int, *, later: bool = False) -> Array:
    """Draw a picture.

    Args:
        index: Which of many.
        height: Its height in pixels.
        width: Its width in pixels.
        later: Draw it one frame later, so that things have moved.

    Returns:
        `(3, height, width)`, float32, RGB, range `[0, 1]`.
    """
    time_s = _FIRST_S + (index * _STEP_S) % 2.0 + (_SPELL_S if later else 0.0)
    drawn_h, drawn_w = (-(-side // step) * step for side, step in zip((height, width), _DRAWN_PX, strict=True))
    drawn = _filmed(time_s, drawn_h, drawn_w)
    top, left = (drawn_h - height) // 2, (drawn_w - width) // 2
    return np.ascontiguousarray(drawn[:, top : top + height, left : left + width])


def arguments(inputs: Sequence[Tensor], batch: int, height: int, width: int) -> list[Array]:
    """Return what a network takes: pictures (the second one later than the first), and instants.

    Args:
        inputs: The network's inputs.
        batch: Pictures in each.
        height: Height of the pictures in pixels.
        width: Width of the pictures in pixels.
    """
    given: list[Array] = []
    for place, tensor in enumerate(inputs):
        if tensor.scale == 0:
            instants = np.linspace(0.5, 0.2, batch, dtype=np.float32)
            given.append(np.broadcast_to(instants[:, None, None, None], tensor.shape(batch, height, width)).copy())
        else:
            pictures = [picture(index, height, width, later=place > 0) for index in range(batch)]
            given.append(np.stack(pictures))
    return given


def enlarged(image: Array, scale: int) -> Array:
    """Return pictures `(N, 3, H, W)` enlarged by a bicubic filter to `(N, 3, H * scale, W * scale)`."""
    n, channels, height, width = image.shape
    size = (width * scale, height * scale)
    planes = [cv2.resize(plane, size, interpolation=cv2.INTER_CUBIC) for plane in image.reshape(-1, height, width)]
    return np.asarray(np.stack(planes), np.float32).reshape(n, channels, size[1], size[0])


@lru_cache(maxsize=32)
def _filmed(time_s: float, height: int, width: int) -> Array:
    planes = [cv2.GaussianBlur(plane, (0, 0), _LENS_PX) for plane in _coloured(time_s, height, width)]
    grain = np.random.default_rng(int(time_s * 1000)).standard_normal((3, height, width), dtype=np.float32)
    return np.asarray(np.clip(np.stack(planes) + _GRAIN * grain, 0, 1), np.float32)


def _coloured(time_s: float, height: int, width: int) -> Array:
    tone = np.clip(draw(time_s, (width, height)), 1e-3, 1.0)
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    across = np.linspace(0, 1, width, dtype=np.float32)[None, :]
    low = 1 / (1 + np.exp(-12 * (down - 0.45)))
    strength = 0.75 + 0.25 * np.sin(2 * np.pi * (across + 0.3 * down))  # so that no tone has one colour everywhere
    sky, earth = (np.log(np.asarray(grade, np.float32))[:, None, None] for grade in (_SKY, _EARTH))
    return np.asarray(tone[None] ** np.exp((sky * (1 - low) + earth * low) * strength), np.float32)
