"""NVIDIA cards through cuda-bindings: the driver's own interface, on the context that other libraries share."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fastrestore.errors import DeviceError, OutOfDeviceMemoryError
from fastrestore.kernels.launch import Launch
from fastrestore.runtime.devices.card import CardBuffer, CardDevice, CardHostBuffer, version_of
from fastrestore.runtime.devices.driver import DriverFacts
from fastrestore.runtime.memory import DeviceBuffer, DeviceMemory, Event, Graph, Module, Owner, Stream, require_room

PACKAGE = "cuda-bindings"
REMEDY = "`pip install 'cuda-bindings>=12.8'`"
_OUT_OF_MEMORY, _NOT_READY = 2, 600
_LEGACY_STREAM = 1
"""CU_STREAM_LEGACY: what a stream of 0 means to libraries, whatever it means to this process."""


def installed() -> str | None:
    """Return the installed version of the package, or None. Imports nothing."""
    return version_of(PACKAGE)


class Bindings:
    """The driver's functions, and the one place where its answers are looked at.

    Args:
        card: What the card is called whose errors these are.

    Raises:
        DeviceError: If cuda-bindings is missing or cannot be loaded.
    """

    def __init__(self, card: str) -> None:
        self.cuda = _load()
        self._card = card

    def call(self, answer: tuple[Any, ...]) -> Any:
        """Return what a function of the driver returned beside its code: nothing, one value or several.

        Raises:
            DeviceError: If the code says that it failed.
        """
        code, *values = answer
        if int(code):
            raise DeviceError(f"{self._card} failed: {self._words(code)}", "see `fastrestore doctor`")
        return values[0] if len(values) == 1 else tuple(values) if values else None

    def _words(self, code: Any) -> str:
        name, text = self.cuda.cuGetErrorName(code)[1], self.cuda.cuGetErrorString(code)[1]
        return f"{_decoded(text)} ({_decoded(name) or int(code)})"


class CudaDevice(CardDevice):
    """A card through cuda-bindings.

    Args:
        facts: What the driver said of itself.
        index: Which of its cards.

    Raises:
        DeviceError: If cuda-bindings is missing or the card cannot be used.
    """

    def __init__(self, facts: DriverFacts, index: int) -> None:
        self._bindings = Bindings(facts.cards[index].name)
        self._cuda = self._bindings.cuda
        self.call(self._cuda.cuInit(0))
        self._device = self.call(self._cuda.cuDeviceGet(index))
        self._context = self.call(self._cuda.cuDevicePrimaryCtxRetain(self._device))
        super().__init__(facts, index)

    def memory(self) -> DeviceMemory:
        """See `Device.memory`."""
        with self.current():
            free, total = self.call(self._cuda.cuMemGetInfo())
        return DeviceMemory(int(free), int(total))

    @contextmanager
    def pushed(self) -> Iterator[None]:
        """See `CardDevice.pushed`."""
        self.call(self._cuda.cuCtxPushCurrent(self._context))
        try:
            yield
        finally:
            self.call(self._cuda.cuCtxPopCurrent())

    def buffer(self, size_bytes: int) -> CardBuffer:
        """See `Device.buffer`."""
        with self.current():
            address = self._take(self._cuda.cuMemAlloc(max(1, size_bytes)), size_bytes, self.name)
        return CardBuffer(int(address), size_bytes, partial(self.give_back, "cuMemFree", int(address)))

    def pinned(self, size_bytes: int) -> CardHostBuffer:
        """See `Device.pinned`."""
        with self.current():
            taken = self._cuda.cuMemHostAlloc(max(1, size_bytes), self._cuda.CU_MEMHOSTALLOC_PORTABLE)
            address = self._take(taken, size_bytes, "the host (page-locked)")
        block = (ctypes.c_uint8 * max(1, size_bytes)).from_address(int(address))
        memory: NDArray[np.uint8] = np.ctypeslib.as_array(block)[:size_bytes]
        return CardHostBuffer(memory, partial(self.give_back, "cuMemFreeHost", int(address)))

    def stream(self, *, urgent: bool = False) -> CudaStream:
        """See `Device.stream`."""
        flags = self._cuda.CUstream_flags.CU_STREAM_NON_BLOCKING
        with self.current():
            least, greatest = self.call(self._cuda.cuCtxGetStreamPriorityRange())
            made = self.call(self._cuda.cuStreamCreateWithPriority(flags, greatest if urgent else least))
        return CudaStream(self, made)

    def module(self, image: bytes) -> CudaModule:
        """See `Device.module`."""
        with self.current():
            return CudaModule(self, self.call(self._cuda.cuModuleLoadData(image)))

    def event(self, *, timed: bool = False) -> CudaEvent:
        """See `Device.event`."""
        kinds = self._cuda.CUevent_flags
        flags = kinds.CU_EVENT_DEFAULT if timed else kinds.CU_EVENT_DISABLE_TIMING
        with self.current():
            return CudaEvent(self, self.call(self._cuda.cuEventCreate(flags)))

    def record_default(self, event: Event) -> None:
        """See `Device.record_default`."""
        with self.current():
            self.call(self._cuda.cuEventRecord(event.handle, _LEGACY_STREAM))

    def synchronize(self) -> None:
        """See `Device.synchronize`."""
        with self.current():
            self.call(self._cuda.cuCtxSynchronize())

    @property
    def cuda(self) -> Any:
        """The module of bindings."""
        return self._cuda

    @property
    def bindings(self) -> Bindings:
        """What checks the answers of the bindings."""
        return self._bindings

    def call(self, answer: tuple[Any, ...]) -> Any:
        """See `Bindings.call`."""
        return self._bindings.call(answer)

    def give_back(self, function: str, *arguments: Any) -> None:
        """Call a function that frees something, whatever it answers.

        It fails where the card failed before, for errors of earlier work come back from every later call: those were
        told when they came, and must not hide what the caller is being told now.
        """
        with self.pushed():
            getattr(self._cuda, function)(*arguments)

    def _take(self, answer: tuple[Any, ...], size_bytes: int, where: str) -> Any:
        if int(answer[0]) == _OUT_OF_MEMORY:
            free, _ = self.call(self._cuda.cuMemGetInfo())
            raise OutOfDeviceMemoryError(size_bytes, int(free), where)
        return self.call(answer)

    def _release(self) -> None:
        self._cuda.cuDevicePrimaryCtxRelease(self._device)


class CudaModule(Owner):
    """Kernels; made by `CudaDevice.module`."""

    def __init__(self, device: CudaDevice, module: Any) -> None:
        super().__init__()
        self._device, self._module = device, module
        self._functions: dict[str, Any] = {}

    def function(self, name: str) -> Any:
        """Return a kernel. Call with the device current.

        Raises:
            DeviceError: If there is none of that name.
        """
        self._require_open()
        if name not in self._functions:
            answer = self._device.cuda.cuModuleGetFunction(self._module, name.encode())
            self._functions[name] = self._device.call(answer)
        return self._functions[name]

    def _release(self) -> None:
        self._functions.clear()
        self._device.give_back("cuModuleUnload", self._module)


class CudaGraph(Owner):
    """Recorded work; made by `capture`."""

    def __init__(self, device: CardDevice, bindings: Bindings, graph: Any) -> None:
        super().__init__()
        self._device, self._bindings, self._graph = device, bindings, graph

    def launch(self, stream: Stream) -> None:
        """See `Graph.launch`."""
        self._require_open()
        with self._device.current():
            self._bindings.call(self._bindings.cuda.cuGraphLaunch(self._graph, stream.handle))

    def _release(self) -> None:
        with self._device.pushed():
            self._bindings.cuda.cuGraphExecDestroy(self._graph)


def capture(device: CardDevice, bindings: Bindings, stream: int, work: Callable[[], None]) -> CudaGraph:
    """Do what `Stream.capture` does with any library's stream, by its handle.

    Other threads may go on with what they do meanwhile.
    """
    cuda = bindings.cuda
    with device.current():
        bindings.call(cuda.cuStreamBeginCapture(stream, cuda.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL))
        try:
            work()
        except BaseException:
            code, graph = cuda.cuStreamEndCapture(stream)
            if int(code) == 0:
                cuda.cuGraphDestroy(graph)
            raise
        graph = bindings.call(cuda.cuStreamEndCapture(stream))
        try:
            return CudaGraph(device, bindings, bindings.call(cuda.cuGraphInstantiate(graph, 0)))
        finally:
            cuda.cuGraphDestroy(graph)


class CudaEvent(Owner):
    """An event; made by `CudaDevice.event`."""

    def __init__(self, device: CudaDevice, event: Any) -> None:
        super().__init__()
        self._device, self._event = device, event

    @property
    def handle(self) -> int:
        """See `Event.handle`."""
        self._require_open()
        return int(self._event)

    def synchronize(self) -> None:
        """See `Event.synchronize`."""
        self._require_open()
        with self._device.current():
            self._device.call(self._device.cuda.cuEventSynchronize(self._event))

    def reached(self) -> bool:
        """See `Event.reached`."""
        self._require_open()
        with self._device.current():
            answer = self._device.cuda.cuEventQuery(self._event)
        if int(answer[0]) == _NOT_READY:
            return False
        self._device.call(answer)
        return True

    def seconds_since(self, earlier: Self) -> float:
        """See `Event.seconds_since`."""
        self._require_open()
        with self._device.current():
            milliseconds = self._device.call(self._device.cuda.cuEventElapsedTime(earlier.handle, self.handle))
        return float(milliseconds) / 1000

    def _release(self) -> None:
        self._device.give_back("cuEventDestroy", self._event)


class CudaStream(Owner):
    """A stream that waits for no other, the default one included; made by `CudaDevice.stream`."""

    def __init__(self, device: CudaDevice, stream: Any) -> None:
        super().__init__()
        self._device, self._stream = device, stream

    @property
    def handle(self) -> int:
        """See `Stream.handle`."""
        self._require_open()
        return int(self._stream)

    def upload(self, source: NDArray[Any], target: DeviceBuffer) -> None:
        """See `Stream.upload`."""
        require_room(source, target.size_bytes)
        self._call("cuMemcpyHtoDAsync", target.address, source.ctypes.data, source.nbytes, self.handle)

    def download(self, source: DeviceBuffer, target: NDArray[Any]) -> None:
        """See `Stream.download`."""
        require_room(target, source.size_bytes)
        self._call("cuMemcpyDtoHAsync", target.ctypes.data, source.address, target.nbytes, self.handle)

    def launch(self, module: Module, launch: Launch) -> None:
        """See `Stream.launch`. The driver copies the parameters before it returns."""
        assert isinstance(module, CudaModule)
        params = ctypes.create_string_buffer(launch.params, len(launch.params))
        arguments = (ctypes.c_void_p * 1)(ctypes.addressof(params))
        with self._device.current():
            sizes = (*launch.grid, *launch.block, 0)  # no shared memory
            place = self.handle, ctypes.addressof(arguments), 0
            self._device.call(self._device.cuda.cuLaunchKernel(module.function(launch.kernel), *sizes, *place))

    def capture(self, work: Callable[[], None]) -> Graph:
        """See `Stream.capture`."""
        return capture(self._device, self._device.bindings, self.handle, work)

    def record(self, event: Event) -> None:
        """See `Stream.record`."""
        self._call("cuEventRecord", event.handle, self.handle)

    def wait(self, event: Event) -> None:
        """See `Stream.wait`."""
        self._call("cuStreamWaitEvent", self.handle, event.handle, 0)

    def synchronize(self) -> None:
        """See `Stream.synchronize`."""
        self._call("cuStreamSynchronize", self.handle)

    def _call(self, function: str, *arguments: Any) -> None:
        with self._device.current():
            self._device.call(getattr(self._device.cuda, function)(*arguments))

    def _release(self) -> None:
        self._device.give_back("cuStreamDestroy", self._stream)


def _load() -> Any:
    if installed() is None:
        raise DeviceError(f"package {PACKAGE} is not installed", REMEDY)
    try:
        from cuda.bindings import driver
    except (ImportError, RuntimeError) as error:
        raise DeviceError(f"package {PACKAGE} cannot be loaded: {error}", f"reinstall it: {REMEDY}") from error
    return driver


def _decoded(text: Any) -> str:
    return text.decode(errors="replace") if isinstance(text, bytes) else str(text or "")
