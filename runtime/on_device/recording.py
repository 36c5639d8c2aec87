"""Runs of an engine that are the same every time, recorded once where that can be done."""

from __future__ import annotations

from collections.abc import Callable

from fastrestore.errors import DeviceError, EngineError
from fastrestore.runtime.memory import Graph, Owner, Stream
from fastrestore.runtime.on_device.engine import AddressSlot


class RecordedRuns(Owner):
    """Runs of one slot on addresses that stay: enqueued once, recorded as a graph, and replayed from then on.

    Args:
        slot: The engine's slot.
        stream: Its stream.
        enqueue: Enqueues the runs. What it enqueues must not wait for or record an event.
    """

    def __init__(self, slot: AddressSlot, stream: Stream, enqueue: Callable[[], None]) -> None:
        super().__init__()
        self._slot, self._stream, self._enqueue = slot, stream, enqueue
        self._graph: Graph | None = None
        self.way = ""
        """How it runs: as a graph, or launch by launch and why. Empty before it has run."""
        self.refusal = ""
        """Why runs could not be recorded though the engine allows it."""

    def run(self) -> None:
        """Enqueue the runs.

        Raises:
            EngineError: If the engine refuses to run.
            OutOfDeviceMemoryError: If there is too little memory for it to run.
        """
        if self._graph is not None:
            self._graph.launch(self._stream)
            return
        self._enqueue()
        if not self.way:
            self.way = self._record()

    def forget(self) -> None:
        """Forget what was recorded: its addresses are no longer those of the runs."""
        self.way = ""
        if self._graph is not None:
            graph, self._graph = self._graph, None
            graph.close()

    def _record(self) -> str:
        """Record what was just enqueued, where device and engine can; it is not done again."""
        if not self._slot.capturable:
            return "launch by launch: the engine cannot be recorded"
        try:
            self._graph = self._stream.capture(self._enqueue)
        except (DeviceError, EngineError) as error:
            self.refusal = error.message
            return f"launch by launch: {error.message}"
        return "as a graph"

    def _release(self) -> None:
        self.forget()
