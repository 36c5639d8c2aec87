"""Measures on the card how many pictures to hand over at once and in how many streams, and keeps the choice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrestore.models.spec import ModelSpec
from fastrestore.runtime.engine import Engine
from fastrestore.runtime.engine_key import EngineKey, Profile
from fastrestore.runtime.memory import Card

CHOICE = "tuning"
"""Under this kind the choice is kept."""
STREAMS = (1, 2, 4)
SECONDS = 0.5
"""How long each setting is measured, after one run that is not counted."""
WORTH = 0.03
"""A setting that needs more memory must be faster by this share."""
_F32 = NDArray[np.float32]
_Arrays = Mapping[str, _F32]


@dataclass(frozen=True, slots=True)
class Measured:
    """One setting, and what it reached."""

    batch: int
    """Pictures handed over at once."""
    streams: int
    """Runs under way at the same time, each with a context of its own."""
    pictures_per_s: float


def tune(
    open_engine: Callable[[], Engine],
    spec: ModelSpec,
    profile: Profile,
    *,
    streams: Sequence[int] = STREAMS,
    seconds: float = SECONDS,
) -> list[Measured]:
    """Measure every batch of a profile in every number of streams, at the size that the profile is tuned for.

    Copies to and from the card count: they are what several streams hide.

    Args:
        open_engine: Opens the engine once more, with a context and scratch memory of its own.
        spec: The model.
        profile: What the engine takes.
        streams: Numbers of streams to try.
        seconds: How long to measure each setting.

    Raises:
        EngineError: If a run fails, or the card has no memory for a setting.
    """
    found: list[Measured] = []
    with ExitStack() as stack:
        engines: list[Engine] = []
        for count in sorted(streams):
            while len(engines) < count:
                engines.append(stack.enter_context(open_engine()))
            found += [
                Measured(batch, count, _pictures_per_s(engines, spec, profile, batch, seconds))
                for batch in _batches(profile)
            ]
    return found


def best(measured: Sequence[Measured]) -> Measured:
    """Return the setting to use: the one that needs the least memory of those that are nearly the fastest."""
    limit = max(each.pictures_per_s for each in measured) / (1 + WORTH)
    return min(
        (each for each in measured if each.pictures_per_s >= limit), key=lambda m: (m.batch * m.streams, m.streams)
    )


def choice_facts(key: EngineKey, card: Card, driver: str) -> dict[str, str]:
    """Return what a choice holds for."""
    return {"engine": key.digest, "device": card.name, "driver": driver}


def choice_of(measured: Sequence[Measured]) -> dict[str, Any]:
    """Return the choice with all that led to it, as it is kept."""
    return {**asdict(best(measured)), "measured": [asdict(each) for each in measured]}


def _batches(profile: Profile) -> list[int]:
    least, most = profile.least.batch, profile.most.batch
    doubled = [1 << power for power in range(most.bit_length())]
    return sorted({least, most, *(count for count in doubled if least <= count <= most)})


def _pictures_per_s(engines: Sequence[Engine], spec: ModelSpec, profile: Profile, batch: int, seconds: float) -> float:
    """Run all engines at once, each in a thread, and count what they finish together."""
    start = threading.Barrier(len(engines))

    def work(engine: Engine) -> tuple[int, float, float]:
        given, out = _buffers(spec, profile, batch)
        try:
            engine.run(given, out)
            start.wait()
        except BaseException:
            start.abort()  # the others need not wait for this one
            raise
        began = time.perf_counter()
        count = 0
        while not count or time.perf_counter() - began < seconds:
            engine.run(given, out)
            count += batch
        return count, began, time.perf_counter()

    with ThreadPoolExecutor(len(engines), thread_name_prefix="tune") as pool:
        futures = [pool.submit(work, engine) for engine in engines]
        failed = [future.exception() for future in futures]
    # One that waited for another that failed has only that to say.
    for error in sorted(filter(None, failed), key=lambda e: isinstance(e, threading.BrokenBarrierError)):
        raise error
    counts, begins, ends = zip(*(future.result() for future in futures), strict=True)
    elapsed: float = max(ends) - min(begins)
    return sum(counts) / elapsed


def _buffers(spec: ModelSpec, profile: Profile, batch: int) -> tuple[_Arrays, _Arrays]:
    rng = np.random.default_rng(7)
    shape = profile.best
    given = {t.name: rng.random(t.shape(batch, shape.height, shape.width), np.float32) for t in spec.inputs}
    out = {t.name: np.empty(t.shape(batch, shape.height, shape.width), np.float32) for t in spec.outputs}
    return given, out
