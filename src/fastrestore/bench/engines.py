"""Measures engines: throughput, latency of each phase, memory, arithmetic, and what limits them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import chain

import cv2
import numpy as np
from numpy.typing import NDArray

from fastrestore.bench import memory
from fastrestore.bench.bound import phase_bound, roof_bound
from fastrestore.bench.cases import Block, EngineCase, EngineResult, EngineSettings
from fastrestore.bench.distribution import Distribution
from fastrestore.bench.machine import CoreUse
from fastrestore.bench.operations import count_operations
from fastrestore.bench.peak import Clock, Peak, Reference
from fastrestore.bench.warmup import WarmUp, warm_up
from fastrestore.config import cpu_count
from fastrestore.errors import ModelError, UsageError
from fastrestore.geometry import Size
from fastrestore.models.catalog import find
from fastrestore.models.spec import ModelSpec, Tensor
from fastrestore.runtime.engine import Backend, Engine, PhasedEngine, choose_backend

Arrays = dict[str, NDArray[np.float32]]
Opener = Callable[[EngineCase, int], tuple[Engine, str]]
"""Opens the engine of a case with so many threads, and says what runs it."""

_SMOOTH_PX = 3.0
_NO_PHASES = "the engine runs on the processor: the host's time is the computation's"


def measure_engines(
    cases: Sequence[EngineCase],
    settings: EngineSettings,
    peak: Callable[[], Peak] | None = None,
    *,
    open_engine: Opener | None = None,
    clock: Clock = time.perf_counter,
    on_block: Callable[[EngineCase, int], object] | None = None,
) -> tuple[Peak | None, list[EngineResult]]:
    """Measure every case. All are open at once and take turns.

    Args:
        cases: What to measure.
        settings: How long and how often.
        peak: Measures what the machine can do, or None not to compare with it. Called before and after the engines;
            the better figures count, so that a slow moment of the machine makes no engine look good.
        open_engine: Opens engines; None takes the backends.
        clock: Tells the time in seconds.
        on_block: Called after every block with the case and the block's number.

    Returns:
        What the machine can do, if that was asked for, and what was found of each case.

    Raises:
        UsageError: If a case cannot be meant: its engine has no such precision, graph or transfers.
        FastRestoreError: If an engine cannot be opened or fails.
    """
    reference = Reference(clock)
    with ExitStack() as stack:
        benches = []
        for case in cases:
            bench = stack.enter_context(_Bench(case, settings, open_engine or _opened, clock))
            bench.warm_up()
            benches.append(bench)
        reached = None if peak is None else peak()
        for number in range(settings.repeats):
            # There and back again: none always comes first, and none always after the same other one.
            for bench in benches if number % 2 == 0 else reversed(benches):
                bench.measure(settings.seconds / settings.repeats, reference)
                if on_block is not None:
                    on_block(bench.case, number)
        if peak is not None and reached is not None:
            reached = reached.best(peak())
        return reached, [bench.result(reached) for bench in benches]


@dataclass(slots=True)
class _Times:
    """What one stream has measured in a block, in milliseconds."""

    host: list[float] = field(default_factory=list)
    phases: dict[str, list[float]] = field(default_factory=dict)


class _Stream:
    """One engine with its own buffers."""

    def __init__(self, engine: Engine, case: EngineCase, clock: Clock) -> None:
        self._engine, self._case, self._clock = engine, case, clock
        self._phased = engine if isinstance(engine, PhasedEngine) else None
        spec = engine.spec
        self.size = padded(case.size, spec)
        self._inputs = {tensor.name: _sample(tensor, case.batch, self.size) for tensor in spec.inputs}
        shapes = {tensor.name: tensor.shape(case.batch, self.size.height, self.size.width) for tensor in spec.outputs}
        self._out: Arrays = {name: np.empty(shape, np.float32) for name, shape in shapes.items()}
        if self._phased is None and (case.graph or not case.transfers):
            option = "--graph" if case.graph else "--no-transfers"
            raise UsageError(
                f"backend `{case.backend}` computes where the pictures are: `{option}` means nothing to it",
                "leave it out, or choose a backend with a device of its own",
            )

    @property
    def phased(self) -> bool:
        """Whether the engine tells of its phases."""
        return self._phased is not None

    def run(self, times: _Times | None = None) -> None:
        """Run once, and note how long it took."""
        begin = self._clock()
        if self._phased is None:
            self._engine.run(self._inputs, self._out)
            phases = None
        else:
            case = self._case
            phases = self._phased.run_phased(self._inputs, self._out, transfers=case.transfers, graph=case.graph)
        if times is None:
            return
        times.host.append((self._clock() - begin) * 1e3)
        if phases is not None:
            parts = {"enqueue": phases.enqueue_s, "compute": phases.compute_s}
            parts |= {"h2d": phases.h2d_s, "d2h": phases.d2h_s} if self._case.transfers else {}
            for name, seconds in parts.items():
                times.phases.setdefault(name, []).append(seconds * 1e3)

    def run_until(self, end: float) -> _Times:
        """Run, at least once, until the clock says `end`."""
        times = _Times()
        while True:
            self.run(times)
            if self._clock() >= end:
                return times


class _Bench:
    """A case being measured. Use it in a `with` statement."""

    def __init__(self, case: EngineCase, settings: EngineSettings, open_engine: Opener, clock: Clock) -> None:
        self.case = case
        self._clock = clock
        self._stack = ExitStack()
        self._blocks: list[Block] = []
        self._phases: dict[str, list[float]] = {}
        threads = max(1, (settings.threads or cpu_count()) // case.streams)
        self._grown_from = memory.resident_bytes()
        memory.reset_peak()
        try:
            opened = [open_engine(case, threads) for _ in range(case.streams)]
            for engine, _ in opened:
                self._stack.enter_context(engine)
            self._backend = opened[0][1]
            self._spec = opened[0][0].spec
            self._streams = [_Stream(engine, case, clock) for engine, _ in opened]
            self._pool = self._stack.enter_context(ThreadPoolExecutor(case.streams))
        except BaseException:
            self._stack.close()
            raise
        self._warm: WarmUp | None = None
        self._memory = 0

    def __enter__(self) -> _Bench:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def warm_up(self) -> None:
        """Run until the time has settled."""
        for stream in self._streams[1:]:
            stream.run()
        self._warm = warm_up(self._streams[0].run, self._clock)
        self._memory = max(0, memory.peak_bytes() - self._grown_from)

    def measure(self, seconds: float, reference: Reference) -> None:
        """Take a turn."""
        pace = reference.measure()
        cores, at, used, begin = CoreUse(), time.time(), time.process_time(), self._clock()
        end = begin + seconds
        if len(self._streams) == 1:
            found = [self._streams[0].run_until(end)]
        else:
            found = list(self._pool.map(lambda stream: stream.run_until(end), self._streams))
        spent, used = self._clock() - begin, time.process_time() - used
        samples = [value for times in found for value in times.host]
        samples = [round(value, 4) for value in samples]
        frames = len(samples) * self.case.batch
        for times in found:
            for name, values in times.phases.items():
                self._phases.setdefault(name, []).extend(values)
        others = cores.others(spent)
        self._blocks.append(Block(at, spent, frames, pace, samples, used / frames * 1e3, others))

    def result(self, peak: Peak | None) -> EngineResult:
        """Return what was found."""
        assert self._warm is not None, "warmed up before"
        throughput = sum(block.frames for block in self._blocks) / sum(block.seconds for block in self._blocks)
        latency = {"host": Distribution.of(list(chain.from_iterable(block.samples_ms for block in self._blocks)))}
        latency |= {name: Distribution.of(values) for name, values in self._phases.items()}
        phased, size = self._streams[0].phased, self._streams[0].size
        if not phased:
            latency["compute"] = latency["host"]
        operations = count_operations(self._spec, size, self.case.precision or "fp32")
        result = EngineResult(
            case=self.case,
            backend=self._backend,
            ran_at=size,
            warm_up=self._warm,
            throughput=throughput,
            latency_ms=latency,
            phases_note="" if phased else _NO_PHASES,
            memory_bytes=self._memory,
            operations=operations,
            peak_share=None,
            bound=phase_bound(latency) if phased else roof_bound(operations, peak, throughput),
            blocks=self._blocks,
        )
        if phased or peak is None or result.tflops is None:
            return result
        return replace(result, peak_share=result.tflops * 1e3 / peak.gemm_gflops)


def padded(size: Size, spec: ModelSpec) -> Size:
    """Return the size that a network is given for a picture of `size`."""
    step = spec.multiple_px
    return Size(-(-size.width // step) * step, -(-size.height // step) * step)


def restricted(spec: ModelSpec, precision: str | None) -> ModelSpec:
    """Return the model with no other file than that of a precision.

    Raises:
        UsageError: If it has none.
    """
    if precision is None:
        return spec
    if precision not in spec.artifacts:
        known = ", ".join(spec.artifacts) or "none"
        raise UsageError(f"model `{spec.name}` has no {precision} file", f"it has: {known}")
    return replace(spec, artifacts={precision: spec.artifacts[precision]})


def _opened(case: EngineCase, threads: int) -> tuple[Engine, str]:
    spec = find(case.model)
    if spec.classical:
        raise UsageError(f"model `{case.model}` is computed without a network", "see `fastrestore models list`")
    backend = choose_backend(case.backend).backend
    return _open(backend, restricted(spec, case.precision), case, threads), backend.describe()


def _open(backend: Backend, spec: ModelSpec, case: EngineCase, threads: int) -> Engine:
    try:
        return backend.open(spec, threads=threads, size=padded(case.size, spec))
    except ModelError as error:
        if case.precision is None:
            raise
        raise UsageError(
            f"backend `{backend.name}` does not run the {case.precision} file of `{spec.name}`: {error.message}",
            "leave `--precision` out",
        ) from error


def _sample(tensor: Tensor, batch: int, size: Size) -> NDArray[np.float32]:
    """Return an input: smooth pictures with a little noise, so that what is warped moves a little; 0.5 for a number."""
    shape = tensor.shape(batch, size.height, size.width)
    if tensor.scale == 0:
        return np.full(shape, 0.5, np.float32)
    values = np.random.default_rng(0).random(shape, np.float32)
    for plane in values.reshape(-1, *shape[2:]):
        plane[:] = cv2.GaussianBlur(plane, (0, 0), _SMOOTH_PX) * 0.9 + plane * 0.1
    return values
