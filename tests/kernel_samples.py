"""Pictures and motion of noise, sizes and colours, that the kernels of every device are held to."""

from __future__ import annotations

import numpy as np

from fastrestore.frames import Colour, Matrix, Motion, Picture, PixelFormat, Siting
from fastrestore.geometry import Size

SIZES = [Size(1, 1), Size(2, 3), Size(17, 9), Size(64, 48)]
COLOURS = [
    Colour(),
    Colour(matrix=Matrix.SMPTE170M, full_range=True, siting=Siting.CENTER),
    Colour(matrix=Matrix.BT2020_NCL, siting=Siting.TOP_LEFT),
]


def random_picture(size: Size, pixel_format: PixelFormat, colour: Colour = COLOURS[0], seed: int = 0) -> Picture:
    rng = np.random.default_rng(seed)
    planes = []
    for index in range(pixel_format.planes):
        plane = pixel_format.plane_size(size, index)
        shape = (plane.height, plane.width)
        planes.append(rng.integers(0, 1 << pixel_format.bits, shape).astype(pixel_format.dtype))
    return Picture(tuple(planes), pixel_format, colour)


def random_motion(size: Size, reach_px: float, seed: int = 0) -> Motion:
    rng = np.random.default_rng(seed)
    shape = (size.height, size.width)
    left, right = (rng.uniform(-reach_px, reach_px, (*shape, 2)).astype(np.float32) for _ in range(2))
    mask, apart = rng.random(shape).astype(np.float32), (rng.random(shape) * 0.5).astype(np.float32)
    return Motion(left, right, mask, apart)
