"""NVIDIA cards through pycuda.

pycuda keeps a stack of contexts of its own for every thread and has only its top in the driver's. What it made can be
used and given back by any thread that has pushed the context through it; nothing else here touches contexts. It tells
no event's handle, has no priorities of streams and no graphs: these are recorded through cuda-bindings where that is
installed too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Thread
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fastrestore.errors import DeviceError, OutOfDeviceMemoryError
from fastrestore.kernels.launch import Launch
from fastrestore.runtime.devices import cuda_bindings
from fastrestore.runtime.devices.card import CardBuffer, CardDevice, CardHostBuffer, version_of
from fastrestore.runtime.devices.driver import DriverFacts
from fastrestore.runtime.memory import DeviceBuffer, DeviceMemory, Event, Graph, Module, Owner, require_room

PACKAGE = "pycuda"
REMEDY = "`pip install 'pycuda>=2025.1'` builds it, for which it takes a compiler and the CUDA toolkit"
_NON_BLOCKING = 1
"""CU_STREAM_NON_BLOCKING, for which pycuda has no name."""


def installed() -> str | None:
    """Return the installed version of the package, or None. Imports nothing."""
    return version_of(PACKAGE)


class PycudaDevice(CardDevice):
    """A card through pycuda.

    Args:
        facts: What the driver said of itself.
        index: Which of its cards.

    Raises:
        DeviceError: If pycuda is missing or the card cannot be used.
    """

    def __init__(self, facts: DriverFacts, index: int) -> None:
        self._pycuda = _load()
        self._bindings: cuda_bindings.Bindings | None = None
        with self._translated(facts.cards[index].name):
            self._pycuda.init()
            self._context = self._pycuda.Device(index).retain_primary_context()
        super().__init__(facts, index)

    def memory(self) -> DeviceMemory:
        """See `Device.memory`."""
        with self.calling() as pycuda:
            free, total = pycuda.mem_get_info()
        return DeviceMemory(int(free), int(total))

    @contextmanager
    def pushed(self) -> Iterator[None]:
        """See `CardDevice.pushed`. Of a closed device nothing can be pushed: pycuda then lets go without the driver."""
        if self.closed:
            yield
            return
        with self._translated(self.name):
            self._context.push()
        try:
            yield
        finally:
            with self._translated(self.name):
                self._context.pop()

    @contextmanager
    def calling(self) -> Iterator[Any]:
        """Lend pycuda's driver module, with the context current and its errors translated.

        Raises:
            DeviceError: If something that is called fails.
        """
        with self.current(), self._translated(self.name):
            yield self._pycuda

    def buffer(self, size_bytes: int) -> CardBuffer:
        """See `Device.buffer`."""
        with self._taking(size_bytes, self.name) as pycuda:
            taken = pycuda.mem_alloc(max(1, size_bytes))
        return CardBuffer(int(taken), size_bytes, lambda: self._free(taken))

    def pinned(self, size_bytes: int) -> CardHostBuffer:
        """See `Device.pinned`."""
        with self._taking(size_bytes, "the host (page-locked)") as pycuda:
            flags = pycuda.host_alloc_flags.PORTABLE
            taken: NDArray[np.uint8] = pycuda.pagelocked_empty(max(1, size_bytes), np.uint8, mem_flags=flags)
        allocation = taken.base  # frees itself with the last array on it otherwise, in whatever thread that is
        return CardHostBuffer(taken[:size_bytes], lambda: self._free(allocation))

    def stream(self, *, urgent: bool = False) -> PycudaStream:
        """See `Device.stream`. An urgent one is as any other: pycuda has no priorities."""
        with self.calling() as pycuda:
            return PycudaStream(self, pycuda.Stream(_NON_BLOCKING))

    def module(self, image: bytes) -> PycudaModule:
        """See `Device.module`."""
        with self.calling() as pycuda:
            return PycudaModule(self, pycuda.module_from_buffer(image))

    def event(self, *, timed: bool = False) -> PycudaEvent:
        """See `Device.event`."""
        with self.calling() as pycuda:
            kinds = pycuda.event_flags
            return PycudaEvent(self, pycuda.Event(kinds.DEFAULT if timed else kinds.DISABLE_TIMING))

    def record_default(self, event: Event) -> None:
        """See `Device.record_default`."""
        assert isinstance(event, PycudaEvent)
        with self.calling():
            event.event.record()

    def synchronize(self) -> None:
        """See `Device.synchronize`."""
        with self.calling():
            self._context.synchronize()

    def bindings(self) -> cuda_bindings.Bindings:
        """Return what graphs are recorded with.

        Raises:
            DeviceError: If cuda-bindings is not installed.
        """
        if self._bindings is None:
            if cuda_bindings.installed() is None:
                raise DeviceError(
                    f"pycuda has no graphs, and {cuda_bindings.PACKAGE}, which has, is not installed",
                    cuda_bindings.REMEDY,
                )
            self._bindings = cuda_bindings.Bindings(self.name)
        return self._bindings

    def _free(self, allocation: Any) -> None:
        """Give memory back. What fails meanwhile, pycuda writes to the standard error stream, and goes on."""
        with self.pushed():
            allocation.free()

    @contextmanager
    def _taking(self, size_bytes: int, where: str) -> Iterator[Any]:
        """Do as `calling`, and say how much there was where it was too little."""
        with self.calling() as pycuda:
            try:
                yield pycuda
            except pycuda.MemoryError as error:
                raise OutOfDeviceMemoryError(size_bytes, self.memory().free_bytes, where) from error

    @contextmanager
    def _translated(self, card: str) -> Iterator[None]:
        try:
            yield
        except self._pycuda.Error as error:
            raise DeviceError(f"{card} failed: {error}", "see `fastrestore doctor`") from error

    def _release(self) -> None:
        """Release the primary context, in a thread that ends with it.

        pycuda releases what is current or was retained by the same thread, and leaves it on the driver's stack of the
        thread that it does so in.
        """
        context, self._context = self._context, None

        def release() -> None:
            context.push()
            context.detach()

        thread = Thread(target=release, name="release of a context")
        thread.start()
        thread.join()


class PycudaModule(Owner):
    """Kernels; made by `PycudaDevice.module`."""

    def __init__(self, device: PycudaDevice, module: Any) -> None:
        super().__init__()
        self._device, self._module = device, module
        self._functions: dict[str, Any] = {}

    def function(self, name: str) -> Any:
        """Return a kernel. Call within `PycudaDevice.calling`."""
        self._require_open()
        if name not in self._functions:
            self._functions[name] = self._module.get_function(name)
        return self._functions[name]

    def _release(self) -> None:
        with self._device.pushed():
            self._functions.clear()
            self._module = None


class PycudaEvent(Owner):
    """An event; made by `PycudaDevice.event`."""

    def __init__(self, device: PycudaDevice, event: Any) -> None:
        super().__init__()
        self._device, self._event = device, event

    @property
    def handle(self) -> int:
        """See `Event.handle`: pycuda keeps it to itself."""
        self._require_open()
        raise DeviceError("pycuda does not tell an event's handle", f"use cuda-bindings: {cuda_bindings.REMEDY}")

    @property
    def event(self) -> Any:
        """What pycuda knows it by."""
        self._require_open()
        return self._event

    def synchronize(self) -> None:
        """See `Event.synchronize`."""
        self._require_open()
        with self._device.calling():
            self._event.synchronize()

    def reached(self) -> bool:
        """See `Event.reached`."""
        self._require_open()
        with self._device.calling():
            return bool(self._event.query())

    def seconds_since(self, earlier: Self) -> float:
        """See `Event.seconds_since`."""
        self._require_open()
        with self._device.calling():
            return float(self._event.time_since(earlier.event)) / 1000

    def _release(self) -> None:
        with self._device.pushed():
            self._event = None


class PycudaStream(Owner):
    """A stream that waits for no other, the default one included; made by `PycudaDevice.stream`."""

    def __init__(self, device: PycudaDevice, stream: Any) -> None:
        super().__init__()
        self._device, self._stream = device, stream

    @property
    def handle(self) -> int:
        """See `Stream.handle`."""
        self._require_open()
        return int(self._stream.handle)

    def upload(self, source: NDArray[Any], target: DeviceBuffer) -> None:
        """See `Stream.upload`."""
        require_room(source, target.size_bytes)
        with self._calling() as pycuda:
            pycuda.memcpy_htod_async(target.address, source, self._stream)

    def download(self, source: DeviceBuffer, target: NDArray[Any]) -> None:
        """See `Stream.download`."""
        require_room(target, source.size_bytes)
        with self._calling() as pycuda:
            pycuda.memcpy_dtoh_async(target, source.address, self._stream)

    def launch(self, module: Module, launch: Launch) -> None:
        """See `Stream.launch`. The driver copies the parameters before it returns."""
        assert isinstance(module, PycudaModule)
        params = np.frombuffer(launch.params, np.uint8)  # an array goes by value, as its bytes
        with self._calling():
            module.function(launch.kernel)(params, grid=launch.grid, block=launch.block, stream=self._stream)

    def capture(self, work: Callable[[], None]) -> Graph:
        """See `Stream.capture`.

        Raises:
            DeviceError: Also if cuda-bindings is not installed.
        """
        return cuda_bindings.capture(self._device, self._device.bindings(), self.handle, work)

    def record(self, event: Event) -> None:
        """See `Stream.record`."""
        assert isinstance(event, PycudaEvent)
        with self._calling():
            event.event.record(self._stream)

    def wait(self, event: Event) -> None:
        """See `Stream.wait`."""
        assert isinstance(event, PycudaEvent)
        with self._calling():
            self._stream.wait_for_event(event.event)

    def synchronize(self) -> None:
        """See `Stream.synchronize`."""
        with self._calling():
            self._stream.synchronize()

    def _calling(self) -> AbstractContextManager[Any]:
        self._require_open()
        return self._device.calling()

    def _release(self) -> None:
        with self._device.pushed():
            self._stream = None


def _load() -> Any:
    if installed() is None:
        raise DeviceError(f"package {PACKAGE} is not installed", REMEDY)
    try:
        from pycuda import driver
    except ImportError as error:
        raise DeviceError(f"package {PACKAGE} cannot be loaded: {error}", f"build it again: {REMEDY}") from error
    return driver
