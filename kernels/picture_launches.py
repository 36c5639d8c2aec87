"""Launches of the kernels that convert, restore and resize pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastrestore.frames import Matrix
from fastrestore.geometry import Size
from fastrestore.kernels import colour as colours
from fastrestore.kernels import params as p
from fastrestore.kernels.launch import (
    Launch,
    Traffic,
    launch_of,
    planes_params,
    require,
    require_comparable,
    require_taps,
    require_within,
    taps_params,
)
from fastrestore.kernels.surface import DevicePlanes, PlaneView
from fastrestore.kernels.taps import PlacedTaps

PIXELS_A_THREAD = 8
"""Neighbouring pixels that one thread of `fr_planes_to_tiles` makes."""


def planes_to_tiles(
    source: DevicePlanes, tiles: int, tile: Size, origins: Sequence[tuple[int, int]], *, half: bool
) -> Launch:
    """Gather tiles of R'G'B' from a picture; beyond its edges the nearest pixel is repeated.

    Args:
        source: The picture.
        tiles: Address of `(n, 3, h, w)` float16 or float32; a multiple of 16 is fastest.
        tile: Width and height of a tile; a width that is a multiple of 8 is fastest.
        origins: The `n` first pixels `(x, y)` of the tiles, in pixels of the picture; may lie outside it.
        half: Whether elements are float16.

    Raises:
        DeviceError: If there are no tiles, or more than `MOST_TILES`.
    """
    require(1 <= len(origins) <= p.MOST_TILES, f"{len(origins)} tiles at once, wanted 1 to {p.MOST_TILES}")
    require_within(tile)
    matrix, offset = rgb_from_samples(source)
    siting = source.colour.siting.value
    flat = [coordinate for origin in origins for coordinate in origin]
    params = p.PlanesToTilesParams(
        source=planes_params(source),
        tiles=tiles,
        matrix=tuple(matrix.ravel()),
        offset=tuple(offset),
        siting_x=siting[0],
        siting_y=siting[1],
        width=tile.width,
        height=tile.height,
        count=len(origins),
        half=half,
        origin=tuple(flat),
    )
    stored, seen = source.layout.nbytes(source.size), tile.pixels * len(origins)
    written = seen * 3 * (2 if half else 4)
    read = -(-stored * seen // source.size.pixels)
    traffic = Traffic(read + written, min(stored, read) + written)
    return launch_of(
        "fr_planes_to_tiles", params, -(-tile.width // PIXELS_A_THREAD), tile.height, traffic, len(origins)
    )


@dataclass(frozen=True, slots=True)
class TileStore:
    """All tiles of one restored picture, as the network wrote them, row by row of tiles."""

    address: int
    """Of `(count, 3, h, w)` elements."""
    tile: Size
    """What the network makes of one tile, padding included."""
    count: int
    half: bool
    """Whether elements are float16; float32 otherwise."""
    stride: int | None = None
    """Elements from a tile to the next; None where they follow each other without a gap."""

    @property
    def elements(self) -> int:
        """Elements of all tiles, gaps included."""
        return self.count * (3 * self.tile.pixels if self.stride is None else self.stride)


def tiles_to_planes(
    source: TileStore, taps: Sequence[PlacedTaps], target: DevicePlanes, *, broken: int = 0, neutral: bool = False
) -> Launch:
    """Put restored tiles together, resize the picture and store it, dithered.

    Args:
        source: The tiles.
        taps: Of `fastrestore.kernels.taps.frame_taps` for this geometry, where they lie on the device.
        target: The picture wanted.
        broken: Address of an int32 that becomes 1 where a sample is not finite, or 0.
        neutral: Whether chroma is its middle value, so that an exactly grey picture stays exactly grey.

    Raises:
        DeviceError: If the weights are not for this target, or the tiles are too many to be counted in 32 bits.
    """
    samples = target.layout.samples
    wanted = (target.size.width, target.size.height, target.chroma_size.width, target.chroma_size.height)
    found = tuple(axis.targets for axis in taps)
    require(found == wanted, f"weights for {found} columns and rows, wanted {wanted}")
    elements = source.elements
    require(elements < 1 << 31, f"{elements} elements of tiles, wanted fewer than {1 << 31}")
    last = max(taps[0].reach + taps[1].reach, taps[2].reach + taps[3].reach) - 2 + 2 * source.tile.pixels
    require(last < elements, f"weights of element {last}, wanted one of {elements}")
    matrix, offset = _samples_from_rgb(target)
    params = p.TilesToPlanesParams(
        target=planes_params(target),
        tiles=source.address,
        broken=broken,
        matrix=tuple(matrix.ravel()),
        offset=tuple(offset),
        width=source.tile.width,
        height=source.tile.height,
        count=source.count,
        half=source.half,
        neutral=neutral and samples.kind == "yuv",
        **dict(zip(("luma_x", "luma_y", "chroma_x", "chroma_y"), map(taps_params, taps), strict=True)),
    )
    needed = taps[0].sources * taps[1].sources * 3 * (2 if source.half else 4) + target.layout.nbytes(target.size)
    traffic = Traffic(needed + sum(axis.nbytes for axis in taps), needed)
    return launch_of("fr_tiles_to_planes", params, target.chroma_size.width, target.chroma_size.height, traffic)


def resize(source: PlaneView, taps: Sequence[PlacedTaps], target: PlaneView) -> Launch:
    """Resize one plane: area mean where nothing grows, Lanczos otherwise; samples are dithered, floats are not.

    Args:
        source: The plane.
        taps: Of `fastrestore.kernels.taps.resize_taps` for these sizes, where they lie on the device.
        target: The plane wanted.

    Raises:
        DeviceError: If the weights are not for this target.
    """
    require_taps(taps, source.size, target.size)
    params = p.ResizeParams(
        source=source.address,
        target=target.address,
        x=taps_params(taps[0]),
        y=taps_params(taps[1]),
        source_pitch=source.pitch,
        target_pitch=target.pitch,
        source_bytes=source.sample_bytes,
        target_bytes=target.sample_bytes,
        width=target.size.width,
        height=target.size.height,
        bits=target.bits,
    )
    needed = source.nbytes + target.nbytes
    traffic = Traffic(needed + sum(axis.nbytes for axis in taps), needed)
    return launch_of("fr_resize", params, target.size.width, target.size.height, traffic)


def luma8(source: DevicePlanes, luma: int, pitch: int) -> Launch:
    """Store luma in 8 bits, `(H, W)` uint8, in the range that the picture is stored in.

    Planar luma of 8 bits needs no launch: it is that plane.
    """
    weighted = source.layout.samples.kind == "rgb"
    kr, kg, kb = colours.luma_weights(Matrix.BT709)
    params = p.Luma8Params(
        source=planes_params(source), luma=luma, weights=(kg, kb, kr), pitch=pitch, weighted=weighted
    )
    read = source.size.pixels * source.layout.sample_bytes * (3 if weighted else 1)
    traffic = Traffic(read + source.size.pixels, read + source.size.pixels)
    return launch_of("fr_luma8", params, -(-source.size.width // 4), source.size.height, traffic)


def requantize(source: DevicePlanes, target: DevicePlanes) -> Launch:
    """Store the same samples in another depth or layout; with the depth unchanged, every sample is kept.

    Raises:
        DeviceError: If size, kind or chroma subsampling differ.
    """
    require_comparable(source, target)
    kind, full = source.layout.samples.kind, source.colour.full_range
    old, new = (colours.sample_scale(full, kind, each.layout.samples.bits) for each in (source, target))
    factor = new[0] / old[0]
    chroma = 2 if kind == "yuv" else 1
    params = p.RequantizeParams(
        source=planes_params(source),
        target=planes_params(target),
        factor=factor,
        luma_offset=new[1] - old[1] * factor,
        chroma_offset=new[chroma] - old[chroma] * factor,
    )
    needed = source.layout.nbytes(source.size) + target.layout.nbytes(target.size)
    size = target.chroma_size
    return launch_of("fr_requantize", params, size.width, size.height, Traffic(needed, needed))


def clear(address: int, nbytes: int) -> Launch:
    """Set memory to 0.

    Raises:
        DeviceError: If address or length are not multiples of 16.
    """
    whole = nbytes > 0 and address % 16 == nbytes % 16 == 0
    require(whole, f"{nbytes} bytes at {address:#x}, wanted multiples of 16")
    return launch_of("fr_clear", p.ClearParams(address=address, bytes=nbytes), nbytes // 16, 1, Traffic(nbytes, nbytes))


def rgb_from_samples(planes: DevicePlanes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return matrix and offset from components as stored to R'G'B'."""
    samples, bits = planes.layout.samples, planes.layout.samples.bits
    if samples.kind == "yuv":
        affine = colours.rgb_from_samples(planes.colour, bits)
        return affine.matrix, affine.offset
    if samples.kind == "grey":
        scale, origin = colours.samples_from_grey(planes.colour, bits)
        return np.array([[1 / scale, 0, 0]] * 3), np.full(3, -origin / scale)
    return _GBR.T / ((1 << bits) - 1), np.zeros(3)


def _samples_from_rgb(planes: DevicePlanes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return matrix and offset from R'G'B' to components as stored."""
    samples, bits = planes.layout.samples, planes.layout.samples.bits
    if samples.kind == "yuv":
        affine = colours.samples_from_rgb(planes.colour, bits)
        return affine.matrix, affine.offset
    if samples.kind == "grey":
        scale, origin = colours.samples_from_grey(planes.colour, bits)
        weights = np.array(colours.luma_weights(planes.colour.matrix)) * scale
        return np.stack([weights, np.zeros(3), np.zeros(3)]), np.array([origin, 0.0, 0.0])
    return _GBR * ((1 << bits) - 1), np.zeros(3)


_GBR = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
"""From R'G'B' to the order of planes."""
