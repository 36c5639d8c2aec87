"""The engine contract and law 1 (tiled equals whole), over every backend that can run here."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from fastrestore.errors import EngineError, EngineIncompatibleError, UsageError
from fastrestore.frames import FloatImage
from fastrestore.geometry import Size
from fastrestore.models.catalog import catalog
from fastrestore.models.spec import ModelSpec, Task
from fastrestore.runtime.engine import BACKENDS, Backend, Engine, choose_backend, load_backend
from fastrestore.runtime.restorer import TiledNetwork

NETWORKS = [spec for spec in catalog() if spec.task is Task.RESTORE and not spec.classical]
TILED_TOLERANCE = 1e-5
"""Tiles change the order in which convolutions add up, so float32 rounding is all that may differ."""

BEYOND_ROUNDING = 1e6
"""A pixel so bright that what is left of it after many layers is no smaller than the rounding of what is there."""


@pytest.fixture(params=list(BACKENDS))
def backend(request: pytest.FixtureRequest) -> Backend:
    found = load_backend(request.param)
    if problem := found.unavailable_because():
        pytest.skip(problem)
    return found


@pytest.fixture(params=NETWORKS, ids=lambda spec: spec.name)
def spec(request: pytest.FixtureRequest) -> ModelSpec:
    found: ModelSpec = request.param
    return found


@pytest.fixture
def engine(backend: Backend, spec: ModelSpec) -> Iterator[Engine]:
    with backend.open(spec, threads=1) as opened:
        yield opened


def picture(width: int, height: int) -> FloatImage:
    rng = np.random.default_rng(3)
    smooth = cv2.resize(rng.random((8, 8, 3)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    noisy = smooth + rng.normal(0, 0.05, smooth.shape).astype(np.float32)
    return np.ascontiguousarray(np.clip(noisy, 0, 1).transpose(2, 0, 1))


@pytest.mark.parametrize(("width", "height", "tile"), [(130, 97, 64), (200, 40, 72), (41, 150, 48)])
def test_tiled_equals_whole(engine: Engine, width: int, height: int, tile: int) -> None:
    more = 2 * max(0, engine.spec.halo_px - 8)  # a tile has to be larger than what it sees around itself
    image = picture(width + more, height + more)
    whole = TiledNetwork(engine).run(image).copy()
    tiled = TiledNetwork(engine, tile + more)
    assert len(tiled.plan(Size(width + more, height + more))) > 1
    np.testing.assert_allclose(tiled.run(image), whole, atol=TILED_TOLERANCE)


def test_halo_is_no_larger_than_needed(engine: Engine) -> None:
    """The catalogue's halo is the reach: a changed pixel changes nothing farther away, and something that far."""
    reach, scale = engine.spec.halo_px, engine.spec.scale
    middle = reach + 4
    image = picture(2 * middle + 1, 2 * middle + 1)
    whole = TiledNetwork(engine).run(image).copy()
    image[:, middle, middle] = BEYOND_ROUNDING
    changed = np.abs(TiledNetwork(engine).run(image) - whole).max(axis=0) > 0
    rows = np.flatnonzero(changed.any(axis=1))
    assert (middle - reach) * scale <= rows.min()
    assert rows.max() < (middle + reach + 1) * scale
    assert rows.min() < (middle - reach + 2) * scale, "a much smaller halo would do"


def test_blended_seams_stay_below_the_pictures_own_gradient(engine: Engine) -> None:
    """Where the halo cannot cover the reach, no step at a seam exceeds what the picture itself shows there."""
    image = picture(140, 120)
    whole = TiledNetwork(engine).run(image).copy()
    blended = TiledNetwork(engine, 72, halo_px=1)
    result = blended.run(image)
    assert blended.plan(Size(140, 120)).blended
    for axis in (1, 2):
        steps = np.abs(np.diff(result - whole, axis=axis))
        natural = np.abs(np.diff(whole, axis=axis))
        assert steps.max() <= np.percentile(natural, 99)
    assert np.abs(result - whole).max() < 0.1


def test_engine_refuses_what_does_not_fit(engine: Engine) -> None:
    spec = engine.spec
    batch = np.zeros((1, 3, 16, 16), np.float32)
    out = np.zeros((1, 3, 16 * spec.scale, 16 * spec.scale), np.float32)
    with pytest.raises(EngineIncompatibleError):
        engine.run({"other": batch}, {spec.outputs[0].name: out})
    with pytest.raises(EngineIncompatibleError):
        engine.run({spec.inputs[0].name: batch.astype(np.float64)}, {spec.outputs[0].name: out})
    with pytest.raises(EngineIncompatibleError):
        engine.run({spec.inputs[0].name: batch}, {spec.outputs[0].name: out[:, :, 1:]})
    with pytest.raises(EngineIncompatibleError):
        engine.run({spec.inputs[0].name: batch[:, :, :, ::2]}, {spec.outputs[0].name: out})


def test_engine_writes_every_element_of_the_callers_buffer(engine: Engine) -> None:
    spec = engine.spec
    out = np.full((2, 3, 20 * spec.scale, 24 * spec.scale), np.nan, np.float32)
    batch = np.stack([picture(24, 20), picture(24, 20)])
    engine.run({spec.inputs[0].name: batch}, {spec.outputs[0].name: out})
    assert np.isfinite(out).all()
    np.testing.assert_array_equal(out[0], out[1])


def test_close_twice_is_fine_and_use_after_close_is_not(backend: Backend, spec: ModelSpec) -> None:
    engine = backend.open(spec, threads=1)
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        TiledNetwork(engine).run(picture(16, 16))


def test_tone_is_kept(engine: Engine) -> None:
    """A flat grey comes out as the same grey: restoration must not pump brightness."""
    for level in (0.1, 0.5, 0.9):
        image = np.full((3, 48, 48), level, np.float32)
        inside = TiledNetwork(engine).run(image)[:, 32:-32, 32:-32]
        assert abs(float(inside.mean()) - level) < 0.02


def test_auto_says_what_it_took_and_why() -> None:
    choice = choose_backend("auto")
    assert choice.backend.name in BACKENDS
    assert choice.reason
    assert choice.backend.describe()


def test_unknown_backend_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="unknown backend"):
        choose_backend("abacus")
