"""The ways into the card and out of it, through pinned memory that is used over and over."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import numpy as np
from numpy.typing import NDArray

from fastrestore.errors import DeviceError, EngineError
from fastrestore.frames import Picture
from fastrestore.runtime.memory import DeviceBuffer, Owner
from fastrestore.runtime.on_device.lanes import Lanes
from fastrestore.runtime.on_device.picture import DevicePicture, Form
from fastrestore.runtime.on_device.pool import Lease

_Bytes = NDArray[np.uint8]
FLAG_BYTES = 16
"""Of what a kernel sets where a network yields what is no number; and as much behind every frame that goes out."""


def require_finite(flag: _Bytes) -> None:
    """Refuse what came with a flag, `(FLAG_BYTES,)`, that was set.

    Raises:
        EngineError: If a network yielded anything but finite numbers.
    """
    if flag.any():
        raise EngineError("a network produced numbers that are not finite", "try another backend")


class Intake(Owner):
    """Pinned slots for what goes to the card.

    A slot is filled again once its copy is done. With as many slots as there are things on their way, the host never
    waits for that; with fewer, it waits for the oldest copy.

    Args:
        lanes: The streams.
        size_bytes: Of a slot.
        count: How many.

    Raises:
        OutOfDeviceMemoryError: If there is not enough page-locked memory.
    """

    def __init__(self, lanes: Lanes, size_bytes: int, count: int) -> None:
        self._slots = SlotQueue(lanes, size_bytes, count)
        super().__init__()
        self._lanes = lanes
        self.waits = 0
        """Times that the host had to wait for a copy before it could fill a slot again."""

    @property
    def on_loan(self) -> int:
        """Slots that are being filled."""
        return self._slots.on_loan

    def upload(self, target: Lease, size_bytes: int, fill: Callable[[_Bytes], None]) -> None:
        """Fill a slot and enqueue its copy to the card.

        Args:
            target: Where to.
            size_bytes: How much.
            fill: Called with `(size_bytes,)` uint8 of pinned memory; may run beside other uploads.

        Raises:
            DeviceError: If the device fails.
        """
        with self._slot() as slot:
            memory = slot.buffer.array((size_bytes,), np.uint8)
            fill(memory)
            with target.writing(self._lanes.copy_in):
                self._lanes.copy_in.upload(memory, target.buffer)
                self._lanes.copy_in.record(slot.copied)

    @contextmanager
    def _slot(self) -> Iterator[Slot]:
        slot = self._slots.take()
        try:
            if not slot.copied.reached():
                self.waits += 1
                slot.copied.synchronize()
            yield slot
        finally:
            self._slots.give_back(slot)

    def _release(self) -> None:
        with suppress(DeviceError):  # a card that failed has said so; what is held is given back all the same
            self._lanes.copy_in.synchronize()
        self._slots.close()


class SlotQueue(Owner):
    """Pinned slots that are lent one by one, the one that was given back first; whoever finds none waits for one.

    Args:
        lanes: The streams.
        size_bytes: Of a slot.
        count: How many.

    Raises:
        OutOfDeviceMemoryError: If there is not enough page-locked memory.
    """

    def __init__(self, lanes: Lanes, size_bytes: int, count: int) -> None:
        with ExitStack() as stack:
            self._free = deque(stack.enter_context(Slot(lanes, size_bytes)) for _ in range(count))
            self._held = stack.pop_all()
        super().__init__()
        self._count = count
        self._changed = threading.Condition()

    @property
    def on_loan(self) -> int:
        """Slots that were taken and not given back."""
        return self._count - len(self._free)

    def take(self) -> Slot:
        """Return a slot."""
        with self._changed:
            self._changed.wait_for(lambda: self._free)
            return self._free.popleft()

    def give_back(self, slot: Slot) -> None:
        """Have a slot again."""
        with self._changed:
            self._free.append(slot)
            self._changed.notify()

    def _release(self) -> None:
        self._held.close()


class Outbox(Owner):
    """Pinned slots for finished frames; there are as many as may be on their way and with the encoder together.

    Args:
        lanes: The streams.
        form: What finished frames look like.
        count: How many slots.
        flag: `FLAG_BYTES` on the card: not 0 once a network has yielded what is no number.

    Raises:
        OutOfDeviceMemoryError: If there is not enough page-locked memory.
    """

    def __init__(self, lanes: Lanes, form: Form, count: int, flag: DeviceBuffer) -> None:
        size = -(-form.nbytes // FLAG_BYTES) * FLAG_BYTES
        self._slots = SlotQueue(lanes, size + FLAG_BYTES, count)
        super().__init__()
        self._lanes, self._form, self._flag, self._flag_at = lanes, form, flag, size

    @property
    def on_loan(self) -> int:
        """Frames that are on their way or with the encoder."""
        return self._slots.on_loan

    def send(self, picture: DevicePicture) -> Parcel:
        """Enqueue a picture's copy to the host. The picture may be closed afterwards.

        Raises:
            DeviceError: If the device fails.
        """
        slot = self._slots.take()
        try:
            memory = slot.buffer.array((slot.buffer.size_bytes,), np.uint8)
            stream = self._lanes.copy_out
            with picture.lease.reading(stream):
                stream.download(picture.lease.buffer, memory[: self._form.nbytes])
                # Whoever set it for this picture did so before the picture was finished.
                stream.download(self._flag, memory[self._flag_at :])
                stream.record(slot.copied)
        except BaseException:
            self.take_back(slot)
            raise
        return Parcel(self, slot, self._form, self._flag_at)

    def take_back(self, slot: Slot) -> None:
        """Have a slot again; called by its parcel."""
        self._slots.give_back(slot)

    def _release(self) -> None:
        with suppress(DeviceError):
            self._lanes.copy_out.synchronize()
        self._slots.close()


class Parcel(Owner):
    """A finished frame on its way to the host. Closing it gives its memory to the next one."""

    def __init__(self, outbox: Outbox, slot: Slot, form: Form, flag_at: int) -> None:
        super().__init__()
        self._outbox, self._slot, self._form, self._flag_at = outbox, slot, form, flag_at

    def picture(self) -> Picture:
        """Wait until it is here and return it, in pinned memory: valid until this is closed.

        Raises:
            EngineError: If a network yielded anything but finite numbers for it, or for a picture before it.
            DeviceError: If the device failed.
        """
        self._require_open()
        self._slot.copied.synchronize()
        memory = self._slot.buffer.array((self._slot.buffer.size_bytes,), np.uint8)
        require_finite(memory[self._flag_at :])
        return Picture(self._form.planes(memory[: self._form.nbytes]), self._form.format, self._form.colour)

    def _release(self) -> None:
        self._outbox.take_back(self._slot)


class Slot(Owner):
    """Pinned memory, and the event of the copy from or to it."""

    def __init__(self, lanes: Lanes, size_bytes: int) -> None:
        with ExitStack() as stack:
            self.buffer = stack.enter_context(lanes.device.pinned(size_bytes))
            self.copied = stack.enter_context(lanes.device.event())
            self._held = stack.pop_all()
        super().__init__()

    def _release(self) -> None:
        self._held.close()
