"""Pictures on a card, and how their planes lie there and in pinned memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrestore.frames import Colour, Picture, PixelFormat, Plane
from fastrestore.geometry import Size
from fastrestore.kernels.launches import NV12, P010, DevicePlanes, Layout
from fastrestore.runtime.memory import Owner
from fastrestore.runtime.on_device.pool import Lease

PITCH_BYTES = 16
"""Rows begin at multiples of this, so that kernels can read and write 16 bytes at once whatever the width."""
ENCODER_PITCH_BYTES = 256
"""Rows of what a card's encoder reads begin at multiples of this, as those of FFmpeg's own frames do."""


@dataclass(frozen=True, slots=True)
class Form:
    """What pictures of one kind look like, and how they lie in memory.

    Planes lie one after the other, the same on the card and in pinned memory, so that one copy moves a picture. The
    encoder of a card is told where the first plane lies and how long rows are, and takes the second to follow it.
    """

    size: Size
    format: PixelFormat
    colour: Colour
    for_encoder: bool = False
    """Whether it lies as the encoders of cards take it: NV12 or P010; only for 4:2:0 in 8 or 10 bits."""

    @property
    def nbytes(self) -> int:
        """Bytes of a picture, gaps at the ends of rows included."""
        return sum(rows * pitch for _, rows, pitch in self._planes())

    @property
    def layout(self) -> Layout:
        """How samples lie in the planes."""
        if not self.for_encoder:
            return Layout(self.format)
        return NV12 if self.format.bits == NV12.samples.bits else P010

    def on_device(self, address: int) -> DevicePlanes:
        """Return the planes of a picture that begins at an address, as kernels take them."""
        planes = list(self._planes())
        addresses = tuple(address + offset for offset, _, _ in planes)
        return DevicePlanes(addresses, tuple(p for _, _, p in planes), self.size, self.layout, self.colour)

    def planes(self, memory: NDArray[np.uint8]) -> tuple[Plane, ...]:
        """Return the planes of a picture that lies in pinned memory; nothing is copied, unless samples are shifted.

        Args:
            memory: `(nbytes,)` uint8.
        """
        found: list[NDArray[Any]] = []
        for index, (offset, rows, pitch) in enumerate(self._planes()):
            block = memory[offset : offset + rows * pitch].view(self.format.dtype).reshape(rows, -1)
            found.append(block[:, : self.layout.row_bytes(self.size, index) // self.layout.sample_bytes])
        if self.layout.interleaved:
            luma, chroma = found
            found = [luma, chroma[:, 0::2], chroma[:, 1::2]]
        return tuple(plane >> self.layout.shift if self.layout.shift else plane for plane in found)

    def _planes(self) -> Iterator[tuple[int, int, int]]:
        """Yield offset, rows and pitch of each plane, in bytes."""
        offset, unit = 0, ENCODER_PITCH_BYTES if self.for_encoder else PITCH_BYTES
        for index in range(self.layout.planes):
            rows, row_bytes = self.layout.rows(self.size, index), self.layout.row_bytes(self.size, index)
            pitch = -(-row_bytes // unit) * unit
            yield offset, rows, pitch
            offset += rows * pitch


def encoder_takes(size: Size, samples: PixelFormat) -> bool:
    """Return whether pictures can lie as the encoders of cards take them."""
    return samples in (NV12.samples, P010.samples) and size.width % 2 == size.height % 2 == 0


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
        self.copy = None
        self.lease.close()
