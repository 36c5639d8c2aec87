"""How long a conversion will take here and how large its file will be, by rates that were measured here before."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fastrestore.bench.rates import Rates
from fastrestore.bench.workload import expected_counts, way, work_mpx
from fastrestore.config import ConvertOptions
from fastrestore.runtime.cache.choices import Choices
from fastrestore.runtime.cache.folder import default_folder
from fastrestore.runtime.machine import machine, software
from fastrestore.runtime.plan import WorkPlan

KIND = "rates"
"""What is kept is a choice of this kind."""
HOW = "`fastrestore bench plan --measure CLIP`, with the same options, measures this machine"
"""What to do where there is no estimate."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What to expect of a conversion on a machine that does nothing else."""

    seconds: float
    output_bytes: float
    """Of the pictures; other tracks come on top."""
    made: str
    """When the rates were measured."""

    def __str__(self) -> str:
        return f"about {duration_words(self.seconds)}, {size_words(self.output_bytes)} (by rates of {self.made[:10]})"


def estimate(plan: WorkPlan, options: ConvertOptions, expected: int | None) -> Estimate | None:
    """Return what to expect; None if the length is unknown, or nothing was measured for this way to convert.

    Args:
        plan: The plan.
        options: What it was made from.
        expected: Output frames, if the source's header tells.
    """
    if expected is None:
        expected = source_frames(plan, options)
    rates = None if expected is None else kept_rates(way(plan, options))
    if rates is None or expected is None:
        return None
    counts = expected_counts(plan, expected)
    seconds = rates.start_s + rates.steady_s(work_mpx(plan, counts, options))
    return Estimate(seconds, rates.output_bytes(counts.pictures, plan.size.pixels / 1e6), rates.made)


def keep_rates(rates: Sequence[Rates]) -> None:
    """Keep rates for later estimates on this machine; earlier ones of the same way are replaced.

    Raises:
        EngineError: If they cannot be written.
    """
    for each in rates:
        _choices().put(KIND, _facts(each.way), {"rates": each.as_dict()})


def kept_rates(wanted: Mapping[str, str]) -> Rates | None:
    """Return the rates that were kept on this machine, with this software, for this way to convert.

    Only the layout of the pictures may differ.
    """
    found = _choices().get(KIND, _facts(wanted))
    try:
        return None if found is None else Rates.from_dict(found["rates"])
    except (KeyError, TypeError, AttributeError):  # it is measured again then
        return None


def duration_words(seconds: float) -> str:
    """Return a length of time in words, to two figures that matter."""
    for unit, name in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 1.5 * unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.0f} s"


def size_words(size_bytes: float) -> str:
    """Return a size in words."""
    for unit, name in ((1e15, "PB"), (1e12, "TB"), (1e9, "GB")):
        if size_bytes >= unit:
            return f"{size_bytes / unit:.1f} {name}"
    return f"{size_bytes / 1e6:.0f} MB"


def source_frames(plan: WorkPlan, options: ConvertOptions) -> int | None:
    """Return how many frames a source will have whose header tells only its length and rate."""
    source = plan.source
    if plan.rate is not None or source.rate is None or source.duration is None:
        return None
    end = source.duration if options.end is None else min(options.end, source.duration)
    return max(math.ceil((end - (options.start or 0)) * source.rate), 1)


def _facts(wanted: Mapping[str, str]) -> dict[str, object]:
    deciding = {key: value for key, value in wanted.items() if key != "format"}
    return {"machine": machine(), "software": software(), "way": deciding}


def _choices() -> Choices:
    return Choices(default_folder() / "choices")
