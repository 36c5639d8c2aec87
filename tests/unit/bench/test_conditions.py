"""Gates."""

from __future__ import annotations

import math

import pytest

from fastrestore.bench.conditions import Condition, parse_conditions
from fastrestore.errors import UsageError

METRICS = {"throughput": 120.0, "memory": float(2 << 30), "host.p99": 8.0, "compute.median": 5.0, "tflops": 1.5}


@pytest.mark.parametrize(
    ("text", "metric", "relation", "limit"),
    [
        ("p99<8ms", "host.p99", "<", 8.0),
        ("throughput>120", "throughput", ">", 120.0),
        ("fps >= 59.94 fps", "throughput", ">=", 59.94),
        ("compute.p50<=500us", "compute.median", "<=", 0.5),
        ("max<1s", "host.max", "<", 1000.0),
        ("memory<2GiB", "memory", "<", float(2 << 30)),
        ("memory<800M", "memory", "<", float(800 << 20)),
        ("peak_share>0.5", "peak_share", ">", 0.5),
        ("tflops>1e-3", "tflops", ">", 0.001),
    ],
)
def test_a_condition_is_read(text: str, metric: str, relation: str, limit: float) -> None:
    assert parse_conditions(text) == (Condition(text, metric, relation, limit),)


@pytest.mark.parametrize(
    "text",
    ["", "p99", "p99<8", "p99=8ms", "p98<8ms", "gpu.p99<8ms", "throughput>120ms", "memory<2ms", "p99<8ms,", "p99<-1ms"],
)
def test_what_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_conditions(text)
    assert caught.value.hint


def test_conditions_hold_or_say_what_was_seen() -> None:
    told = [c.failure(METRICS) for c in parse_conditions("p99<8ms,p99<=8ms,throughput>=120,memory<1GiB,h2d.p99<1ms")]
    assert told == [
        "`p99<8ms`: host.p99 is 8.000 ms",
        "",
        "",
        "`memory<1GiB`: memory is 2048 MiB",
        "`h2d.p99<1ms`: h2d.p99 was not measured here",
    ]
    assert "not measured" in parse_conditions("tflops>1")[0].failure({"tflops": math.nan})
