"""Scratch memory that several users share, one after the other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from fastrestore.runtime.memory import Device, DeviceBuffer, Owner, Stream


class Scratch(Owner):
    """A device buffer that is as large as its most demanding user needs.

    Whoever borrows it enqueues work that uses it. The next borrower's work waits on the device for that of the one
    before, whatever stream it is on: no two ever use it at once, and the host waits for none of them.

    Args:
        device: Where it is.
    """

    def __init__(self, device: Device) -> None:
        super().__init__()
        self._device = device
        self._done = device.event()
        self._buffer: DeviceBuffer | None = None
        self._turn = threading.Lock()

    @contextmanager
    def lent(self, size_bytes: int, stream: Stream) -> Iterator[DeviceBuffer]:
        """Lend it for what is enqueued on a stream until the `with` ends. What is in it is not defined.

        Raises:
            OutOfDeviceMemoryError: If it has to grow and cannot.
        """
        with self._turn:
            self._require_open()
            buffer = self._grown(size_bytes)
            stream.wait(self._done)
            try:
                yield buffer
            finally:  # a failure may have come after some work was enqueued
                stream.record(self._done)

    def trim(self) -> None:
        """Give the memory back until somebody needs it again."""
        with self._turn:
            self._drop()

    def _grown(self, size_bytes: int) -> DeviceBuffer:
        if self._buffer is None or self._buffer.size_bytes < size_bytes:
            self._drop()
            self._buffer = self._device.buffer(max(1, size_bytes))
        return self._buffer

    def _drop(self) -> None:
        if self._buffer is not None:
            self._done.synchronize()
            self._buffer.close()
            self._buffer = None

    def _release(self) -> None:
        self._drop()
        self._done.close()
