"""Builds what is planned: what is in the cache is taken from there, every card works in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from fastrestore.errors import EngineBuildError, EngineProofError, ExportError, ModelError
from fastrestore.export.engines.builder import BuildOrder, build
from fastrestore.export.engines.plan import PlannedEngine
from fastrestore.export.engines.progress import BuildProgress, OnBuild
from fastrestore.models import store
from fastrestore.runtime.backends.tensorrt_library import FLAVOURS
from fastrestore.runtime.cache.engines import EngineCache
from fastrestore.runtime.cache.entry import BuiltEngine, CachedEngine


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one planned engine."""

    state: str
    """`built`, `cached` or `failed`."""
    entry: CachedEngine | None = None
    """The engine in the cache, unless it failed."""
    problem: str = ""
    hint: str = ""
    tuning: Mapping[str, Any] | None = None
    """What was measured of it on its card, and the choice, if that was asked for."""


class OnBuilding(Protocol):
    """Told what happens to the planned engines, by their places in the plan."""

    def progress(self, place: int, progress: BuildProgress) -> None:
        """Take note of how far a build is."""
        ...

    def finished(self, place: int, outcome: Outcome) -> None:
        """Take note of what became of it."""
        ...


class Tried(Protocol):
    """What is known of an engine after it was run on its card."""

    @property
    def entry(self) -> CachedEngine:
        """The engine, with its proof."""
        ...

    @property
    def tuning(self) -> Mapping[str, Any] | None:
        """What was measured and chosen, if that was asked for."""
        ...


Prover = Callable[[PlannedEngine, CachedEngine, EngineCache], Tried]
"""Runs an engine on its card, holds it against the reference, and records that."""


def build_all(
    planned: Sequence[PlannedEngine],
    cache: EngineCache,
    watcher: OnBuilding,
    *,
    anew: bool = False,
    prover: Prover | None = None,
) -> list[Outcome]:
    """Build in this process, one after the other. An engine that fails keeps no other one from being built.

    Args:
        planned: What to build.
        cache: Where it goes.
        watcher: Told what happens. What it raises stops the build under way, and nothing of that is left.
        anew: Build what is in the cache, too.
        prover: Proves what is built for a card that is here.

    Raises:
        EngineError: If the library cannot be loaded or the cache not be used: that would stop all the others, too.
    """
    outcomes = []
    for place, engine in enumerate(planned):
        outcome = build_one(engine, cache, partial(watcher.progress, place), anew, prover)
        watcher.finished(place, outcome)
        outcomes.append(outcome)
    return outcomes


def build_one(
    planned: PlannedEngine, cache: EngineCache, on_progress: OnBuild, anew: bool = False, prover: Prover | None = None
) -> Outcome:
    """Take an engine from the cache, or build it; prove it where its card is. Arguments as for `build_all`.

    Raises:
        EngineError: If the library cannot be loaded or the cache not be used.
        JobCancelledError: If `on_progress` returned False.
    """
    built = False

    def make() -> BuiltEngine:
        nonlocal built
        built = True
        timing = cache.timing(planned.key.backend, _timing_facts(planned))
        return build(_order(planned), on_progress, timing)

    def wait() -> None:
        on_progress(BuildProgress(0.0, "another process is building it"))

    try:
        entry = cache.obtain(planned.key, make, anew=anew, on_wait=wait)
        tuning = None
        if prover is not None and planned.target.index is not None:
            tried = prover(planned, entry, cache)
            entry, tuning = tried.entry, tried.tuning
    except (EngineBuildError, EngineProofError, ModelError, ExportError) as error:
        return Outcome("failed", problem=error.message, hint=error.hint)
    return Outcome("built" if built else "cached", entry, tuning=tuning)


def _order(planned: PlannedEngine) -> BuildOrder:
    key = planned.key
    return BuildOrder(
        spec=planned.spec,
        onnx=store.locate(planned.spec, key.precision),
        precision=key.precision,
        flavour=FLAVOURS[key.backend],
        capability=key.capability,
        profile=key.profile,
        options=key.options,
        card=planned.target.index is not None,
    )


def _timing_facts(planned: PlannedEngine) -> dict[str, str]:
    key = planned.key
    return {"backend_version": key.backend_version, "device": key.device, "capability": key.capability}
