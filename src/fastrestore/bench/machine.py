"""How much of the machine a measurement had."""

from __future__ import annotations

import os
import time
from pathlib import Path

_STAT = Path("/proc/stat")


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
