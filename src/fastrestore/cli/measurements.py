"""How `bench` shows what it measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastrestore.bench.cases import EngineResult
    from fastrestore.bench.difference import Difference
    from fastrestore.bench.distribution import Distribution
    from fastrestore.bench.pipelines import PipelineResult
    from fastrestore.bench.sweeps import Outcome


def show_engines(results: Sequence[EngineResult]) -> None:
    """Print what was found of engines."""
    heads = ("ms", "min", "mean", "median", "p90", "p95", "p99", "max")
    for result in results:
        settled = "" if result.warm_up.stable else "; its time had not settled when measuring began"
        print(f"{result.case.label}: {result.throughput:.2f} pictures a second ({result.backend}){settled}")
        print("  " + "".join(f"{head:>10}" for head in heads))
        for phase, times in result.latency_ms.items():
            values = (getattr(times, head) for head in heads[1:])
            print(f"  {phase:>10}" + "".join(f"{value:>10.3f}" for value in values))
        if result.phases_note:
            print(f"  phases     {result.phases_note}")
        print(f"  memory     {result.memory_bytes / (1 << 20):.0f} MiB more than before")
        if result.tflops is not None:
            share = "" if result.peak_share is None else f", {result.peak_share:.0%} of the measured peak"
            print(f"  effective  {result.tflops:.4f} TFLOPS{share}")
        print(f"  bound by   {result.bound.by}: {result.bound.why}")


def show_pipeline(result: PipelineResult) -> None:
    """Print what was found of a conversion."""
    facts: dict[str, Any] = result.as_dict()
    print(result.label)
    print(f"  {result.fps:.2f} fps, {facts['real_time_factor']:.3f} x real time, {result.run.wall_s:.2f} s")
    print(f"  {facts['start_s']:.2f} s to the first frame, {facts['finish_s']:.2f} s after the last")
    print(f"  cores {facts['cores_busy']:.0%} busy, at most {result.run.memory_bytes / (1 << 20):.0f} MiB of memory")
    heads = ("busy", "p50", "p95", "p99 ms", "wait p50", "p95", "p99 ms", "queue", "without")
    print(f"  {'':<10}" + "".join(f"{head:>10}" for head in heads))
    for stage, times in result.stages.items():
        wait, queue = times.wait_ms, times.queue
        cells = [f"{times.share:.0%}", *(f"{value:.2f}" for value in _tail(times.busy_ms))]
        cells += [f"{value:.2f}" for value in _tail(wait)] if wait else [""] * 3
        cells += [f"{queue.mean:.1f}" if queue else "", f"{facts['fps_without'][stage]:.1f} fps"]
        print(f"  {stage:<10}" + "".join(f"{cell:>10}" for cell in cells))
    moved = ", ".join(f"{step} {count / 1e6:.0f}" for step, count in result.moved_bytes.items())
    print(f"  moved, MB  {moved}")
    print(f"  {result.verdict}")


def _tail(times: Distribution) -> tuple[float, float, float]:
    return times.median, times.p95, times.p99


def show_sweep(kept: Sequence[Outcome]) -> None:
    """Print the ways that no other beats."""
    for outcome in kept:
        mib, written = outcome.memory_bytes / (1 << 20), outcome.output_bytes / 1e6
        print(f"{outcome.fps:8.2f} fps {mib:7.0f} MiB {written:9.2f} MB  {outcome.variant.label}")


def show_difference(found: Difference) -> None:
    """Print one verdict with its figures."""
    print(f"{found.verdict.value:<14} {found.label}")
    for change in found.changes:
        sure = "" if change.low is None or change.high is None else f" ({change.low:+.1%} to {change.high:+.1%})"
        drift = f"; the machine {change.machine_change:+.1%}" if abs(change.machine_change) >= 0.01 else ""
        print(f"{'':<14} {change.figure:<11} {change.old:.3f} -> {change.new:.3f}, {change.change:+.1%}{sure}{drift}")
    if found.disturbed:
        print(f"{'':<14} other programs took {found.others:.0%} of the cores: judged by processor time alone")
    if found.verdict.value == "too few blocks":
        print(f"{'':<14} {found.blocks[0]} and {found.blocks[1]} blocks: measure with more `--repeats`, or `--append`")
