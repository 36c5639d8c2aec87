"""The kernels on a CPU, by OpenCV's vectorised primitives. Never `cv2.cvtColor`: it knows one matrix and one range.

OpenCV's own threads are left alone: the pipeline runs whole frames in parallel instead, which scales better.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from fastrestore.frames import Colour, FloatImage, Matrix, Motion, Picture, PixelFormat, Plane
from fastrestore.geometry import Size
from fastrestore.kernels import colour as colours
from fastrestore.kernels.ops import GUARD_SOFTNESS, GUARD_TOLERANCE, Difference
from fastrestore.kernels.reference import BLOCK_PX, FLOW_REACH, THUMBNAIL, correlation
from fastrestore.kernels.scratch import Scratch

FloatPlane: TypeAlias = NDArray[np.float32]
_WIDEST_RIM = 8
"""Cells around a motion field at most, when positions are enlarged in its place."""


class CpuOps:
    """The contract of `fastrestore.kernels.ops.Ops` on OpenCV and NumPy. Safe to share among threads."""

    def __init__(self) -> None:
        self._scratch = Scratch()

    def to_rgb(self, picture: Picture) -> FloatImage:
        """See `Ops.to_rgb`."""
        kind, bits = picture.format.kind, picture.format.bits
        height, width = picture.planes[0].shape
        out = np.empty((3, height, width), np.float32)
        if kind == "rgb":
            for index, plane in zip((1, 2, 0), picture.planes, strict=True):
                np.multiply(plane, np.float32(1 / ((1 << bits) - 1)), out=out[index], casting="unsafe")
            return out
        if kind == "grey":
            scale, offset = colours.samples_from_grey(picture.colour, bits)
            out[:] = (picture.planes[0].astype(np.float32) - np.float32(offset)) / np.float32(scale)
            return out
        samples = np.empty((3, height * width), np.float32)
        samples[0] = picture.planes[0].reshape(-1)
        for index in (1, 2):
            samples[index] = _upsample_chroma(picture, index).reshape(-1)
        affine = colours.rgb_from_samples(picture.colour, bits)
        np.matmul(affine.matrix.astype(np.float32), samples, out=out.reshape(3, -1))
        out += affine.offset.astype(np.float32)[:, None, None]
        return out

    def from_rgb(
        self, rgb: FloatImage, size: Size, pixel_format: PixelFormat, colour: Colour, *, neutral: bool = False
    ) -> Picture:
        """See `Ops.from_rgb`."""
        if pixel_format.kind == "rgb":
            peak = np.float32((1 << pixel_format.bits) - 1)
            gbr = [_store(self._resize(rgb[i], size) * peak, pixel_format) for i in (1, 2, 0)]
            return Picture(tuple(gbr), pixel_format, colour)
        affine = colours.samples_from_rgb(colour, pixel_format.bits)
        needed = 1 if neutral or pixel_format.kind == "grey" else 3
        samples = self._samples(rgb, affine.matrix[:needed], affine.offset[:needed])
        planes = [_store(self._resize(samples[0], size), pixel_format)]
        if pixel_format.kind != "grey":
            chroma_size = pixel_format.plane_size(size, 1)
            if neutral:
                planes += neutral_planes(chroma_size, pixel_format)
            for plane in samples[1:]:
                resized = self._resize(plane, chroma_size)
                planes.append(_store(_move_to_siting(resized, pixel_format, colour), pixel_format))
        return Picture(tuple(planes), pixel_format, colour)

    def requantize(self, picture: Picture, pixel_format: PixelFormat) -> Picture:
        """See `Ops.requantize`."""
        full, kind = picture.colour.full_range, pixel_format.kind
        old, new = (colours.sample_scale(full, kind, f.bits) for f in (picture.format, pixel_format))
        factor = new[0] / old[0]
        planes = []
        for index, plane in enumerate(picture.planes):
            origin = 2 if index and kind == "yuv" else 1
            scaled = plane.astype(np.float32) * np.float32(factor) + np.float32(new[origin] - old[origin] * factor)
            planes.append(_store(scaled, pixel_format))
        return Picture(tuple(planes), pixel_format, picture.colour)

    def luma8(self, picture: Picture) -> NDArray[np.uint8]:
        """See `Ops.luma8`."""
        bits = picture.format.bits
        if picture.format.kind == "rgb":
            green, blue, red = picture.planes
            kr, kg, kb = colours.luma_weights(Matrix.BT709)
            luma = _weighted(np.stack([red, green, blue]).astype(np.float32), np.array([kr, kg, kb]), 0.0)
        elif bits == 8:
            return picture.planes[0].view(np.uint8)
        else:
            luma = picture.planes[0].astype(np.float32)
        out: NDArray[np.uint8] = cv2.convertScaleAbs(luma, alpha=1 / (1 << (bits - 8))).astype(np.uint8, copy=False)
        return out

    def difference(self, left: NDArray[np.uint8], right: NDArray[np.uint8]) -> Difference:
        """See `Ops.difference`."""
        sums = cv2.integral(cv2.absdiff(left, right), sdepth=cv2.CV_64F)
        thumbnails = [
            cv2.resize(p.astype(np.float32), (THUMBNAIL.width, THUMBNAIL.height), interpolation=cv2.INTER_AREA)
            for p in (left, right)
        ]
        mean = float(sums[-1, -1]) / (left.size * 255)
        peak = float(_block_means(sums).max()) / 255
        return Difference(mean, peak, correlation(*(p.astype(np.float64) for p in thumbnails)))

    def disagreement(self, left: NDArray[np.uint8], right: NDArray[np.uint8], motion: Motion) -> NDArray[np.float32]:
        """See `Ops.disagreement`."""
        from_left = self._warp(left, _clean_flow(motion.flow_to_left))
        from_right = self._warp(right, _clean_flow(motion.flow_to_right))
        return np.asarray(cv2.absdiff(from_left, from_right) * np.float32(1 / 255), np.float32)

    def synthesize(self, left: Picture, right: Picture, motion: Motion, t: float) -> Picture:
        """See `Ops.synthesize`."""
        to_left, to_right = _clean_flow(motion.flow_to_left), _clean_flow(motion.flow_to_right)
        from_left, from_right = self._warp(left.planes[0], to_left), self._warp(right.planes[0], to_right)
        mask = _guard(from_left, from_right, motion, t, (1 << left.format.bits) - 1)
        planes: list[Plane] = [_blend(from_left, from_right, *self._shares(mask, from_left.shape))]
        chroma = list(zip(left.planes[1:], right.planes[1:], strict=True))
        if all(a is b for a, b in chroma):  # none, or the shared neutral plane of a grey picture
            planes += [a for a, _ in chroma]
            return Picture(tuple(planes), left.format, left.colour)
        # Both chroma planes have one shape: positions and shares are worked out once.
        shape = left.planes[1].shape
        shares = self._shares(mask, shape)
        where = self._positions(to_left, shape, "left"), self._positions(to_right, shape, "right")
        for left_plane, right_plane in chroma:
            planes.append(_blend(_sample(left_plane, where[0]), _sample(right_plane, where[1]), *shares))
        return Picture(tuple(planes), left.format, left.colour)

    def _samples(self, rgb: FloatImage, matrix: NDArray[np.float64], offset: NDArray[np.float64]) -> FloatImage:
        """Return one plane per row of the matrix, valid until the next call in this thread."""
        _, height, width = rgb.shape
        samples = self._scratch.array("samples", len(matrix), height * width)
        np.matmul(matrix.astype(np.float32), rgb.reshape(3, -1), out=samples)
        samples += offset.astype(np.float32)[:, None]
        return samples.reshape(-1, height, width)

    def _resize(self, plane: FloatPlane, size: Size) -> FloatPlane:
        """As `_resize`; valid until the next call in this thread."""
        return _resize(plane, size, self._scratch.array("resized", size.height, size.width))

    def _warp(self, plane: Plane, flow: FloatPlane) -> Plane:
        return _sample(plane, self._positions(flow, plane.shape, "whole"))

    def _positions(self, flow: FloatPlane, shape: tuple[int, ...], name: str) -> FloatPlane:
        """Return where each pixel of a plane of `shape` is taken from, `(H, W, 2)` float32, in its own pixels.

        Positions, not displacements, are enlarged where the sizes allow: interpolating them is exact, and one pass
        over the large picture is spared. A rim beyond the picture is needed for that, of so many cells that it is
        whole pixels wide.
        """
        (height, width), (rows, columns) = shape, flow.shape[:2]
        scale = np.array([width / columns, height / rows], np.float32)
        down, across = _whole_rim(height, rows), _whole_rim(width, columns)
        if (rows, columns) == (height, width) or down is None or across is None:
            where = self._scratch.array(name, height, width, 2)
            cv2.resize(flow * scale, (width, height), dst=where, interpolation=cv2.INTER_LINEAR)
            where += _grid(height, width)
            return where
        (cells_y, rim_y), (cells_x, rim_x) = down, across
        coarse: FloatPlane = cv2.copyMakeBorder(flow, cells_y, cells_y, cells_x, cells_x, cv2.BORDER_REPLICATE)
        coarse *= scale
        coarse[..., 0] += _centres(columns, cells_x, width)
        coarse[..., 1] += _centres(rows, cells_y, height)[:, None]
        whole = self._scratch.array(name, height + 2 * rim_y, width + 2 * rim_x, 2)
        cv2.resize(coarse, (whole.shape[1], whole.shape[0]), dst=whole, interpolation=cv2.INTER_LINEAR)
        return whole[rim_y : rim_y + height, rim_x : rim_x + width]

    def _shares(self, mask: FloatPlane, shape: tuple[int, ...]) -> tuple[FloatPlane, FloatPlane]:
        """Return the shares of the left and of the right picture on a plane of `shape`."""
        height, width = shape
        share, rest = mask, self._scratch.array("rest", height, width)
        if share.shape != (height, width):
            share = self._scratch.array("share", height, width)
            cv2.resize(mask, (width, height), dst=share, interpolation=cv2.INTER_LINEAR)
        return share, np.subtract(1, share, out=rest)


@lru_cache(maxsize=8)
def _neutral_plane(size: Size, pixel_format: PixelFormat) -> Plane:
    plane: Plane = np.full((size.height, size.width), colours.middle(pixel_format.bits), pixel_format.dtype)
    plane.flags.writeable = False
    return plane


def neutral_planes(size: Size, pixel_format: PixelFormat) -> tuple[Plane, Plane]:
    """Return two chroma planes of no colour: one shared, read-only array, so that grey is recognised by identity."""
    plane = _neutral_plane(size, pixel_format)
    return plane, plane


@lru_cache(maxsize=4)
def _dither(height: int, width: int) -> FloatPlane:
    side = colours.DITHER_SIDE
    tiled = np.tile(colours.dither_pattern(), (-(-height // side), -(-width // side)))[:height, :width]
    # OpenCV stores by rounding to nearest where the contract floors.
    return np.ascontiguousarray(tiled - np.float32(0.5))


def _store(plane: FloatPlane, pixel_format: PixelFormat) -> Plane:
    depth = cv2.CV_8U if pixel_format.bits == 8 else cv2.CV_16U
    stored: Plane = cv2.add(plane, _dither(*plane.shape), dtype=depth)  # saturates at the type's ends
    if pixel_format.bits not in (8, 16):
        np.minimum(stored, (1 << pixel_format.bits) - 1, out=stored)
    return stored


def _resize(plane: FloatPlane | Plane, size: Size, out: FloatPlane | None = None) -> FloatPlane:
    height, width = plane.shape
    if (width, height) == (size.width, size.height):
        return plane
    shrinks = size.width <= width and size.height <= height
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LANCZOS4
    resized: FloatPlane = cv2.resize(plane, (size.width, size.height), dst=out, interpolation=method)
    return resized


def _weighted(rgb: FloatImage, weights: NDArray[np.float64], offset: float) -> FloatPlane:
    height, width = rgb.shape[1:]
    out: FloatPlane = np.matmul(weights.astype(np.float32), rgb.reshape(3, -1)).reshape(height, width)
    out += np.float32(offset)
    return out


def _upsample_chroma(picture: Picture, index: int) -> FloatPlane:
    plane = picture.planes[index].astype(np.float32)
    (sx, sy), (px, py) = picture.format.chroma_shift, picture.colour.siting.value
    if sy:
        plane = _double(plane, py, picture.size.height)
    if sx:
        plane = _double(np.ascontiguousarray(plane.T), px, picture.size.width).T
    return plane


def _double(plane: FloatPlane, siting: float, length: int) -> FloatPlane:
    """Interpolate rows to twice as many, cut to `length`; chroma lies at `siting` between luma rows 2j and 2j+1."""
    before = np.concatenate([plane[:1], plane[:-1]])
    after = np.concatenate([plane[1:], plane[-1:]])
    out = np.empty((2 * plane.shape[0], plane.shape[1]), np.float32)
    share = np.float32(siting / 2)  # distance from luma row 2j to chroma row j, in chroma rows
    out[0::2] = before * share + plane * (1 - share)
    out[1::2] = plane * (np.float32(0.5) + share) + after * (np.float32(0.5) - share)
    return out[:length]


def _move_to_siting(plane: FloatPlane, pixel_format: PixelFormat, colour: Colour) -> FloatPlane:
    (sx, sy), (px, py) = pixel_format.chroma_shift, colour.siting.value
    quarter, rest = np.float32(0.25), np.float32(0.75)
    if sx and px == 0.0:
        before = np.concatenate([plane[:, :1], plane[:, :-1]], axis=1)
        plane = cv2.addWeighted(plane, float(rest), before, float(quarter), 0)
    if sy and py == 0.0:
        before = np.concatenate([plane[:1], plane[:-1]])
        plane = cv2.addWeighted(plane, float(rest), before, float(quarter), 0)
    return plane


def _block_means(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of every block from the integral image, `(H + 1, W + 1)` float64."""
    height, width = sums.shape[0] - 1, sums.shape[1] - 1
    y = np.append(np.arange(0, height, BLOCK_PX), height)
    x = np.append(np.arange(0, width, BLOCK_PX), width)
    corners = sums[np.ix_(y, x)]
    blocks = np.diff(np.diff(corners, axis=0), axis=1)
    return np.asarray(blocks / np.outer(np.diff(y), np.diff(x)))


