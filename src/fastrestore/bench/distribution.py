"""What a set of measured times looks like: the figures that `trtexec` and its kind have made usual."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fastrestore.errors import UsageError

PERCENTILES = (50, 90, 95, 99)


@dataclass(frozen=True, slots=True)
class Distribution:
    """Milliseconds."""

    count: int
    min: float
    mean: float
    median: float
    p90: float
    p95: float
    p99: float
    max: float

    @classmethod
    def of(cls, values_ms: Sequence[float]) -> Distribution:
        """Describe times in milliseconds; percentiles between two of them are interpolated linearly.

        Raises:
            UsageError: If there is none.
        """
        if not values_ms:
            raise UsageError("nothing was measured: the time was over before the first run", "use a longer `--seconds`")
        values = np.asarray(values_ms, np.float64)
        median, p90, p95, p99 = (float(value) for value in np.percentile(values, PERCENTILES))
        return cls(len(values), float(values.min()), float(values.mean()), median, p90, p95, p99, float(values.max()))
