"""How a picture is cut for an engine on the card, and how what it makes is put together: no memory, no device."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from fastrestore.errors import EngineIncompatibleError, UsageError
from fastrestore.geometry import Size
from fastrestore.kernels.launches import MOST_TILES, TapTable, TileSpan, frame_taps
from fastrestore.models.spec import ModelSpec
from fastrestore.runtime.engine_key import Profile
from fastrestore.runtime.memory import ALIGNMENT_BYTES
from fastrestore.runtime.on_device.picture import Form
from fastrestore.runtime.restorer import network_tiles
from fastrestore.runtime.tiling import TilePlan

_SIDE_STEPS_PX = (16, 32, 64, 128)
"""Tiles with sides in multiples of these begin at aligned addresses: the last one does whatever the other side is."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A network's way over pictures of one size."""

    spec: ModelSpec
    plan: TilePlan
    tile: Size
    """What the network is given, padding included."""
    batch: int
    """Tiles of one run; divides their number, so that every run has the same shape."""
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
    def input_bytes(self) -> int:
        """All tiles as the network takes them."""
        return len(self.plan) * _bytes(self.tile, self.half[0])

    @property
    def output_bytes(self) -> int:
        """All tiles as the network makes them."""
        return len(self.plan) * _bytes(self.made, self.half[1])

    @property
    def runs(self) -> list[tuple[int, int]]:
        """Where the input and the output of every run begin, in bytes."""
        count = len(self.plan) // self.batch
        into, out = self.batch * _bytes(self.tile, self.half[0]), self.batch * _bytes(self.made, self.half[1])
        return [(index * into, index * out) for index in range(count)]

    @property
    def aligned(self) -> bool:
        """Whether every run begins at an address that libraries take."""
        return not any(offset % ALIGNMENT_BYTES for run in self.runs for offset in run)

    @property
    def gathers(self) -> list[tuple[int, list[tuple[int, int]]]]:
        """Where the tiles of every gathering launch begin, in bytes, and their origins in the picture."""
        origins, size = self.origins, _bytes(self.tile, self.half[0])
        return [(first * size, origins[first : first + MOST_TILES]) for first in range(0, len(origins), MOST_TILES)]

    def table(self, target: Form) -> TapTable:
        """Return the weights from what the network makes to a picture."""
        columns, rows = _spans(self.plan, self.spec.scale)
        return frame_taps(columns, rows, self.made, target.size, target.format, target.colour)


def cut(
    spec: ModelSpec,
    size: Size,
    span: Profile | None,
    half: tuple[bool, bool],
    *,
    side: int | None = None,
    batch: int | None = None,
) -> Cut:
    """Return how pictures of a size go through an engine.

    Tiles are those of `network_tiles`, a little larger or smaller where runs would not begin at aligned addresses.

    Args:
        spec: Its model.
        size: The pictures.
        span: The inputs that the engine takes; None if memory alone decides.
        half: Whether its input and its output are float16.
        side: Side of a tile in pixels, or None to choose it.
        batch: Tiles of one run at most; None leaves it to the engine's range.

    Raises:
        UsageError: If the side is too small for the network.
        EngineIncompatibleError: If the engine takes no tile that would do.
    """
    limit = 1 if span is None else span.most.batch
    limit = limit if batch is None else min(limit, batch)
    made = _cut(spec, size, span, half, side, limit)
    if made.aligned:
        return made
    longest = max(made.plan.tile.width, made.plan.tile.height)
    for step in _SIDE_STEPS_PX:
        for near in (-(-longest // step) * step, longest // step * step):
            with suppress(UsageError):  # too small to hold the network's reach
                if (other := _cut(spec, size, span, half, near, limit)).aligned:
                    return other
    raise EngineIncompatibleError(
        f"tiles of {made.tile}", f"sides in multiples of {_SIDE_STEPS_PX[0]}", "use another `--tile`"
    )


def _cut(
    spec: ModelSpec, size: Size, span: Profile | None, half: tuple[bool, bool], side: int | None, most_batch: int
) -> Cut:
    plan = network_tiles(spec, size, side, largest=None if span is None else Size(span.most.width, span.most.height))
    least = Size(1, 1) if span is None else Size(span.least.width, span.least.height)
    multiple = spec.multiple_px
    width, height = (
        -(-max(length, shortest) // multiple) * multiple
        for length, shortest in ((plan.tile.width, least.width), (plan.tile.height, least.height))
    )
    count = len(plan)
    batch = max(divisor for divisor in range(1, min(most_batch, count) + 1) if count % divisor == 0)
    return Cut(spec, plan, Size(width, height), batch, half)


def smaller(current: Cut, span: Profile | None, size: Size) -> Cut | None:
    """Return what to try with less memory: half the tiles a run, then tiles half as long; None if nothing is left."""
    if current.batch > 1:
        side = max(current.plan.tile.width, current.plan.tile.height)
        return cut(current.spec, size, span, current.half, side=side, batch=current.batch // 2)
    side = max(current.plan.tile.width, current.plan.tile.height) // 2
    if span is not None and side < max(span.least.width, span.least.height):
        return None  # it would be padded to that
    try:
        return cut(current.spec, size, span, current.half, side=side, batch=1)
    except UsageError:  # too small to hold the network's reach
        return None


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
