"""How a picture is cut for an engine on the card, and how what it makes is put together: no memory, no device."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fastrestore.errors import UsageError
from fastrestore.geometry import Size
from fastrestore.kernels.launches import MOST_TILES, TapTable, TileSpan, frame_taps
from fastrestore.models.spec import ModelSpec
from fastrestore.runtime.engine_key import Profile
from fastrestore.runtime.memory import ALIGNMENT_BYTES
from fastrestore.runtime.on_device.picture import Form
from fastrestore.runtime.restorer import ENGINE_SIDE_PX, network_tiles
from fastrestore.runtime.tiling import SMALLEST_TILE_PX, TilePlan


@dataclass(frozen=True, slots=True)
class TileWish:
    """What is asked for of tiles; None leaves it open."""

    side: int | None = None
    """In pixels."""
    batch: int | None = None
    """Tiles of one run, at most."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A network's way over pictures of one size."""

    spec: ModelSpec
    plan: TilePlan
    tile: Size
    """What the network is given, padding included."""
    batch: int
    """Tiles of one run; divides their number, so that every run has the same shape. More than one follow each other in
    memory; where a run of several would begin at an address that libraries refuse, there is one, and gaps between."""
    half: tuple[bool, bool]
    """Whether its input and its output are float16."""

    @property
    def made(self) -> Size:
        """What the network makes of a tile."""
        return self.tile.times(self.spec.scale)

    @property
    def origins(self) -> list[tuple[int, int]]:
        """Where tiles begin in the picture, (x, y)."""
        return [(tile.read.x0, tile.read.y0) for tile in self.plan]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the input of one run."""
        return self.batch, 3, self.tile.height, self.tile.width

    @property
    def strides(self) -> tuple[int, int]:
        """Bytes from a tile to the next, as the network takes them and as it makes them."""
        sizes = _bytes(self.tile, self.half[0]), _bytes(self.made, self.half[1])
        return sizes if self.batch > 1 else (_aligned(sizes[0]), _aligned(sizes[1]))

    @property
    def stride(self) -> int:
        """Elements from a tile to the next, as the network makes them."""
        return self.strides[1] // (2 if self.half[1] else 4)

    @property
    def input_bytes(self) -> int:
        """All tiles as the network takes them."""
        return len(self.plan) * self.strides[0]

    @property
    def output_bytes(self) -> int:
        """All tiles as the network makes them."""
        return len(self.plan) * self.strides[1]

    @property
    def working_bytes(self) -> int:
        """What the network is estimated to need between layers of a run, beside the tiles."""
        whole = self.batch * self.tile.pixels * self.spec.working_bytes_per_px
        return whole // 2 if self.half[0] else whole

    @property
    def runs(self) -> list[tuple[int, int]]:
        """Where the input and the output of every run begin, in bytes: at addresses that libraries take."""
        into, out = (self.batch * stride for stride in self.strides)
        return [(index * into, index * out) for index in range(len(self.plan) // self.batch)]

    @property
    def gathers(self) -> list[tuple[int, list[tuple[int, int]]]]:
        """Where the tiles of every gathering launch begin, in bytes, and their origins in the picture."""
        origins, stride = self.origins, self.strides[0]
        most = MOST_TILES if stride == _bytes(self.tile, self.half[0]) else 1
        return [(first * stride, origins[first : first + most]) for first in range(0, len(origins), most)]

    def table(self, target: Form) -> TapTable:
        """Return the weights from what the network makes to a picture."""
        columns, rows = _spans(self.plan, self.spec.scale)
        return frame_taps(columns, rows, self.made, target.size, target.format, target.colour, stride=self.stride)


def cut(
    spec: ModelSpec,
    size: Size,
    span: Profile | None,
    half: tuple[bool, bool],
    *,
    side: int | None = None,
    batch: int | None = None,
) -> Cut:
    """Return how pictures of a size go through an engine: in the tiles of `network_tiles`.

    Args:
        spec: Its model.
        size: The pictures.
        span: The inputs that the engine takes; None if memory alone decides.
        half: Whether its input and its output are float16.
        side: Side of a tile in pixels, or None to choose it.
        batch: Tiles of one run at most; None leaves it to the engine's range.

    Raises:
        UsageError: If the side is too small for the network.
    """
    plan = network_tiles(spec, size, side, largest=None if span is None else Size(span.most.width, span.most.height))
    least = Size(1, 1) if span is None else Size(span.least.width, span.least.height)
    multiple = spec.multiple_px
    width, height = (
        -(-max(length, shortest) // multiple) * multiple
        for length, shortest in ((plan.tile.width, least.width), (plan.tile.height, least.height))
    )
    most = 1 if span is None else span.most.batch
    made = Cut(spec, plan, Size(width, height), 1, half)
    sizes = _bytes(made.tile, half[0]), _bytes(made.made, half[1])
    for count in range(min(most, len(plan), most if batch is None else batch), 1, -1):
        if len(plan) % count == 0 and all(_aligned(count * length) == count * length for length in sizes):
            return replace(made, batch=count)
    return made


def smaller(current: Cut, span: Profile | None, size: Size) -> Cut | None:
    """Return what to try with less memory: half the tiles a run, then tiles half as long; None if nothing is left."""
    if current.batch > 1:
        side = max(current.plan.tile.width, current.plan.tile.height)
        return cut(current.spec, size, span, current.half, side=side, batch=current.batch // 2)
    longest = max(current.plan.tile.width, current.plan.tile.height)
    side = max(longest // 2 // ENGINE_SIDE_PX * ENGINE_SIDE_PX, SMALLEST_TILE_PX)
    least = 0 if span is None else max(span.least.width, span.least.height)
    if side >= longest or side < least:  # smaller ones would be padded to that
        return None
    try:
        return cut(current.spec, size, span, current.half, side=side, batch=1)
    except UsageError:  # too small to hold the network's reach
        return None


def _aligned(length: int) -> int:
    return -(-length // ALIGNMENT_BYTES) * ALIGNMENT_BYTES


def _bytes(tile: Size, half: bool) -> int:
    return 3 * tile.pixels * (2 if half else 4)


def _spans(plan: TilePlan, scale: int) -> tuple[list[TileSpan], list[TileSpan]]:
    """Return what columns and rows of tiles give to the picture, on the network's own grid."""
    rows = sorted({tile.keep.y0: tile for tile in reversed(plan.tiles)}.values(), key=lambda tile: tile.keep.y0)
    columns = sorted({tile.keep.x0: tile for tile in reversed(plan.tiles)}.values(), key=lambda tile: tile.keep.x0)
    across, down = [], []
    for tile in columns:
        keep = tile.keep.times(scale)
        weights = plan.ramp(tile, scale)[0] if plan.blended else np.ones(keep.x1 - keep.x0)
        across.append(TileSpan(keep.x0, tile.crop.x0 * scale, weights.astype(np.float64)))
    for tile in rows:
        keep = tile.keep.times(scale)
        weights = plan.ramp(tile, scale)[:, 0] if plan.blended else np.ones(keep.y1 - keep.y0)
        down.append(TileSpan(keep.y0, tile.crop.y0 * scale, weights.astype(np.float64)))
    return across, down
