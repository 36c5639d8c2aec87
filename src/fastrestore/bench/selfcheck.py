"""Does `bench diff` see what is there and nothing else? `python -m fastrestore.bench.selfcheck [TRIALS] [MODEL]`.

Runs real engines. Each trial measures one engine as it is, as it is again, and slowed down by a tenth, in turns; three
times, the engines opened anew, as one would with `--append`. A version against itself must give "no change", the slowed
one "slower". Prints one JSON object.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fastrestore.bench.cases import EngineCase, EngineSettings
from fastrestore.bench.difference import compare
from fastrestore.bench.engines import measure_engines
from fastrestore.geometry import Size
from fastrestore.models.catalog import find
from fastrestore.models.spec import ModelSpec
from fastrestore.runtime.engine import Engine, choose_backend
from fastrestore.runtime.machine import machine, software

_TIMES = 10
_SIZE = Size(48, 32)
_SETTINGS = EngineSettings(seconds=2.0, repeats=8)
_ROUNDS = 3
_SLOWED = "slowed"


@dataclass(slots=True)
class RepeatingEngine:
    """An engine whose every run is several of the one it wraps: one in ten more is a tenth slower, in every respect."""

    inner: Engine
    times: int

    @property
    def spec(self) -> ModelSpec:
        """See `Engine.spec`."""
        return self.inner.spec

    @property
    def largest(self) -> Size | None:
        """See `Engine.largest`."""
        return self.inner.largest

    def run(self, inputs: Mapping[str, NDArray[np.float32]], out: Mapping[str, NDArray[np.float32]]) -> None:
        """See `Engine.run`."""
        for _ in range(self.times):
            self.inner.run(inputs, out)

    def close(self) -> None:
        """See `Engine.close`."""
        self.inner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def check(trials: int, model: str) -> dict[str, object]:
    """Run the trials and return how often each verdict was given."""
    cases = [EngineCase(model, name, _SIZE) for name in ("first", "again", _SLOWED)]
    against_itself: Counter[str] = Counter()
    slowed: Counter[str] = Counter()
    found = []
    for _ in range(trials):
        first, again, slow = _blocks(cases)
        for name, blocks, counter in (("itself", again, against_itself), (_SLOWED, slow, slowed)):
            verdict = compare(name, first, blocks)
            counter[verdict.verdict.value] += 1
            seen: dict[str, object] = {change.figure: round(change.change, 4) for change in verdict.changes}
            found.append({"of": name, "verdict": verdict.verdict.value, "others": verdict.others, **seen})
    return {
        "schema": "fastrestore.bench-selfcheck/1",
        "machine": machine(),
        "software": software(),
        "trials": trials,
        "model": model,
        "size": str(_SIZE),
        "blocks": _ROUNDS * _SETTINGS.repeats,
        "seconds_each": _ROUNDS * _SETTINGS.seconds,
        "against_itself": dict(against_itself),
        f"{_SLOWED}_by_10%": dict(slowed),
        "changes_seen": found,
    }


def _blocks(cases: Sequence[EngineCase]) -> list[list[dict[str, Any]]]:
    """Return the blocks of each case, from engines that are opened anew in every round."""
    blocks: list[list[dict[str, Any]]] = [[] for _ in cases]
    for _ in range(_ROUNDS):
        _, results = measure_engines(cases, _SETTINGS, open_engine=_opened)
        for found, result in zip(blocks, results, strict=True):
            found += [asdict(block) for block in result.blocks]
    return blocks


def _opened(case: EngineCase, threads: int) -> tuple[Engine, str]:
    backend = choose_backend("auto").backend
    engine = backend.open(find(case.model), threads=threads, size=case.size)
    times = _TIMES + 1 if case.backend == _SLOWED else _TIMES
    return RepeatingEngine(engine, times), backend.describe()


def main() -> None:
    """Run as a program."""
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    model = sys.argv[2] if len(sys.argv) > 2 else "film-x2-tiny"
    sys.stdout.write(json.dumps(check(trials, model), indent=2) + "\n")


if __name__ == "__main__":
    main()
