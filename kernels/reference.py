"""What every kernel computes, in NumPy and float64: the twin that each implementation is held against. Slow."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastrestore.frames import Colour, FloatImage, Matrix, Motion, Picture, PixelFormat, Plane
from fastrestore.geometry import Size
from fastrestore.kernels import colour as colours
from fastrestore.kernels.ops import GUARD_SOFTNESS, GUARD_TOLERANCE, Difference

Real: TypeAlias = NDArray[np.float64]
BLOCK_PX = 16
THUMBNAIL = Size(32, 24)
LANCZOS_LOBES = 4
FLOW_REACH = 2
"""Displacements are cut to this many times the longer side: farther is the edge all the same."""


class ReferenceOps:
    """The contract of `fastrestore.kernels.ops.Ops`, written to be read."""

    def to_rgb(self, picture: Picture) -> FloatImage:
        """See `Ops.to_rgb`."""
        kind, bits = picture.format.kind, picture.format.bits
        if kind == "rgb":
            green, blue, red = picture.planes
            return (np.stack([red, green, blue]) / ((1 << bits) - 1)).astype(np.float32)
        if kind == "grey":
            scale, offset = colours.samples_from_grey(picture.colour, bits)
            grey = (picture.planes[0] - offset) / scale
            return np.stack([grey] * 3).astype(np.float32)
        affine = colours.rgb_from_samples(picture.colour, bits)
        chroma = [upsample_chroma(p, picture) for p in picture.planes[1:]]
        samples = np.stack([picture.planes[0].astype(np.float64), *chroma])
        rgb = np.einsum("ij,jhw->ihw", affine.matrix, samples) + affine.offset[:, None, None]
        return np.asarray(rgb, np.float32)

    def from_rgb(
        self, rgb: FloatImage, size: Size, pixel_format: PixelFormat, colour: Colour, *, neutral: bool = False
    ) -> Picture:
        """See `Ops.from_rgb`."""
        bits = pixel_format.bits
        if pixel_format.kind == "rgb":
            planes = [resize(rgb[i].astype(np.float64), size) * ((1 << bits) - 1) for i in (1, 2, 0)]
            return Picture(tuple(store(p, pixel_format) for p in planes), pixel_format, colour)
        if pixel_format.kind == "grey":
            scale, offset = colours.samples_from_grey(colour, bits)
            grey = np.tensordot(colours.luma_weights(colour.matrix), rgb.astype(np.float64), 1)
            return Picture((store(resize(grey, size) * scale + offset, pixel_format),), pixel_format, colour)
        affine = colours.samples_from_rgb(colour, bits)
        samples = np.einsum("ij,jhw->ihw", affine.matrix, rgb.astype(np.float64)) + affine.offset[:, None, None]
        planes = [resize(samples[0], size)]
        chroma_size = pixel_format.plane_size(size, 1)
        for plane in samples[1:]:
            if neutral:
                planes.append(np.full((chroma_size.height, chroma_size.width), float(colours.middle(bits))))
            else:
                planes.append(move_to_siting(resize(plane, chroma_size), pixel_format, colour))
        return Picture(tuple(store(p, pixel_format) for p in planes), pixel_format, colour)

    def requantize(self, picture: Picture, pixel_format: PixelFormat) -> Picture:
        """See `Ops.requantize`."""
        old, new = (
            colours.sample_scale(picture.colour.full_range, pixel_format.kind, bits)
            for bits in (picture.format.bits, pixel_format.bits)
        )
        planes = []
        for index, plane in enumerate(picture.planes):
            origin = 2 if index and pixel_format.kind == "yuv" else 1
            planes.append(store((plane - old[origin]) * (new[0] / old[0]) + new[origin], pixel_format))
        return Picture(tuple(planes), pixel_format, picture.colour)

    def luma8(self, picture: Picture) -> NDArray[np.uint8]:
        """See `Ops.luma8`."""
        if picture.format.kind == "rgb":
            green, blue, red = (p.astype(np.float64) for p in picture.planes)
            kr, kg, kb = colours.luma_weights(Matrix.BT709)
            luma = kr * red + kg * green + kb * blue
        else:
            luma = picture.planes[0].astype(np.float64)
        return np.clip(np.rint(luma / (1 << (picture.format.bits - 8))), 0, 255).astype(np.uint8)

    def difference(self, left: NDArray[np.uint8], right: NDArray[np.uint8]) -> Difference:
        """See `Ops.difference`."""
        apart = np.abs(left.astype(np.float64) - right) / 255
        blocks = [
            apart[y : y + BLOCK_PX, x : x + BLOCK_PX].mean()
            for y in range(0, apart.shape[0], BLOCK_PX)
            for x in range(0, apart.shape[1], BLOCK_PX)
        ]
        thumbnails = [resize_area(p.astype(np.float64), THUMBNAIL) for p in (left, right)]
        return Difference(float(apart.mean()), float(max(blocks)), correlation(*thumbnails))

    def disagreement(self, left: NDArray[np.uint8], right: NDArray[np.uint8], motion: Motion) -> NDArray[np.float32]:
        """See `Ops.disagreement`."""
        apart = np.rint(warp(left, motion.flow_to_left)) - np.rint(warp(right, motion.flow_to_right))
        return np.asarray(np.abs(apart) / 255, np.float32)

    def synthesize(self, left: Picture, right: Picture, motion: Motion, t: float) -> Picture:
        """See `Ops.synthesize`."""
        mask = guard(left, right, motion, t)
        planes = []
        for left_plane, right_plane in zip(left.planes, right.planes, strict=True):
            height, width = left_plane.shape
            from_left = warp(left_plane, motion.flow_to_left)
            from_right = warp(right_plane, motion.flow_to_right)
            share = resize_linear(mask, Size(width, height))
            blended = share * from_left + (1 - share) * from_right
            planes.append(np.rint(blended).astype(left.format.dtype))
        return Picture(tuple(planes), left.format, left.colour)


def guard(left: Picture, right: Picture, motion: Motion, t: float) -> Real:
    """Return the motion's mask, moved towards the nearer neighbour where the warped ones disagree too much."""
    mask = motion.mask.astype(np.float64)
    if motion.disagreement is None:
        return mask
    peak = (1 << left.format.bits) - 1
    from_left = warp(left.planes[0], motion.flow_to_left)
    from_right = warp(right.planes[0], motion.flow_to_right)
    apart = resize(np.abs(np.rint(from_left) - np.rint(from_right)), motion.size) / peak
    excess = np.clip((apart - motion.disagreement - GUARD_TOLERANCE) / GUARD_SOFTNESS, 0, 1)
    nearer = 1.0 if t < 0.5 else 0.0
    return mask + excess * (nearer - mask)


