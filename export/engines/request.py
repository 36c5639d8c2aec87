"""A request for engines, from what a user types to what is in the cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from fastrestore.errors import DeviceError, EngineBuildError
from fastrestore.export.engines.building import OnBuilding, Outcome, Prover, build_all
from fastrestore.export.engines.plan import PlannedEngine, Wish, plan_engines
from fastrestore.export.engines.progress import BuildProgress
from fastrestore.export.engines.targets import find_targets, pick_flavour
from fastrestore.export.engines.workers import build_in_processes
from fastrestore.runtime.backends.tensorrt_library import Flavour, installed
from fastrestore.runtime.cache.engines import EngineCache


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """Engines that somebody wants built."""

    wish: Wish = field(default_factory=Wish)
    backend: str = "auto"
    """`tensorrt`, `tensorrt-rtx`, or `auto`: the first of them that is installed."""
    devices: tuple[str, ...] = ()
    """Places of cards, architectures, or `all`; none means every card of this machine."""
    anew: bool = False
    """Build what is in the cache, too."""
    jobs: int | None = None
    """Processes at a time; None means one for each card."""
    calibrate: Path | None = None
    """A clip whose frames prove the engines; None takes the embedded sample."""
    tune: bool = False
    """Measure on the card how many pictures to hand over at once, and in how many streams."""


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """What a request comes to."""

    request: BuildRequest
    flavour: Flavour
    engines: tuple[PlannedEngine, ...]

    @property
    def version(self) -> str:
        """The installed version of the library."""
        return installed(self.flavour) or ""

    @property
    def missing(self) -> int:
        """How many engines are to be built."""
        return sum(engine.cached is None or self.request.anew for engine in self.engines)


class Listener:
    """Passes progress on to a function, as a label and a share."""

    def __init__(self, plan: BuildPlan, on_progress: Callable[[str, float], None] | None) -> None:
        self._plan, self._on_progress = plan, on_progress

    def progress(self, place: int, progress: BuildProgress) -> None:
        """See `OnBuilding.progress`."""
        self._tell(place, progress.share)

    def finished(self, place: int, outcome: Outcome) -> None:
        """See `OnBuilding.finished`."""
        self._tell(place, 1.0)

    def _tell(self, place: int, share: float) -> None:
        if self._on_progress is not None:
            self._on_progress(self._plan.engines[place].label, share)


def make_plan(request: BuildRequest, cache: EngineCache) -> BuildPlan:
    """Find out what a request comes to. Loads no library and builds nothing.

    Raises:
        UsageError: If something is unknown or cannot be meant.
        EngineError: If the library is not installed, or the cache cannot be used.
        ModelError: If a model is broken, or lacks the precision.
        DeviceError: If a card is asked for that is not here, or measuring without a card.
    """
    flavour = pick_flavour(request.backend)
    targets = find_targets(flavour, request.devices)
    if (request.tune or request.calibrate) and any(target.index is None for target in targets):
        option = "--tune" if request.tune else "--calibrate"
        absent = ", ".join(target.label for target in targets if target.index is None)
        raise DeviceError(
            f"`{option}` runs the engines, and there is no card here for {absent}",
            "leave it out: engines built here are proved when they are first used on a card",
        )
    return BuildPlan(request, flavour, plan_engines(request.wish, flavour, targets, cache))


def carry_out(plan: BuildPlan, cache: EngineCache, watcher: OnBuilding) -> list[Outcome]:
    """Build what is missing, prove what can run here, and tune it if that is wanted.

    Returns:
        What became of each engine, in the order of the plan. One that failed keeps no other from being built.

    Raises:
        EngineError: If the library cannot be loaded or the cache not be used.
    """
    request, engines = plan.request, plan.engines
    prover: Prover | None = None
    on_cards = any(_needs_card(engine, request) for engine in engines)
    if on_cards:
        from fastrestore.export.engines.proving import prove_on_card

        prover = partial(prove_on_card, clip=request.calibrate, tune=request.tune)
    if on_cards or (request.jobs or 1) > 1:
        # A card's library is kept out of this process: if it crashes, this one can still say so.
        return build_in_processes(engines, cache, watcher, anew=request.anew, jobs=request.jobs, prover=prover)
    return build_all(engines, cache, watcher, anew=request.anew, prover=prover)


def _needs_card(engine: PlannedEngine, request: BuildRequest) -> bool:
    """Whether an engine is to be built or run on a card of this machine."""
    if engine.target.index is None:
        return False
    proved = engine.cached is not None and engine.cached.proof is not None
    return not proved or request.anew or request.tune or request.calibrate is not None


def require_all(plan: BuildPlan, outcomes: Sequence[Outcome]) -> None:
    """Refuse a result in which an engine is missing.

    Raises:
        EngineBuildError: If one failed; it tells the first one's reason.
    """
    failed = [at for at, outcome in enumerate(outcomes) if outcome.state == "failed"]
    if failed:
        first = outcomes[failed[0]]
        count = f"{len(failed)} of {len(outcomes)} engines" if len(outcomes) > 1 else "the engine"
        raise EngineBuildError(
            f"{count} could not be built, {plan.engines[failed[0]].label}: {first.problem}", first.hint
        )
