"""Kernels and graphs of a `CountingDevice`: launched as on a card, run by whoever executes them on the host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from fastrestore.errors import DeviceError
from fastrestore.kernels.launch import Launch
from fastrestore.runtime.devices.guarded import require_intact
from fastrestore.runtime.memory import Owner, Stream

if TYPE_CHECKING:
    from fastrestore.runtime.devices.counting import CountingDevice
    from fastrestore.runtime.devices.counting_work import Work

__all__ = ["Asked", "CountingGraph", "CountingModule", "run", "touched_by"]


class Asked(NamedTuple):
    """Something that was asked of a device."""

    what: str
    """`upload`, `download`, `wait`, `record`, `host wait`, `replay`, `perform`, or the name of a kernel."""
    stream: int
    """Number of the stream; of a host wait for an event, of the stream that recorded it; 0 for the whole device."""


class CountingModule(Owner):
    """Kernels of a `CountingDevice`. Which there are is known to who executes them."""

    def __init__(self, device: CountingDevice) -> None:
        super().__init__()
        self._device = device

    def require_open(self) -> None:
        """Check that it is open.

        Raises:
            DeviceError: If it is not.
        """
        self._require_open()

    def _release(self) -> None:
        self._device.forget(self)


class CountingGraph(Owner):
    """Recorded work of a `CountingDevice`."""

    def __init__(self, device: CountingDevice, works: Sequence[Work]) -> None:
        super().__init__()
        self._device, self._works = device, tuple(works)

    def launch(self, stream: Stream) -> None:
        """See `Graph.launch`."""
        self._require_open()
        self._device.stream_of(stream.handle).replay(self._works)

    def _release(self) -> None:
        self._device.forget(self)


def touched_by(device: CountingDevice, launch: Launch) -> tuple[int, ...]:
    """Return where the buffers begin whose addresses a kernel is given.

    Raises:
        DeviceError: If one of them is not open.
    """
    return tuple(device.block_of(address) for address in launch.addresses if address)


def run(device: CountingDevice, launch: Launch) -> None:
    """Run a kernel on the host, on the buffers whose addresses it is given.

    Raises:
        DeviceError: If it writes beyond one of them, or nobody executes kernels here.
    """
    if device.execute is None:
        raise DeviceError(f"nobody executes `{launch.kernel}` on this device")

    def on_host(address: int) -> int:
        begin = device.block_of(address)
        return device.block(begin).ctypes.data + address - begin

    device.execute(launch.relocated(on_host))
    for begin in set(touched_by(device, launch)):
        require_intact(device.block(begin), launch.kernel)
