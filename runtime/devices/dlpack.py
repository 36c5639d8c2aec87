"""DLPack: how libraries hand each other memory on a card, here without any of them. The structures, and what is given.

The layout is that of the specification's `dlpack.h`, version 0: what is in a capsule named `dltensor`. Whoever takes
such a capsule renames it, and calls the tensor's deleter once he is done with the memory; one that nobody took calls it
itself when it goes away.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

CAPSULE_NAME, USED_NAME = b"dltensor", b"used_dltensor"
"""What a capsule is called before it is taken, and after. Capsules keep the address of these very bytes."""
_UNSIGNED = 1
"""`kDLUInt`, a kind of element."""


class Place(IntEnum):
    """What kind of device memory is on; `DLDeviceType`."""

    CPU = 1
    CUDA = 2


class DLDevice(ctypes.Structure):
    """Which device."""

    _fields_ = (("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32))


class DLDataType(ctypes.Structure):
    """What an element is."""

    _fields_ = (("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16))


class DLTensor(ctypes.Structure):
    """Where elements lie. Shape and strides are counted in elements."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device", DLDevice),
        ("ndim", ctypes.c_int32),
        ("dtype", DLDataType),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


class DLManagedTensor(ctypes.Structure):
    """A tensor, and what is called with it by whoever took it, once: it gives the memory back."""

    _fields_ = (("dl_tensor", DLTensor), ("manager_ctx", ctypes.c_void_p), ("deleter", ctypes.c_void_p))


@dataclass(frozen=True, slots=True)
class Exposed:
    """Memory of a device, as other libraries know it."""

    place: Place
    ordinal: int
    """Which of the devices of that kind."""
    address: int


@dataclass(frozen=True, slots=True)
class SharedPlane:
    """A plane of whole numbers for other libraries: what implements DLPack.

    Args:
        memory: Where its first row begins.
        shape: Rows, and samples of a row.
        pitch: Samples from the beginning of a row to that of the next.
        bits: Of a sample as stored, 8 or 16.
        hold: Called for every capsule; keeps the memory, and returns what gives it back. That is called once, on any
            thread, when whoever took the capsule is done with it, and must not fail: who calls it may be FFmpeg, which
            cannot be told.
    """

    memory: Exposed
    shape: tuple[int, int]
    pitch: int
    bits: int
    hold: Callable[[], Callable[[], None]]

    def __dlpack_device__(self) -> tuple[int, int]:
        """Return the kind of device and its number."""
        return int(self.memory.place), self.memory.ordinal

    def __dlpack__(self, *, stream: int | None = None) -> Any:
        """Return a capsule. The samples are there: there is nothing that a stream would have to wait for.

        Raises:
            Exception: Whatever `hold` fails with.
        """
        return _Export(self, self.hold()).capsule()


class _Export:
    """A tensor that was given away, and all that it points to, kept until its deleter is called."""

    def __init__(self, plane: SharedPlane, release: Callable[[], None]) -> None:
        self._shape = (ctypes.c_int64 * 2)(*plane.shape)
        self._strides = (ctypes.c_int64 * 2)(plane.pitch, 1)
        self.release = release
        where = DLDevice(plane.memory.place, plane.memory.ordinal)
        integers = ctypes.POINTER(ctypes.c_int64)
        tensor = DLTensor(
            plane.memory.address,
            where,
            2,
            DLDataType(_UNSIGNED, plane.bits, 1),
            ctypes.cast(self._shape, integers),
            ctypes.cast(self._strides, integers),
            0,
        )
        self._managed = DLManagedTensor(tensor, None, ctypes.cast(_deleter, ctypes.c_void_p))

    def capsule(self) -> Any:
        address = ctypes.addressof(self._managed)
        with _lock:
            _given[address] = self
        try:
            return _new_capsule(address, CAPSULE_NAME, _destructor)
        except BaseException:
            _delete(address)
            raise


_given: dict[int, _Export] = {}
_lock = threading.RLock()
"""Collecting garbage, which may happen anywhere, can call a deleter: also in the thread that holds this."""

_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype, _new_capsule.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
# By address, not as objects: a capsule that is being destroyed must not be referred to again.
_is_capsule = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)(("PyCapsule_IsValid", ctypes.pythonapi))
_content = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


def _delete(managed: int) -> None:
    with _lock:
        export = _given.pop(managed, None)  # a second call finds nothing
    if export is not None:
        export.release()


def _destroy(capsule: int) -> None:
    if _is_capsule(capsule, CAPSULE_NAME):  # nobody took it
        _delete(_content(capsule, CAPSULE_NAME))


_deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(_delete)
_destructor = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(_destroy)
