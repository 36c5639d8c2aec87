"""Conditions that a measurement must meet: `p99<8ms,throughput>120`."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from fastrestore.errors import UsageError

_STATISTICS = ("min", "mean", "median", "p50", "p90", "p95", "p99", "max")
PHASES = ("host", "enqueue", "h2d", "compute", "d2h")
_TIMES = MappingProxyType({"s": 1e3, "ms": 1.0, "us": 1e-3})
_BYTES = MappingProxyType({"k": 1 << 10, "m": 1 << 20, "g": 1 << 30})
_COMPARE: Mapping[str, Callable[[float, float], bool]] = MappingProxyType(
    {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
)
_CONDITION = re.compile(r"\s*([a-z0-9_.]+)\s*(<=|>=|<|>)\s*(\d+(?:\.\d+)?(?:e-?\d+)?)\s*([A-Za-z/]*)\s*")
_HINT = "use for example `--gate 'p99<8ms,throughput>120,memory<2GiB'`; see docs/benchmarks"


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition on a measurement."""

    text: str
    """As the user wrote it."""
    metric: str
    """`throughput` (frames a second), `memory` (bytes), `tflops`, `peak_share`, or a latency such as `compute.p99`
    (milliseconds)."""
    relation: str
    limit: float

    def failure(self, metrics: Mapping[str, float]) -> str:
        """Return what is wrong in a few words, or an empty string if the condition is met.

        What was not measured does not meet any condition: a gate that cannot tell must not open.
        """
        value = metrics.get(self.metric)
        if value is None or math.isnan(value):
            return f"`{self.text}`: {self.metric} was not measured here"
        if _COMPARE[self.relation](value, self.limit):
            return ""
        return f"`{self.text}`: {self.metric} is {_shown(self.metric, value)}"


def parse_conditions(text: str) -> tuple[Condition, ...]:
    """Parse conditions, separated by commas; all must be met.

    Raises:
        UsageError: If the text is not understood.
    """
    return tuple(_condition(part) for part in text.split(","))


def _condition(text: str) -> Condition:
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise UsageError(f"condition `{text.strip()}` is not understood", _HINT)
    metric, relation, number, unit = match.groups()
    metric = _metric(metric)
    return Condition(text.strip(), metric, relation, float(number) * _factor(metric, unit, text))


def _metric(name: str) -> str:
    name = {"fps": "throughput"}.get(name, name)
    if name in ("throughput", "memory", "tflops", "peak_share"):
        return name
    phase, _, statistic = name.rpartition(".")
    phase = phase or "host"
    if phase in PHASES and statistic in _STATISTICS:
        return f"{phase}.{'median' if statistic == 'p50' else statistic}"
    known = f"throughput, memory, tflops, peak_share, {', '.join(_STATISTICS)}"
    raise UsageError(f"there is no figure `{name}`", f"known: {known}, each latency also as `compute.p99`")


def _factor(metric: str, unit: str, text: str) -> float:
    if "." in metric and unit in _TIMES:
        return _TIMES[unit]
    if metric == "throughput" and unit in ("", "fps", "/s"):
        return 1.0
    if metric == "memory" and (match := re.fullmatch(r"([kmg]?)(?:i?b)?", unit.lower())):
        return float(_BYTES.get(match[1], 1))
    if metric in ("tflops", "peak_share") and not unit:
        return 1.0
    wanted = "s, ms or us" if "." in metric else "no unit" if metric != "memory" else "such as MiB or GiB"
    raise UsageError(f"condition `{text.strip()}` has the unit `{unit}`: wanted {wanted}", _HINT)


def _shown(metric: str, value: float) -> str:
    if "." in metric:
        return f"{value:.3f} ms"
    return f"{value / (1 << 20):.0f} MiB" if metric == "memory" else f"{value:.3g}"
