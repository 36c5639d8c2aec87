"""The streams of a run on a card, its kernels, and the one turn in which work is enqueued."""

from __future__ import annotations

import threading
from contextlib import ExitStack, suppress

from fastrestore.errors import DeviceError
from fastrestore.kernels.launches import Launch
from fastrestore.runtime.memory import Device, Owner, Stream

MOST_SLOTS = 3
"""Pictures restored side by side at most: more gains nothing where one fills the card."""


class Lanes(Owner):
    """Streams for copies in, motion, restoring (one a slot), synthesis and copies out.

    Whoever enqueues holds `turn`: enqueueing takes microseconds, and so the order in which blocks of memory are used is
    the order in which their events are recorded. Nobody waits for the device, or for another thread, while holding it.

    Args:
        device: The card; stays open as long.
        image: The kernels, as `Device.module` takes them.
        slots: How many pictures are restored side by side, 1 to `MOST_SLOTS`.
        finds_motion: Whether a network that finds motion runs beside them, on a stream of its own.

    Raises:
        DeviceError: If the kernels do not run on the card.
    """

    def __init__(self, device: Device, image: bytes, slots: int, *, finds_motion: bool = False) -> None:
        with ExitStack() as stack:
            self._module = stack.enter_context(device.module(image))
            # Copies and synthesis are short and everything waits for them, so they go first. So does motion: it is
            # found by a network that is small beside those that restore, and a frame that waits for it is next.
            self.copy_in = stack.enter_context(device.stream(urgent=True))
            self.copy_out = stack.enter_context(device.stream(urgent=True))
            self.synthesis = stack.enter_context(device.stream(urgent=True))
            self.motion = stack.enter_context(device.stream(urgent=True)) if finds_motion else None
            self.compute = tuple(stack.enter_context(device.stream()) for _ in range(min(slots, MOST_SLOTS)))
            self._held = stack.pop_all()
        super().__init__()
        self.device = device
        self.turn = threading.RLock()

    @property
    def streams(self) -> tuple[Stream, ...]:
        """All of them."""
        motion = () if self.motion is None else (self.motion,)
        return self.copy_in, self.copy_out, self.synthesis, *motion, *self.compute

    def launch(self, stream: Stream, launch: Launch) -> None:
        """Enqueue a kernel."""
        stream.launch(self._module, launch)

    def settle(self) -> None:
        """Have the host wait until everything that was enqueued is done: before memory is given back.

        Raises:
            DeviceError: If some of it failed.
        """
        for stream in self.streams:
            stream.synchronize()

    def quiet(self) -> None:
        """Do as `settle`, also where the card has failed: it has said so before."""
        with suppress(DeviceError):
            self.settle()

    def _release(self) -> None:
        self._held.close()
