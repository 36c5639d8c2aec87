"""One small interface to a device: its memory, memory of the host that it reads by itself, streams and events.

What is enqueued on a stream happens in that order and in no order with what is on others, unless an event says so:
one stream records it, another waits for it. The host waits for an event or a stream before it reads what was
downloaded, and before it writes again to what is being uploaded.

Everything made here is owned by who asked for it: `close` gives it back, twice is fine, using it afterwards is a
`DeviceError`. Whoever lends a buffer's address keeps the buffer open until the work that uses it is done.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastrestore.errors import DeviceError
from fastrestore.kernels.launch import Launch
from fastrestore.runtime.devices.dlpack import Exposed
from fastrestore.runtime.devices.driver import Card, DriverFacts, driver

__all__ = [
    "ALIGNMENT_BYTES",
    "Card",
    "Device",
    "DeviceBuffer",
    "DeviceMemory",
    "DriverFacts",
    "Event",
    "Graph",
    "HostBuffer",
    "Module",
    "Owner",
    "Stream",
    "driver",
    "open_device",
    "usable_cards",
]

ALIGNMENT_BYTES = 256
"""Every device buffer begins at a multiple of this."""


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """How much memory a device has."""

    free_bytes: int
    total_bytes: int


class Owned(Protocol):
    """Something that holds what must be given back."""

    def close(self) -> None:
        """Give it back. Twice is fine."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


class DeviceBuffer(Owned, Protocol):
    """Memory on the device."""

    @property
    def address(self) -> int:
        """Where it begins, a multiple of `ALIGNMENT_BYTES`."""
        ...

    @property
    def size_bytes(self) -> int:
        """How long it is."""
        ...


class HostBuffer(Owned, Protocol):
    """Page-locked memory of the host: copies from and to it run beside everything else."""

    @property
    def size_bytes(self) -> int:
        """How long it is."""
        ...

    def array(self, shape: Sequence[int], dtype: DTypeLike) -> NDArray[Any]:
        """Return the beginning of the buffer as an array. Not to be used once the buffer is closed.

        Raises:
            DeviceError: If it does not fit or the buffer is closed.
        """
        ...


class Event(Owned, Protocol):
    """A point in the work of a stream. One that was never recorded counts as reached."""

    @property
    def handle(self) -> int:
        """The library's own event, as a number.

        Raises:
            DeviceError: If what the card is used through (pycuda) keeps it to itself.
        """
        ...

    def synchronize(self) -> None:
        """Have the host wait until the point recorded last is reached.

        Raises:
            DeviceError: If work before that point failed.
        """
        ...

    def reached(self) -> bool:
        """Return whether the point recorded last is reached, without waiting."""
        ...

    def seconds_since(self, earlier: Self) -> float:
        """Return how long the device took from one point to another; both events are timed, and reached.

        Raises:
            DeviceError: If one of them is not.
        """
        ...


class Module(Owned, Protocol):
    """Kernels, loaded on a device."""


class Graph(Owned, Protocol):
    """Work that was recorded to be done again with one call. Its addresses are those of when it was recorded."""

    def launch(self, stream: Stream) -> None:
        """Enqueue all of it.

        Raises:
            DeviceError: If the device fails.
        """
        ...


class Stream(Owned, Protocol):
    """A queue of work on the device."""

    @property
    def handle(self) -> int:
        """The library's own stream, as a number."""
        ...

    def upload(self, source: NDArray[Any], target: DeviceBuffer) -> None:
        """Copy an array to the beginning of a device buffer.

        Args:
            source: C-contiguous, within a `HostBuffer`; not to be changed before the copy is done.
            target: At least as long.

        Raises:
            DeviceError: If it is too long, or the device fails.
        """
        ...

    def download(self, source: DeviceBuffer, target: NDArray[Any]) -> None:
        """Copy the beginning of a device buffer to an array, which holds it once the copy is done.

        Args:
            source: At least as long as the array.
            target: C-contiguous, within a `HostBuffer`.

        Raises:
            DeviceError: If it is too long, or the device fails.
        """
        ...

    def launch(self, module: Module, launch: Launch) -> None:
        """Run a kernel.

        Args:
            module: Where it is; stays open until the kernel has run.
            launch: What to run. Buffers that it has the addresses of stay open as long.

        Raises:
            DeviceError: If there is no such kernel, or the device refuses the launch.
        """
        ...

    def capture(self, work: Callable[[], None]) -> Graph:
        """Return what a function enqueues on the stream as a graph; none of it is done.

        The function may launch kernels and copy, also through a library. It must not allocate, wait, or wait for or
        record an event.

        Raises:
            DeviceError: If something of it cannot be recorded; the stream is as it was before.
        """
        ...

    def record(self, event: Event) -> None:
        """Let the event stand for all that is on the stream so far."""
        ...

    def wait(self, event: Event) -> None:
        """Have what is enqueued from now on wait for the point that the event stands for now; the host goes on."""
        ...

    def synchronize(self) -> None:
        """Have the host wait for all that is on the stream.

        Raises:
            DeviceError: If some of it failed.
        """
        ...


