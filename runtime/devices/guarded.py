"""Memory for a device that is only played: aligned as a card's, between zones that tell who wrote beyond its ends."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fastrestore.errors import DeviceError
from fastrestore.kernels.launch import Launch
from fastrestore.runtime.memory import ALIGNMENT_BYTES

Execute = Callable[[Launch], None]
"""Runs a launch whose addresses are the host's."""

ZONE_BYTES = 4096
_ZONE = 0xA5


def guarded(size_bytes: int, fill: int) -> NDArray[np.uint8]:
    """Return memory filled with one byte, between two zones that `require_intact` looks at."""
    whole = np.full(size_bytes + 2 * ZONE_BYTES + ALIGNMENT_BYTES, _ZONE, np.uint8)
    begin = ZONE_BYTES + -(whole.ctypes.data + ZONE_BYTES) % ALIGNMENT_BYTES
    block = whole[begin : begin + size_bytes]
    block[:] = fill
    return block


def require_intact(block: NDArray[np.uint8], who: str) -> None:
    """Check that nothing was written beyond the ends of memory that `guarded` returned.

    Raises:
        DeviceError: If something was.
    """
    whole = block.base
    assert isinstance(whole, np.ndarray)
    before = block.ctypes.data - whole.ctypes.data
    if (whole[:before] != _ZONE).any() or (whole[before + block.nbytes :] != _ZONE).any():
        raise DeviceError(f"`{who}` wrote beyond the ends of a buffer of {block.nbytes} bytes")
