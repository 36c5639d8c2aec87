"""Small films with grain of known strength and correlation."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

from fastrestore.frames import FORMATS, Colour, Picture, StreamInfo
from fastrestore.geometry import Size
from fastrestore.kernels.cpu import CpuOps
from fastrestore.runtime.treatments.grain.model import GrainProbe
from fastrestore.runtime.treatments.treatment import Film, Glimpse, Shot

F32 = NDArray[np.float32]
SIZE = Size(320, 240)


def shading(index: int, size: Size = SIZE) -> F32:
    """Return a smooth picture in motion, `(H, W)`, 8-bit code values from 38 to 218."""
    y, x = np.mgrid[0 : size.height, 0 : size.width].astype(np.float32)
    return np.asarray(128 + 90 * np.sin((x + 2 * index) / 70) * np.cos((y - index) / 60), np.float32)


def noise(index: int, blur_px: float, size: Size = SIZE) -> F32:
    """Return noise of unit variance, white if `blur_px` is 0."""
    white = np.random.default_rng([7, index]).standard_normal((size.height, size.width), np.float32)
    if blur_px:
        white = np.asarray(cv2.GaussianBlur(white, (0, 0), blur_px), np.float32)
    return np.asarray(white / max(float(white.std()), 0.1), np.float32)


def amplitude(tone: NDArray[np.floating], sigma: float) -> NDArray[np.floating]:
    """Return the strength of the grain at a brightness: `sigma` in the mid-tones, half of it at the ends."""
    return np.asarray(sigma * (0.5 + 2 * (tone / 255) * (1 - tone / 255)))


def grainy(index: int, sigma: float, blur_px: float, size: Size = SIZE) -> NDArray[np.uint8]:
    """Return `shading` with grain."""
    clean = shading(index, size)
    return stored(clean + noise(index, blur_px, size) * amplitude(clean, sigma))


def stored(samples: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return samples as they are stored."""
    return np.asarray(np.clip(np.rint(samples), 0, 255), np.uint8)


def correlation(plane: NDArray[np.floating], lag: int, axis: int = 1) -> float:
    """Return the correlation of samples so far apart."""
    moved = plane - plane.mean()
    count = moved.shape[axis] - lag
    here, there = np.take(moved, range(count), axis), np.take(moved, range(lag, lag + count), axis)
    return float((here * there).mean() / moved.var())


def grey(samples: NDArray[np.uint8]) -> Picture:
    """Return a grey picture of full range."""
    return Picture((samples,), FORMATS["gray"], Colour(full_range=True))


def picture_of(luma: NDArray[np.uint8], name: str, colour: Colour | None = None) -> Picture:
    """Return a picture in a layout, of neutral chroma."""
    layout = FORMATS[name]
    unit = 1 << (layout.bits - 8)
    planes = []
    for number in range(layout.planes):
        size = layout.plane_size(Size(luma.shape[1], luma.shape[0]), number)
        if number and layout.kind == "yuv":
            planes.append(np.full((size.height, size.width), 128 * unit, layout.dtype))
        else:
            planes.append((luma.astype(np.uint16) * unit).astype(layout.dtype))
    return Picture(tuple(planes), layout, colour or Colour())


def film_of(pictures: Sequence[Picture], cuts: Sequence[int] = (0,)) -> Film:
    """Return a film that `GrainProbe` has looked at."""
    probe, ops, rows = GrainProbe(), CpuOps(), []
    previous = None
    for index, picture in enumerate(pictures):
        luma = ops.luma8(picture)
        rows.append(probe.look(Glimpse(index, picture, luma, None if index in cuts else previous)))
        previous = luma
    ends = [*cuts[1:], len(pictures)]
    shots = tuple(Shot(number, begin, end) for number, (begin, end) in enumerate(zip(cuts, ends, strict=True)))
    first = pictures[0]
    return Film(
        info=StreamInfo(first.size, first.format, first.colour),
        pts=tuple(Fraction(index, 16) for index in range(len(pictures))),
        shots=shots,
        findings={probe.name: np.array(rows)},
        checksums=tuple(picture.crc32 for picture in pictures),
    )
