"""Restores pictures on the card: up, through a chain of networks, and there they stay."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from fastrestore.errors import OutOfDeviceMemoryError
from fastrestore.runtime.on_device.lanes import Lanes
from fastrestore.runtime.on_device.network import DeviceNetwork
from fastrestore.runtime.on_device.picture import DevicePicture
from fastrestore.runtime.on_device.pool import Lease, Pool

RESTORED = "restored"
"""What the pool knows restored pictures as."""


def between_networks(index: int) -> str:
    """Return what the pool knows pictures as that network `index` of a chain has made for the next one."""
    return f"made by network {index}"


class DeviceRestorer:
    """Turns pictures on the card into restored ones. One thread at a time; the host waits for nothing.

    Pictures take turns on the slots. Between two networks of a chain a picture is stored in 16 bits.

    Args:
        networks: Run one after the other, each given what the one before it makes; at least one.
        lanes: The streams.
        pool: Where pictures lie: of the kinds `RESTORED` and `between_networks`.
    """

    def __init__(self, networks: Sequence[DeviceNetwork], lanes: Lanes, pool: Pool) -> None:
        self._networks, self._lanes, self._pool = networks, lanes, pool
        self._turn = 0
        self.runs = 0
        """Pictures restored so far."""
        self.lacks: list[str] = []
        """What had to be done to go on with little memory."""

    @property
    def warnings(self) -> list[str]:
        """What the user should know of how it went."""
        refusals = {n.name: n.refusal for n in self._networks if n.refusal}
        return [*self.lacks, *(f"`{name}` runs launch by launch: {why}" for name, why in refusals.items())]

    @property
    def ways(self) -> list[str]:
        """How the networks run, each way once."""
        return sorted({way for network in self._networks for way in network.ways})

    def restore(self, picture: DevicePicture) -> DevicePicture:
        """Return the picture restored; the work is enqueued. The one given may be closed afterwards.

        Where memory does not suffice, networks are run on less at a time, and `warnings` says so.

        Raises:
            EngineError: If a network refuses to run.
            OutOfDeviceMemoryError: If the smallest tiles need too much memory.
        """
        target = self._networks[-1].target
        neutral = picture.neutral and target.format.kind == "yuv"
        with ExitStack() as stack:
            lease = stack.enter_context(self._pool.lend(RESTORED))
            self._enqueue(picture, lease, neutral=neutral)
            stack.pop_all()
        self.runs += 1
        return DevicePicture(target, lease, neutral=neutral)

    def _enqueue(self, picture: DevicePicture, target: Lease, *, neutral: bool) -> None:
        slot, self._turn = self._turn, (self._turn + 1) % len(self._lanes.compute)
        with ExitStack() as stack:
            for index, network in enumerate(self._networks):
                if network is self._networks[-1]:
                    self._run(index, picture, target, slot, neutral=neutral)
                else:
                    lease = stack.enter_context(self._pool.lend(between_networks(index)))
                    self._run(index, picture, lease, slot, neutral=False)
                    picture = stack.enter_context(DevicePicture(network.target, lease, neutral=False))

    def _run(self, index: int, source: DevicePicture, target: Lease, slot: int, *, neutral: bool) -> None:
        """Have a network work on a picture, on less at a time until memory suffices."""
        network = self._networks[index]
        while True:
            with self._lanes.turn:
                try:
                    network.run(source, target, slot, neutral=neutral)
                    return
                except OutOfDeviceMemoryError as error:
                    self._go_on_with_less(network, error)

    def _go_on_with_less(self, network: DeviceNetwork, error: OutOfDeviceMemoryError) -> None:
        self._lanes.settle()
        while True:
            try:
                done = network.shrink()
            except OutOfDeviceMemoryError as again:
                error = again
                continue
            if done is None:
                raise error
            self.lacks.append(f"{error.message}: {done}")
            return
