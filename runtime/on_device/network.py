"""One network on the card: tiles of a picture gathered, run in batches, and put together as another picture."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import numpy as np

from fastrestore.geometry import Size
from fastrestore.kernels.launches import TileStore, planes_to_tiles, tiles_to_planes
from fastrestore.runtime.memory import Device, Owner, Stream
from fastrestore.runtime.on_device.engine import AddressEngine, AddressSlot
from fastrestore.runtime.on_device.geometry import Cut, TileWish, cut, smaller
from fastrestore.runtime.on_device.lanes import Lanes
from fastrestore.runtime.on_device.picture import DevicePicture, Form
from fastrestore.runtime.on_device.pool import Lease, Pool
from fastrestore.runtime.on_device.recording import RecordedRuns
from fastrestore.runtime.on_device.tables import PlacedTable


class DeviceNetwork(Owner):
    """A network on the slots of a card, for pictures of one size.

    Args:
        engine: The network; belongs to the caller.
        lanes: The streams.
        pool: Where tiles lie.
        kind: What the pool knows this network's tiles as.
        forms: What it is given, and what is made of what it yields.
        tiles: What is asked for of them.
        flag: Address of an int32 that becomes 1 where it yields what is no number.

    Raises:
        UsageError: If the tile is too small for the network.
        OutOfDeviceMemoryError: If there is too little memory for its tiles.
    """

    def __init__(
        self,
        engine: AddressEngine,
        lanes: Lanes,
        pool: Pool,
        kind: str,
        forms: tuple[Form, Form],
        *,
        tiles: TileWish,
        flag: int,
    ) -> None:
        spec = engine.spec
        self._engine, self._lanes, self._pool, self._kind, self._flag = engine, lanes, pool, kind, flag
        self.source, self.target = forms
        self._names = spec.inputs[0].name, spec.outputs[0].name
        self._cut = cut_of(engine, self.source.size, tiles)
        with ExitStack() as stack:
            self._slots = [
                stack.enter_context(_Slot(stack.enter_context(engine.slot(stream)), stream, self._enqueue))
                for stream in lanes.compute
            ]
            self._held = stack.pop_all()
        super().__init__()
        self._placed: ExitStack | None = None
        try:
            self._place()
        except BaseException:
            self.close()
            raise

    @property
    def name(self) -> str:
        """Of the model."""
        return self._engine.spec.name

    @property
    def cut(self) -> Cut:
        """How pictures are cut at present."""
        return self._cut

    @property
    def device(self) -> Device:
        """The card."""
        return self._lanes.device

    @property
    def working_bytes(self) -> int:
        """What its slots are estimated to need between layers, beside the tiles."""
        return len(self._slots) * self._cut.working_bytes

    @property
    def ways(self) -> list[str]:
        """How the slots that have run do so: as a graph, or launch by launch and why."""
        return [slot.runs.way for slot in self._slots if slot.runs.way]

    @property
    def refusal(self) -> str:
        """Why runs could not be recorded though the engine allows it; empty if they could."""
        return next((slot.runs.refusal for slot in self._slots if slot.runs.refusal), "")

    def run(self, source: DevicePicture, target: Lease, slot: int, *, neutral: bool) -> None:
        """Enqueue the network's whole work on a picture. The host does not wait.

        Args:
            source: The picture.
            target: Where the result goes.
            slot: Which slot, from 0.
            neutral: Whether the result is to stay exactly grey.

        Raises:
            EngineError: If the network refuses to run.
            OutOfDeviceMemoryError: If there is too little memory for it to run.
        """
        used, stream = self._slots[slot], self._slots[slot].stream
        assert used.tiles is not None
        with source.lease.reading(stream) as address:
            for offset, origins in self._cut.gathers:
                planes, to = source.form.on_device(address), used.tiles[0].address + offset
                launch = planes_to_tiles(planes, to, self._cut.tile, origins, half=self._cut.half[0])
                self._lanes.launch(stream, launch)
        used.runs.run()
        with target.writing(stream) as address:
            tiled = self._cut
            store = TileStore(used.tiles[1].address, tiled.made, len(tiled.plan), tiled.half[1], tiled.stride)
            planes = self.target.on_device(address)
            launch = tiles_to_planes(store, self._table.axes, planes, broken=self._flag, neutral=neutral)
            self._lanes.launch(stream, launch)

    def shrink(self) -> str | None:
        """Need less memory from now on; return what was done about it, or None if nothing more can be done.

        Nothing enqueued may still use the network.

        Raises:
            OutOfDeviceMemoryError: If there is too little memory even so.
        """
        less = smaller(self._cut, self._engine.range, self.source.size)
        if less is None:
            return None
        self._displace()
        for slot in self._slots:
            slot.engine.trim()
        self._cut = less
        self._place()
        side = f"{less.plan.tile.width}x{less.plan.tile.height}"
        return f"`{self._engine.spec.name}` goes on with {less.batch} tiles of {side} at a time"

    def _enqueue(self, slot: _Slot) -> None:
        assert slot.tiles is not None
        source, result = (lease.address for lease in slot.tiles)
        for into, out in self._cut.runs:
            addresses = {self._names[0]: source + into, self._names[1]: result + out}
            slot.engine.enqueue(addresses, {self._names[0]: self._cut.shape}, slot.stream)

    def _place(self) -> None:
        """Take memory for tiles, and the weights that put them together."""
        with ExitStack() as stack:
            kinds = f"{self._kind}: tiles", f"{self._kind}: results"
            for kind, size in zip(kinds, (self._cut.input_bytes, self._cut.output_bytes), strict=True):
                self._pool.reserve(kind, size, len(self._slots))
                stack.callback(self._pool.discard, kind)
            for slot in self._slots:
                leases = [stack.enter_context(self._pool.lend(kind)) for kind in kinds]
                slot.tiles = leases[0], leases[1]
            self._table = stack.enter_context(PlacedTable(self._lanes, self._cut.table(self.target)))
            self._placed = stack.pop_all()

    def _displace(self) -> None:
        for slot in self._slots:
            slot.tiles = None
            slot.runs.forget()
        placed, self._placed = self._placed, None
        if placed is not None:
            placed.close()

    def _release(self) -> None:
        self._displace()
        self._held.close()


def cut_of(engine: AddressEngine, size: Size, tiles: TileWish) -> Cut:
    """Return how an engine goes over pictures of a size.

    Args:
        engine: The network.
        size: The pictures.
        tiles: What is asked for of them.

    Raises:
        UsageError: If the tile is too small for the network.
    """
    spec = engine.spec
    half = [engine.dtypes[tensor.name] == np.float16 for tensor in (spec.inputs[0], spec.outputs[0])]
    return cut(spec, size, engine.range, (half[0], half[1]), side=tiles.side, batch=tiles.batch)


class _Slot(Owner):
    """What one picture at a time goes through: a stream, runs of the engine, and memory for its tiles."""

    def __init__(self, engine: AddressSlot, stream: Stream, enqueue: Callable[[_Slot], None]) -> None:
        super().__init__()
        self.engine, self.stream = engine, stream
        self.runs = RecordedRuns(engine, stream, partial(enqueue, self))
        self.tiles: tuple[Lease, Lease] | None = None

    def _release(self) -> None:
        self.runs.close()
