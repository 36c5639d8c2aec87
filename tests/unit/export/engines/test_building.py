"""From a wish to engines in the cache: what is planned, what is built, what is taken from there."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.export.engines import provers
from tests.unit.export.engines.builds import RTX, needs_rtx
from tests.unit.models.packages import make

from fastrestore import api
from fastrestore.errors import DeviceError, EngineBuildError, EngineError, ModelError, UsageError
from fastrestore.export.engines import building, request
from fastrestore.export.engines.building import Outcome, build_all
from fastrestore.export.engines.plan import PlannedEngine, Wish, networks, plan_engines
from fastrestore.export.engines.progress import BuildProgress
from fastrestore.export.engines.request import BuildRequest, carry_out, make_plan, require_all
from fastrestore.export.engines.targets import Target
from fastrestore.export.engines.workers import build_in_processes, groups_of
from fastrestore.geometry import Size
from fastrestore.runtime.cache.engines import EngineCache
from fastrestore.runtime.cache.entry import BuiltEngine
from fastrestore.runtime.engine_key import BuildOptions, EngineKey
from fastrestore.runtime.profiles import usual_profiles

AMPERE, ADA = Target("8.6"), Target("8.9")
ONE = Wish(models=("film-x2-tiny",), profiles=("sd",))


class Watcher:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.states: dict[int, str] = {}
        self.shares: dict[int, list[float]] = {}

    def progress(self, place: int, progress: BuildProgress) -> None:
        self.shares.setdefault(place, []).append(progress.share)

    def finished(self, place: int, outcome: Outcome) -> None:
        assert place not in self.states
        self.states[place] = outcome.state


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> list[EngineKey]:
    """The builder's place taken by one that makes a plan in no time; what it was asked for."""
    asked: list[Any] = []

    def build(order: Any, on_progress: Any, timing: Any) -> BuiltEngine:
        asked.append(order)
        if order.spec.name == "clean-x2-tiny":
            raise EngineBuildError("it does not like the name", "use another")
        on_progress(BuildProgress(0.5, "half"))
        return BuiltEngine(f"{order.spec.name} {order.profile}".encode())

    monkeypatch.setattr(building, "build", build)
    return asked


def planned(wish: Wish, cache: EngineCache, targets: Sequence[Target] = (AMPERE,)) -> tuple[PlannedEngine, ...]:
    return plan_engines(wish, RTX, targets, cache)


# -- what is planned ------------------------------------------------------------------------------------------------


def test_every_network_is_planned_in_its_usual_profiles(cache: EngineCache) -> None:
    plan = planned(Wish(), cache, (AMPERE, ADA))
    labels = [engine.label for engine in plan]
    assert len(labels) == len(set(labels)) == 2 * sum(len(usual_profiles(spec)) for spec in networks(()))
    assert labels[:2] == ["film-x2-tiny tile sm_86", "film-x2-tiny sd sm_86"]
    assert all(engine.key.precision == "fp16" and engine.cached is None for engine in plan)
    assert {engine.key.capability for engine in plan} == {"8.6", "8.9"}
    assert not cache.folder.exists(), "looking leaves nothing"


def test_models_families_profiles_and_sizes_are_chosen(cache: EngineCache) -> None:
    wish = Wish(("film", "clean-x2-tiny"), profiles=("uhd",), sizes=(Size(640, 480), Size(640, 480)), precision="fp32")
    assert [(e.spec.name, e.key.profile.name, e.key.precision) for e in planned(wish, cache)] == [
        (name, profile, "fp32")
        for name in ("film-x2-tiny", "film-x4-tiny", "clean-x2-tiny")
        for profile in ("uhd", "640x480")
    ]


