"""Restores a picture: to R'G'B', through a chain of networks in tiles, to the exact size and format wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastrestore.config import memory_bytes
from fastrestore.errors import DeviceError, EngineError
from fastrestore.frames import Colour, FloatImage, Picture, PixelFormat
from fastrestore.geometry import Size
from fastrestore.kernels.ops import Ops
from fastrestore.models.spec import ModelSpec
from fastrestore.runtime.engine import Engine
from fastrestore.runtime.tiling import BLEND_PX, Tile, TilePlan, plan_tiles, side_for_memory, side_within

MOST_BUDGET_BYTES = 1 << 30
"""Working memory of one network at most, unless told otherwise; larger tiles gain nothing measurable."""
LARGEST_HALO_PX = 64
"""A network that sees farther than this is given no more: its tiles are blended instead, or most work would be halo."""
ENGINE_SIDE_PX = 16
"""Tiles for an engine have sides in multiples of this where they may: what lies on a device is read in such pieces."""
BUDGET_SHARE = 8
"""And at most one in so many bytes of the machine's memory."""


@dataclass(frozen=True, slots=True)
class Output:
    """What restored pictures look like."""

    size: Size
    format: PixelFormat
    colour: Colour


class Restorer:
    """Turns source pictures into restored ones. One thread at a time; buffers are kept between pictures.

    Args:
        engines: Networks, run one after the other; none means plain resampling. They belong to the caller.
        ops: Pixel kernels.
        output: What to make.
        tile: Side of a tile in source pixels, or None to choose it from memory.
    """

    def __init__(self, engines: Sequence[Engine], ops: Ops, output: Output, *, tile: int | None = None) -> None:
        self._stages = [TiledNetwork(engine, tile) for engine in engines]
        self._ops = ops
        self._output = output
        self.runs = 0
        """Pictures that were changed so far: by networks, resampling or repacking."""

    def restore(self, picture: Picture) -> Picture:
        """Return the picture restored. A picture that already is as wanted is returned as it is.

        Raises:
            EngineError: If a network fails or yields anything but finite numbers.
        """
        wanted = self._output
        if not self._stages and picture.size == wanted.size and picture.colour == wanted.colour:
            if picture.format == wanted.format:
                return picture
            if (picture.format.kind, picture.format.chroma_shift) == (wanted.format.kind, wanted.format.chroma_shift):
                self.runs += 1
                return self._ops.requantize(picture, wanted.format)
        rgb = self._ops.to_rgb(picture)
        for stage in self._stages:
            rgb = stage.run(rgb)
        self.runs += 1
        neutral = picture.neutral_chroma and wanted.format.kind == "yuv"
        return self._ops.from_rgb(rgb, wanted.size, wanted.format, wanted.colour, neutral=neutral)


