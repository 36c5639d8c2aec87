"""Streams and events of a `CountingDevice`: lists of work that is put off until somebody waits for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from fastrestore.errors import DeviceError
from fastrestore.kernels.launch import Launch
from fastrestore.runtime.devices.counting_launch import Asked, CountingGraph, CountingModule, run, touched_by
from fastrestore.runtime.memory import DeviceBuffer, Event, Graph, Module, Owner, require_room

if TYPE_CHECKING:
    from fastrestore.runtime.devices.counting import CountingDevice


@dataclass(slots=True)
class Work:
    """Something enqueued: done by calling it, after the point that it waits for."""

    do: Callable[[], None]
    touches: tuple[int, ...] = ()
    """Beginnings of the blocks that it reads or writes."""
    after: tuple[CountingStream, int] | None = None
    """A stream, and how much of its work must be done before."""


class CountingEvent(Owner):
    """An event of a `CountingDevice`."""

    def __init__(self, device: CountingDevice, number: int, *, timed: bool) -> None:
        super().__init__()
        self._device, self.number, self._timed = device, number, timed
        self.point: tuple[CountingStream, int] | None = None
        self._clock: int | None = None

    @property
    def handle(self) -> int:
        """See `Event.handle`."""
        self._require_open()
        return self.number

    def synchronize(self) -> None:
        """See `Event.synchronize`."""
        self._require_open()
        self._device.counts.host_waits += 1
        self._device.log.append(Asked("host wait", 0 if self.point is None else self.point[0].number))
        if self.point is not None:
            stream, count = self.point
            stream.finish(count)

    def reached(self) -> bool:
        """See `Event.reached`."""
        self._require_open()
        return self.point is None or self.point[0].done >= self.point[1]

    def seconds_since(self, earlier: Self) -> float:
        """See `Event.seconds_since`."""
        self._require_open()
        if not (self._timed and earlier._timed) or self._clock is None or earlier._clock is None:
            raise DeviceError("events that are not timed, or not reached, have no time between them")
        return (self._clock - earlier._clock) / 1e6

    def stamp(self) -> None:
        """Note that it is reached; done by the stream."""
        self._clock = self._device.clock

    def _release(self) -> None:
        self._device.forget(self)


class CountingStream(Owner):
    """A stream of a `CountingDevice`: a list of what is to be done, and how much of it was."""

    def __init__(self, device: CountingDevice, number: int, *, urgent: bool) -> None:
        super().__init__()
        self._device, self.number, self.urgent = device, number, urgent
        self._waiting: deque[Work] = deque()
        self._recorded: list[Work] | None = None
        self.done = 0
        """How much of what was enqueued has been done."""

    @property
    def handle(self) -> int:
        """See `Stream.handle`."""
        self._require_open()
        return self.number

    @property
    def enqueued(self) -> int:
        """How much was enqueued so far."""
        return self.done + len(self._waiting)

    def upload(self, source: NDArray[Any], target: DeviceBuffer) -> None:
        """See `Stream.upload`. The array is read when the copy is done, not now."""
        require_room(source, target.size_bytes)
        self._device.require_pinned(source)
        counts, address, size = self._device.counts, target.address, source.nbytes
        counts.uploads += 1
        counts.uploaded_bytes += size

        def copy() -> None:
            self._device.at(address, size)[:] = source.reshape(-1).view(np.uint8)

        self._add(Work(copy, (self._device.block_of(address), self._device.pinned_of(source))), "upload")

    def download(self, source: DeviceBuffer, target: NDArray[Any]) -> None:
        """See `Stream.download`."""
        require_room(target, source.size_bytes)
        self._device.require_pinned(target)
        counts, address, size = self._device.counts, source.address, target.nbytes
        counts.downloads += 1
        counts.downloaded_bytes += size

        def copy() -> None:
            target.reshape(-1).view(np.uint8)[:] = self._device.at(address, size)

        self._add(Work(copy, (self._device.block_of(address), self._device.pinned_of(target))), "download")

    def perform(self, work: Callable[[], None], addresses: Sequence[int] = ()) -> None:
        """Enqueue a kernel, as a library does.

        Args:
            work: What it does, once it is its turn.
            addresses: Of everything that it reads or writes on the device.
        """
        self._device.counts.launches += 1
        self._add(Work(work, tuple(self._device.block_of(address) for address in addresses)), "perform")

    def launch(self, module: Module, launch: Launch) -> None:
        """See `Stream.launch`. The kernel runs when it is its turn, not now."""
        assert isinstance(module, CountingModule)
        module.require_open()
        self._device.counts.launches += 1
        device = self._device
        self._add(Work(lambda: run(device, launch), touched_by(device, launch)), launch.kernel)

    def capture(self, work: Callable[[], None]) -> Graph:
        """See `Stream.capture`."""
        self._require_open()
        if self._recorded is not None:
            raise DeviceError("a stream that is recording cannot begin another record")
        self._recorded = []
        try:
            work()
            made = CountingGraph(self._device, self._recorded)
        finally:
            self._recorded = None
        self._device.keep(made)
        return made

    def replay(self, works: Sequence[Work]) -> None:
        """Enqueue recorded work; called by the graph."""
        self._device.counts.launches += 1
        for work in works:
            if not self._device.open_blocks.issuperset(work.touches):
                raise DeviceError("a graph was launched after a buffer that it uses was closed")
            self._add(work, "replay")

    def record(self, event: Event) -> None:
        """See `Stream.record`."""
        self._require_open()
        self._device.counts.records += 1
        self._require_no_record("record an event")
        recorded = self._device.event_of(event.handle)
        self._add(Work(recorded.stamp), "record")
        recorded.point = (self, self.enqueued)

    def wait(self, event: Event) -> None:
        """See `Stream.wait`."""
        self._device.counts.device_waits += 1
        self._require_no_record("wait for an event")
        self._add(Work(lambda: None, after=self._device.event_of(event.handle).point), "wait")

    def synchronize(self) -> None:
        """See `Stream.synchronize`."""
        self._require_open()
        self._require_no_record("wait")
        self._device.counts.host_waits += 1
        self._device.log.append(Asked("host wait", self.number))
        self.finish(self.enqueued)

    def finish(self, count: int) -> None:
        """Do what is to be done until `count` of all that was ever enqueued is done."""
        with self._device.lock:
            while self.done < count:
                work = self._waiting[0]
                if work.after is not None:
                    stream, point = work.after
                    stream.finish(point)
                self._waiting.popleft()
                self.done += 1
                self._device.clock += 1
                work.do()

    def will_touch(self, block: int) -> bool:
        """Return whether work that uses a block is still to be done."""
        return any(block in work.touches for work in self._waiting)

    def _require_no_record(self, what: str) -> None:
        if self._recorded is not None:
            raise DeviceError(f"a stream cannot {what} while it records a graph")

    def _add(self, work: Work, what: str) -> None:
        self._require_open()
        with self._device.lock:
            self._device.log.append(Asked(what, self.number))
            (self._waiting if self._recorded is None else self._recorded).append(work)

    def _release(self) -> None:
        self.finish(self.enqueued)  # the driver does what is left before it destroys a stream
        self._device.forget(self)