def test_models_of_the_user_are_planned_in_the_precision_that_they_have(
    cache: EngineCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTRESTORE_MODELS", str(tmp_path / "models"))
    make(tmp_path / "models", "mine")
    assert "mine" in [spec.name for spec in networks(())]
    (engine,) = planned(Wish(("mine",), ("sd",)), cache)
    assert engine.key.precision == "fp32", "it has no fp16 file"
    with pytest.raises(ModelError, match="no fp16 file"):
        planned(Wish(("mine",), precision="fp16"), cache)


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        (Wish(("no-such",)), "unknown model"),
        (Wish(("lanczos",)), "`lanczos` is no network"),
        (Wish(profiles=("4k",)), "unknown profile"),
        (Wish(options=BuildOptions(version_compatible=True)), "no option `version compatible`"),
    ],
)
def test_wishes_that_cannot_be_met(cache: EngineCache, wish: Wish, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        planned(wish, cache)


# -- what is built --------------------------------------------------------------------------------------------------


def test_what_is_there_is_not_built_again(cache: EngineCache, builder: list[Any]) -> None:
    watcher = Watcher()
    first = build_all(planned(ONE, cache), cache, watcher)
    assert ([o.state for o in first], watcher.states, watcher.shares) == (["built"], {0: "built"}, {0: [0.5]})
    again = planned(ONE, cache)
    assert again[0].cached == first[0].entry
    assert [o.state for o in build_all(again, cache, Watcher())] == ["cached"]
    assert len(builder) == 1
    assert [o.state for o in build_all(again, cache, Watcher(), anew=True)] == ["built"]
    assert len(builder) == 2


def changed(value: Any) -> list[Any]:
    """Return values with one field changed each, however deep."""
    if is_dataclass(value) and not isinstance(value, type):
        return [
            replace(value, **{field.name: other})
            for field in fields(value)
            for other in changed(getattr(value, field.name))
        ]
    if value is None:
        return [1]
    return [not value] if isinstance(value, bool) else [value + 1] if isinstance(value, int) else [value + "1"]


def test_any_change_of_the_key_builds_anew(cache: EngineCache, builder: list[Any]) -> None:
    (engine,) = planned(ONE, cache)
    others = [replace(engine, key=key) for key in changed(engine.key) if key.backend == engine.key.backend]
    # The file is looked up by model and precision: those two change with it, as a user's do.
    others = [other for other in others if other.key.precision == engine.key.precision]
    assert len(others) > 20
    build_all([engine], cache, Watcher())
    outcomes = build_all(others, cache, Watcher())
    assert {outcome.state for outcome in outcomes} == {"built"}
    assert len(builder) == 1 + len(others)
    assert len({o.entry.path for o in outcomes if o.entry}) == len(others)


def test_one_that_fails_keeps_no_other_from_being_built(cache: EngineCache, builder: list[Any]) -> None:
    plan = make_plan(BuildRequest(Wish(("clean", "film"), ("sd",)), "tensorrt-rtx", ("sm_86",)), cache)
    outcomes = carry_out(plan, cache, Watcher())
    assert {(e.spec.name, o.state) for e, o in zip(plan.engines, outcomes, strict=True)} == {
        ("film-x2-tiny", "built"),
        ("film-x4-tiny", "built"),
        ("clean-x2-tiny", "failed"),
        ("clean-x4-tiny", "built"),
    }
    with pytest.raises(
        EngineBuildError, match="1 of 4 engines could not be built, clean-x2-tiny sd sm_86: it does not"
    ):
        require_all(plan, outcomes)
    assert len(cache.entries()) == 3


def test_what_an_engine_of_no_card_here_cannot_have(cache: EngineCache) -> None:
    for change in ({"tune": True}, {"calibrate": Path("clip.mp4")}):
        wanted = BuildRequest(ONE, "tensorrt-rtx", ("sm_86",), **change)  # type: ignore[arg-type]
        with pytest.raises(DeviceError, match="there is no card here for sm_86"):
            make_plan(wanted, cache)


def test_an_interrupted_build_leaves_nothing(cache: EngineCache, builder: list[Any]) -> None:
    class Interrupting(Watcher):
        def progress(self, place: int, progress: BuildProgress) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_all(planned(ONE, cache), cache, Interrupting())
    assert cache.entries() == [] and not list(cache.folder.glob("*.*"))


# -- in processes of their own ---------------------------------------------------------------------------------------


def test_each_card_has_a_process_and_what_needs_none_shares_some(cache: EngineCache) -> None:
    targets = (Target("8.9", index=1), Target("8.6"), Target("7.5"), Target("12.0", index=0))
    plan = planned(Wish(("film",), ("sd",)), cache, targets)
    assert groups_of(plan) == [[0, 1], [6, 7], [2, 3, 4, 5]]
    assert groups_of(plan, 2) == [[0, 1], [6, 7], [2, 4], [3, 5]]
    assert groups_of(plan, 9) == [[0, 1], [6, 7], [2], [3], [4], [5]]
    assert groups_of([]) == []


@pytest.fixture
def on_two_cards(cache: EngineCache, builder: list[Any]) -> tuple[PlannedEngine, ...]:
    """Four engines that are built and wait to be run on two cards that are not really there."""
    targets = (Target("8.9", index=1), Target("8.6", index=0))
    plan = planned(Wish(("film",), ("sd",)), cache, targets)
    build_all(plan, cache, Watcher())
    return plan


def test_cards_work_apart_and_see_only_themselves(
    cache: EngineCache, on_two_cards: tuple[PlannedEngine, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 5")
    watcher = Watcher()
    outcomes = build_in_processes(on_two_cards, cache, watcher, prover=provers.proves)
    seen = [dict(outcome.entry.proof or {}) for outcome in outcomes if outcome.entry]
    assert [proof["visible"] for proof in seen] == ["5", "5", "3", "3"]
    processes = [proof["process"] for proof in seen]
    assert processes[0] == processes[1] != processes[2] == processes[3]
    assert watcher.states == dict.fromkeys(range(4), "cached")
    assert {str(outcome.tuning) for outcome in outcomes} == {"{'batch': 2}"}


def test_a_process_that_dies_costs_the_engine_under_way(
    cache: EngineCache, on_two_cards: tuple[PlannedEngine, ...]
) -> None:
    watcher = Watcher()
    outcomes = build_in_processes(on_two_cards[:2], cache, watcher, prover=provers.dies)
    assert [outcome.state for outcome in outcomes] == ["failed", "cached"]
    assert outcomes[0].problem == f"the building process ended by signal {signal.SIGSEGV.name}"
    assert watcher.states == {0: "failed", 1: "cached"}


def test_what_stops_one_process_for_good_stops_all(cache: EngineCache, on_two_cards: tuple[PlannedEngine, ...]) -> None:
    with pytest.raises(EngineError, match="fell off the bus") as caught:
        build_in_processes(on_two_cards, cache, Watcher(), prover=provers.breaks)
    assert caught.value.hint == "reboot"


def test_an_engine_that_disagrees_with_the_reference_has_failed(
    cache: EngineCache, on_two_cards: tuple[PlannedEngine, ...]
) -> None:
    outcomes = build_all(on_two_cards[:2], cache, Watcher(), prover=provers.disagrees)
    assert [outcome.state for outcome in outcomes] == ["failed", "cached"]
    assert "differs from the fp32 reference by 5.00e-01" in outcomes[0].problem


def test_what_is_proved_needs_no_card_again(
    cache: EngineCache, on_two_cards: tuple[PlannedEngine, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second run only looks into the cache, even where there are cards."""
    build_all(on_two_cards, cache, Watcher(), prover=provers.proves)
    monkeypatch.setattr(request, "build_in_processes", None)
    plan = request.BuildPlan(BuildRequest(), RTX, planned(Wish(("film",), ("sd",)), cache, (Target("8.9", index=1),)))
    assert plan.missing == 0
    assert [outcome.state for outcome in carry_out(plan, cache, Watcher())] == ["cached", "cached"]


@needs_rtx
def test_processes_build_for_real(cache: EngineCache) -> None:
    plan = make_plan(BuildRequest(Wish(("film",), ("sd",)), "tensorrt-rtx", ("sm_86",), jobs=2), cache)
    watcher = Watcher()
    outcomes = carry_out(plan, cache, watcher)
    assert [outcome.state for outcome in outcomes] == ["built", "built"]
    assert all(shares == sorted(shares) and shares[-1] == 1 for shares in watcher.shares.values())
    assert len(watcher.shares) == 2
    for outcome in outcomes:
        assert outcome.entry is not None and outcome.entry.proof is None
        assert outcome.entry.inspector["engine"]["layers"] and outcome.entry.log_tail
        assert cache.load(outcome.entry)


@needs_rtx
def test_from_python(cache: EngineCache) -> None:
    seen: list[tuple[str, float]] = []
    made = api.build_engines(
        ["film-x2-tiny"],
        backend="tensorrt-rtx",
        devices=["sm_89"],
        sizes=["640x480"],
        on_progress=lambda *a: seen.append(a),
    )
    assert [entry.key.profile.name for entry in made] == ["640x480"] and cache.entries() == made
    assert seen[-1] == ("film-x2-tiny 640x480 sm_89", 1.0) and len(seen) > 10
