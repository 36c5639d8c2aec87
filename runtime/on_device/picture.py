"""Pictures on a card, and how their planes lie there and in pinned memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrestore.frames import Colour, Picture, PixelFormat, Plane
from fastrestore.geometry import Size
from fastrestore.kernels.launches import DevicePlanes, Layout
from fastrestore.runtime.memory import Owner
from fastrestore.runtime.on_device.pool import Lease

PITCH_BYTES = 16
"""Rows begin at multiples of this, so that kernels can read and write 16 bytes at once whatever the width."""


@dataclass(frozen=True, slots=True)
class Form:
    """What pictures of one kind look like, and how they lie in memory.

    Planes lie one after the other, the same on the card and in pinned memory, so that one copy moves a picture.
    """

    size: Size
    format: PixelFormat
    colour: Colour

    @property
    def nbytes(self) -> int:
        """Bytes of a picture, gaps at the ends of rows included."""
        return sum(rows * pitch for _, rows, pitch in self._planes())

    def on_device(self, address: int) -> DevicePlanes:
        """Return the planes of a picture that begins at an address, as kernels take them."""
        planes = list(self._planes())
        addresses = tuple(address + offset for offset, _, _ in planes)
        return DevicePlanes(addresses, tuple(p for _, _, p in planes), self.size, Layout(self.format), self.colour)

    def planes(self, memory: NDArray[np.uint8]) -> tuple[Plane, ...]:
        """Return the planes of a picture that lies in pinned memory; nothing is copied.

        Args:
            memory: `(nbytes,)` uint8.
        """
        found: list[NDArray[Any]] = []
        for index, (offset, rows, pitch) in enumerate(self._planes()):
            block = memory[offset : offset + rows * pitch].view(self.format.dtype).reshape(rows, -1)
            found.append(block[:, : self.format.plane_size(self.size, index).width])
        return tuple(found)

    def _planes(self) -> Iterator[tuple[int, int, int]]:
        """Yield offset, rows and pitch of each plane, in bytes."""
        offset = 0
        for index in range(self.format.planes):
            plane = self.format.plane_size(self.size, index)
            pitch = -(-plane.width * np.dtype(self.format.dtype).itemsize // PITCH_BYTES) * PITCH_BYTES
            yield offset, plane.height, pitch
            offset += plane.height * pitch


def form_of(picture: Picture) -> Form:
    """Return what a picture looks like."""
    return Form(picture.size, picture.format, picture.colour)


class DevicePicture(Owner):
    """A picture on the card: there, or on its way there by work that is enqueued.

    Args:
        form: What it looks like.
        lease: Where it lies; given over to this.
        neutral: Whether it is exactly grey.
    """

    def __init__(self, form: Form, lease: Lease, *, neutral: bool) -> None:
        super().__init__()
        self.form, self.lease, self.neutral = form, lease, neutral
        self.copy: Picture | None = None
        """The same picture in the host's own memory, once somebody needed it there."""

    def _release(self) -> None:
        self.lease.close()
