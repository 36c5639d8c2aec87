"""What `bench engine` measures: one engine in one setting, and what was found of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from fastrestore.bench.bound import Bound
from fastrestore.bench.distribution import Distribution
from fastrestore.bench.operations import Operations, Unknown
from fastrestore.bench.peak import Pace
from fastrestore.bench.warmup import WarmUp
from fastrestore.geometry import Size


@dataclass(frozen=True, slots=True)
class EngineCase:
    """One engine in one setting."""

    model: str
    backend: str
    size: Size
    """The input picture, before it is padded to what the network takes."""
    precision: str | None = None
    """File of the model to use; None leaves it to the backend."""
    batch: int = 1
    streams: int = 1
    """Engines side by side, each in a thread of its own; on a CPU they share the cores."""
    graph: bool = False
    transfers: bool = True

    @property
    def label(self) -> str:
        """A few words that tell it from others."""
        words = [self.model, self.backend, self.precision or "", str(self.size)]
        words += [f"batch {self.batch}"] if self.batch > 1 else []
        words += [f"{self.streams} streams"] if self.streams > 1 else []
        words += ["graph"] if self.graph else []
        words += [] if self.transfers else ["no transfers"]
        return " ".join(word for word in words if word)

    def as_dict(self) -> dict[str, object]:
        """Return it as plain data."""
        return {**asdict(self), "size": str(self.size)}


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How long and how often to measure."""

    seconds: float = 5.0
    """For each case, shared out among its blocks."""
    repeats: int = 10
    """Blocks of each case. Cases take turns, so that a slow minute of the machine falls on all of them."""
    threads: int = 0
    """Threads of each case on a CPU; 0 uses every core."""


@dataclass(frozen=True, slots=True)
class Block:
    """One turn of a case."""

    at: float
    """When it began, in seconds since 1970: blocks of different files can be put in order."""
    seconds: float
    frames: int
    pace: Pace
    """How fast the machine was just before it."""
    samples_ms: list[float]
    """Each run, as the host saw it."""
    cpu_ms: float
    """Processor time for each frame, all threads together."""
    others: float | None = None
    """Share of the cores' time that other programs took meanwhile; None where the system does not say."""
    part: int | None = None
    """Which part of the film it was, where parts differ in what they cost."""


@dataclass(frozen=True, slots=True)
class EngineResult:
    """What was found of a case."""

    case: EngineCase
    backend: str
    """Library, version and device."""
    ran_at: Size
    """The case's size, padded to the network's multiple."""
    warm_up: WarmUp
    throughput: float
    """Input pictures a second."""
    latency_ms: Mapping[str, Distribution]
    """`host`, and what the engine can tell of enqueue, h2d, compute and d2h; what it cannot tell is left out."""
    phases_note: str
    memory_bytes: int
    """What the process grew by at most, from before the engine was opened until it was warm."""
    operations: Operations | Unknown
    peak_share: float | None
    """Of the matrix product measured in the same run; None where that says nothing of the device."""
    bound: Bound
    blocks: list[Block]

    @property
    def tflops(self) -> float | None:
        """Effective 10^12 operations a second, or None if the operations are not known."""
        if isinstance(self.operations, Unknown):
            return None
        return self.operations.flops * self.throughput / 1e12

    def metrics(self) -> dict[str, float]:
        """Return every figure that a condition can be put on."""
        found = {"throughput": self.throughput, "memory": float(self.memory_bytes)}
        found |= {} if self.tflops is None else {"tflops": self.tflops}
        found |= {} if self.peak_share is None else {"peak_share": self.peak_share}
        for phase, times in self.latency_ms.items():
            found |= {f"{phase}.{name}": value for name, value in asdict(times).items() if name != "count"}
        return found

    def as_dict(self) -> dict[str, object]:
        """Return it as plain data."""
        known = not isinstance(self.operations, Unknown)
        return {
            "case": self.case.as_dict(),
            "label": self.case.label,
            "backend": self.backend,
            "ran_at": str(self.ran_at),
            "warm_up": asdict(self.warm_up),
            "throughput_fps": self.throughput,
            "latency_ms": {phase: asdict(times) for phase, times in self.latency_ms.items()},
            "phases_note": self.phases_note,
            "memory_bytes": self.memory_bytes,
            "operations": {**asdict(self.operations)} if known else None,
            "operations_note": "" if isinstance(self.operations, Operations) else self.operations.reason,
            "tflops": self.tflops,
            "peak_share": self.peak_share,
            "bound": asdict(self.bound),
            "blocks": [asdict(block) for block in self.blocks],
        }
