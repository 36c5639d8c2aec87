"""Working memory that is kept between frames: fresh pages cost a CPU more than most arithmetic done in them."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray


class Scratch(threading.local):
    """Arrays by name, of the calling thread alone; they go when it ends. What is in them is anybody's guess."""

    def __init__(self) -> None:
        self._arrays: dict[str, NDArray[np.float32]] = {}

    def array(self, name: str, *shape: int) -> NDArray[np.float32]:
        """Return the float32 array of that name: the same one as last time, as long as the shape is the same."""
        found = self._arrays.get(name)
        if found is None or found.shape != shape:
            self._arrays.pop(name, None)  # the old one goes before the new one comes
            found = self._arrays[name] = np.empty(shape, np.float32)
        return found
