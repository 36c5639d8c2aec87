"""Chroma carried from one picture to another: what is done to each pixel, in NumPy and OpenCV.

Luma is `(h, w)` uint8. Chroma is `(h, w, 2)` float32, Cb and Cr as 8-bit levels above the middle, in the film's own
matrix and range. Places are `(h, w, 2)` float32: for each pixel a position (x, y) in another picture, px. Trust is
`(h, w)` float32 in `[0, 1]`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from fastrestore.frames import Colour, Matrix, Picture, PixelFormat, Plane
from fastrestore.geometry import Size
from fastrestore.kernels import colour as colours

Luma: TypeAlias = NDArray[np.uint8]
FloatPlane: TypeAlias = NDArray[np.float32]
Rgb: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]

RETURN_SLACK_PX = 0.4
"""How far there and back may miss the start without doubt: noise and rounding explain that much."""
RETURN_PX = 1.0
"""Further miss at which a match counts 1/e."""
RELIEF_SOFTNESS_PX = 0.6
"""Sigma of the blur before luma is compared: two pictures are never sampled alike."""
RELIEF_SHARE = 12
"""The mean of a square of `short side / 12` to either side is taken away from luma: light may change."""
LIKENESS_PX = 9
"""Side of the square over which two pictures are compared."""
FLAT_LEVELS = 12.0
"""Contrast of luma below which a square has no structure to compare: old film's grain has 4."""
LEAST_STRUCTURE, FULL_STRUCTURE = 0.5, 0.9
"""Correlation at which a likeness is none, and full. Asking for less trusts walls of brick one brick further on."""
LIKENESS_SLACK = 6.0
"""Difference of mean luma that changes of light explain."""
LIKENESS_LEVELS = 8.0
"""Further difference at which a likeness counts 1/e."""
MOTION_STEP_PX = 8
"""Every how many pixels a flow is looked at to find the camera's motion."""
OWN_MOTION_PX = 0.7
"""How far a pixel must move away from the camera's motion in a frame to count as moving by itself."""
SURROUNDINGS_PX = 8
"""Side of the squares of which surroundings are the means."""
GUIDE_RADIUS = 2
"""Of the guided enlargement, in chroma samples."""
GUIDE_CONTRAST = 4.0
"""Contrast of luma above which enlarged chroma follows its edges."""
_ALONE = np.float32(0.02)
"""Share of a square that must be trusted for what lies around it to count less than it does."""


def coded_colour(colour: Colour) -> Colour:
    """Return how chroma is to be coded beside a film's luma: R'G'B' films get BT.709 in full range."""
    if colour.matrix is Matrix.RGB:
        return replace(colour, matrix=Matrix.BT709, full_range=True)
    return replace(colour, matrix=Matrix.BT709) if colour.matrix is Matrix.UNSPECIFIED else colour


def luma_plane(picture: Picture) -> Plane:
    """Return a picture's luma: the plane it has, or, of an R'G'B' one, what `coded_colour` makes of it."""
    if picture.format.kind != "rgb":
        return picture.planes[0]
    kr, kg, kb = colours.luma_weights(coded_colour(picture.colour).matrix)
    green, blue, red = picture.planes
    return np.rint(red * kr + green * kg + blue * kb).astype(picture.format.dtype)


def split_rgb(rgb: Rgb, colour: Colour) -> tuple[Luma, FloatPlane]:
    """Return luma and chroma of a full-range R'G'B' picture, `(h, w, 3)`, as a film of `colour` holds them."""
    affine = colours.samples_from_rgb(colour, 8)
    samples = rgb.astype(np.float32) @ (affine.matrix / np.iinfo(rgb.dtype).max).astype(np.float32).T
    luma = np.clip(np.rint(samples[..., 0] + affine.offset[0]), 0, 255).astype(np.uint8)
    return luma, np.ascontiguousarray(samples[..., 1:], np.float32)


@lru_cache(maxsize=4)
def grid(height: int, width: int) -> FloatPlane:
    """Return every pixel's own place."""
    places = np.empty((height, width, 2), np.float32)
    places[..., 0] = np.arange(width, dtype=np.float32)
    places[..., 1] = np.arange(height, dtype=np.float32)[:, None]
    places.flags.writeable = False
    return places


