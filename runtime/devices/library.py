"""Which library cards are used through. Imports neither."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from fastrestore.errors import DeviceError
from fastrestore.runtime.devices import cuda_bindings, pycuda_device
from fastrestore.runtime.devices.driver import DriverFacts
from fastrestore.runtime.memory import Device

__all__ = ["LIBRARIES", "VARIABLE", "Library", "choose"]

VARIABLE = "FASTRESTORE_CUDA_LIBRARY"
"""Environment variable with what `auto` stands for."""


class Library(NamedTuple):
    """A package through which cards are used."""

    package: str
    installed: Callable[[], str | None]
    """Returns its version; imports nothing."""
    open: Callable[[DriverFacts, int], Device]
    remedy: str


_BINDINGS = Library(cuda_bindings.PACKAGE, cuda_bindings.installed, cuda_bindings.CudaDevice, cuda_bindings.REMEDY)
_PYCUDA = Library(pycuda_device.PACKAGE, pycuda_device.installed, pycuda_device.PycudaDevice, pycuda_device.REMEDY)
LIBRARIES: Mapping[str, Library] = MappingProxyType({each.package: each for each in (_BINDINGS, _PYCUDA)})
"""By name; the first that is installed is taken.

cuda-bindings is a wheel, and has graphs, priorities and handles of events. pycuda has none of these, and is built where
it is installed: it is for where it is there already.
"""


def choose(asked: str = "auto") -> Library:
    """Return the library to use, by what was asked for.

    Raises:
        DeviceError: If it is not installed, or unknown.
    """
    named = os.environ.get(VARIABLE, "") if asked == "auto" else asked
    if named in ("", "auto"):
        for library in LIBRARIES.values():
            if library.installed():
                return library
        raise DeviceError(f"neither package {' nor '.join(LIBRARIES)} is installed", cuda_bindings.REMEDY)
    by = f" ({VARIABLE} names it)" if asked == "auto" else ""
    if named not in LIBRARIES:
        raise DeviceError(f"cards are not used through `{named}`{by}", f"choose one of: auto, {', '.join(LIBRARIES)}")
    if LIBRARIES[named].installed() is None:
        raise DeviceError(f"package {named} is not installed{by}", LIBRARIES[named].remedy)
    return LIBRARIES[named]
