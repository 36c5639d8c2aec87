"""An engine and a clock whose times are known exactly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fastrestore.geometry import Size
from fastrestore.models.spec import ModelSpec, Task, Tensor
from fastrestore.runtime.engine import PhaseTimes

SPEC = ModelSpec(
    "double",
    "test",
    Task.RESTORE,
    "doubles",
    "Apache-2.0",
    "here",
    scale=2,
    multiple_px=4,
    inputs=(Tensor("image", 3),),
    outputs=(Tensor("restored", 3, 2),),
)


@dataclass
class FakeClock:
    """A clock that moves when it is told to, and a little at each look."""

    now: float = 100.0
    look_s: float = 0.0

    def __call__(self) -> float:
        self.now += self.look_s
        return self.now


@dataclass
class FakeEngine:
    """Takes a known time for each run."""

    clock: FakeClock
    cost_s: Callable[[int], float]
    """Seconds of a run, by its number."""
    spec: ModelSpec = SPEC
    largest: Size | None = None
    runs: int = 0
    closed: int = 0
    shapes: list[tuple[int, ...]] = field(default_factory=list)

    def run(self, inputs: Mapping[str, NDArray[np.float32]], out: Mapping[str, NDArray[np.float32]]) -> None:
        self.shapes.append(inputs[self.spec.inputs[0].name].shape)
        self.clock.now += self.cost_s(self.runs)
        self.runs += 1

    def close(self) -> None:
        self.closed += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


@dataclass
class FakePhasedEngine(FakeEngine):
    """Also tells of its phases."""

    phases: PhaseTimes = field(default_factory=lambda: PhaseTimes(0.001, 0.002, 0.010, 0.003))
    asked: list[tuple[bool, bool]] = field(default_factory=list)

    def run_phased(
        self,
        inputs: Mapping[str, NDArray[np.float32]],
        out: Mapping[str, NDArray[np.float32]],
        *,
        transfers: bool = True,
        graph: bool = False,
    ) -> PhaseTimes:
        self.asked.append((transfers, graph))
        self.run(inputs, out)
        return self.phases


def block(at: float, latency_ms: float, **changes: Any) -> dict[str, Any]:
    """Return a block as a document holds it."""
    plain = {
        "at": at,
        "seconds": 1.0,
        "frames": 1,
        "pace": {"wall_ms": 1.0, "cpu_ms": 1.0},
        "samples_ms": [latency_ms],
        "cpu_ms": latency_ms,
        "others": 0.0,
        "part": None,
    }
    return {**plain, **changes}
