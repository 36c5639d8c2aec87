"""The pixel kernels by launches: the contract of `Ops` on whatever executes them, for comparison with the twin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from tests.unit.kernels.executors import FILL, Executor

from fastrestore.frames import Colour, FloatImage, Motion, Picture, PixelFormat, Plane
from fastrestore.geometry import Size
from fastrestore.kernels import launches as k
from fastrestore.kernels.ops import Difference

MARGIN_BYTES = 48
"""Behind every row of a picture, so that pitches are longer than rows and rows are not always aligned."""


def planar(pixel_format: PixelFormat) -> k.Layout:
    return k.Layout(pixel_format)


def as_stored(picture: Picture, layout: k.Layout) -> list[Plane]:
    """Return the planes in memory: interleaved and shifted as the layout says."""
    planes = [plane << layout.shift for plane in picture.planes]
    if layout.interleaved:
        planes = [planes[0], np.stack(planes[1:], axis=2).reshape(planes[1].shape[0], -1)]
    return planes


def as_picture(planes: Sequence[Plane], layout: k.Layout, colour: Colour) -> Picture:
    """Return the picture that planes in memory hold; bits that the layout does not use must be 0."""
    assert not any((plane & ((1 << layout.shift) - 1)).any() for plane in planes)
    whole = [np.ascontiguousarray(plane >> layout.shift) for plane in planes]
    if layout.interleaved:
        whole = [whole[0], np.ascontiguousarray(whole[1][:, ::2]), np.ascontiguousarray(whole[1][:, 1::2])]
    return Picture(tuple(whole), layout.samples, colour)


@dataclass(frozen=True)
class Tiles:
    """Restored tiles and what each column and row of them gives to the picture."""

    elements: NDArray[Any]
    """`(n, 3, h, w)` float16 or float32."""
    columns: Sequence[k.TileSpan]
    rows: Sequence[k.TileSpan]

    @classmethod
    def whole(cls, rgb: NDArray[Any]) -> Tiles:
        """Return a picture that is one tile."""
        _, height, width = rgb.shape
        spans = [[k.TileSpan(0, 0, np.ones(length))] for length in (width, height)]
        return cls(rgb[None], *spans)

    @property
    def tile(self) -> Size:
        return Size(self.elements.shape[3], self.elements.shape[2])


class LaunchedOps:
    """The kernels, one launch after the other. A picture comes and goes in planar layout, unless said otherwise."""

    def __init__(self, executor: Executor, margin_bytes: int = MARGIN_BYTES) -> None:
        self._executor = executor
        self._margin = margin_bytes

    def tiles(
        self, picture: Picture, tile: Size, origins: Sequence[tuple[int, int]], dtype: DTypeLike, layout: k.Layout
    ) -> NDArray[Any]:
        shape = (len(origins), 3, tile.height, tile.width)
        address = self._executor.reserve(int(np.prod(shape)) * np.dtype(dtype).itemsize)
        source = self._placed(picture, layout)
        self._executor.run(k.planes_to_tiles(source, address, tile, origins, half=dtype == np.float16))
        return self._executor.fetch(address, shape, dtype)

    def to_rgb(self, picture: Picture) -> FloatImage:
        rgb: FloatImage = self.tiles(picture, picture.size, [(0, 0)], np.float32, planar(picture.format))[0]
        return rgb

    def from_tiles(
        self, tiles: Tiles, size: Size, layout: k.Layout, colour: Colour, *, neutral: bool = False
    ) -> tuple[Picture, bool]:
        """Return the picture, and whether it was found broken."""
        table = k.frame_taps(tiles.columns, tiles.rows, tiles.tile, size, layout.samples, colour)
        taps = table.at(self._executor.place(table.data))
        half = tiles.elements.dtype == np.float16
        store = k.TileStore(self._executor.place(tiles.elements), tiles.tile, len(tiles.elements), half)
        target = self._empty(size, layout, colour)
        broken = self._cleared(16)
        self._executor.run(k.tiles_to_planes(store, taps, target, broken=broken, neutral=neutral))
        return self._fetched(target), bool(self._executor.fetch(broken, (1,), np.int32)[0])

    def from_rgb(
        self, rgb: FloatImage, size: Size, pixel_format: PixelFormat, colour: Colour, *, neutral: bool = False
    ) -> Picture:
        return self.from_tiles(Tiles.whole(rgb), size, planar(pixel_format), colour, neutral=neutral)[0]

    def requantize(
        self, picture: Picture, pixel_format: PixelFormat, layouts: tuple[k.Layout, k.Layout] | None = None
    ) -> Picture:
        source, wanted = layouts or (planar(picture.format), planar(pixel_format))
        target = self._empty(picture.size, wanted, picture.colour)
        self._executor.run(k.requantize(self._placed(picture, source), target))
        return self._fetched(target)

    def luma8(self, picture: Picture, layout: k.Layout | None = None) -> NDArray[np.uint8]:
        pitch = picture.size.width + self._margin
        address = self._executor.reserve(pitch * picture.size.height)
        self._executor.run(k.luma8(self._placed(picture, layout or planar(picture.format)), address, pitch))
        return self._rows(address, pitch, picture.size.height, picture.size.width, np.uint8)

    def difference(self, left: NDArray[np.uint8], right: NDArray[np.uint8]) -> Difference:
        views = [self._view(plane) for plane in (left, right)]
        slots = self._cleared(k.STATISTICS_BYTES)
        self._executor.run(k.statistics(views[0], views[1], slots))
        sums = [self._cleared(k.THUMBNAIL_BYTES) for _ in views]
        for view, address in zip(views, sums, strict=True):
            self._executor.run(k.thumbnail(view, address))
        small = [self._executor.fetch(address, (24, 32), np.uint64) for address in sums]
        return k.difference(self._executor.fetch(slots, (k.SLOTS,), k.SLOT), (small[0], small[1]), views[0].size)

    def unequal(self, left: Picture, right: Picture, layout: k.Layout) -> bool:
        found = self._cleared(16)
        for launch in k.unequal(self._placed(left, layout), self._placed(right, layout), found):
            self._executor.run(launch)
        return bool(self._executor.fetch(found, (1,), np.int32)[0])

    def resize(self, plane: NDArray[Any], size: Size, bits: int) -> NDArray[Any]:
        """Return a plane of uint8, uint16 or float32 resized, as samples of `bits` bits, or floats where that is 32."""
        source = self._view(plane)
        table = k.resize_taps(source.size, size)
        placed = k.TapTable(*table)
        dtype = np.float32 if bits == 32 else np.uint8 if bits == 8 else np.uint16
        pitch = size.width * np.dtype(dtype).itemsize + self._margin
        target = k.PlaneView(self._executor.reserve(pitch * size.height), pitch, size, bits)
        self._executor.run(k.resize(source, placed.at(self._executor.place(placed.data)), target))
        return self._rows(target.address, pitch, size.height, size.width, dtype)

    def disagreement(self, left: NDArray[np.uint8], right: NDArray[np.uint8], motion: Motion) -> NDArray[np.float32]:
        packed = self._packed(motion)
        apart = self._executor.reserve(4 * motion.size.pixels)
        self._executor.run(k.disagreement(self._view(left), self._view(right), packed, apart))
        return self._executor.fetch(apart, motion.mask.shape, np.float32)

    def synthesize(
        self,
        left: Picture,
        right: Picture,
        motion: Motion,
        t: float,
        layouts: tuple[k.Layout, k.Layout] | None = None,
        *,
        neutral: bool = False,
    ) -> Picture:
        source, wanted = layouts or (planar(left.format), planar(left.format))
        pictures = self._placed(left, source), self._placed(right, source)
        packed, mask = self._packed(motion), self._view(motion.mask)
        if motion.disagreement is not None:
            table = k.TapTable(*k.resize_taps(left.size, motion.size))
            taps = table.at(self._executor.place(table.data))
            guarded = self._executor.reserve(4 * motion.size.pixels)
            fields = mask, self._view(motion.disagreement)
            self._executor.run(k.guard(pictures, packed, fields, taps, guarded, t))
            mask = k.PlaneView(guarded, 4 * motion.size.width, motion.size, 32)
        target = self._empty(left.size, wanted, left.colour)
        self._executor.run(k.synthesize(pictures, packed, mask, target, neutral=neutral))
        return self._fetched(target)

    def _packed(self, motion: Motion) -> int:
        """Return the address of a packed motion: its cells come as they are in `Motion`, or as networks have them."""
        left, right = (self._executor.place(flow) for flow in (motion.flow_to_left, motion.flow_to_right))
        packed = self._executor.reserve(k.PACKED_BYTES * motion.size.pixels)
        self._executor.run(k.pack_motion(k.FlowField.interleaved(left, right, motion.size), packed))
        again = self._executor.reserve(k.PACKED_BYTES * motion.size.pixels)
        network = Size(motion.size.width + 3, motion.size.height + 2)
        output = np.full((4, network.height, network.width), np.nan, np.float32)
        both = np.concatenate([motion.flow_to_left, motion.flow_to_right], axis=2)
        output[:, : motion.size.height, : motion.size.width] = both.transpose(2, 0, 1)
        field = k.FlowField.planar(self._executor.place(output), network, motion.size)
        self._executor.run(k.pack_motion(field, again))
        shape = (*motion.mask.shape, 4)
        one, other = (self._executor.fetch(address, shape, np.float32) for address in (packed, again))
        assert np.array_equal(one, other)
        return packed

    def _placed(self, picture: Picture, layout: k.Layout) -> k.DevicePlanes:
        views = [self._view(plane) for plane in as_stored(picture, layout)]
        addresses, pitches = tuple(v.address for v in views), tuple(v.pitch for v in views)
        return k.DevicePlanes(addresses, pitches, picture.size, layout, picture.colour)

    def _view(self, plane: NDArray[Any]) -> k.PlaneView:
        height, width = plane.shape
        rows = np.full((height, width * plane.itemsize + self._margin), FILL, np.uint8)
        rows[:, : width * plane.itemsize] = np.ascontiguousarray(plane).view(np.uint8)
        bits = {np.uint8: 8, np.uint16: 16, np.float32: 32}[plane.dtype.type]
        return k.PlaneView(self._executor.place(rows), rows.shape[1], Size(width, height), bits)

    def _empty(self, size: Size, layout: k.Layout, colour: Colour) -> k.DevicePlanes:
        pitches = tuple(layout.row_bytes(size, plane) + self._margin for plane in range(layout.planes))
        addresses = tuple(self._executor.reserve(pitch * layout.rows(size, i)) for i, pitch in enumerate(pitches))
        return k.DevicePlanes(addresses, pitches, size, layout, colour)

    def _fetched(self, planes: k.DevicePlanes) -> Picture:
        layout, size = planes.layout, planes.size
        found = []
        for index, (address, pitch) in enumerate(zip(planes.addresses, planes.pitches, strict=True)):
            width = layout.row_bytes(size, index) // layout.sample_bytes
            found.append(self._rows(address, pitch, layout.rows(size, index), width, layout.samples.dtype))
        return as_picture(found, layout, planes.colour)

    def _rows(self, address: int, pitch: int, height: int, width: int, dtype: DTypeLike) -> NDArray[Any]:
        """Return the samples of a plane; what lies between its rows must be untouched."""
        rows = self._executor.fetch(address, (height, pitch), np.uint8)
        used = width * np.dtype(dtype).itemsize
        assert (rows[:, used:] == FILL).all(), "written between rows"
        return np.ascontiguousarray(rows[:, :used]).view(dtype)

    def _cleared(self, nbytes: int) -> int:
        address = self._executor.reserve(nbytes)
        self._executor.run(k.clear(address, nbytes))
        return address
