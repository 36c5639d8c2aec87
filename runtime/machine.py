"""Facts about the machine and the software that a measurement holds for."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fastrestore.config import cpu_count, memory_bytes
from fastrestore.version import __version__

_PACKAGES = (
    "numpy",
    "opencv-python-headless",
    "av",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "tensorrt",
    "tensorrt-rtx",
)


def machine() -> dict[str, object]:
    """Return processor, cores, memory and system. Nothing in it names the machine or its user."""
    return {
        "processor": _processor(),
        "cores": cpu_count(),
        "memory_bytes": memory_bytes(),
        "system": platform.system(),
        "architecture": platform.machine(),
    }


def software() -> dict[str, str]:
    """Return the versions of everything that speed depends on."""
    found = {"fastrestore": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
