"""A device made of NumPy memory that counts what is asked of it and forgives nothing: for tests without a card.

Work on a stream is done as late as the rules of streams allow: only once the host waits for it, or for something
that had to wait for it. Whoever reads too early therefore reads what was there before, and whoever fills a staging
buffer again too early uploads the wrong picture, every time and not once a week. Fresh memory is NaN in every float
type. Addresses are invented: nothing can be read through them but by the device itself.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastrestore.errors import DeviceError, OutOfDeviceMemoryError
from fastrestore.runtime.devices.counting_launch import Asked, CountingGraph, CountingModule
from fastrestore.runtime.devices.counting_work import CountingEvent, CountingStream
from fastrestore.runtime.devices.dlpack import Exposed, Place
from fastrestore.runtime.devices.guarded import Execute, guarded
from fastrestore.runtime.memory import (
    ALIGNMENT_BYTES,
    DeviceMemory,
    Event,
    Owner,
    view,
)

_Kept = TypeVar("_Kept")
_FIRST_ADDRESS = 0x7F00_0000_0000
_POISON = 0xFF
"""Bytes of 0xFF are NaN as float16, bfloat16 and float32."""


@dataclass(slots=True)
class Counts:
    """What was asked of a device."""

    buffers: int = 0
    pinned: int = 0
    streams: int = 0
    events: int = 0
    uploads: int = 0
    uploaded_bytes: int = 0
    downloads: int = 0
    downloaded_bytes: int = 0
    launches: int = 0
    records: int = 0
    device_waits: int = 0
    """Streams told to wait for an event; the host goes on."""
    host_waits: int = 0
    """Times that the host waited."""

    @property
    def allocations(self) -> int:
        """Everything that was made and not only used."""
        return self.buffers + self.pinned + self.streams + self.events

    def since(self, earlier: Counts) -> Counts:
        """Return what was asked since `earlier` was copied from the same device."""
        return Counts(
            **{field.name: getattr(self, field.name) - getattr(earlier, field.name) for field in fields(self)}
        )


class CountingDevice(Owner):
    """A device of NumPy memory.

    Args:
        capability: What it claims to be.
        total_bytes: Memory that it claims to have.
        name: What it calls itself.
        driver: The driver that it claims to have.
        execute: Runs its kernels on the host. Without one, kernels can be launched but not run.
    """

    def __init__(
        self,
        capability: str = "8.9",
        total_bytes: int = 1 << 30,
        *,
        name: str = "Counting Device",
        driver: str = "580.00",
        execute: Execute | None = None,
    ) -> None:
        super().__init__()
        self.name, self.capability, self.driver = name, capability, driver
        self.counts = Counts()
        self._total_bytes = total_bytes
        self._blocks: dict[int, NDArray[np.uint8]] = {}
        self._pinned: list[CountingHostBuffer] = []
        self._streams: dict[int, CountingStream] = {}
        self._events: dict[int, CountingEvent] = {}
        self._modules: list[CountingModule] = []
        self._graphs: list[CountingGraph] = []
        self.execute = execute
        self.log: list[Asked] = []
        """Everything that was asked of its streams and events, in that order."""
        self._next_address = _FIRST_ADDRESS
        self._next_handle = 1
        self._contexts = threading.local()
        self.clock = 0
        """How much was done on all streams together."""
        self.lock = threading.RLock()

    @property
    def leaks(self) -> list[str]:
        """What was made and not closed, in words."""
        kinds = (
            ("device buffer", self._blocks),
            ("pinned buffer", self._pinned),
            ("stream", self._streams),
            ("event", self._events),
            ("module", self._modules),
            ("graph", self._graphs),
        )
        return [f"{len(kept)} {kind}{'s' * (len(kept) > 1)}" for kind, kept in kinds if kept]

    @property
    def is_current(self) -> bool:
        """Whether this thread has made it current."""
        return getattr(self._contexts, "depth", 0) > 0

    def memory(self) -> DeviceMemory:
        """See `Device.memory`."""
        self._require_open()
        return DeviceMemory(self._total_bytes - sum(block.nbytes for block in self._blocks.values()), self._total_bytes)

    def current(self) -> AbstractContextManager[None]:
        """See `Device.current`."""
        self._require_open()
        return self._entered()

    @contextmanager
    def _entered(self) -> Iterator[None]:
        self._contexts.depth = getattr(self._contexts, "depth", 0) + 1
        try:
            yield
        finally:
            self._contexts.depth -= 1

    def buffer(self, size_bytes: int) -> CountingBuffer:
        """See `Device.buffer`."""
        self._require_open()
        with self.lock:
            if size_bytes > (free := self.memory().free_bytes):
                raise OutOfDeviceMemoryError(size_bytes, free, self.name)
            address = self._next_address
            # A gap after every block: what runs past its end meets nothing.
            self._next_address += -(-size_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES + ALIGNMENT_BYTES
            self._blocks[address] = guarded(size_bytes, _POISON)
            self.counts.buffers += 1
        return CountingBuffer(self, address, size_bytes)

    def pinned(self, size_bytes: int) -> CountingHostBuffer:
        """See `Device.pinned`."""
        self._require_open()
        made = CountingHostBuffer(self, size_bytes)
        with self.lock:
            self._pinned.append(made)
            self.counts.pinned += 1
        return made

    def exposed(self, address: int, size_bytes: int) -> Exposed:
        """See `Device.exposed`. What is invented here others cannot read: they are told where it truly lies."""
        return Exposed(Place.CPU, 0, self.at(address, size_bytes).ctypes.data)

    def stream(self, *, urgent: bool = False) -> CountingStream:
        """See `Device.stream`."""
        self._require_open()
        made = CountingStream(self, self._handle(), urgent=urgent)
        self._streams[made.handle] = made
        self.counts.streams += 1
        return made

    def event(self, *, timed: bool = False) -> CountingEvent:
        """See `Device.event`. The device's clock counts what it has done: everything takes a microsecond."""
        self._require_open()
        made = CountingEvent(self, self._handle(), timed=timed)
        self._events[made.handle] = made
        self.counts.events += 1
        return made

    def module(self, image: bytes) -> CountingModule:
        """See `Device.module`."""
        self._require_open()
        if not image:
            raise DeviceError("the device finds no kernels in an empty image")
        made = CountingModule(self)
        self._modules.append(made)
        return made

    def keep(self, graph: CountingGraph) -> None:
        """Know of a graph; called by the stream that recorded it."""
        self._graphs.append(graph)

    @property
    def open_blocks(self) -> set[int]:
        """By what work is known to use the buffers that are open, those of the host included."""
        return {*self._blocks, *(id(held) for held in self._pinned)}

    def block(self, begin: int) -> NDArray[np.uint8]:
        """Return the whole buffer that begins at an address."""
        return self._blocks[begin]

    def record_default(self, event: Event) -> None:
        """See `Device.record_default`. Whoever is given no stream has done at once what he was asked for."""
        self._require_open()
        self.event_of(event.handle).point = None

    def synchronize(self) -> None:
        """See `Device.synchronize`."""
        self._require_open()
        self.counts.host_waits += 1
        self.log.append(Asked("host wait", 0))
        for stream in list(self._streams.values()):
            stream.finish(stream.enqueued)

    def stream_of(self, handle: int) -> CountingStream:
        """Return the stream of a handle: what a library that is given handles does.

        Raises:
            DeviceError: If there is no such stream, or no longer.
        """
        return _known(self._streams, handle, "stream")

    def event_of(self, handle: int) -> CountingEvent:
        """Return the event of a handle.

        Raises:
            DeviceError: If there is no such event, or no longer.
        """
        return _known(self._events, handle, "event")

    def at(self, address: int, size_bytes: int) -> NDArray[np.uint8]:
        """Return memory by its address, as a kernel would see it.

        Raises:
            DeviceError: If it is not all within one open buffer.
        """
        begin = self.block_of(address)
        block, offset = self._blocks[begin], address - begin
        if offset + size_bytes > block.nbytes:
            raise DeviceError(
                f"illegal address: {size_bytes} bytes from {address:#x}, where {block.nbytes - offset} are left"
            )
        return block[offset : offset + size_bytes]

    def block_of(self, address: int) -> int:
        """Return where the open buffer begins that holds an address.

        Raises:
            DeviceError: If none does.
        """
        for begin, block in self._blocks.items():
            if begin <= address < begin + max(1, block.nbytes):
                return begin
        raise DeviceError(f"illegal address {address:#x}: no open buffer holds it")

    def require_pinned(self, array: NDArray[Any]) -> None:
        """Check that an array lies in an open pinned buffer.

        Raises:
            DeviceError: If not: the copy would not run beside anything.
        """
        if not any(held.holds(array) for held in self._pinned):
            raise DeviceError("a copy on a stream from or to memory that is not pinned waits for the whole device")

    def forget(
        self,
        closed: CountingBuffer | CountingHostBuffer | CountingStream | CountingEvent | CountingModule | CountingGraph,
    ) -> None:
        """Take back what is closed; called by itself.

        Raises:
            DeviceError: If work that uses it is still to be done.
        """
        with self.lock:
            if isinstance(closed, CountingBuffer):
                if any(stream.will_touch(closed.begin) for stream in self._streams.values()):
                    raise DeviceError("a device buffer was closed before the work that uses it was done")
                del self._blocks[closed.begin]
            elif isinstance(closed, CountingHostBuffer):
                if any(stream.will_touch(id(closed)) for stream in self._streams.values()):
                    raise DeviceError("a pinned buffer was closed before the copies that use it were done")
                self._pinned.remove(closed)
            elif isinstance(closed, CountingModule):
                self._modules.remove(closed)
            elif isinstance(closed, CountingGraph):
                self._graphs.remove(closed)
            elif isinstance(closed, CountingStream):
                del self._streams[closed.number]
            else:
                del self._events[closed.number]

    def pinned_of(self, array: NDArray[Any]) -> int:
        """Return by what work is known to use the pinned buffer that holds an array."""
        return next(id(held) for held in self._pinned if held.holds(array))

    def _handle(self) -> int:
        with self.lock:
            self._next_handle += 1
            return self._next_handle

    def _release(self) -> None:
        """Nothing: what is still open stays in `leaks`."""


