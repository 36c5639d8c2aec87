"""What happens on the card after a build, on a stand-in for library and card that computes what the network does."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.fake_tensorrt.bench import Bench
from tests.media_samples import Clip, write_clip
from tests.unit.export.engines.test_building import Watcher
from tests.unit.models.packages import tiny

from fastrestore.export.engines import tuning
from fastrestore.export.engines.building import build_all
from fastrestore.export.engines.plan import PlannedEngine
from fastrestore.export.engines.proving import prove_on_card
from fastrestore.export.engines.targets import Target
from fastrestore.models.spec import ModelSpec
from fastrestore.runtime.backends.tensorrt import Surroundings
from fastrestore.runtime.cache.entry import CachedEngine


@pytest.fixture
def spec() -> ModelSpec:
    return tiny()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    assert made.left_behind == []


def around(bench: Bench) -> Surroundings:
    return bench.backend._around


def planned(bench: Bench, spec: ModelSpec, entry: CachedEngine) -> PlannedEngine:
    return PlannedEngine(spec, Target("8.9", bench.card.name, 0), entry.key, entry)


def test_a_new_engine_is_proved_on_its_card(bench: Bench, spec: ModelSpec) -> None:
    entry = bench.build(spec)
    cache = bench.cache()
    prover = partial(prove_on_card, around=around(bench))
    (outcome,) = build_all([planned(bench, spec, entry)], cache, Watcher(), prover=prover)
    assert outcome.state == "cached" and outcome.entry is not None and outcome.entry.proof is not None
    assert cache.find(entry.key) == outcome.entry and bench.references == 1
    again = prover(planned(bench, spec, entry), outcome.entry, cache)
    assert again.entry == outcome.entry and bench.references == 1, "what is proved is not run again"


def test_an_engine_that_computes_something_else_is_not_used(bench: Bench, spec: ModelSpec) -> None:
    entry = bench.build(spec, fault="darker")
    (outcome,) = build_all(
        [planned(bench, spec, entry)], bench.cache(), Watcher(), prover=partial(prove_on_card, around=around(bench))
    )
    assert outcome.state == "failed" and "differs from the fp32 reference" in outcome.problem
    found = bench.cache().find(entry.key)
    assert found is not None and found.proof is None


def test_a_clip_of_the_users_is_shown_to_it_as_well(bench: Bench, spec: ModelSpec, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mkv"
    write_clip(clip, Clip(pictures="noise", frames=8))
    entry = bench.build(spec)
    cache = bench.cache()
    proved = prove_on_card(planned(bench, spec, entry), entry, cache, clip=clip, around=around(bench)).entry
    assert bench.references == 2
    plain = prove_on_card(planned(bench, spec, entry), proved, cache, around=around(bench)).entry
    assert plain == proved and bench.references == 2, "the proof on the clip counts"
    with bench.restarted().open_entry(spec, proved):
        assert bench.references == 2, "and the backend takes it"


def test_batch_and_streams_are_measured_and_kept(
    bench: Bench, spec: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "SECONDS", 0.0)
    entry = bench.build(spec)
    cache = bench.cache()
    tried = prove_on_card(planned(bench, spec, entry), entry, cache, tune=True, around=around(bench))
    assert tried.tuning is not None and len(tried.tuning["measured"]) == 2 * len(tuning.STREAMS)
    facts = tuning.choice_facts(entry.key, bench.card, bench.driver)
    assert cache.choices.get(tuning.CHOICE, facts) == tried.tuning
