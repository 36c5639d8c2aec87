"""Facts about the machine and the software that a measurement holds for."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fastrestore import __version__
from fastrestore.config import cpu_count, memory_bytes

_STAT = Path("/proc/stat")
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


class CoreUse:
    """How much of the cores' time other programs take, by the kernel's own account."""

    def __init__(self) -> None:
        self._cores = (
            {f"cpu{number}" for number in os.sched_getaffinity(0)} if hasattr(os, "sched_getaffinity") else set()
        )
        self._busy_s, self._own_s = self._busy(), time.process_time()

    def others(self, wall_s: float) -> float | None:
        """Return their share since the last call, or since the beginning; None where the system does not say.

        Args:
            wall_s: Seconds that have passed since then.
        """
        before, own_before = self._busy_s, self._own_s
        self._busy_s, self._own_s = self._busy(), time.process_time()
        if before is None or self._busy_s is None or wall_s <= 0:
            return None
        used = (self._busy_s - before) - (self._own_s - own_before)
        return min(max(used / wall_s / len(self._cores), 0.0), 1.0)

    def _busy(self) -> float | None:
        """Return the seconds in which the cores that this process may use did anything."""
        try:
            lines = _STAT.read_text(encoding="ascii", errors="replace").splitlines()
        except OSError:
            return None
        fields = [line.split() for line in lines]
        ours = [[int(number) for number in field[1:]] for field in fields if field and field[0] in self._cores]
        if not ours:
            return None
        # user, nice, system, idle, iowait, irq, softirq, steal; what follows is counted in user and nice already
        ticks = sum(sum(core[:8]) - core[3] - core[4] for core in ours)
        return ticks / os.sysconf("SC_CLK_TCK")


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
