"""One network on the card: tiles of a picture gathered, run in batches, and put together as another picture."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np

from fastrestore.errors import DeviceError, EngineError
from fastrestore.kernels.launches import TileStore, planes_to_tiles, tiles_to_planes
from fastrestore.runtime.memory import Device, Graph, Owner, Stream
from fastrestore.runtime.on_device.engine import AddressEngine, AddressSlot
from fastrestore.runtime.on_device.geometry import Cut, cut, smaller
from fastrestore.runtime.on_device.lanes import Lanes
from fastrestore.runtime.on_device.picture import DevicePicture, Form
from fastrestore.runtime.on_device.pool import Lease, Pool
from fastrestore.runtime.on_device.tables import PlacedTable


class DeviceNetwork(Owner):
    """A network on the slots of a card, for pictures of one size.

    Args:
        engine: The network; belongs to the caller.
        lanes: The streams.
        pool: Where tiles lie.
        kind: What the pool knows this network's tiles as.
        forms: What it is given, and what is made of what it yields.
        tile: Side of a tile in pixels, or None to choose it.
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
        tile: int | None,
        flag: int,
    ) -> None:
        spec = engine.spec
        self._engine, self._lanes, self._pool, self._kind, self._flag = engine, lanes, pool, kind, flag
        self.source, self.target = forms
        self._names = spec.inputs[0].name, spec.outputs[0].name
        half = engine.dtypes[self._names[0]] == np.float16, engine.dtypes[self._names[1]] == np.float16
        self._cut = cut(spec, self.source.size, engine.range, half, side=tile)
        with ExitStack() as stack:
            self._slots = [_Slot(stack.enter_context(engine.slot(stream)), stream) for stream in lanes.compute]
            self._held = stack.pop_all()
        super().__init__()
        self._placed: ExitStack | None = None
        self.ways: dict[int, str] = {}
        """How each slot runs: as a graph, or launch by launch and why. Empty before it has run."""
        self.refusal = ""
        """Why runs could not be recorded though the engine allows it."""
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
        pixels = self._cut.batch * self._cut.tile.pixels
        whole = len(self._slots) * pixels * self._engine.spec.working_bytes_per_px
        return whole // 2 if self._cut.half[0] else whole

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
        self._infer(used, slot)
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

    def _infer(self, slot: _Slot, number: int) -> None:
        if slot.graph is not None:
            slot.graph.launch(slot.stream)
            return
        self._enqueue(slot)
        if number not in self.ways:
            self.ways[number] = self._record(slot)

    def _record(self, slot: _Slot) -> str:
        """Record the run that was just enqueued, where device and engine can; it is not done again."""
        if not slot.engine.capturable:
            return "launch by launch: the engine cannot be recorded"
        try:
            slot.graph = slot.stream.capture(lambda: self._enqueue(slot))
        except (DeviceError, EngineError) as error:
            self.refusal = error.message
            return f"launch by launch: {error.message}"
        return "as a graph"

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
            if slot.graph is not None:
                slot.graph.close()
                slot.graph = None
        self.ways.clear()
        placed, self._placed = self._placed, None
        if placed is not None:
            placed.close()

    def _release(self) -> None:
        self._displace()
        self._held.close()


class _Slot:
    """What one picture at a time goes through: a stream, a run of the engine, and memory for its tiles."""

    def __init__(self, engine: AddressSlot, stream: Stream) -> None:
        self.engine, self.stream = engine, stream
        self.tiles: tuple[Lease, Lease] | None = None
        self.graph: Graph | None = None
