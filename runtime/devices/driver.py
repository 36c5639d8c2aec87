"""Looks for NVIDIA's driver before any library that needs one is loaded: without it, some of them crash the process."""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_LIBRARY = "libcuda.so.1"
_RELEASE_FILE = Path("/proc/driver/nvidia/version")
_MAJOR, _MINOR = 75, 76
"""CUdevice_attribute: compute capability."""
_REASONS = {
    3: "the driver was not initialised",
    34: "the driver library is a stub without a driver behind it",
    100: "the driver finds no card",
    101: "the driver finds no such card",
    801: "the driver does not support this card",
    802: "the driver is not ready yet",
    803: "the driver's library and its kernel module are of different versions: reboot",
    804: "the card does not support this driver library (forward compatibility)",
    999: "the driver failed for an unknown reason: is its kernel module loaded?",
}


@dataclass(frozen=True, slots=True)
class Card:
    """A GPU, as the driver describes it."""

    index: int
    """Among those that `CUDA_VISIBLE_DEVICES` leaves."""
    name: str
    """`NVIDIA GeForce RTX 4090`."""
    capability: str
    """Compute capability, `8.9`."""
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class DriverFacts:
    """A driver that works, with at least one card."""

    cuda: str
    """The newest CUDA version that it runs, `13.0`."""
    release: str
    """Its own version, `580.65.06`, or empty where the system does not tell."""
    cards: tuple[Card, ...]


@lru_cache(maxsize=1)
def driver() -> DriverFacts | str:
    """Return what the driver says of itself and its cards, or why there is none to use. Asked once per process.

    Makes no context on any card. A child process made by `fork` after this cannot use CUDA: use `spawn`.
    """
    return probe(_LIBRARY)


def probe(library: str) -> DriverFacts | str:
    """Return the same as `driver`, asked of a driver library of that name or path, anew each time."""
    try:
        cuda = ctypes.CDLL(library)
    except OSError:
        return f"no NVIDIA driver ({library} is not here)"
    try:
        if code := cuda.cuInit(0):
            return _reason("cuInit", code)
        version, count = ctypes.c_int(), ctypes.c_int()
        if code := cuda.cuDriverGetVersion(ctypes.byref(version)):
            return _reason("cuDriverGetVersion", code)
        if code := cuda.cuDeviceGetCount(ctypes.byref(count)):
            return _reason("cuDeviceGetCount", code)
        if count.value == 0:
            return "the NVIDIA driver finds no card (is `CUDA_VISIBLE_DEVICES` empty?)"
        cards = tuple(_card(cuda, index) for index in range(count.value))
    except AttributeError as error:
        return f"{library} is no NVIDIA driver: {error}"
    except OSError as error:
        return str(error)
    return DriverFacts(f"{version.value // 1000}.{version.value % 1000 // 10}", _release(), cards)


def _card(cuda: ctypes.CDLL, index: int) -> Card:
    """Raises OSError if the card does not answer."""
    device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    memory, name = ctypes.c_size_t(), ctypes.create_string_buffer(256)
    for function, *arguments in (
        ("cuDeviceGet", ctypes.byref(device), index),
        ("cuDeviceGetName", name, len(name), device),
        ("cuDeviceGetAttribute", ctypes.byref(major), _MAJOR, device),
        ("cuDeviceGetAttribute", ctypes.byref(minor), _MINOR, device),
        ("cuDeviceTotalMem_v2", ctypes.byref(memory), device),
    ):
        if code := getattr(cuda, str(function))(*arguments):
            raise OSError(_reason(str(function), code))
    return Card(index, name.value.decode(errors="replace"), f"{major.value}.{minor.value}", memory.value)


def _reason(function: str, code: int) -> str:
    return f"{_REASONS.get(code, 'the NVIDIA driver failed')} ({function}: CUDA error {code})"


def _release() -> str:
    try:
        text = _RELEASE_FILE.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    match = re.search(r"\b(\d{3,4}\.\d+(?:\.\d+)?)\b", text)
    return match[1] if match else ""
