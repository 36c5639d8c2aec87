"""What this process holds in memory, by the kernel's own account."""

from __future__ import annotations

import re
import resource
from pathlib import Path

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


def resident_bytes() -> int:
    """Return how much memory the process has at the moment; 0 where the system does not say."""
    return _field("VmRSS")


def peak_bytes() -> int:
    """Return the most it had since `reset_peak`, or since it began where that cannot be reset."""
    return _field("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def reset_peak() -> bool:
    """Begin to look for the peak anew; return whether the system can do that."""
    try:
        _RESET.write_text(_RESET_PEAK, encoding="ascii")
    except OSError:
        return False
    return True


def _field(name: str) -> int:
    if not _STATUS.is_file():
        return 0
    match = re.search(rf"^{name}:\s+(\d+) kB$", _STATUS.read_text(encoding="ascii", errors="replace"), re.MULTILINE)
    return int(match[1]) << 10 if match else 0
