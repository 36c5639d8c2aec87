"""The engine contract over TensorRT: on a fake library everywhere, on the real ones where there is a card."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.contract.test_engine import (  # collected here again, with the fixtures below
    picture,
    test_blended_seams_stay_below_the_pictures_own_gradient,
    test_close_twice_is_fine_and_use_after_close_is_not,
    test_engine_refuses_what_does_not_fit,
    test_engine_writes_every_element_of_the_callers_buffer,
    test_halo_is_no_larger_than_needed,
    test_tiled_equals_whole,
    test_tone_is_kept,
)
from tests.fake_tensorrt.bench import Bench

from fastrestore.models.catalog import find
from fastrestore.models.spec import ModelSpec
from fastrestore.runtime.backends.tensorrt import Surroundings, TensorRtBackend
from fastrestore.runtime.backends.tensorrt_library import FLAVOURS as LIBRARIES
from fastrestore.runtime.cache.engines import EngineCache
from fastrestore.runtime.engine import Backend, BuiltAhead, Engine, PhasedEngine
from fastrestore.runtime.engine_key import Profile, Shape
from fastrestore.runtime.gate import prove, reference
from fastrestore.runtime.memory import usable_cards
from fastrestore.runtime.seal import Seal

__all__ = [
    "test_blended_seams_stay_below_the_pictures_own_gradient",
    "test_close_twice_is_fine_and_use_after_close_is_not",
    "test_engine_refuses_what_does_not_fit",
    "test_engine_writes_every_element_of_the_callers_buffer",
    "test_halo_is_no_larger_than_needed",
    "test_tiled_equals_whole",
    "test_tone_is_kept",
]
RANGE = Profile("tile", Shape(1, 32, 32), Shape(1, 64, 64), Shape(2, 200, 200))
FLAVOURS = ("tensorrt", "tensorrt-rtx")
REAL = [pytest.param(name, marks=pytest.mark.needs_cuda, id=f"{name}-real") for name in FLAVOURS]
FAKE = [pytest.param(name, id=f"{name}-fake") for name in FLAVOURS]


@pytest.fixture(scope="module")
def spec() -> ModelSpec:
    return find("film-x2-tiny")


@pytest.fixture(params=[*FAKE, *REAL], scope="module")
def backend(
    request: pytest.FixtureRequest, spec: ModelSpec, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Backend]:
    folder = tmp_path_factory.mktemp(request.param)
    if request.node.get_closest_marker("needs_cuda"):
        yield built_backend(request.param, spec, folder)
        return
    bench = Bench(folder, request.param)
    bench.build(spec, RANGE, "fp32")
    yield bench.backend
    assert bench.left_behind == []


def built_backend(name: str, spec: ModelSpec, folder: Path) -> Backend:
    """Return the real backend, over an engine built for the card that is here."""
    from fastrestore.export.engines.building import build_all
    from fastrestore.export.engines.plan import Wish, plan_engines
    from fastrestore.export.engines.targets import find_targets

    made = TensorRtBackend(LIBRARIES[name], Surroundings(cache=lambda: cache(folder)))
    if problem := made.unavailable_because():
        if isinstance(usable_cards(), str):
            pytest.fail(f"a card was asked for: {problem}")
        pytest.skip(problem)
    wish = Wish((spec.name,), ("tile",), precision="fp32")
    planned = plan_engines(wish, LIBRARIES[name], find_targets(LIBRARIES[name]), cache(folder))
    outcomes = build_all(planned, cache(folder), Unwatched())
    assert [outcome.problem for outcome in outcomes] == [""] * len(planned)
    return made


def cache(folder: Path) -> EngineCache:
    return EngineCache(folder / "engines", seal=Seal(folder / "seal.key"))


class Unwatched:
    def progress(self, place: int, progress: object) -> None:
        pass

    def finished(self, place: int, outcome: object) -> None:
        pass


@pytest.fixture
def engine(backend: Backend, spec: ModelSpec) -> Iterator[Engine]:
    with backend.open(spec, threads=1) as opened:
        yield opened


def test_a_batch_of_any_length_is_what_its_pictures_are(engine: Engine) -> None:
    """Also one longer than the engine takes at once, and pictures smaller than it takes."""
    pictures = np.stack([picture(40, 24) * share for share in (1.0, 0.8, 0.6, 0.4, 0.2)]).astype(np.float32)
    batch, one = results(engine, pictures), [results(engine, each[None]) for each in pictures]
    np.testing.assert_allclose(batch, np.concatenate(one), atol=1e-6)


def test_agrees_with_the_reference(engine: Engine, spec: ModelSpec) -> None:
    with reference(spec, threads=1) as standard:
        proof = prove(engine, standard, [picture(96, 64)], [Shape(2, 64, 96)], precision="fp32")
    assert proof.holds


def test_phases_are_told(engine: Engine) -> None:
    assert isinstance(engine, PhasedEngine)
    spec, image = engine.spec, picture(48, 40)[None]
    out = np.empty((1, 3, 40 * spec.scale, 48 * spec.scale), np.float32)
    wanted = results(engine, image)
    times = engine.run_phased({spec.inputs[0].name: image}, {spec.outputs[0].name: out})
    assert min(times.enqueue_s, times.h2d_s, times.compute_s, times.d2h_s) > 0
    np.testing.assert_array_equal(out, wanted)
    untouched = np.full_like(out, 7)
    times = engine.run_phased({spec.inputs[0].name: image}, {spec.outputs[0].name: untouched}, transfers=False)
    assert (untouched == 7).all() and times.compute_s > 0


def test_says_beforehand_what_it_will_take(backend: Backend, engine: Engine, spec: ModelSpec) -> None:
    assert isinstance(backend, BuiltAhead)
    assert backend.missing(spec, None) is None
    assert backend.largest(spec, None) == engine.largest


def results(engine: Engine, batch: np.ndarray) -> np.ndarray:
    spec = engine.spec
    count, _, height, width = batch.shape
    out = np.full((count, 3, height * spec.scale, width * spec.scale), np.nan, np.float32)
    engine.run({spec.inputs[0].name: np.ascontiguousarray(batch)}, {spec.outputs[0].name: out})
    return out