class Device(Owned, Protocol):
    """A card. May be used from several threads at once; what it makes, from one at a time."""

    @property
    def name(self) -> str:
        """What its maker calls it."""
        ...

    @property
    def capability(self) -> str:
        """Compute capability, `8.9`."""
        ...

    @property
    def driver(self) -> str:
        """The driver's version, as exactly as it can be told."""
        ...

    def memory(self) -> DeviceMemory:
        """Return how much memory there is, and how much of it nobody has taken."""
        ...

    def current(self) -> AbstractContextManager[None]:
        """Make it the device that other libraries work on, in this thread, until the `with` ends."""
        ...

    def buffer(self, size_bytes: int) -> DeviceBuffer:
        """Return memory on the device. What is in it is not defined.

        Raises:
            OutOfDeviceMemoryError: If there is not enough.
        """
        ...

    def pinned(self, size_bytes: int) -> HostBuffer:
        """Return page-locked memory of the host. What is in it is not defined.

        Raises:
            OutOfDeviceMemoryError: If there is not enough.
        """
        ...

    def exposed(self, address: int, size_bytes: int) -> Exposed:
        """Return what other libraries know some memory as that lies within one buffer."""
        ...

    def stream(self, *, urgent: bool = False) -> Stream:
        """Return a new stream, which waits for no other; an urgent one goes first where the device can choose."""
        ...

    def module(self, image: bytes) -> Module:
        """Load kernels: a fat binary, or the code of one architecture.

        Raises:
            DeviceError: If none of it runs on this device.
        """
        ...

    def event(self, *, timed: bool = False) -> Event:
        """Return a new event, not recorded yet; only a timed one knows when it was reached."""
        ...

    def record_default(self, event: Event) -> None:
        """Let an event stand for all that libraries have enqueued that were given no stream.

        Raises:
            DeviceError: If the device fails.
        """
        ...

    def synchronize(self) -> None:
        """Have the host wait for everything on the device.

        Raises:
            DeviceError: If some of it failed.
        """
        ...


class Owner(ABC):
    """The part that is the same in everything that must be closed: once, and not used afterwards."""

    def __init__(self) -> None:
        self._open = True

    @property
    def closed(self) -> bool:
        """Whether it was given back."""
        return not self._open

    def close(self) -> None:
        """Give it back. Twice is fine."""
        if self._open:
            self._open = False
            self._release()

    @abstractmethod
    def _release(self) -> None:
        """Give it back; called once."""

    def _require_open(self) -> None:
        if not self._open:
            raise DeviceError(f"a {type(self).__name__} was used after it was closed", "this is a fault of the program")

    def __enter__(self) -> Self:
        self._require_open()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_open", False):
            warnings.warn(f"a {type(self).__name__} was never closed", ResourceWarning, stacklevel=2, source=self)


def require_room(array: NDArray[Any], size_bytes: int) -> None:
    """Check an array that is copied from or to a buffer of `size_bytes`.

    Raises:
        DeviceError: If it is longer, or its rows do not follow each other.
    """
    if not array.flags.c_contiguous or array.nbytes > size_bytes:
        layout = "contiguous" if array.flags.c_contiguous else "strided"
        raise DeviceError(
            f"cannot copy a {layout} array of {array.nbytes} bytes, wanted a contiguous one of at most {size_bytes}",
            "this is a fault of the program",
        )


def view(memory: NDArray[np.uint8], shape: Sequence[int], dtype: DTypeLike) -> NDArray[Any]:
    """Return the beginning of some memory as an array.

    Raises:
        DeviceError: If it does not fit.
    """
    kind = np.dtype(dtype)
    size = kind.itemsize
    for side in shape:
        size *= side
    if size > memory.nbytes:
        raise DeviceError(
            f"an array of shape {tuple(shape)} takes {size} bytes, wanted at most {memory.nbytes}",
            "this is a fault of the program",
        )
    found: NDArray[Any] = memory[:size].view(kind).reshape(tuple(shape))
    return found


def usable_cards() -> DriverFacts | str:
    """Return what the driver says of itself and its cards, or why no card can be used here. Loads nothing heavy."""
    from fastrestore.runtime.devices.library import choose

    facts = driver()
    if not isinstance(facts, str):
        try:
            choose()
        except DeviceError as error:
            return error.message
    return facts


def open_device(index: int = 0, *, library: Literal["auto", "cuda-bindings", "pycuda"] = "auto") -> Device:
    """Return a card.

    Args:
        index: Its place among those that `CUDA_VISIBLE_DEVICES` leaves.
        library: What it is used through. `auto` takes what the environment variable `FASTRESTORE_CUDA_LIBRARY` names,
            otherwise cuda-bindings if that is installed, otherwise pycuda.

    Raises:
        DeviceError: If there is no driver, no such card, or no package to use it with.
    """
    from fastrestore.runtime.devices.library import choose

    facts = driver()
    if isinstance(facts, str):
        raise DeviceError(facts, "see `fastrestore doctor`")
    if index >= len(facts.cards):
        raise DeviceError(f"there is no card {index}: the driver finds {len(facts.cards)}", "see `fastrestore doctor`")
    return choose(library).open(facts, index)
