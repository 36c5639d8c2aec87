"""By how much one set of measurements lies beside another, and how sure that is: rank statistics, exact for few.

Times on a shared machine have heavy tails on one side. The Hodges-Lehmann estimate and its Wilcoxon interval ask for
nothing of their distribution, and one wild value moves them by next to nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

MOST_EXACT = 40
"""Up to so many values a side the null distribution is counted out; beyond, the normal one serves."""


@dataclass(frozen=True, slots=True)
class Shift:
    """How far the second set lies above the first, in the unit of the values."""

    estimate: float
    low: float
    high: float
    """Bounds of the interval; infinite where there are too few values for the confidence asked for."""


def unpaired_shift(first: Sequence[float], second: Sequence[float], confidence: float) -> Shift:
    """Return the shift between two independent sets: the median of all differences (Mann-Whitney's interval)."""
    differences = np.subtract.outer(np.asarray(second, float), np.asarray(first, float)).ravel()
    return _interval(np.sort(differences), _rank_sum_cut(len(first), len(second), (1 - confidence) / 2))


def paired_shift(first: Sequence[float], second: Sequence[float], confidence: float) -> Shift:
    """Return the shift between sets whose values belong together one by one (the signed-rank interval)."""
    differences = np.subtract(np.asarray(second, float), np.asarray(first, float))
    rows, columns = np.triu_indices(len(differences))
    means = (differences[rows] + differences[columns]) / 2
    return _interval(np.sort(means), _signed_rank_cut(len(differences), (1 - confidence) / 2))


def _interval(ordered: NDArray[np.float64], cut: int) -> Shift:
    """Return the interval that leaves out `cut` - 1 values at either end; 0 means that none is wide enough."""
    estimate = float(np.median(ordered))
    if cut < 1:
        return Shift(estimate, -math.inf, math.inf)
    return Shift(estimate, float(ordered[cut - 1]), float(ordered[-cut]))


def _rank_sum_cut(m: int, n: int, tail: float) -> int:
    if max(m, n) > MOST_EXACT:
        return _normal_cut(m * n / 2, math.sqrt(m * n * (m + n + 1) / 12), tail)
    # ways[k, s]: how many choices of k of the ranks seen so far add up to s.
    most = m * (m + 2 * n + 1) // 2
    ways = np.zeros((m + 1, most + 1))
    ways[0, 0] = 1
    for rank in range(1, m + n + 1):
        ways[1:, rank:] += ways[:-1, : most + 1 - rank].copy()
    return _exact_cut(ways[m, m * (m + 1) // 2 :], tail)


def _signed_rank_cut(n: int, tail: float) -> int:
    if n > MOST_EXACT:
        return _normal_cut(n * (n + 1) / 4, math.sqrt(n * (n + 1) * (2 * n + 1) / 24), tail)
    most = n * (n + 1) // 2
    ways = np.zeros(most + 1)
    ways[0] = 1
    for rank in range(1, n + 1):
        ways[rank:] += ways[: most + 1 - rank].copy()
    return _exact_cut(ways, tail)


def _exact_cut(ways: NDArray[np.float64], tail: float) -> int:
    """Return how many of the smallest values of a statistic have a probability of at most `tail` together."""
    return int(np.searchsorted(np.cumsum(ways) / ways.sum(), tail, side="right"))


def _normal_cut(mean: float, deviation: float, tail: float) -> int:
    return max(0, math.floor(mean + NormalDist().inv_cdf(tail) * deviation))
