"""Verdicts: what is there is found, noise is not. The noise was recorded on real machines."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.unit.bench.fakes import block

from fastrestore.bench.difference import Verdict, compare, diff
from fastrestore.errors import UsageError

Blocks = list[dict[str, Any]]
NOISE: dict[str, list[list[float]]] = json.loads(Path(__file__).with_name("noise.json").read_text(encoding="utf-8"))
"""Blocks of one unchanged engine, in order: latency, processor time, pace (wall, processor), others' share."""
TRIALS = 200


def recorded(row: list[float], at: float, slower_by: float) -> dict[str, Any]:
    latency, cpu, wall_pace, cpu_pace, others = row
    factor = 1 + slower_by
    pace = {"wall_ms": wall_pace, "cpu_ms": cpu_pace}
    return block(at, latency * factor, cpu_ms=cpu * factor, pace=pace, others=others)


def in_turns(rows: list[list[float]], rng: random.Random, slower_by: float) -> tuple[Blocks, Blocks]:
    """Return two measurements that took turns, there and back again: 24 blocks each of a stretch of the recording."""
    first = rng.randrange(len(rows) - 48)
    old, new = [], []
    for turn in range(24):
        here, there = (2 * turn, 2 * turn + 1) if turn % 2 == 0 else (2 * turn + 1, 2 * turn)
        old.append(recorded(rows[first + here], here, 0))
        new.append(recorded(rows[first + there], there, slower_by))
    return old, new


def verdicts(rows: list[list[float]], slower_by: float) -> Counter[Verdict]:
    rng = random.Random(11)
    return Counter(compare("x", *in_turns(rows, rng, slower_by)).verdict for _ in range(TRIALS))


@pytest.mark.parametrize("machine", NOISE)
def test_a_version_against_itself_is_no_change(machine: str) -> None:
    assert verdicts(NOISE[machine], 0)[Verdict.SAME] >= 0.995 * TRIALS


@pytest.mark.parametrize("machine", NOISE)
def test_a_tenth_slower_is_found(machine: str) -> None:
    found = verdicts(NOISE[machine], 0.10)
    assert found[Verdict.SLOWER] >= 0.95 * TRIALS, found
    assert not found[Verdict.FASTER]


@pytest.mark.parametrize("machine", NOISE)
def test_a_tenth_faster_is_found(machine: str) -> None:
    assert verdicts(NOISE[machine], 1 / 1.1 - 1)[Verdict.FASTER] >= 0.95 * TRIALS


def test_two_files_in_turns_are_paired() -> None:
    moods = [1.0, 3.0, 1.2, 2.0, 5.0, 1.0, 2.5, 1.1]
    old = [block(2 * i, mood) for i, mood in enumerate(moods)]
    new = [block(2 * i + 1, mood * 1.05) for i, mood in enumerate(moods)]
    found = compare("x", old, new)
    assert found.paired
    assert found.verdict is Verdict.SLOWER
    assert found.changes[0].change == pytest.approx(0.05)
    assert found.changes[0].machine_change == 0


def test_turns_of_several_blocks_are_paired() -> None:
    """Three runs of each version, as `--append` makes them, while the machine becomes slower and slower."""
    old = [block(100 * turn + i, 10.0 * (1 + turn)) for turn in range(3) for i in range(4)]
    new = [block(100 * turn + 50 + i, 10.6 * (1 + turn)) for turn in range(3) for i in range(4)]
    found = compare("x", old, new)
    assert found.paired
    assert found.verdict is Verdict.SLOWER
    one_after_the_other = [{**each, "at": each["at"] + 1000} for each in new]
    assert not compare("x", old, one_after_the_other).paired
    assert not compare("x", old, new[:-1]).paired


def test_parts_of_one_film_are_paired_though_measured_one_after_the_other() -> None:
    costs = [1.0, 9.0, 2.0, 5.0, 1.0, 7.0, 3.0, 4.0]
    old = [block(i, cost, part=i) for i, cost in enumerate(costs)]
    new = [block(100 + i, cost * 1.1, part=i) for i, cost in enumerate(costs)]
    assert compare("x", old, new).paired
    assert compare("x", old, new).verdict is Verdict.SLOWER
    unlike = [{**each, "part": None} for each in new]
    assert not compare("x", old, unlike).paired
    assert compare("x", old, unlike).verdict is Verdict.SAME


def test_a_slower_machine_is_no_slower_version() -> None:
    old = [block(i, 10.0) for i in range(8)]
    new = [block(100 + i, 11.0, pace={"wall_ms": 1.1, "cpu_ms": 1.1}) for i in range(8)]
    found = compare("x", old, new)
    assert found.verdict is Verdict.SAME
    assert found.changes[0].machine_change == pytest.approx(0.1)
    much = [{**each, "samples_ms": [13.0]} for each in new]
    assert compare("x", old, much).verdict is Verdict.SLOWER


def test_waiting_for_other_programs_is_no_slower_version() -> None:
    old = [block(2 * i, 10.0, others=0.5) for i in range(8)]
    new = [block(2 * i + 1, 15.0, cpu_ms=10.0, others=0.6) for i in range(8)]
    found = compare("x", old, new)
    assert found.disturbed
    assert found.verdict is Verdict.SAME
    alone = [{**each, "others": 0.02} for each in new]
    assert compare("x", [{**each, "others": 0.02} for each in old], alone).verdict is Verdict.SLOWER
    unknown = [{**each, "others": None} for each in new]
    assert not compare("x", old, unknown).disturbed


def test_small_changes_are_of_no_interest_unless_asked_for() -> None:
    old = [block(2 * i, 10.0) for i in range(8)]
    new = [block(2 * i + 1, 10.2) for i in range(8)]
    assert compare("x", old, new).verdict is Verdict.SAME
    assert compare("x", old, new, 0.01).verdict is Verdict.SLOWER


def test_more_processor_time_counts_where_the_latency_is_the_same() -> None:
    old = [block(2 * i, 10.0) for i in range(8)]
    new = [block(2 * i + 1, 10.0, cpu_ms=12.0) for i in range(8)]
    assert compare("x", old, new).verdict is Verdict.SLOWER
    faster = [{**each, "samples_ms": [5.0]} for each in new]
    assert compare("x", old, faster).verdict is Verdict.FASTER


def test_too_few_blocks_say_so() -> None:
    old, new = [block(i, 10.0) for i in range(3)], [block(10 + i, 20.0) for i in range(3)]
    found = compare("x", old, new)
    assert found.verdict is Verdict.UNKNOWN
    assert found.changes[0].low is None


def test_documents_are_matched_by_label() -> None:
    def result(label: str, latency: float, at: float) -> dict[str, Any]:
        return {"label": label, "blocks": [block(at + 2 * i, latency) for i in range(8)]}

    old = {"kind": "engine", "results": [result("a", 10, 0), result("b", 10, 0)]}
    new = {"kind": "engine", "results": [result("b", 12, 1), result("c", 1, 1)]}
    (found,) = diff(old, new)
    assert (found.label, found.verdict) == ("b", Verdict.SLOWER)
    with pytest.raises(UsageError, match="no result in common"):
        diff(old, {"kind": "engine", "results": [result("z", 1, 0)]})
    with pytest.raises(UsageError, match="cannot compare"):
        diff(old, {**new, "kind": "pipeline"})
