"""Scratch memory of one user on one stream."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fastrestore.runtime.devices.scratch import Scratch
from fastrestore.runtime.memory import DeviceBuffer, Stream


class SlotScratch(Scratch):
    """A `Scratch` that is always lent for one and the same stream.

    Its order is all that is needed, so that no event stands in the way of recording a run as a graph.
    """

    @contextmanager
    def lent(self, size_bytes: int, stream: Stream) -> Iterator[DeviceBuffer]:
        """See `Scratch.lent`. Growing waits for what is on the stream."""
        with self._turn:
            self._require_open()
            if self._buffer is not None and self._buffer.size_bytes < size_bytes:
                stream.synchronize()
            yield self._grown(size_bytes)
