"""What a machine was measured to need for a million pixels in each stage, and what follows for other work.

A conversion's time is reckoned from two floors: its processor time over the cores, and the busiest stage's own time.
The larger is stretched by what the measured run took more than that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from fastrestore.bench.document import Document, read_document
from fastrestore.errors import UsageError

_DETAIL_BY_SIZE = -0.25
"""The larger a picture, the less of it is detail: at equal quality bits grow with pixels to the power of 3/4."""
_DECIDING = ("codec", "crf", "preset", "film")
"""Parts of a way that must be equal in any case, in the words of `workload.way`."""


@dataclass(frozen=True, slots=True)
class StageCost:
    """What a million pixels cost."""

    cpu_s: float
    """Processor time, all threads together."""
    alone_s: float
    """How long the stage is at it, on a machine that does nothing else."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What was measured of one way to convert on one machine."""

    way: Mapping[str, str]
    cores: int
    stages: Mapping[str, StageCost]
    stretch: float
    """What the measured run took after its start, the end of its last segment included, over the larger floor."""
    start_s: float
    """Until the first frame."""
    bits_per_px: float
    """Of the output, for each source picture in it: what lies between two of them hardly takes any."""
    picture_mpx: float
    """Millions of pixels of an output picture, when that was measured."""
    made: str = ""
    """When it was measured."""

    def cpu_s(self, work: Mapping[str, float]) -> float:
        """Return the processor time of so many millions of pixels by stage, the start not counted."""
        return sum(cost.cpu_s * work.get(stage, 0.0) for stage, cost in self.stages.items())

    def steady_s(self, work: Mapping[str, float]) -> float:
        """Return how long so many millions of pixels by stage take from the first frame on."""
        longest = max(cost.alone_s * work.get(stage, 0.0) for stage, cost in self.stages.items())
        return self.stretch * max(self.cpu_s(work) / self.cores, longest)

    def output_bytes(self, pictures: int, picture_mpx: float) -> float:
        """Return how large an output becomes that shows so many source pictures, each of so many millions of pixels."""
        bits_per_px: float = self.bits_per_px * (picture_mpx / self.picture_mpx) ** _DETAIL_BY_SIZE
        return bits_per_px * pictures * picture_mpx * 1e6 / 8

    def serves(self, way: Mapping[str, str]) -> bool:
        """Whether it tells of another way too: one that is the same, or leaves a stage out."""
        same = all(self.way[key] == way[key] for key in _DECIDING)
        restores = way["restore"] in (self.way["restore"], "nothing")
        moves = way["motion"] == "nothing" or (way["motion"], way["order"]) == (self.way["motion"], self.way["order"])
        return same and restores and moves and way["verify"] in (self.way["verify"], "no")

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Rates:
        """Return what `as_dict` gave.

        Raises:
            KeyError, TypeError: If something is missing or superfluous.
        """
        stages = {stage: StageCost(**cost) for stage, cost in found["stages"].items()}
        return cls(**{**found, "stages": stages})


def read_rates(path: Path) -> list[Rates]:
    """Return the rates that follow from what `bench pipeline --json` or `bench plan --measure` wrote.

    Raises:
        UsageError: If it cannot be read, or holds no conversion with a real encoder.
    """
    return rates_of(read_document(path), str(path))


def rates_of(found: Document, name: str) -> list[Rates]:
    """Return the rates of every whole conversion in a document; `name` is what messages call it.

    Raises:
        UsageError: If it holds none.
    """
    if found["kind"] != "pipeline":
        raise UsageError(
            f"{name} is a `bench {found['kind']}`", "measure with `bench pipeline` or `bench plan --measure`"
        )
    results = found["results"]
    if any("way" not in result for result in results):
        raise UsageError(f"{name} was written by an earlier version: it does not tell its work", "measure anew")
    whole = [result for result in results if result["encoder"] == "real"]
    if not whole:
        raise UsageError(f"{name} holds no conversion with a real encoder", "measure without `--encoder null`")
    try:
        cores, made = found["machine"]["cores"], found["made"]
        return [_rates(result, _parts(result, results), cores, made) for result in whole]
    except (KeyError, TypeError) as error:
        raise UsageError(f"{name} is incomplete: {error} is not as it should be", "measure anew") from error


def choose(rates: Sequence[Rates], way: Mapping[str, str]) -> Rates:
    """Return the rates that tell of a way to convert; those of the very same way first.

    Raises:
        UsageError: If none do.
    """
    serving = [each for each in rates if each.serves(way)]
    if not serving:
        keys = ("restore", "motion", "order", *_DECIDING)
        measured = "; ".join(", ".join(f"{key} {each.way[key]}" for key in keys) for each in rates)
        wanted = ", ".join(f"{key} {way[key]}" for key in keys)
        raise UsageError(
            f"no rates for {wanted}; measured: {measured or 'nothing'}",
            "measure a clip with the same options: `bench plan --measure CLIP`",
        )
    return max(serving, key=lambda each: sum(each.way[key] == value for key, value in way.items()))


def _parts(whole: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the conversions of the same clip that leave out stages of a whole one, those with fewest stages first."""
    same = [key for key in whole["way"] if key not in ("motion", "verify")]
    parts = [
        result
        for result in results
        if result["encoder"] == "null" and all(result["way"][key] == whole["way"][key] for key in same)
    ]
    return sorted(parts, key=lambda result: len(result["stages"]))


def _rates(whole: Mapping[str, Any], parts: Sequence[Mapping[str, Any]], cores: int, made: str) -> Rates:
    """Return rates; each stage's from the first of the runs that has it.

    What a run took of the processor beyond what its known stages take there is divided among its new stages by how
    long they were busy. In a single run all stages are new, and the division is coarse: networks and encoders use
    threads that are not counted.
    """
    stages: dict[str, StageCost] = {}
    for run in (*parts, whole):
        work, ease = run["work_mpx"], _ease(run, cores)
        new = {stage: times for stage, times in run["stages"].items() if stage not in stages and work.get(stage)}
        busy_s = {stage: times["busy_s"] * times["workers"] for stage, times in new.items()}
        known_s = sum(cost.cpu_s * work[stage] for stage, cost in stages.items())
        left_s = max(run["cpu_s"] - run["start_cpu_s"] - known_s, 0.0)
        for stage, times in new.items():
            share = busy_s[stage] / max(sum(busy_s.values()), 1e-9)
            stages[stage] = StageCost(left_s * share / work[stage], times["busy_s"] * ease / work[stage])
    work, ease = whole["work_mpx"], _ease(whole, cores)
    start_s, frames = whole["start_s"] * ease, whole["frames"]
    picture_mpx = work["encode"] / frames["output"]
    found = Rates(
        way=whole["way"],
        cores=cores,
        stages=stages,
        stretch=1.0,
        start_s=start_s,
        bits_per_px=whole["output_bytes"] * 8 / (min(frames["source"], frames["output"]) * picture_mpx * 1e6),
        picture_mpx=picture_mpx,
        made=made,
    )
    steady_s = whole["wall_s"] * ease - start_s
    return replace(found, stretch=steady_s / max(found.steady_s(work), 1e-9))


def _ease(run: Mapping[str, Any], cores: int) -> float:
    """Return how much shorter a run would have been without the other programs that ran meanwhile."""
    used: float = run["cpu_s"] / run["wall_s"] / cores
    return max(1 - (run["others"] or 0.0), min(used, 1.0))
