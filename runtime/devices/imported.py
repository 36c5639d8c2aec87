"""Memory that another library lends by DLPack: taken once, given back once."""

from __future__ import annotations

import ctypes
from typing import Any, Protocol

from fastrestore.errors import DeviceError
from fastrestore.runtime.devices.dlpack import CAPSULE_NAME, USED_NAME, DLManagedTensor
from fastrestore.runtime.memory import Owner

_UNSIGNED = 1
"""`kDLUInt`, a kind of element."""


class Lender(Protocol):
    """What implements DLPack: an array of whichever library."""

    def __dlpack__(self) -> Any:
        """Return a capsule."""
        ...


class ImportedTensor(Owner):
    """Whole numbers in somebody else's memory. Closing it tells him that nobody reads it any more.

    Args:
        lender: Whose memory it is.

    Raises:
        DeviceError: If he gives no capsule that could be taken, or other elements than whole numbers.
    """

    def __init__(self, lender: Lender) -> None:
        capsule = lender.__dlpack__()
        if not is_capsule(capsule, CAPSULE_NAME):
            raise DeviceError(
                f"{type(lender).__name__} lends no memory by DLPack: wanted a capsule `{CAPSULE_NAME.decode()}` "
                "that nobody has taken",
                "this is a fault of the program",
            )
        self._managed = DLManagedTensor.from_address(_content(capsule, CAPSULE_NAME))
        _rename(capsule, USED_NAME)  # from here on it is ours to give back
        super().__init__()
        tensor = self._managed.dl_tensor
        self.place = int(tensor.device.device_type)
        """What kind of device it is on; see `Place`."""
        self.ordinal = int(tensor.device.device_id)
        """Which of the devices of that kind."""
        self.address = int(tensor.data or 0) + int(tensor.byte_offset)
        """Where the first element lies."""
        self.bits = int(tensor.dtype.bits)
        """Of an element."""
        self.shape = tuple(tensor.shape[axis] for axis in range(tensor.ndim))
        """In elements."""
        self.strides = self._strides_of(tensor)
        """Elements from one to the next, along each axis."""
        if (tensor.dtype.code, tensor.dtype.lanes) != (_UNSIGNED, 1):
            self.close()
            kind = f"kind {tensor.dtype.code}, {tensor.dtype.lanes} at a time"
            raise DeviceError(f"elements of {kind}, wanted whole numbers", "this is a fault of the program")

    def _strides_of(self, tensor: Any) -> tuple[int, ...]:
        if tensor.strides:
            return tuple(tensor.strides[axis] for axis in range(tensor.ndim))
        strides, step = list[int](), 1
        for side in reversed(self.shape):
            strides.insert(0, step)
            step *= side
        return tuple(strides)

    def _release(self) -> None:
        if self._managed.deleter:  # a lender that wants nothing back has none
            _Deleter(self._managed.deleter)(ctypes.addressof(self._managed))


_Deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
is_capsule = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_IsValid", ctypes.pythonapi))
_content = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)
_rename = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_SetName", ctypes.pythonapi))
