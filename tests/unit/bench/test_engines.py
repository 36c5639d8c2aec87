"""Engines are measured right: with an engine and a clock whose times are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.unit.bench.fakes import FakeClock, FakeEngine, FakePhasedEngine

from fastrestore.bench import engines
from fastrestore.bench.bound import phase_bound, roof_bound
from fastrestore.bench.cases import EngineCase, EngineResult, EngineSettings
from fastrestore.bench.distribution import Distribution
from fastrestore.bench.operations import Operations, Unknown
from fastrestore.bench.peak import Peak
from fastrestore.bench.warmup import warm_up
from fastrestore.errors import EngineError, UsageError
from fastrestore.geometry import Size
from fastrestore.models.catalog import find
from fastrestore.runtime.engine import Engine

PICTURE = np.zeros((1, 3, 4, 4), np.float32)
CASE = EngineCase("double", "fake", Size(61, 40))


def measure(
    engine: FakeEngine, *cases: EngineCase, seconds: float = 1.0, repeats: int = 2
) -> tuple[list[EngineResult], list[tuple[str, int]]]:
    order: list[tuple[str, int]] = []

    def opened(case: EngineCase, threads: int) -> tuple[Engine, str]:
        return engine, "fake 1.0"

    _, results = engines.measure_engines(
        cases or (CASE,),
        EngineSettings(seconds, repeats, threads=4),
        open_engine=opened,
        clock=engine.clock,
        on_block=lambda case, number: order.append((case.label, number)),
    )
    return results, order


def test_latency_and_throughput_are_those_of_the_engine() -> None:
    clock = FakeClock()
    engine = FakeEngine(clock, lambda run: 1 / 32 if run % 2 else 3 / 32)
    (result,), _ = measure(engine, replace(CASE, batch=3))
    assert result.ran_at == Size(64, 40)
    assert set(engine.shapes) == {(3, 3, 40, 64)}
    host = result.latency_ms["host"]
    assert (host.min, host.max) == (31.25, 93.75)
    assert host.count == sum(len(block.samples_ms) for block in result.blocks) == 16
    assert result.throughput == 3 * 16
    assert result.latency_ms["compute"] == host
    assert set(result.latency_ms) == {"host", "compute"}
    assert "processor" in result.phases_note
    assert engine.closed == 1


def test_phases_are_told_apart_and_transfers_left_out() -> None:
    engine = FakePhasedEngine(FakeClock(), lambda run: 0.016)
    (result,), _ = measure(engine, replace(CASE, graph=True))
    assert {name: times.median for name, times in result.latency_ms.items()} == {
        "host": pytest.approx(16),
        "enqueue": pytest.approx(1),
        "compute": pytest.approx(10),
        "h2d": pytest.approx(2),
        "d2h": pytest.approx(3),
    }
    assert set(engine.asked) == {(True, True)}
    assert result.phases_note == ""
    assert result.peak_share is None
    (result,), _ = measure(engine, replace(CASE, transfers=False))
    assert set(result.latency_ms) == {"host", "enqueue", "compute"}
    assert engine.asked[-1] == (False, False)


def test_cases_take_turns_there_and_back() -> None:
    engine = FakeEngine(FakeClock(), lambda run: 0.1)
    one, two = CASE, replace(CASE, batch=2)
    results, order = measure(engine, one, two, repeats=3)
    assert [label for label, _ in order] == [c.label for c in (one, two, two, one, one, two)]
    assert [len(result.blocks) for result in results] == [3, 3]


def test_streams_run_side_by_side() -> None:
    engine = FakeEngine(FakeClock(look_s=1e-6), lambda run: 0.01)
    (result,), _ = measure(engine, replace(CASE, streams=3))
    assert all(len(block.samples_ms) >= 3 for block in result.blocks)
    assert result.case.label.endswith("3 streams")
    assert engine.closed == 3


@pytest.mark.parametrize("change", [{"graph": True}, {"transfers": False}])
def test_what_a_processor_cannot_do_is_refused(change: dict[str, bool]) -> None:
    engine = FakeEngine(FakeClock(), lambda run: 0.01)
    with pytest.raises(UsageError, match="means nothing"):
        measure(engine, replace(CASE, **change))  # type: ignore[arg-type]
    assert engine.closed == 1


def test_everything_is_closed_when_an_engine_fails() -> None:
    def failing(run: int) -> float:
        if run == 30:
            raise EngineError("it broke")
        return 0.1

    engine = FakeEngine(FakeClock(), failing)
    with pytest.raises(EngineError, match="it broke"):
        measure(engine, CASE, replace(CASE, batch=2), seconds=10)
    assert engine.closed == 2


def test_precision_leaves_one_file() -> None:
    spec = find("film-x2-tiny")
    assert engines.restricted(spec, None) is spec
    assert set(engines.restricted(spec, "fp16").artifacts) == {"fp16"}
    with pytest.raises(UsageError, match="no int8 file"):
        engines.restricted(spec, "int8")


def test_a_precision_that_the_backend_does_not_run_is_refused() -> None:
    case = EngineCase("film-x2-tiny", "onnxruntime", Size(16, 16), "fp16")
    pytest.importorskip("onnxruntime")
    with pytest.raises(UsageError, match="does not run the fp16 file"):
        engines.measure_engines([case], EngineSettings(0.01, 1))


def test_warming_up_ends_when_the_time_has_settled() -> None:
    clock = FakeClock()
    engine = FakeEngine(clock, lambda run: 1.0 if run == 0 else 0.2 / (run + 1) if run < 8 else 0.02)
    warm = warm_up(lambda: engine.run({"image": PICTURE}, {}), clock)
    assert warm.stable
    assert warm.first_ms == pytest.approx(1000)
    assert 13 <= warm.runs <= 20
    assert warm.runs == engine.runs


def test_warming_up_gives_up_on_what_never_settles() -> None:
    clock = FakeClock()
    engine = FakeEngine(clock, lambda run: 0.01 * (run + 1) ** 1.5)
    warm = warm_up(lambda: engine.run({"image": PICTURE}, {}), clock, most_s=3.0)
    assert not warm.stable
    assert 3.0 <= warm.seconds < 4.0


def test_bounds() -> None:
    def phases(**medians: float) -> dict[str, Distribution]:
        return {name: Distribution.of([value]) for name, value in medians.items()}

    assert phase_bound(phases(enqueue=3, h2d=0.1, compute=2, d2h=0.1)).by == "enqueue"
    assert phase_bound(phases(enqueue=1, h2d=1.5, compute=2, d2h=1)).by == "copy"
    assert phase_bound(phases(enqueue=1, compute=2)).by == "compute"
    peak = Peak(100.0, 10.0)
    busy, heavy = Operations(int(1e9), int(1e6), 1), Operations(int(1e7), int(1e8), 1)
    assert roof_bound(busy, peak, 50).by == "compute"
    assert roof_bound(heavy, peak, 50).by == "memory"
    assert roof_bound(busy, peak, 5).by == "overhead"
    assert roof_bound(Unknown("no onnx"), peak, 5).why == "no onnx"
    assert roof_bound(busy, None, 5).by == "unknown"


def test_effective_operations_and_the_share_of_the_peak() -> None:
    engine = FakeEngine(FakeClock(), lambda run: 0.02)
    (result,), _ = measure(engine)
    assert result.tflops is None
    assert isinstance(result.operations, Unknown)
    known = replace(result, operations=Operations(int(2e9), 1, 1))
    assert known.tflops == pytest.approx(2e9 * 50 / 1e12)
    assert known.metrics()["tflops"] == known.tflops
    assert "tflops" not in result.metrics()


def test_the_peak_is_the_better_of_two() -> None:
    assert Peak(10, 5).best(Peak(8, 6)) == Peak(10, 6)
    assert Peak(10, 5).ridge == 2


def test_a_distribution_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="nothing was measured"):
        Distribution.of([])
    found = Distribution.of([float(value) for value in range(1, 102)])
    assert (found.median, found.p90, found.p99, found.mean) == (51, 91, 100, 51)
