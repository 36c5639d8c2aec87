"""What the machine itself can do: a matrix product and a copy, measured in the same run as everything else."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

Clock = Callable[[], float]
"""Returns seconds that never go back; tests give their own."""

_GEMM_SIDE = 1024
_REFERENCE_VALUES, _REFERENCE_ROUNDS = 1 << 15, 150
_COPY_BYTES = 64 << 20
"""Far beyond every cache."""
_TRIALS = 5


@dataclass(frozen=True, slots=True)
class Peak:
    """The best of several trials, with every core."""

    gemm_gflops: float
    """Of a float32 matrix product, in 10^9 operations a second; a product and a sum are two."""
    copy_gb_per_s: float
    """Of memory, read and written bytes counted, in 10^9 bytes a second."""

    @property
    def ridge(self) -> float:
        """Operations per byte from which on the arithmetic limits, not the memory."""
        return self.gemm_gflops / self.copy_gb_per_s

    def best(self, other: Peak) -> Peak:
        """Return the better of each: what the machine was seen to do, it can do."""
        return Peak(max(self.gemm_gflops, other.gemm_gflops), max(self.copy_gb_per_s, other.copy_gb_per_s))


def measure_peak(clock: Clock, threads: int) -> Peak:
    """Measure. Takes about half a second on two cores.

    Args:
        clock: Tells the time in seconds.
        threads: Cores to copy with.
    """
    left = np.full((_GEMM_SIDE, _GEMM_SIDE), 0.5, np.float32)
    product = np.empty_like(left)
    gemm_s = min(_timed(clock, lambda: np.matmul(left, left, out=product)) for _ in range(_TRIALS))
    share = _COPY_BYTES // threads
    buffers = [(np.zeros(share, np.uint8), np.zeros(share, np.uint8)) for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        copy_s = min(
            _timed(clock, lambda: list(pool.map(lambda pair: np.copyto(*pair), buffers))) for _ in range(_TRIALS)
        )
    return Peak(2 * _GEMM_SIDE**3 / gemm_s / 1e9, 2 * share * threads / copy_s / 1e9)


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the machine was at a moment: what a fixed piece of work took on one core, in milliseconds."""

    wall_ms: float
    cpu_ms: float


class Reference:
    """A small fixed piece of work, timed beside every block of a measurement.

    Two runs are comparable only as far as the machine itself was equally fast in both; this is how one can tell.
    """

    def __init__(self, clock: Clock, cpu_clock: Clock = time.process_time) -> None:
        self._clock, self._cpu_clock = clock, cpu_clock
        self._values = np.linspace(1, 2, _REFERENCE_VALUES, dtype=np.float32)
        self._roots = np.empty_like(self._values)

    def measure(self) -> Pace:
        """Return the medians of a few trials; some ten milliseconds are spent."""
        trials = [(_timed(self._clock, self._work), _timed(self._cpu_clock, self._work)) for _ in range(_TRIALS)]
        wall, cpu = (statistics.median(values) * 1e3 for values in zip(*trials, strict=True))
        return Pace(wall, cpu)

    def _work(self) -> None:
        for _ in range(_REFERENCE_ROUNDS):
            np.sqrt(self._values, out=self._roots)


def _timed(clock: Clock, work: Callable[[], object]) -> float:
    begin = clock()
    work()
    return max(clock() - begin, 1e-9)
