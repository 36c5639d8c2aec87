"""The way of one tensor between the caller's float32 arrays and the device."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastrestore.errors import DeviceError
from fastrestore.runtime.memory import Device, DeviceBuffer, HostBuffer, Owner, Stream

_Shape = tuple[int, int, int, int]


class StagedTensor(Owner):
    """A pinned buffer and a device buffer, as large as the largest shape so far: nothing is allocated for a known one.

    Values are converted between float32 and what the network takes here, on the way through the pinned buffer.

    Args:
        device: Where the network runs.
        dtype: What the network takes or yields: float32 or float16.
    """

    def __init__(self, device: Device, dtype: DTypeLike) -> None:
        super().__init__()
        self._device, self._dtype = device, np.dtype(dtype)
        self._buffers: tuple[HostBuffer, DeviceBuffer] | None = None
        self._shape: _Shape = (0, 0, 0, 0)

    @property
    def address(self) -> int:
        """Where it begins on the device."""
        return self._taken[1].address

    def reserve(self, shape: _Shape) -> None:
        """Be ready for a shape. Nothing enqueued may still use the tensor.

        Raises:
            OutOfDeviceMemoryError: If there is not enough memory.
        """
        self._require_open()
        size = int(np.prod(shape)) * self._dtype.itemsize
        if self._buffers is None or self._buffers[0].size_bytes < size:
            self.trim()
            with ExitStack() as stack:
                pinned = stack.enter_context(self._device.pinned(size))
                self._buffers = pinned, self._device.buffer(size)
                stack.pop_all()
        self._shape = shape

    def fill(self, array: NDArray[np.float32]) -> None:
        """Take values in, repeating the last ones of each axis where the reserved shape is longer.

        Args:
            array: `(N, C, H, W)` float32, no longer than the reserved shape.
        """
        staged = self._staged
        count, channels, height, width = array.shape
        staged[:count, :channels, :height, :width] = array
        staged[:count, :channels, :height, width:] = staged[:count, :channels, :height, width - 1 : width]
        staged[:count, :channels, height:] = staged[:count, :channels, height - 1 : height]
        staged[count:] = staged[count - 1 : count]

    def read(self, out: NDArray[np.float32]) -> None:
        """Hand values out: the beginning of each axis, as much as `out` takes."""
        count, channels, height, width = out.shape
        out[:] = self._staged[:count, :channels, :height, :width]

    def upload(self, stream: Stream) -> None:
        """Copy what was taken in to the device."""
        stream.upload(self._staged, self._taken[1])

    def download(self, stream: Stream) -> None:
        """Copy what is on the device to where `read` finds it once the stream got there."""
        stream.download(self._taken[1], self._staged)

    def trim(self) -> None:
        """Give the memory back until a shape is reserved again. Nothing enqueued may still use it."""
        if self._buffers is not None:
            pinned, on_device = self._buffers
            self._buffers = None
            pinned.close()
            on_device.close()

    @property
    def _staged(self) -> NDArray[Any]:
        return self._taken[0].array(self._shape, self._dtype)

    @property
    def _taken(self) -> tuple[HostBuffer, DeviceBuffer]:
        self._require_open()
        if self._buffers is None:
            raise DeviceError("a staged tensor was used before a shape was reserved", "this is a fault of the program")
        return self._buffers

    def _release(self) -> None:
        self.trim()