@lru_cache(maxsize=4)
def _grid(height: int, width: int) -> FloatPlane:
    grid = np.empty((height, width, 2), np.float32)
    grid[..., 0] = np.arange(width, dtype=np.float32)
    grid[..., 1] = np.arange(height, dtype=np.float32)[:, None]
    return grid


def _clean_flow(flow: FloatPlane) -> FloatPlane:
    """Return the flow with NaN and infinity as 0, no longer than the picture: coordinates stay representable."""
    height, width = flow.shape[:2]
    clean = np.nan_to_num(flow, nan=0.0, posinf=0.0, neginf=0.0)
    np.clip(clean, -FLOW_REACH * max(height, width), FLOW_REACH * max(height, width), out=clean)
    return clean


def _whole_rim(length: int, cells: int) -> tuple[int, int] | None:
    """Return the fewest cells that span whole pixels, and those pixels; None if more than `_WIDEST_RIM` would."""
    for count in range(1, _WIDEST_RIM + 1):
        if count * length % cells == 0:
            return count, count * length // cells
    return None


def _centres(cells: int, rim: int, length: int) -> NDArray[np.float32]:
    """Return where the centres of cells lie, those of a rim on either side included, in pixels of `length`."""
    return (((np.arange(-rim, cells + rim) + 0.5) * length / cells) - 0.5).astype(np.float32)


