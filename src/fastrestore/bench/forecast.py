"""What converting a catalogue on a fleet will take: played several times with other luck, told as ranges."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

from fastrestore.bench.catalogue import Films
from fastrestore.bench.fleet import Fleet
from fastrestore.bench.rates import choose
from fastrestore.bench.simulation import Load, Played, Simulation
from fastrestore.bench.workload import expected_counts, way, work_mpx
from fastrestore.config import ConvertOptions
from fastrestore.errors import UsageError
from fastrestore.runtime.fleet.backlog import Task
from fastrestore.runtime.fleet.policy import Policy
from fastrestore.runtime.plan import make_plan

SCHEMA = "fastrestore.plan/1"
USUAL_SEEDS = 11
_MOST_TASKS = 20_000
_TASKS_PER_WORKER = 40
"""Beyond both, neighbouring segments are played as one: what is lost of detail is small, and time is not."""


@dataclass(frozen=True, slots=True)
class Range:
    """What one in ten, half, and nine in ten of the plays stay below."""

    p10: float
    p50: float
    p90: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Range:
        """Return the range of some values, interpolated between neighbours."""
        ordered = sorted(values)
        return cls(*(_quantile(ordered, share) for share in (0.1, 0.5, 0.9)))


@dataclass(frozen=True, slots=True)
class FilmsCost:
    """Films of one kind: what they take, on average of their kind."""

    name: str
    count: int
    hours: float
    """Of all of them together."""
    target: str
    worker_s: tuple[float, ...]
    """For one film on one worker, by kind of machine."""
    output_bytes: float
    """Of one film."""
    source_bytes: float
    segments: int
    """Of one film."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What to expect."""

    films: Sequence[FilmsCost]
    kinds: Sequence[str]
    workers: int
    bundle: int
    """Neighbouring segments that were played as one."""
    wall_s: Range
    worker_s: Range
    """Expected work."""
    efficiency: Range
    cost: Range
    machine_hours: dict[str, Range]
    output_bytes: Range
    work_peak_bytes: Range
    moved_bytes: Range
    """Read and written, by all machines together."""
    first_film_s: Range
    """Until the first film was whole."""
    failures: Range
    losses: Range
    copies: Range
    given_up: Range

    def as_dict(self) -> dict[str, object]:
        """Return it as plain data."""
        return {"schema": SCHEMA, **asdict(self)}


def forecast(
    films: Sequence[Films],
    options: ConvertOptions,
    fleet: Fleet,
    seeds: int = USUAL_SEEDS,
    on_play: Callable[[int], object] | None = None,
) -> Forecast:
    """Return what to expect.

    Args:
        films: The catalogue.
        options: As for `convert`.
        fleet: What it is to be converted on.
        seeds: How often it is played.
        on_play: Called after every play.

    Raises:
        UsageError: If a film cannot be converted so, or the speed for it is not known.
    """
    costs = [_cost(kind, options, fleet) for kind in films]
    segments = sum(cost.segments * cost.count for cost in costs)
    bundle = math.ceil(segments / max(_MOST_TASKS, _TASKS_PER_WORKER * fleet.workers))
    played = []
    for seed in range(seeds):
        played.append(_play(costs, fleet, bundle, seed))
        if on_play is not None:
            on_play(seed)
    kinds = [kind.kind for kind in fleet.machines]
    return Forecast(
        films=costs,
        kinds=kinds,
        workers=fleet.workers,
        bundle=bundle,
        wall_s=Range.of([each.wall_s for each in played]),
        worker_s=Range.of([each.work_s for each in played]),
        efficiency=Range.of([each.efficiency for each in played]),
        cost=Range.of([each.cost for each in played]),
        machine_hours={kind: Range.of([each.machine_s[kind] / 3600 for each in played]) for kind in kinds},
        output_bytes=Range.of([each.output_bytes for each in played]),
        work_peak_bytes=Range.of([each.work_peak_bytes for each in played]),
        moved_bytes=Range.of([each.moved_bytes for each in played]),
        first_film_s=Range.of([min(each.films_s.values(), default=each.wall_s) for each in played]),
        failures=Range.of([each.failures for each in played]),
        losses=Range.of([each.losses for each in played]),
        copies=Range.of([each.copies for each in played]),
        given_up=Range.of([each.given_up for each in played]),
    )


def _cost(films: Films, options: ConvertOptions, fleet: Fleet) -> FilmsCost:
    plan = make_plan(films.info, options)
    asked = way(plan, options)
    rate = plan.rate or films.info.rate
    if rate is None:
        raise UsageError(f"{films.name} has no steady frame rate", "say how many frames to make: `--fps`")
    counts = expected_counts(plan, math.ceil(films.seconds * rate))
    work = work_mpx(plan, counts, options)
    picture_mpx, bits_per_px = plan.size.pixels / 1e6, fleet.guesses.bits_per_px
    if bits_per_px is None:
        output_bytes = choose(fleet.rates, asked).output_bytes(counts.pictures, picture_mpx)
    else:
        output_bytes = bits_per_px * counts.pictures * picture_mpx * 1e6 / 8
    return FilmsCost(
        name=films.name,
        count=films.count,
        hours=float(films.seconds) * films.count / 3600,
        target=f"{plan.size} at {float(rate):g} fps",
        worker_s=tuple(speed.seconds(asked, work) for speed in fleet.speeds),
        output_bytes=output_bytes,
        source_bytes=films.source_bytes,
        segments=max(round(float(films.seconds) / fleet.guesses.segment_s), 1),
    )


def _play(costs: Sequence[FilmsCost], fleet: Fleet, bundle: int, seed: int) -> Played:
    """Play the fleet once, with films of other difficulty for every seed."""
    chance, guesses = random.Random(f"films {seed}"), fleet.guesses
    loads: list[Load] = []
    number = 0
    for cost in costs:
        for _ in range(cost.count):
            effort, size = _spread(chance, guesses.film_spread), _spread(chance, guesses.size_spread)
            loads += _loads(number, cost, bundle, effort, size)
            number += 1
    world = replace(fleet.world, spread=fleet.world.spread / math.sqrt(bundle))
    return Simulation(fleet.machines, loads, world, seed, Policy()).play()


def _loads(film: int, cost: FilmsCost, bundle: int, effort: float, size: float) -> list[Load]:
    parts = max(math.ceil(cost.segments / bundle), 1)
    seconds = tuple(each * effort / parts for each in cost.worker_s)
    read, write = cost.source_bytes / parts, cost.output_bytes * size / parts
    return [Load(Task(film, part, seconds[0]), seconds, read, write) for part in range(parts)]


def _spread(chance: random.Random, sigma: float) -> float:
    """Return a factor whose mean is 1."""
    return math.exp(sigma * chance.gauss(0.0, 1.0) - sigma**2 / 2)


def _quantile(ordered: Sequence[float], share: float) -> float:
    at = share * (len(ordered) - 1)
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)
