"""Who executes launches in tests: the host build, with guard zones around everything, or a device."""

from __future__ import annotations

import ctypes
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastrestore.kernels.fatbin import load_fatbin
from fastrestore.kernels.host_build import HostKernels
from fastrestore.kernels.launches import Launch
from fastrestore.runtime.memory import Device, DeviceBuffer, HostBuffer

ZONE_BYTES = 256
FILL = 0xA5
"""What memory holds that nobody has written to."""


_posix_memalign = ctypes.CDLL(None).posix_memalign
_posix_memalign.argtypes = [ctypes.POINTER(ctypes.c_void_p), ctypes.c_size_t, ctypes.c_size_t]


class Executor(Protocol):
    """Memory, and something that runs kernels on it."""

    def place(self, content: NDArray[Any]) -> int:
        """Return the address of a copy, which kernels may read."""
        ...

    def reserve(self, nbytes: int) -> int:
        """Return the address of memory that kernels may write; every byte is `FILL`."""
        ...

    def fetch(self, address: int, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Return what is at an address that `reserve` gave, once all launches are done."""
        ...

    def run(self, launch: Launch) -> None:
        """Execute a launch."""
        ...


class HostExecutor:
    """The host build. After every launch, nothing may have changed but memory that was reserved.

    Args:
        kernels: The host build.
        exact: Whether blocks begin and end as the heap has them, without zones: for an address sanitizer, which also
            sees what is read beyond them. They are then never given back.
    """

    def __init__(self, kernels: HostKernels, *, exact: bool = False) -> None:
        self._kernels = kernels
        self._zone = 0 if exact else ZONE_BYTES
        self._blocks: dict[int, NDArray[np.uint8]] = {}
        self._reserved: dict[int, int] = {}

    def place(self, content: NDArray[Any]) -> int:
        raw = np.ascontiguousarray(content).reshape(-1).view(np.uint8)
        address, block = self._allocate(raw.nbytes)
        block[self._zone : self._zone + raw.nbytes] = raw
        self._blocks[address] = block
        return address

    def reserve(self, nbytes: int) -> int:
        address, self._blocks[address] = self._allocate(nbytes)
        self._reserved[address] = nbytes
        return address

    def fetch(self, address: int, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        assert nbytes <= self._reserved[address]
        return self._blocks[address][self._zone : self._zone + nbytes].view(dtype).reshape(shape).copy()

    def run(self, launch: Launch) -> None:
        before = {address: block.copy() for address, block in self._blocks.items()}
        self._kernels.run(launch)
        for address, block in self._blocks.items():
            writable = self._reserved.get(address, 0)
            was = before[address]
            zone, behind = self._zone, self._zone + writable
            assert np.array_equal(block[:zone], was[:zone]), f"{launch.kernel} wrote before a buffer"
            assert np.array_equal(block[behind:], was[behind:]), (
                f"{launch.kernel} wrote behind a buffer or to its input"
            )

    def _allocate(self, nbytes: int) -> tuple[int, NDArray[np.uint8]]:
        """Return memory, aligned as on a card, and the block that holds it between its zones."""
        if not self._zone:
            address = ctypes.c_void_p()
            assert _posix_memalign(ctypes.byref(address), ZONE_BYTES, nbytes) == 0 and address.value
            exact = np.ctypeslib.as_array((ctypes.c_uint8 * nbytes).from_address(address.value))
            exact[:] = FILL
            return address.value, exact
        whole = np.full(nbytes + 3 * ZONE_BYTES, FILL, np.uint8)
        skip = -whole.ctypes.data % ZONE_BYTES
        block = whole[skip : skip + nbytes + 2 * ZONE_BYTES]
        return block.ctypes.data + ZONE_BYTES, block


class DeviceExecutor:
    """A device of `fastrestore.runtime.memory` with the shipped kernels. Everything stays open until `close`."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._module, self._stream = device.module(load_fatbin()), device.stream()
        self._buffers: dict[int, DeviceBuffer] = {}
        self._pinned: list[HostBuffer] = []

    def place(self, content: NDArray[Any]) -> int:
        raw = np.ascontiguousarray(content).reshape(-1).view(np.uint8)
        buffer, pinned = self._device.buffer(raw.nbytes), self._device.pinned(raw.nbytes)
        self._buffers[buffer.address] = buffer
        self._pinned.append(pinned)
        staged = pinned.array((raw.nbytes,), np.uint8)
        staged[:] = raw
        self._stream.upload(staged, buffer)
        return buffer.address

    def reserve(self, nbytes: int) -> int:
        return self.place(np.full(nbytes, FILL, np.uint8))

    def fetch(self, address: int, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        pinned = self._device.pinned(int(np.prod(shape)) * np.dtype(dtype).itemsize)
        self._pinned.append(pinned)
        target = pinned.array(shape, dtype)
        self._stream.download(self._buffers[address], target)
        self._stream.synchronize()
        return target.copy()

    def run(self, launch: Launch) -> None:
        self._stream.launch(self._module, launch)

    def close(self) -> None:
        """Give everything back."""
        self._stream.synchronize()
        for held in [*self._buffers.values(), *self._pinned, self._stream, self._module]:
            held.close()
