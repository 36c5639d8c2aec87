"""A fleet as a TOML file tells it: which machines there are, how fast they are, and what they share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fastrestore.bench.rates import Rates, choose, read_rates
from fastrestore.bench.simulation import Machines, World
from fastrestore.bench.tables import Table, read_table
from fastrestore.errors import UsageError
from fastrestore.runtime.report import STAGES


class Speed(Protocol):
    """How fast one worker is."""

    def seconds(self, way: Mapping[str, str], work: Mapping[str, float]) -> float:
        """Return how long a worker takes for so many millions of pixels by stage.

        Raises:
            UsageError: If that is not known for this way to convert.
        """
        ...


@dataclass(frozen=True, slots=True)
class MeasuredSpeed:
    """That of a machine that was measured, or so many times as much."""

    rates: Sequence[Rates]
    factor: float = 1.0

    def seconds(self, way: Mapping[str, str], work: Mapping[str, float]) -> float:
        """See `Speed.seconds`."""
        return choose(self.rates, way).steady_s(work) / self.factor


@dataclass(frozen=True, slots=True)
class StatedSpeed:
    """That of stages which were told to handle so many millions of pixels a second, all of them side by side."""

    mpx_per_s: Mapping[str, float]

    def seconds(self, way: Mapping[str, str], work: Mapping[str, float]) -> float:
        """See `Speed.seconds`."""
        missing = [stage for stage, mpx in work.items() if mpx and stage not in self.mpx_per_s]
        if missing:
            raise UsageError(f"`mpx_per_s` does not tell of {', '.join(missing)}", "add it, or name measured `rates`")
        return max(mpx / self.mpx_per_s[stage] for stage, mpx in work.items() if mpx)


@dataclass(frozen=True, slots=True)
class Guesses:
    """What is not known of films before they are converted."""

    segment_s: float = 8.0
    """Seconds of film in a segment, on average."""
    film_spread: float = 0.15
    """Sigma of the logarithm of how much more or less work a film is than its size says."""
    size_spread: float = 0.4
    """The same of how many bytes its pictures take."""
    bits_per_px: float | None = None
    """Of the output, for each source picture in it; None takes what was measured."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """Machines, how fast they are, and the rest of the world."""

    machines: Sequence[Machines]
    speeds: Sequence[Speed]
    """Of one worker, by kind of machine."""
    world: World
    guesses: Guesses
    rates: Sequence[Rates]
    """Everything measured that was named anywhere: what is known of sizes does not hang on the machine."""

    @property
    def workers(self) -> int:
        """Of all machines together."""
        return sum(kind.count * kind.workers for kind in self.machines)


def read_fleet(path: Path, rates: Sequence[Rates]) -> Fleet:
    """Return a fleet.

    Args:
        path: The TOML file; names of files in it are taken from its folder.
        rates: What holds for machines that name none.

    Raises:
        UsageError: If something is unknown, missing or impossible.
    """
    root = read_table(path)
    shared, tables = root.table("world"), root.tables("machine")
    usual = World()
    world = World(
        storage_bytes_per_s=_megabytes(shared, "storage_mb_per_s"),
        spread=shared.number("spread", usual.spread, most=2.0),
        failures=shared.number("failures", usual.failures, most=0.9),
        noticed_after_s=shared.number("noticed_after_s", usual.noticed_after_s),
    )
    guesses = _guesses(shared)
    shared.close()
    root.close()
    if not tables:
        raise UsageError(f"{path} tells of no machine", "add a table `[[machine]]`")
    machines, speeds, known = [], [], list(rates)
    for table in tables:
        named = [each for name in table.texts("rates") for each in read_rates(path.parent / name)]
        known += named
        machines.append(_machines(table))
        speeds.append(_speed(table, named or rates))
        table.close()
    names = [kind.kind for kind in machines]
    if len(set(names)) < len(names):
        raise UsageError(f"{path}: two tables tell of one kind: {', '.join(names)}", "give each its own `kind`")
    return Fleet(machines, speeds, world, guesses, known)


def this_machine(rates: Sequence[Rates]) -> Fleet:
    """Return a fleet of one machine with one worker, of the speed that was measured, on which nothing goes wrong."""
    world = World(spread=0.0, failures=0.0)
    return Fleet([Machines("this machine")], [MeasuredSpeed(rates)], world, Guesses(), rates)


def _machines(table: Table) -> Machines:
    return Machines(
        kind=table.text("kind"),
        count=table.count("count", 1),
        workers=table.count("workers", 1),
        price_per_hour=table.number("price_per_hour", 0.0),
        start_s=table.number("start_s", 0.0),
        losses_per_hour=table.number("losses_per_hour", 0.0),
        back_after_s=table.optional("back_after_s"),
        link_bytes_per_s=_megabytes(table, "link_mb_per_s"),
    )


def _speed(table: Table, rates: Sequence[Rates]) -> Speed:
    factor = table.optional("speed", least=1e-6)
    stated = table.table("mpx_per_s")
    mpx_per_s = {stage: value for stage in STAGES if (value := stated.optional(stage, least=1e-9)) is not None}
    stated.close()
    if mpx_per_s:
        if factor is not None or table.texts("rates"):
            raise UsageError(f"{table.where}: `mpx_per_s` beside `rates` or `speed`", "leave out one of them")
        return StatedSpeed(mpx_per_s)
    if not rates:
        raise UsageError(
            f"{table.where}: how fast it is, is not known", "add `rates`, or `mpx_per_s`, or use `--rates`"
        )
    return MeasuredSpeed(rates, 1.0 if factor is None else factor)


def _guesses(table: Table) -> Guesses:
    default = Guesses()
    return Guesses(
        segment_s=table.number("segment_s", default.segment_s, least=0.1),
        film_spread=table.number("film_spread", default.film_spread, most=2.0),
        size_spread=table.number("size_spread", default.size_spread, most=2.0),
        bits_per_px=table.optional("bits_per_px", least=1e-6),
    )


def _megabytes(table: Table, key: str) -> float:
    found = table.optional(key, least=1e-3)
    return math.inf if found is None else found * 1e6
