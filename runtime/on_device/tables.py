"""Constant tables on the card: weights that put tiles together and that reduce pictures to the size of a motion."""

from __future__ import annotations

from contextlib import ExitStack

from fastrestore.kernels.launches import PlacedTaps, TapTable
from fastrestore.runtime.memory import Owner
from fastrestore.runtime.on_device.lanes import Lanes


class PlacedTable(Owner):
    """A table of weights on the card. Making it waits for its upload.

    Args:
        lanes: The streams.
        table: The weights.

    Raises:
        OutOfDeviceMemoryError: If there is not enough memory.
    """

    def __init__(self, lanes: Lanes, table: TapTable) -> None:
        data, device = table.data, lanes.device
        with ExitStack() as stack:
            buffer = stack.enter_context(device.buffer(data.nbytes))
            with device.pinned(data.nbytes) as pinned, lanes.turn:
                staged = pinned.array(data.shape, data.dtype)
                staged[:] = data
                lanes.copy_in.upload(staged, buffer)
                lanes.copy_in.synchronize()
            self._held = stack.pop_all()
        super().__init__()
        self.axes: tuple[PlacedTaps, ...] = table.at(buffer.address)

    def _release(self) -> None:
        self._held.close()