def warp(plane: Plane, flow: NDArray[np.float32]) -> Real:
    """Return `plane(x + flow(x))`, bilinear, edges repeated; the flow is scaled to the plane's size."""
    height, width = plane.shape
    rows, columns = flow.shape[:2]
    clean = np.nan_to_num(flow.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    clean = np.clip(clean, -FLOW_REACH * max(rows, columns), FLOW_REACH * max(rows, columns))
    dx = resize_linear(clean[..., 0], Size(width, height)) * (width / columns)
    dy = resize_linear(clean[..., 1], Size(width, height)) * (height / rows)
    x = np.clip(np.arange(width) + dx, 0, width - 1)
    y = np.clip(np.arange(height)[:, None] + dy, 0, height - 1)
    x0, y0 = np.floor(x).astype(int), np.floor(y).astype(int)
    x1, y1 = np.minimum(x0 + 1, width - 1), np.minimum(y0 + 1, height - 1)
    fx, fy = x - x0, y - y0
    source = plane.astype(np.float64)
    top = source[y0, x0] * (1 - fx) + source[y0, x1] * fx
    bottom = source[y1, x0] * (1 - fx) + source[y1, x1] * fx
    return np.asarray(top * (1 - fy) + bottom * fy)


def upsample_chroma(plane: Plane, picture: Picture) -> Real:
    """Return a chroma plane on the luma grid, interpolated linearly between the sample positions."""
    size, (sx, sy), (px, py) = picture.size, picture.format.chroma_shift, picture.colour.siting.value
    x = _chroma_positions(size.width, sx, px)
    y = _chroma_positions(size.height, sy, py)
    return _sample_linear(_sample_linear(plane.astype(np.float64), y, 0), x, 1)


def move_to_siting(plane: Real, pixel_format: PixelFormat, colour: Colour) -> Real:
    """Move a chroma plane from the middle of its blocks to its siting, by linear interpolation."""
    (sx, sy), (px, py) = pixel_format.chroma_shift, colour.siting.value
    height, width = plane.shape
    if sx and px == 0.0:
        plane = _sample_linear(plane, np.arange(width, dtype=np.float64) - 0.25, 1)
    if sy and py == 0.0:
        plane = _sample_linear(plane, np.arange(height, dtype=np.float64) - 0.25, 0)
    return plane


def store(plane: Real, pixel_format: PixelFormat) -> Plane:
    """Return samples with ordered dither, clipped to the code range."""
    height, width = plane.shape
    side = colours.DITHER_SIDE
    tiled = np.tile(colours.dither_pattern(), (-(-height // side), -(-width // side)))[:height, :width]
    return np.clip(np.floor(plane + tiled), 0, (1 << pixel_format.bits) - 1).astype(pixel_format.dtype)


def resize(plane: Real, size: Size) -> Real:
    """Resize one plane: the same samples where sizes agree, area mean if nothing grows, Lanczos otherwise."""
    height, width = plane.shape
    if (width, height) == (size.width, size.height):
        return plane
    if size.width <= width and size.height <= height:
        return resize_area(plane, size)
    return resize_lanczos(plane, size)


def resize_area(plane: Real, size: Size) -> Real:
    """Mean over each target pixel's exact footprint."""
    return _apply(plane, size, _area_weights)


def resize_lanczos(plane: Real, size: Size) -> Real:
    """Lanczos interpolation with four lobes, weights normalised, edges repeated."""
    return _apply(plane, size, _lanczos_weights)


def resize_linear(plane: Real, size: Size) -> Real:
    """Bilinear interpolation, pixel centres aligned, edges repeated."""
    height, width = plane.shape
    x = (np.arange(size.width) + 0.5) * width / size.width - 0.5
    y = (np.arange(size.height) + 0.5) * height / size.height - 0.5
    return _sample_linear(_sample_linear(plane, y, 0), x, 1)


def correlation(left: Real, right: Real) -> float:
    """Normalised cross-correlation; two flat pictures correlate fully, a flat one and another not at all."""
    a, b = left - left.mean(), right - right.mean()
    norm_a, norm_b = float(np.sqrt((a * a).sum())), float(np.sqrt((b * b).sum()))
    flat = 1e-3 * np.sqrt(left.size) * 255  # below a thousandth of white there is only rounding
    if norm_a < flat or norm_b < flat:
        return 1.0 if norm_a < flat and norm_b < flat else 0.0
    return float((a * b).sum() / (norm_a * norm_b))


def _chroma_positions(length: int, shift: int, siting: float) -> Real:
    factor = 1 << shift
    return (np.arange(length) - siting * (factor - 1)) / factor


def _sample_linear(plane: Real, positions: Real, axis: int) -> Real:
    last = plane.shape[axis] - 1
    clipped = np.clip(positions, 0, last)
    low = np.floor(clipped).astype(int)
    high = np.minimum(low + 1, last)
    share = (clipped - low)[:, None] if axis == 0 else clipped - low
    return np.asarray(plane.take(low, axis) * (1 - share) + plane.take(high, axis) * share)


def _apply(plane: Real, size: Size, weights: Callable[[int, int], Real]) -> Real:
    height, width = plane.shape
    return np.asarray(weights(height, size.height) @ plane @ weights(width, size.width).T)


def _area_weights(length: int, target: int) -> Real:
    edges = np.arange(target + 1) * length / target
    left = np.maximum(edges[:-1, None], np.arange(length))
    right = np.minimum(edges[1:, None], np.arange(1, length + 1))
    cover = np.clip(right - left, 0, None)
    return np.asarray(cover / cover.sum(1, keepdims=True))


def _lanczos_weights(length: int, target: int) -> Real:
    weights = np.zeros((target, length))
    for row in range(target):
        centre = (row + 0.5) * length / target - 0.5
        first = int(np.floor(centre)) - LANCZOS_LOBES + 1
        taps = np.arange(first, first + 2 * LANCZOS_LOBES)
        value = np.sinc(taps - centre) * np.sinc((taps - centre) / LANCZOS_LOBES)
        np.add.at(weights[row], np.clip(taps, 0, length - 1), value / value.sum())
    return weights