class TiledNetwork:
    """One network, run tile by tile. The result is a buffer that the next call overwrites.

    Args:
        engine: The network.
        tile: Side of a tile in pixels, or None to choose it from `budget_bytes`.
        halo_px: Border read around tiles; None takes the network's reach, up to `LARGEST_HALO_PX`.
        budget_bytes: Working memory allowed; None takes a share of the machine's.
    """

    def __init__(
        self,
        engine: Engine,
        tile: int | None = None,
        *,
        halo_px: int | None = None,
        budget_bytes: int | None = None,
    ) -> None:
        self._engine = engine
        self._input, self._output = engine.spec.inputs[0].name, engine.spec.outputs[0].name
        self._tile = tile
        self._halo_px = engine.spec.halo_px if halo_px is None else halo_px
        self._budget_bytes = budget_bytes
        self._result: FloatImage | None = None
        self._tile_out: NDArray[np.float32] | None = None

    @property
    def scale(self) -> int:
        """Output pixels per input pixel along a side."""
        return self._engine.spec.scale

    def plan(self, size: Size) -> TilePlan:
        """Return the tiles for a picture of `size`."""
        return network_tiles(
            self._engine.spec,
            size,
            self._tile,
            halo_px=self._halo_px,
            budget_bytes=self._budget_bytes,
            largest=self._engine.largest,
        )

    def run(self, image: FloatImage) -> FloatImage:
        """Return `(3, H * scale, W * scale)` float32, valid until the next call.

        Args:
            image: `(3, H, W)` float32, nominal range `[0, 1]`.

        Raises:
            EngineError: If the network fails or yields NaN or infinity.
        """
        _, height, width = image.shape
        plan = self.plan(Size(width, height))
        result = self._result_for(plan.size.times(self.scale))
        if plan.blended:
            self._run_blended(image, plan, result)
        elif len(plan) == 1 and not (height % self._engine.spec.multiple_px or width % self._engine.spec.multiple_px):
            self._engine.run({self._input: np.ascontiguousarray(image)[None]}, {self._output: result[None]})
        else:
            for tile in plan:
                rows, columns = tile.keep.times(self.scale).slices
                result[:, rows, columns] = self._kept(image, tile)
        # One sum finds any NaN or infinity without a second array of the picture's size.
        if not np.isfinite(result.sum()):
            raise EngineError(f"`{self._engine.spec.name}` produced numbers that are not finite", "try another backend")
        return result

    def _run_blended(self, image: FloatImage, plan: TilePlan, result: FloatImage) -> None:
        result[:] = 0
        weights = np.zeros(result.shape[1:], np.float32)
        for tile in plan:
            rows, columns = tile.keep.times(self.scale).slices
            ramp = plan.ramp(tile, self.scale)
            result[:, rows, columns] += self._kept(image, tile) * ramp
            weights[rows, columns] += ramp
        result /= weights

    def _kept(self, image: FloatImage, tile: Tile) -> FloatImage:
        rows, columns = tile.read.slices
        out = self._infer(np.ascontiguousarray(image[None, :, rows, columns]))
        crop_rows, crop_columns = tile.crop.times(self.scale).slices
        return out[0, :, crop_rows, crop_columns]

    def _infer(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        spec = self._engine.spec
        _, _, height, width = batch.shape
        below, right = -height % spec.multiple_px, -width % spec.multiple_px
        if below or right:
            batch = np.pad(batch, ((0, 0), (0, 0), (0, below), (0, right)), mode="edge")
        shape = (1, 3, batch.shape[2] * spec.scale, batch.shape[3] * spec.scale)
        if self._tile_out is None or self._tile_out.shape != shape:
            self._tile_out = _allocate(shape)
        self._engine.run({self._input: batch}, {self._output: self._tile_out})
        return self._tile_out

    def _result_for(self, size: Size) -> FloatImage:
        shape = (3, size.height, size.width)
        if self._result is None or self._result.shape != shape:
            self._result = _allocate(shape)
        return self._result


def network_tiles(
    spec: ModelSpec,
    size: Size,
    tile: int | None,
    *,
    halo_px: int | None = None,
    budget_bytes: int | None = None,
    largest: Size | None = None,
) -> TilePlan:
    """Return how a network's input of `size` is tiled; arguments as for `TiledNetwork`.

    Args:
        spec: The network.
        size: The picture.
        tile: Side of a tile in pixels, or None to choose it.
        halo_px: Border read around tiles; None takes the network's reach, up to `LARGEST_HALO_PX`.
        budget_bytes: Working memory allowed; None takes a share of the machine's.
        largest: The largest input of the engine; its scratch memory was taken care of when it was built, so that
            this alone decides. None lets the budget decide.

    Raises:
        UsageError: If `tile` is too small for the network.
    """
    halo = min(spec.halo_px, LARGEST_HALO_PX) if halo_px is None else halo_px
    if largest is not None:
        tile = _tile_within(spec, size, tile, largest, halo)
    elif tile is None:
        budget = budget_bytes or min(MOST_BUDGET_BYTES, memory_bytes() // BUDGET_SHARE)
        border = halo + (BLEND_PX if halo < spec.halo_px else 0)
        tile = side_for_memory(
            size,
            halo_px=border,
            bytes_per_px=spec.working_bytes_per_px,
            budget_bytes=budget,
            multiple_px=spec.multiple_px,
        )
    return plan_tiles(size, tile, halo_px=halo, reach_px=spec.halo_px, multiple_px=spec.multiple_px)


def _tile_within(spec: ModelSpec, size: Size, tile: int | None, largest: Size, halo_px: int) -> int | None:
    """Return the side of the tiles that an engine takes, or None if it takes the whole picture."""
    fits = size.width <= largest.width and size.height <= largest.height
    if fits and (tile is None or tile >= max(size.width, size.height)):
        return None
    longest = min(largest.width, largest.height)
    if tile is not None:
        return min(tile, longest)
    border = halo_px + (BLEND_PX if halo_px < spec.halo_px else 0)
    side = side_within(size, longest, halo_px=border, multiple_px=spec.multiple_px)
    return min(longest, -(-side // ENGINE_SIDE_PX) * ENGINE_SIDE_PX)


def _allocate(shape: tuple[int, ...]) -> NDArray[np.float32]:
    try:
        return np.empty(shape, np.float32)
    except MemoryError as error:
        wanted = 4 * int(np.prod(shape)) >> 20
        raise DeviceError(f"not enough memory for a picture of {wanted} MiB", "use a smaller `--to`") from error