class CountingBuffer(Owner):
    """Memory of a `CountingDevice`."""

    def __init__(self, device: CountingDevice, address: int, size_bytes: int) -> None:
        super().__init__()
        self._device, self.begin, self._size_bytes = device, address, size_bytes

    @property
    def address(self) -> int:
        """See `DeviceBuffer.address`."""
        self._require_open()
        return self.begin

    @property
    def size_bytes(self) -> int:
        """See `DeviceBuffer.size_bytes`."""
        return self._size_bytes

    def _release(self) -> None:
        self._device.forget(self)


class CountingHostBuffer(Owner):
    """Pinned memory of a `CountingDevice`."""

    def __init__(self, device: CountingDevice, size_bytes: int) -> None:
        super().__init__()
        self._device = device
        self._memory: NDArray[np.uint8] = np.full(size_bytes, _POISON, np.uint8)

    @property
    def size_bytes(self) -> int:
        """See `HostBuffer.size_bytes`."""
        return self._memory.nbytes

    def array(self, shape: Sequence[int], dtype: DTypeLike) -> NDArray[Any]:
        """See `HostBuffer.array`."""
        self._require_open()
        return view(self._memory, shape, dtype)

    def holds(self, array: NDArray[Any]) -> bool:
        """Return whether an array lies in it."""
        return np.may_share_memory(self._memory, array)

    def _release(self) -> None:
        self._device.forget(self)


def _known(kept: Mapping[int, _Kept], handle: int, kind: str) -> _Kept:
    if handle not in kept:
        raise DeviceError(f"handle {handle} is no open {kind}")
    return kept[handle]
