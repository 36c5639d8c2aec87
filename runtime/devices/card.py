"""What is the same in a card, whichever library it is used through."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastrestore.runtime.devices.dlpack import Exposed, Place
from fastrestore.runtime.devices.driver import DriverFacts
from fastrestore.runtime.memory import Owner, view

__all__ = ["CardBuffer", "CardDevice", "CardHostBuffer", "version_of"]


class CardDevice(Owner):
    """A card's primary context: the one that ONNX Runtime, TensorRT and PyTorch work in too.

    Args:
        facts: What the driver said of itself.
        index: Which of its cards.
    """

    def __init__(self, facts: DriverFacts, index: int) -> None:
        super().__init__()
        self._card, self._index = facts.cards[index], index
        self._driver = facts.release or f"CUDA {facts.cuda}"

    @property
    def name(self) -> str:
        """See `Device.name`."""
        return self._card.name

    @property
    def capability(self) -> str:
        """See `Device.capability`."""
        return self._card.capability

    @property
    def driver(self) -> str:
        """See `Device.driver`."""
        return self._driver

    def current(self) -> AbstractContextManager[None]:
        """See `Device.current`. Contexts are a stack in each thread: what was current before is again afterwards."""
        self._require_open()
        return self.pushed()

    def exposed(self, address: int, size_bytes: int) -> Exposed:
        """See `Device.exposed`."""
        self._require_open()
        return Exposed(Place.CUDA, self._index, address)

    @abstractmethod
    def pushed(self) -> AbstractContextManager[None]:
        """Make the context current until the `with` ends, for what gives something back after the device was closed."""


class CardBuffer(Owner):
    """Device memory.

    Args:
        address: Where it begins.
        size_bytes: How long it is.
        free: Gives it back; called once.
    """

    def __init__(self, address: int, size_bytes: int, free: Callable[[], None]) -> None:
        super().__init__()
        self._address, self._size_bytes, self._free = address, size_bytes, free

    @property
    def address(self) -> int:
        """See `DeviceBuffer.address`."""
        self._require_open()
        return self._address

    @property
    def size_bytes(self) -> int:
        """See `DeviceBuffer.size_bytes`."""
        return self._size_bytes

    def _release(self) -> None:
        self._free()


class CardHostBuffer(Owner):
    """Page-locked memory.

    Args:
        memory: The memory, as bytes.
        free: Gives it back; called once.
    """

    def __init__(self, memory: NDArray[np.uint8], free: Callable[[], None]) -> None:
        super().__init__()
        self._memory, self._size_bytes, self._free = memory, memory.nbytes, free

    @property
    def size_bytes(self) -> int:
        """See `HostBuffer.size_bytes`."""
        return self._size_bytes

    def array(self, shape: Sequence[int], dtype: DTypeLike) -> NDArray[Any]:
        """See `HostBuffer.array`."""
        self._require_open()
        return view(self._memory, shape, dtype)

    def _release(self) -> None:
        self._memory = np.empty(0, np.uint8)
        self._free()


def version_of(package: str) -> str | None:
    """Return the installed version of a package, or None. Imports nothing."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
