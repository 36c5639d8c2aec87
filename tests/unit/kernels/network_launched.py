"""What is done around a network that finds motion, by launches, for comparison with the twin."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from tests.unit.kernels.launched import LaunchedOps

from fastrestore.frames import Picture
from fastrestore.kernels import launches as k


class LaunchedNetwork(LaunchedOps):
    """The kernels around motion networks, one launch after the other."""

    def reduced(self, picture: Picture, layout: k.Layout, place: k.NetworkPlace, dtype: DTypeLike) -> NDArray[Any]:
        shape = (3, place.tensor.height, place.tensor.width)
        address = self._executor.reserve(int(np.prod(shape)) * np.dtype(dtype).itemsize)
        source = self._placed(picture, layout)
        self._executor.run(k.planes_to_reduced(source, address, place, half=dtype == np.float16))
        return self._executor.fetch(address, shape, dtype)

    def filled(self, count: int, value: float, dtype: DTypeLike) -> NDArray[Any]:
        address = self._executor.reserve(count * np.dtype(dtype).itemsize)
        self._executor.run(k.fill(address, count, value, half=dtype == np.float16))
        return self._executor.fetch(address, (count,), dtype)

    def placed(
        self, flow: NDArray[Any], mask: NDArray[Any], place: k.NetworkPlace
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], bool]:
        """Return the packed motion, the mask, and whether something was found broken."""
        half = flow.dtype == np.float16, mask.dtype == np.float16
        output = k.NetworkOutput(self._executor.place(flow), self._executor.place(mask), half)
        packed = self._executor.reserve(k.PACKED_BYTES * place.picture.pixels)
        share, broken = self._executor.reserve(4 * place.picture.pixels), self._cleared(16)
        self._executor.run(k.place_motion(output, place, packed, share, broken=broken))
        shape = (place.picture.height, place.picture.width)
        return (
            self._executor.fetch(packed, (*shape, 4), np.float32),
            self._executor.fetch(share, shape, np.float32),
            bool(self._executor.fetch(broken, (1,), np.int32)[0]),
        )
