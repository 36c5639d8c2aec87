"""The one owner of the device memory that pictures, tiles and motion lie in."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from fastrestore.errors import DeviceError
from fastrestore.runtime.memory import DeviceBuffer, Event, Owner, Stream
from fastrestore.runtime.on_device.lanes import Lanes


class Pool(Owner):
    """Blocks of a few kinds, all made when a run begins: nothing is allocated while it goes on.

    A block that is given back may still be in use by what is enqueued. It is lent again at once: whoever writes to it
    next has his stream wait for those uses, not the host. The host waits only where all blocks of a kind are on loan,
    and that is the back-pressure: it waits for another thread to give one back.

    Args:
        lanes: The streams on which blocks are used.
    """

    def __init__(self, lanes: Lanes) -> None:
        super().__init__()
        self._lanes = lanes
        self._blocks: dict[str, list[_Block]] = {}
        self._free: dict[str, deque[_Block]] = {}
        self._given_back = threading.Condition()
        self.on_loan = 0
        """Blocks that are lent and were not given back."""

    def reserve(self, kind: str, size_bytes: int, count: int) -> None:
        """Make all blocks of a kind; of several calls for one kind, the last one counts.

        Args:
            kind: What they are for.
            size_bytes: Of each.
            count: How many.

        Raises:
            OutOfDeviceMemoryError: If there is not enough memory for all; none of them is kept then.
            DeviceError: If blocks of that kind are on loan.
        """
        self._require_open()
        self.discard(kind)
        with ExitStack() as stack:
            made = [stack.enter_context(_Block(self._lanes, size_bytes)) for _ in range(count)]
            stack.pop_all()
        with self._given_back:
            self._blocks[kind], self._free[kind] = made, deque(made)

    def lend(self, kind: str) -> Lease:
        """Lend a block, the one that was given back first; wait until there is one.

        Raises:
            DeviceError: If the pool is closed, also meanwhile, or has no blocks of that kind.
        """
        with self._given_back:
            if not self._blocks.get(kind):
                raise DeviceError(f"no device memory was set aside for `{kind}`", "this is a fault of the program")
            self._given_back.wait_for(lambda: self.closed or self._free[kind])
            self._require_open()
            self.on_loan += 1
            block = self._free[kind].popleft()
            block.uses = 1
            return Lease(self, kind, block, self._lanes)

    def lend_now(self, kind: str) -> Lease:
        """Lend a block without waiting: where all of a kind are on loan, one more that is made now.

        For who has himself what would have to be given back.

        Raises:
            OutOfDeviceMemoryError: If it takes one more, and there is not enough memory.
            DeviceError: If the pool is closed, or has no blocks of that kind.
        """
        with self._given_back:
            if self._blocks.get(kind) and not self._free[kind]:
                self.add(kind)
            return self.lend(kind)

    def add(self, kind: str) -> None:
        """Make one more block of a kind that there are blocks of.

        Raises:
            OutOfDeviceMemoryError: If there is not enough memory.
        """
        self._require_open()
        made = _Block(self._lanes, self._blocks[kind][0].buffer.size_bytes)
        with self._given_back:
            self._blocks[kind].append(made)
            self._free[kind].append(made)
            self._given_back.notify_all()

    def discard(self, kind: str) -> None:
        """Give the blocks of a kind back to the device. Waits for what uses them.

        Raises:
            DeviceError: If some are on loan.
        """
        with self._given_back:
            blocks = self._blocks.get(kind, [])
            if len(self._free.get(kind, ())) < len(blocks):
                raise DeviceError(f"device memory for `{kind}` was discarded while on loan")
            self._blocks.pop(kind, None)
            self._free.pop(kind, None)
        if blocks:
            self._lanes.settle()
        for block in blocks:
            block.close()

    def use_again(self, block: _Block) -> None:
        """Note one more lease of a block that is on loan; called by a lease of it."""
        with self._given_back:
            block.uses += 1

    def take_back(self, kind: str, block: _Block) -> None:
        """Have a block again once its last lease is closed; called by its leases."""
        with self._given_back:
            block.uses -= 1
            if not self.closed and not block.uses:
                self.on_loan -= 1
                self._free[kind].append(block)
                self._given_back.notify_all()

    def _release(self) -> None:
        with self._given_back:
            self._given_back.notify_all()
        self._lanes.quiet()
        for blocks in self._blocks.values():
            for block in blocks:
                block.close()


class Lease(Owner):
    """A block on loan. Close it once everything that uses it is enqueued; it need not be done."""

    def __init__(self, pool: Pool, kind: str, block: _Block, lanes: Lanes) -> None:
        super().__init__()
        self._pool, self.kind, self._block, self._lanes = pool, kind, block, lanes

    def shared(self) -> Lease:
        """Return another lease of the same block, which is given back once both are closed."""
        self._require_open()
        self._pool.use_again(self._block)
        return Lease(self._pool, self.kind, self._block, self._lanes)

    @property
    def buffer(self) -> DeviceBuffer:
        """The memory. What is enqueued on it is enqueued within `reading` or `writing`."""
        self._require_open()
        return self._block.buffer

    @property
    def address(self) -> int:
        """Where it begins."""
        return self.buffer.address

    @contextmanager
    def reading(self, stream: Stream) -> Iterator[int]:
        """Enqueue work on a stream that reads it: after what was written, before it is written again.

        Yields:
            The address.
        """
        with self._lanes.turn:
            self._block.wait_for_writer(stream)
            try:
                yield self.address
            finally:  # a failure may have come after some work was enqueued
                self._block.read_on(stream)

    @contextmanager
    def writing(self, stream: Stream) -> Iterator[int]:
        """Enqueue work on a stream that writes it: after all that used it before, whoever had it then.

        Yields:
            The address.
        """
        with self._lanes.turn:
            self._block.wait_for_all(stream)
            try:
                yield self.address
            finally:
                self._block.written_on(stream)

    def _release(self) -> None:
        self._pool.take_back(self.kind, self._block)


class _Block(Owner):
    """A buffer, and events that tell who used it last: one for the writer, one for each stream that may read it."""

    def __init__(self, lanes: Lanes, size_bytes: int) -> None:
        device = lanes.device
        with ExitStack() as stack:
            self.buffer = stack.enter_context(device.buffer(size_bytes))
            self._written = stack.enter_context(device.event())
            self._read: dict[int, Event] = {s.handle: stack.enter_context(device.event()) for s in lanes.streams}
            self._held = stack.pop_all()
        super().__init__()
        self.uses = 0
        """Leases of it that are open; the pool counts them."""
        self._writer = 0
        self._readers: set[int] = set()

    def wait_for_writer(self, stream: Stream) -> None:
        if self._writer not in (0, stream.handle):
            stream.wait(self._written)

    def wait_for_all(self, stream: Stream) -> None:
        self.wait_for_writer(stream)
        for reader in self._readers - {stream.handle}:
            stream.wait(self._read[reader])

    def read_on(self, stream: Stream) -> None:
        stream.record(self._read[stream.handle])
        self._readers.add(stream.handle)

    def written_on(self, stream: Stream) -> None:
        stream.record(self._written)
        self._writer = stream.handle
        self._readers.clear()

    def _release(self) -> None:
        self._held.close()
