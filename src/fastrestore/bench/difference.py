"""Is one version slower than another? Verdicts that noise alone does not make.

Each result holds blocks: short turns, each with its median time and with the pace of the machine just before it. The
shift between the two files' blocks is estimated by ranks. Where the files were measured in turns, neighbours in time
are paired and the machine's own moods fall out. Where they were not, what the machine itself lost or gained between
them is added to the change that must be seen before it counts. Where other programs took a good share of the cores,
waiting for them says nothing of a version, and the processor time decides alone.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from fastrestore.bench.document import Document
from fastrestore.bench.shift import Shift, paired_shift, unpaired_shift
from fastrestore.errors import UsageError

CONFIDENCE = 0.95
"""Of the interval; beside it, the least effect keeps noise out."""
LEAST_EFFECT = 0.03
"""Changes below this share are of no interest, however sure they are."""
MOST_OTHERS = 0.1
"""Share of the cores that other programs may take before latencies are not to be trusted."""
_DISTURBED = 2
"""So many times larger must a change of the processor time then be: shared caches cost some of it."""

_Block = Mapping[str, Any]
_Value = Callable[[_Block], float]


class Verdict(StrEnum):
    """What can be said."""

    SLOWER = "slower"
    FASTER = "faster"
    SAME = "no change"
    UNKNOWN = "too few blocks"


@dataclass(frozen=True, slots=True)
class Change:
    """One figure of one result, before and after."""

    figure: str
    old: float
    new: float
    change: float
    """Share by which the new one is longer; negative if it is shorter."""
    low: float | None
    high: float | None
    """Bounds of the change; None where there are too few blocks."""
    machine_change: float
    """Share by which the machine itself was slower meanwhile; 0 where both took turns."""
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Difference:
    """One result in both files."""

    label: str
    paired: bool
    """Whether the blocks could be paired."""
    blocks: tuple[int, int]
    verdict: Verdict
    changes: tuple[Change, ...]
    others: float | None
    """Share of the cores' time that other programs took, median of the worse file; None where it is not known."""

    @property
    def disturbed(self) -> bool:
        """Whether the verdict is by processor time alone."""
        return self.others is not None and self.others > MOST_OTHERS

    def as_dict(self) -> dict[str, object]:
        """Return it as plain data."""
        return {**asdict(self), "disturbed": self.disturbed}


def diff(old: Document, new: Document, least_effect: float = LEAST_EFFECT) -> list[Difference]:
    """Compare two documents, result by result.

    Raises:
        UsageError: If they are of different kinds or have no result in common.
    """
    if old["kind"] != new["kind"]:
        raise UsageError(f"cannot compare a measurement of {old['kind']} with one of {new['kind']}", "use two alike")
    before = {result["label"]: result["blocks"] for result in old["results"]}
    common = [(r["label"], before[r["label"]], r["blocks"]) for r in new["results"] if r["label"] in before]
    if not common:
        raise UsageError("the two files have no result in common", f"the first holds: {', '.join(before)}")
    return [compare(*each, least_effect) for each in common]


def compare(label: str, old: Sequence[_Block], new: Sequence[_Block], least_effect: float = LEAST_EFFECT) -> Difference:
    """Compare two lists of blocks, as a document holds them."""
    old, new = sorted(old, key=_at), sorted(new, key=_at)
    in_turns = _in_turns(old, new)
    films = [[block.get("part") for block in blocks] for blocks in (old, new)]
    same_film = not in_turns and films[0] == films[1] and None not in films[0]
    paired = in_turns or same_film
    others = _others(old, new)
    if others is not None and others > MOST_OTHERS:
        least_effect *= _DISTURBED
    changes = []
    for figure, value, pace in _FIGURES:
        machine = 0.0 if in_turns else math.expm1(_shift(old, new, pace, paired=paired).estimate)
        found = _shift(old, new, value, paired=paired)
        changes.append(_change(figure, (_middle(old, value), _middle(new, value)), found, machine, least_effect))
    verdict = _overall(changes if others is None or others <= MOST_OTHERS else changes[-1:])
    return Difference(label, paired, (len(old), len(new)), verdict, tuple(changes), others)


def _others(*files: Sequence[_Block]) -> float | None:
    shares = [[block["others"] for block in blocks if block["others"] is not None] for blocks in files]
    return max(statistics.median(each) for each in shares) if all(shares) else None


def _at(block: _Block) -> float:
    return float(block["at"])


def _latency(block: _Block) -> float:
    return float(statistics.median(block["samples_ms"]))


def _cpu(block: _Block) -> float:
    return float(block["cpu_ms"])


def _wall_pace(block: _Block) -> float:
    return float(block["pace"]["wall_ms"])


def _cpu_pace(block: _Block) -> float:
    return float(block["pace"]["cpu_ms"])


_FIGURES: tuple[tuple[str, _Value, _Value], ...] = (
    ("latency_ms", _latency, _wall_pace),
    ("cpu_ms", _cpu, _cpu_pace),
)


def _in_turns(old: Sequence[_Block], new: Sequence[_Block]) -> bool:
    """Whether two files were measured in turns, of one block or of several each."""
    if len(old) != len(new):
        return False
    sizes = (size for size in range(1, len(old) // 2 + 1) if len(old) % size == 0)
    return any(_alternate(old, new, size) for size in sizes)


def _alternate(old: Sequence[_Block], new: Sequence[_Block], size: int) -> bool:
    """Whether each turn of `size` blocks of either file is over before the next begins."""
    rounds = [
        sorted(_at(block) for block in (*old[i : i + size], *new[i : i + size])) for i in range(0, len(old), size)
    ]
    return all(this[-1] < after[0] for this, after in itertools.pairwise(rounds))


def _shift(old: Sequence[_Block], new: Sequence[_Block], value: _Value, *, paired: bool) -> Shift:
    before, after = ([math.log(max(value(block), 1e-9)) for block in blocks] for blocks in (old, new))
    return (paired_shift if paired else unpaired_shift)(before, after, CONFIDENCE)


def _middle(blocks: Sequence[_Block], value: _Value) -> float:
    return statistics.median(value(block) for block in blocks)


def _change(figure: str, middles: tuple[float, float], shift: Shift, machine: float, least_effect: float) -> Change:
    needed = math.log1p(least_effect + abs(machine))
    if math.isinf(shift.low):
        verdict = Verdict.UNKNOWN
    elif shift.low > 0 and shift.estimate > needed:
        verdict = Verdict.SLOWER
    elif shift.high < 0 and shift.estimate < -needed:
        verdict = Verdict.FASTER
    else:
        verdict = Verdict.SAME
    low, high = (None if math.isinf(bound) else math.expm1(bound) for bound in (shift.low, shift.high))
    return Change(figure, *middles, math.expm1(shift.estimate), low, high, machine, verdict)


def _overall(changes: Sequence[Change]) -> Verdict:
    """Return what the latency says; where it says nothing, the processor time, which other processes disturb less."""
    return next((change.verdict for change in changes if change.verdict is not Verdict.SAME), Verdict.SAME)