def _sample(plane: Plane, where: FloatPlane) -> Plane:
    out: Plane = cv2.remap(plane, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return out


def _guard(from_left: Plane, from_right: Plane, motion: Motion, t: float, peak: int) -> FloatPlane:
    if motion.disagreement is None:
        return motion.mask
    # Reduced as stored samples, four times faster than as floats; the guard's thresholds are far above one step.
    apart = _resize(cv2.absdiff(from_left, from_right), motion.size)
    excess = (apart / np.float32(peak) - motion.disagreement - GUARD_TOLERANCE) / GUARD_SOFTNESS
    np.clip(excess, 0, 1, out=excess)
    nearer = np.float32(1.0 if t < 0.5 else 0.0)
    return np.asarray(motion.mask + excess * (nearer - motion.mask), np.float32)


def _blend(from_left: Plane, from_right: Plane, share: FloatPlane, rest: FloatPlane) -> Plane:
    if from_left.dtype == np.uint8:
        out: Plane = cv2.blendLinear(from_left, from_right, share, rest)
        return out
    blended = cv2.add(
        cv2.multiply(from_left, share, dtype=cv2.CV_32F), cv2.multiply(from_right, rest, dtype=cv2.CV_32F)
    )
    return np.asarray(np.rint(blended)).astype(from_left.dtype)
