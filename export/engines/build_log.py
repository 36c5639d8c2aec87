"""What a TensorRT builder says while it works: its complaints, and facts that it tells nowhere else."""

from __future__ import annotations

import re
import threading
from collections import Counter, deque
from functools import lru_cache
from typing import Any

_TAIL_LINES = 60
_LONGEST_LINE = 400
_LONGEST_TEXT = 2000
_LAYER = re.compile(r", LayerType: (\w+), ")
_MEMORY = {
    "scratch_bytes": re.compile(r"Max Scratch Memory: (\d+) bytes"),
    "activation_bytes": re.compile(r"Total Activation Memory: (\d+) bytes"),
    "weight_bytes": re.compile(r"Total Weights Memory: (\d+) bytes"),
    "persistent_device_bytes": re.compile(r"Total Device Persistent Memory: (\d+) bytes"),
    "persistent_host_bytes": re.compile(r"Total Host Persistent Memory: (\d+) bytes"),
}
_ERRORS = ("INTERNAL_ERROR", "ERROR")
NO_CARD = "cudaError 35"
"""Follows every complaint on a machine without a driver, whatever is wrong."""


class BuildLog:
    """Everything that a builder said, as far as it matters. Lines may come from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._errors: list[str] = []
        self._warnings: list[str] = []
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._layers: Counter[str] = Counter()
        self._memory: dict[str, int] = {}

    def hear(self, severity: str, message: str) -> None:
        """Take in a line.

        Args:
            severity: `INTERNAL_ERROR`, `ERROR`, `WARNING`, `INFO` or `VERBOSE`.
            message: What is said.
        """
        with self._lock:
            self._layers.update(_LAYER.findall(message))  # one message lists them all
            for name, pattern in _MEMORY.items():
                if found := pattern.search(message):
                    self._memory[name] = int(found[1])
            if severity != "VERBOSE":
                self._tail.append(f"[{severity}] {message[:_LONGEST_LINE]}")
            if severity == "WARNING":
                self._warnings.append(message)
            elif severity in _ERRORS:
                self._errors.append(message)

    def text(self) -> str:
        """Return the errors in the library's own words, or an empty string."""
        with self._lock:
            errors = list(dict.fromkeys(line.strip() for line in self._errors))
        told = [line for line in errors if NO_CARD not in line] or errors
        return "; ".join(told)[:_LONGEST_TEXT]

    def tail(self) -> list[str]:
        """Return the last lines, oldest first, those of the verbose kind left out."""
        with self._lock:
            return list(self._tail)

    def warnings(self) -> list[str]:
        """Return every different warning."""
        with self._lock:
            return list(dict.fromkeys(self._warnings))

    def facts(self) -> dict[str, Any]:
        """Return what was said of the finished engine: layers after fusing by type, memory in bytes at its largest."""
        with self._lock:
            return {"layers": dict(self._layers.most_common()), **self._memory}


def make_build_log(trt: Any) -> BuildLog:
    """Return a log that also is the library's `ILogger`. It must outlive everything made with it.

    Args:
        trt: The library.
    """
    log: BuildLog = _log_class(trt)()
    return log


@lru_cache(maxsize=4)
def _log_class(trt: Any) -> Any:
    """Return the log's class: one base is the library's, which may not be imported before it is needed."""

    class ListeningLog(trt.ILogger, BuildLog):  # type: ignore[misc]  # the library is untyped
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            BuildLog.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            self.hear(severity.name, message)

    return ListeningLog
