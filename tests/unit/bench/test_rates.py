"""Rates: what follows from measured runs, and for what they hold."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.bench.planning_samples import CPU_S, WAY, WORK, measured, result

from fastrestore.bench.rates import Rates, choose, rates_of, read_rates
from fastrestore.errors import UsageError


def rates(**changes: str) -> Rates:
    return replace(rates_of(measured(), "x")[0], way={**WAY, **changes})


def test_each_stage_costs_what_its_run_took_more() -> None:
    document = measured()
    for run in document["results"]:  # threads of libraries are not seen by the stages: what they say is no measure
        run["stages"]["restore"]["busy_s"] /= 8
    (found,) = rates_of(document, "x")
    groups = (("decode", "restore"), ("motion", "synthesize"), ("encode", "verify"))
    for group in groups:
        cpu_s = sum(found.stages[stage].cpu_s * WORK[stage] for stage in group)
        assert cpu_s == pytest.approx(sum(CPU_S[stage] * WORK[stage] for stage in group))


@pytest.mark.parametrize("others", [0.0, 0.6])
def test_the_measured_run_itself_is_predicted_as_if_it_had_been_alone(others: float) -> None:
    (found,) = rates_of(measured(result(*CPU_S, others=others)), "x")
    assert found.cpu_s(WORK) == pytest.approx(sum(CPU_S[stage] * WORK[stage] for stage in CPU_S))
    alone = result(*CPU_S)
    used = alone["cpu_s"] / (alone["wall_s"] / (1 - others)) / 4
    assert used < 1 - others
    assert found.start_s + found.steady_s(WORK) == pytest.approx(alone["wall_s"])
    assert found.output_bytes(25, 2.0) == pytest.approx(1_000_000)


def test_twice_the_pixels_take_twice_the_time_and_less_than_twice_the_bytes() -> None:
    found = rates()
    assert found.steady_s({stage: 2 * mpx for stage, mpx in WORK.items()}) == pytest.approx(2 * found.steady_s(WORK))
    assert found.output_bytes(50, 2.0) == pytest.approx(2_000_000)
    assert found.output_bytes(25, 4.0) == pytest.approx(2_000_000 / 2**0.25)


def test_a_single_slow_stage_sets_the_pace() -> None:
    found = rates()
    lone = {**dict.fromkeys(WORK, 0.0), "encode": 100.0}
    assert found.steady_s(lone) == pytest.approx(found.stretch * found.stages["encode"].alone_s * 100.0)


def test_rates_serve_the_same_way_and_one_with_a_stage_less() -> None:
    found = rates()
    assert found.serves(WAY)
    assert found.serves({**WAY, "motion": "nothing", "order": "upscale-first"})
    assert found.serves({**WAY, "restore": "nothing"})
    assert found.serves({**WAY, "verify": "no"})
    assert found.serves({**WAY, "threads": "8"})
    for key, value in (("motion", "motion-tiny"), ("restore", "film-x4-tiny"), ("codec", "x265"), ("crf", "30")):
        assert not found.serves({**WAY, key: value})
    assert not rates(motion="nothing").serves(WAY)


def test_the_very_same_way_is_chosen_first() -> None:
    near, same = rates(threads="3"), rates()
    assert choose([near, same], WAY) is same
    assert choose([near], WAY) is near
    with pytest.raises(UsageError, match=r"no rates for restore film-x2-tiny.*measured: nothing"):
        choose([], WAY)


def test_they_survive_being_written() -> None:
    found = rates()
    assert Rates.from_dict(json.loads(json.dumps(found.as_dict()))) == found


def broken(change: str) -> dict[str, Any]:
    document = measured()
    if change == "kind":
        document["kind"] = "sweep"
    elif change == "way":
        del document["results"][0]["way"]
    elif change == "null":
        document["results"] = document["results"][:2]
    else:
        del document["results"][2]["cpu_s"]
    return document


@pytest.mark.parametrize(
    ("change", "words"),
    [("kind", "`bench sweep`"), ("way", "earlier version"), ("null", "no conversion"), ("cpu", "incomplete")],
)
def test_documents_that_do_not_tell_are_refused(change: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "rates.json"
    path.write_text(json.dumps(broken(change)), encoding="utf-8")
    with pytest.raises(UsageError, match=words):
        read_rates(path)