def fetch(plane: FloatPlane, places: FloatPlane) -> FloatPlane:
    """Return what is found at the places, linearly interpolated; beyond the edge what is at the edge."""
    found = cv2.remap(plane, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found, np.float32)


def fetch_luma(luma: Luma, places: FloatPlane) -> Luma:
    """Return the luma found at the places."""
    found = cv2.remap(luma, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found, np.uint8)


def inside(places: FloatPlane) -> NDArray[np.bool_]:
    """Return which places lie within a picture of their own size."""
    height, width = places.shape[:2]
    x, y = places[..., 0], places[..., 1]
    return np.asarray((x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1))


def returning(there: FloatPlane, back: FloatPlane) -> FloatPlane:
    """Return how surely a match is one: whether the way there and the way back end where they began.

    Args:
        there: `(h, w, 2)` px: from each pixel to its match in the other picture.
        back: `(h, w, 2)` px: from each pixel of the other picture to its match in this one.
    """
    height, width = there.shape[:2]
    places = there + grid(height, width)
    gap = there + fetch(back, places)
    missed = np.maximum(cv2.magnitude(gap[..., 0], gap[..., 1]) - np.float32(RETURN_SLACK_PX), 0)
    trust = np.exp(np.square(missed) * np.float32(-1 / RETURN_PX**2))
    beyond = np.maximum(
        np.maximum(-places[..., 0], places[..., 0] - (width - 1)),
        np.maximum(-places[..., 1], places[..., 1] - (height - 1)),
    )
    return np.asarray(trust * np.clip(2 - beyond, 0, 1), np.float32)


