"""A decoder of a played card: FFmpeg's own on the CPU, whose pictures are then put where a card's would leave them."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from fastrestore.errors import DeviceError
from fastrestore.frames import Colour, Picture
from fastrestore.kernels.launches import NV12, P010
from fastrestore.runtime.devices.counting import CountingDevice
from fastrestore.runtime.devices.dlpack import (
    CAPSULE_NAME,
    DLDataType,
    DLDevice,
    DLManagedTensor,
    DLTensor,
    Place,
)
from fastrestore.runtime.media import pixels
from fastrestore.runtime.media.card_reading import CardReading
from fastrestore.runtime.media.opening import open_file
from fastrestore.runtime.on_device.decoded import MOST_ARRIVING
from fastrestore.runtime.on_device.steps import DeviceSteps
from fastrestore.runtime.on_device.surface import Surface

SURFACES = MOST_ARRIVING + 1
"""What a decoder has: those on their way, and the one that it works on."""
_GAP_BYTES = 64
"""Behind every row, as decoders leave some."""

_Deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype, _new_capsule.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)


class Lent:
    """Memory that is lent by DLPack; counts how often it was given back.

    Args:
        address: Where it begins.
        shape: In elements.
        strides: In elements, or None where nothing lies between rows.
        bits: Of an element.
        given_back: Called when it is.
        place: What kind of device it is said to be on.
        code: What kind of elements; 1 for whole numbers.
    """

    def __init__(
        self,
        address: int,
        shape: tuple[int, ...],
        strides: tuple[int, ...] | None = None,
        bits: int = 8,
        given_back: Callable[[], object] = lambda: None,
        *,
        place: Place = Place.CUDA,
        code: int = 1,
    ) -> None:
        self.deleted = 0
        self._given_back = given_back
        integers = ctypes.POINTER(ctypes.c_int64)
        self._shape = (ctypes.c_int64 * len(shape))(*shape)
        self._strides = None if strides is None else (ctypes.c_int64 * len(strides))(*strides)
        told = None if self._strides is None else ctypes.cast(self._strides, integers)
        elements = DLDataType(code, bits, 1)
        places = DLDevice(int(place), 0)
        tensor = DLTensor(address, places, len(shape), elements, ctypes.cast(self._shape, integers), told, 0)
        self._deleter = _Deleter(self._delete)
        self._managed = DLManagedTensor(tensor, None, ctypes.cast(self._deleter, ctypes.c_void_p))

    def __dlpack__(self) -> Any:
        return _new_capsule(ctypes.addressof(self._managed), CAPSULE_NAME, None)

    def _delete(self, managed: int) -> None:
        assert managed == ctypes.addressof(self._managed)
        self.deleted += 1
        self._given_back()


class PlayedDecoder:
    """See `CardDecoder`. It has a few surfaces, and writes into those that were given back at once.

    What it writes is put off until somebody had to wait for it: who does not wait reads the picture before, and who
    gives a surface back too early reads the one after.

    Args:
        device: The card.
    """

    def __init__(self, device: CountingDevice) -> None:
        self.device = device
        self.stream = device.stream()
        self.fault: Callable[[int], None] = lambda _: None
        """Called with the number of every picture that is asked for; may raise."""
        self.made = 0
        """Pictures that were asked for."""
        self._free: list[_Memory] = []
        self._all: list[_Memory] = []
        self._lent: list[Lent] = []  # as a library keeps what it lends

    @property
    def outstanding(self) -> int:
        """Surfaces that were not given back."""
        return len(self._all) - len(self._free)

    def open(self, path: Path) -> InputContainer:
        return open_file(path)

    def options(self, stream: VideoStream) -> Mapping[str, str]:
        return {}

    def surface(self, frame: VideoFrame) -> Surface:
        self.made += 1
        self.fault(self.made)
        return self.placed(pixels.picture_from_frame(frame, Colour()))

    def placed(self, picture: Picture) -> Surface:
        """Return a picture's surface, its copy to the card enqueued."""
        layout = NV12 if picture.format.bits == 8 else P010
        size, stored = picture.size, _semi_planar(picture, layout.shift)
        if not self._all:
            lengths = [plane.nbytes for plane in stored]
            self._all = [_Memory(self.device, lengths) for _ in range(SURFACES)]
            self._free = list(self._all)
        if not self._free:
            raise DeviceError("no decoder surfaces left")
        memory = self._free.pop()  # the one that was given back last
        rest = len(stored)

        def given_back() -> None:
            nonlocal rest
            rest -= 1
            if rest == 0:
                self._free.append(memory)

        planes: list[Lent] = []
        for plane, buffer, pinned in zip(stored, memory.buffers, memory.pinned, strict=True):
            staged = pinned.array((plane.nbytes,), np.uint8)
            staged[:] = plane.reshape(-1).view(np.uint8)
            self.stream.upload(staged, buffer)
            pitch = plane.strides[0] // plane.itemsize
            shape: tuple[int, ...] = (size.height, size.width)
            strides: tuple[int, ...] = (pitch, 1)
            if planes:  # as PyAV tells it: rounded down
                shape, strides = (size.height // 2, size.width // 2, 2), (pitch, 2, 1)
            planes.append(Lent(buffer.address, shape, strides, 8 * plane.itemsize, given_back))
        self._lent += planes
        return Surface(planes, size, layout, self.stream.record)

    def close(self) -> None:
        self.stream.close()
        for memory in self._all:
            memory.held.close()


class _Memory:
    """A surface's planes, and where they are staged."""

    def __init__(self, device: CountingDevice, lengths: list[int]) -> None:
        self.held = ExitStack()
        self.buffers = [self.held.enter_context(device.buffer(length)) for length in lengths]
        self.pinned = [self.held.enter_context(device.pinned(length)) for length in lengths]


def card_reading(decoder: PlayedDecoder, steps: DeviceSteps) -> CardReading:
    decoded = steps.decoded
    assert decoded is not None
    return CardReading(decoder, decoded.adopt, decoded.forsake, decoded)


def _semi_planar(picture: Picture, shift: int) -> list[NDArray[Any]]:
    """Return Y and CbCr by turns, with gaps behind the rows, samples in the high bits."""
    luma, blue, red = (plane << shift for plane in picture.planes)
    mixed = np.stack([blue, red], 2).reshape(blue.shape[0], -1)
    padded = []
    for plane in (luma, mixed):
        wide = np.full((plane.shape[0], -(-plane.shape[1] // 64) * 64 + _GAP_BYTES), 0x5A, plane.dtype)
        wide[:, : plane.shape[1]] = plane
        padded.append(wide)
    return padded
