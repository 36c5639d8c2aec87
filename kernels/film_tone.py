"""Pixels of the deflickering stage: levels as tones, a tone curve as a table, and a picture changed by both.

A level is `(sample - black) / (white - black)`: 0 is black, 1 is white, in either range. A tone is the logarithm of a
level: a change of exposure moves all tones by the same amount. A curve is what is added to the tone, at `KNOTS`.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from fastrestore.frames import Picture, Plane
from fastrestore.kernels import colour as colours

Curve: TypeAlias = NDArray[np.float64]
"""`(K,)` float64: what is added to the tones `KNOTS`; between them linear, beyond them constant."""
FloatPlane: TypeAlias = NDArray[np.float32]

_TOE = 0.03
"""Level that is added before the logarithm is taken: what is darker counts less and less."""
KNOTS: Curve = np.linspace(math.log(_TOE), math.log(1 + _TOE), 9)
"""The tones at which curves are known, from black to white."""
_DARK = 0.02
"""Chroma over darker levels is scaled as over this one."""
KNEE = 1.5
"""Highlights are pressed together from so many overshoots below white on."""


def tones(levels: NDArray[Any]) -> NDArray[Any]:
    """Return the tones of levels; what is below black counts as black."""
    return np.asarray(np.log(np.maximum(levels, 0) + _TOE))


def black_and_span(picture: Picture) -> tuple[float, float]:
    """Return the sample that is black in a picture, and how many samples lie between black and white."""
    span, black = colours.samples_from_grey(picture.colour, picture.format.bits)
    if picture.format.kind == "rgb":
        return 0.0, float((1 << picture.format.bits) - 1)
    return black, span


def raised(levels: NDArray[np.float64], curve: Curve) -> NDArray[np.float64]:
    """Return levels changed by a curve: black stays black, what is below it stays as it is, and the order is kept."""
    gain = np.exp(np.interp(tones(levels), KNOTS, curve))
    return np.asarray(np.maximum.accumulate(np.where(levels > 0, levels * gain, levels)))


def pressed(levels: NDArray[Any], overshoot: float) -> NDArray[Any]:
    """Return levels of which the highest is `1 + overshoot` so that it is white; those far below are left alone.

    The way there is a parabola: no two levels become one.
    """
    if overshoot <= 0:
        return levels
    knee = max(0.0, 1 - KNEE * overshoot)
    reach = 1 + overshoot - knee
    above = np.clip(levels - knee, 0, reach)
    return np.asarray(levels - above * above * (overshoot / reach**2))


def level_table(curve: Curve, black: float, span: float, samples: int) -> NDArray[np.float64]:
    """Return the level that each sample is given, `(samples,)` float64: a curve as a table, highlights pressed."""
    levels = np.asarray((np.arange(samples) - black) / span, np.float64)
    changed = raised(levels, curve)
    white = float(np.interp(1.0, levels, changed))
    # What is stored above white stays as far above it.
    beyond = np.maximum(levels - 1, 0)
    return np.asarray(pressed(np.minimum(changed, white), max(0.0, white - 1)) + beyond)


def chroma_table(table: NDArray[np.float64], black: float, span: float) -> NDArray[np.float32]:
    """Return what chroma is multiplied by under each sample of luma, `(samples,)` float32, from a `level_table`."""
    levels = np.maximum((np.arange(len(table)) - black) / span, _DARK)
    return np.asarray(np.interp(levels, (np.arange(len(table)) - black) / span, table) / levels, np.float32)


def toned(picture: Picture, curve: Curve, field: FloatPlane | None = None) -> Picture:
    """Return a picture with its tones changed; chroma keeps its ratio to luma.

    Args:
        picture: Any layout. R'G'B' is changed plane by plane.
        curve: For the whole picture.
        field: `(h, w)` float32, what is added to tones besides, at cells spread evenly over the picture; or None.
    """
    black, span = black_and_span(picture)
    bits = picture.format.bits
    table = level_table(curve, black, span, 1 << bits)
    gains = None if field is None else [spread(field, plane.shape) for plane in picture.planes[:2]]
    rgb = picture.format.kind == "rgb"
    planes: list[Plane] = []
    for index, plane in enumerate(picture.planes):
        gain = None if gains is None else gains[min(index, 1)]
        if index and not rgb:
            if index == 2 and plane is picture.planes[1]:
                planes.append(planes[1])
            else:
                planes.append(_with_chroma(plane, picture, table, gain))
            continue
        values = looked_up(plane, table.astype(np.float32))
        if gain is not None:
            values *= gain
            peak = float(table[min(round(black + span), len(table) - 1)]) * float(gain.max())
            values = pressed(values, peak - 1)
        planes.append(stored(values * np.float32(span) + np.float32(black), bits))
    return Picture(tuple(planes), picture.format, picture.colour)


def looked_up(plane: Plane, table: NDArray[np.float32]) -> FloatPlane:
    """Return the table's entry for each sample, `(H, W)` float32."""
    if plane.dtype == np.uint8:
        return np.asarray(cv2.LUT(plane, table), np.float32)
    return np.asarray(table[np.minimum(plane, len(table) - 1)], np.float32)


def stored(values: FloatPlane, bits: int) -> Plane:
    """Return values as samples of `bits` bits, dithered: flat areas keep their mean, whole values are kept exactly."""
    out: Plane = cv2.add(values, _dither(*values.shape), dtype=cv2.CV_8U if bits == 8 else cv2.CV_16U)
    if bits not in (8, 16):
        np.minimum(out, (1 << bits) - 1, out=out)
    return out


def _with_chroma(plane: Plane, picture: Picture, table: NDArray[np.float64], gain: FloatPlane | None) -> Plane:
    """Return a chroma plane scaled as the luma beneath it. One without colour is returned as it is."""
    bits = picture.format.bits
    middle = colours.middle(bits)
    if bool((plane == middle).all()):
        return plane
    ratio = chroma_table(table, *black_and_span(picture))
    luma = picture.planes[0]
    if luma.shape != plane.shape:
        luma = cv2.resize(luma, (plane.shape[1], plane.shape[0]), interpolation=cv2.INTER_AREA)
    scale = looked_up(luma, ratio)
    if gain is not None:
        scale *= gain
    return stored((plane.astype(np.float32) - np.float32(middle)) * scale + np.float32(middle), bits)


def spread(field: FloatPlane, shape: tuple[int, ...]) -> FloatPlane:
    """Return factors for every sample of a plane, `(H, W)`, from what is added to the tones at cells, `(h, w)`."""
    grown = cv2.resize(field, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.exp(grown), np.float32)


@lru_cache(maxsize=4)
def _dither(height: int, width: int) -> FloatPlane:
    side = colours.DITHER_SIDE
    tiled = np.tile(colours.dither_pattern(), (-(-height // side), -(-width // side)))[:height, :width]
    # OpenCV stores by rounding to nearest where the pattern is made for rounding down.
    return np.ascontiguousarray(tiled - np.float32(0.5))