def relief(luma: Luma) -> FloatPlane:
    """Return luma without the mean around it, `(h, w)` float32: blind to flicker and slow changes of light."""
    side = 2 * max(2, min(luma.shape) // RELIEF_SHARE) + 1
    plane = cv2.GaussianBlur(luma.astype(np.float32), (0, 0), RELIEF_SOFTNESS_PX)
    return np.asarray(plane - cv2.blur(plane, (side, side)), np.float32)


def likeness(here: FloatPlane, there: FloatPlane) -> FloatPlane:
    """Return how surely two reliefs, brought to one place, show the same thing: same tone, same structure."""
    side = (LIKENESS_PX, LIKENESS_PX)
    mean_here, mean_there = cv2.blur(here, side), cv2.blur(there, side)
    covariance = cv2.blur(here * there, side) - mean_here * mean_there
    variances = cv2.blur(here * here + there * there, side) - mean_here * mean_here - mean_there * mean_there
    flat = np.float32(FLAT_LEVELS**2)
    structure = ((2 * covariance + flat) / (variances + flat) - np.float32(LEAST_STRUCTURE)) * np.float32(
        1 / (FULL_STRUCTURE - LEAST_STRUCTURE)
    )
    excess = np.maximum(cv2.absdiff(mean_here, mean_there) - np.float32(LIKENESS_SLACK), 0)
    return np.asarray(np.clip(structure, 0, 1) * np.exp(excess * np.float32(-1 / LIKENESS_LEVELS)), np.float32)


def moving(flow: FloatPlane) -> NDArray[np.bool_]:
    """Return what moves by itself, `(h, w)`: other than a pan, turn or zoom, fitted to most of a flow, explains."""
    height, width = flow.shape[:2]
    some = np.s_[MOTION_STEP_PX // 2 :: MOTION_STEP_PX, MOTION_STEP_PX // 2 :: MOTION_STEP_PX]
    sparse, places = flow[some].reshape(-1, 2), grid(height, width)[some].reshape(-1, 2)
    sides = np.concatenate([places, np.ones((len(places), 1), np.float32)], axis=1)
    model = np.zeros((3, 2), np.float32)
    if len(sparse):
        model[2] = np.median(sparse, axis=0)
    for _ in range(4):
        near = np.linalg.norm(sparse - sides @ model, axis=1) < OWN_MOTION_PX
        if np.count_nonzero(near) < 12:
            break
        model = np.linalg.lstsq(sides[near], sparse[near], rcond=None)[0].astype(np.float32)
    apart = np.asarray(flow - (grid(height, width) @ model[:2] + model[2]), np.float32)
    return np.asarray(cv2.magnitude(apart[..., 0], apart[..., 1]) > OWN_MOTION_PX)


def surrounding(values: FloatPlane, trust: FloatPlane) -> FloatPlane:
    """Return the mean of trusted values around each pixel, `(h, w, 2)`: of as near ones as there are, else 0."""
    height, width = trust.shape
    size = (-(-width // SURROUNDINGS_PX), -(-height // SURROUNDINGS_PX))
    told = np.concatenate([values * trust[..., None], trust[..., None]], axis=2)
    pyramid = [np.asarray(cv2.resize(told, size, interpolation=cv2.INTER_AREA), np.float32)]
    while max(pyramid[-1].shape[:2]) > 1:
        rows, columns = pyramid[-1].shape[:2]
        half = (-(-columns // 2), -(-rows // 2))
        pyramid.append(np.asarray(cv2.resize(pyramid[-1], half, interpolation=cv2.INTER_AREA), np.float32))
    around = np.zeros((1, 1, 2), np.float32)
    for level in reversed(pyramid):
        side = (level.shape[1], level.shape[0])
        around = np.asarray(cv2.resize(around, side, interpolation=cv2.INTER_LINEAR), np.float32)
        around = (level[..., :2] + _ALONE * around) / (level[..., 2:] + _ALONE)
    return np.asarray(cv2.resize(around, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def mixed(one: FloatPlane, other: FloatPlane, share: FloatPlane) -> FloatPlane:
    """Return two chromas mixed: `share`, `(h, w)`, of the first one and the rest of the other."""
    return np.asarray(other + (one - other) * share[..., None], np.float32)


def enlarged(chroma: FloatPlane, luma: Luma, size: Size) -> FloatPlane:
    """Return chroma at another size: along the edges of luma where it grows (a guided filter), else area means.

    Args:
        chroma: `(h, w, 2)`.
        luma: `(H, W)` uint8: the picture's own, at any size.
        size: The new size.
    """
    height, width = chroma.shape[:2]
    new = (size.width, size.height)
    if new == (width, height):
        return chroma
    if size.width < width or size.height < height:
        return np.asarray(cv2.resize(chroma, new, interpolation=cv2.INTER_AREA), np.float32)
    guide = cv2.resize(luma, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    full = cv2.resize(luma, new, interpolation=cv2.INTER_AREA).astype(np.float32)
    side = (2 * GUIDE_RADIUS + 1, 2 * GUIDE_RADIUS + 1)
    mean = cv2.blur(guide, side)
    variance = np.maximum(cv2.blur(guide * guide, side) - mean * mean, 0) + np.float32(GUIDE_CONTRAST**2)
    covariance = cv2.blur(chroma * guide[..., None], side) - cv2.blur(chroma, side) * mean[..., None]
    slope = np.asarray(covariance / variance[..., None], np.float32)
    rest = chroma - slope * guide[..., None]  # what luma does not explain stays as sharp as it was
    out = cv2.resize(slope, new, interpolation=cv2.INTER_LINEAR) * full[..., None]
    return np.asarray(out + cv2.resize(rest, new, interpolation=cv2.INTER_LINEAR), np.float32)


def stored(chroma: FloatPlane, layout: PixelFormat, colour: Colour) -> tuple[Plane, Plane]:
    """Return chroma planes as a film holds them.

    Args:
        chroma: `(h, w, 2)` at the size of the planes, each value the mean of its area.
        layout: The film's; 8 to 16 bits.
        colour: The film's, for its range and siting.
    """
    for axis, subsampled, place in zip((1, 0), layout.chroma_shift, colour.siting.value, strict=True):
        if subsampled and place == 0.0:  # from the middle of two luma samples onto the first
            before = np.concatenate([chroma.take([0], axis), chroma.take(range(chroma.shape[axis] - 1), axis)], axis)
            chroma = np.asarray(chroma * np.float32(0.75) + before * np.float32(0.25), np.float32)
    level, own = (colours.sample_scale(colour.full_range, "yuv", bits)[0] for bits in (8, layout.bits))
    samples = np.rint(chroma * np.float32(own / level)) + colours.middle(layout.bits)
    samples = np.clip(samples, 0, (1 << layout.bits) - 1).astype(layout.dtype)
    return np.ascontiguousarray(samples[..., 0]), np.ascontiguousarray(samples[..., 1])
