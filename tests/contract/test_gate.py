"""Law 7, over every backend that can run here: an engine is used only after it agreed with the fp32 reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastrestore.errors import EngineProofError
from fastrestore.models.catalog import find
from fastrestore.models.spec import ModelSpec
from fastrestore.runtime import calibration, gate
from fastrestore.runtime.engine import BACKENDS, Backend, load_backend
from fastrestore.runtime.engine_key import Shape

REFERENCE = "onnxruntime"
"""What the others are held against: it needs no proof."""


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("FASTRESTORE_ENGINES", str(tmp_path / "engines"))
    return tmp_path / "engines"


@pytest.fixture(params=list(BACKENDS))
def backend(request: pytest.FixtureRequest) -> Backend:
    found = load_backend(request.param)
    if problem := found.unavailable_because():
        pytest.skip(problem)
    return found


@pytest.fixture
def spec() -> ModelSpec:
    return find("film-x2-tiny")


def test_what_a_backend_hands_out_agrees_with_the_reference(backend: Backend, spec: ModelSpec) -> None:
    """At other sizes than those that the gate itself looks at: none of them is special."""
    shapes = [Shape(1, 72, 150), Shape(3, 41, 64)]
    with backend.open(spec, threads=1) as engine, gate.reference(spec, threads=1) as standard:
        # The loosest tolerance: each backend's own was applied before it handed this out.
        assert gate.prove(engine, standard, calibration.default_frames(), shapes, precision="bf16").holds


def test_no_backend_hands_out_what_the_gate_refuses(
    backend: Backend, spec: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    if backend.name == REFERENCE:
        pytest.skip("it is the reference")
    tried: list[Any] = []

    def refuse(trial: Any) -> Any:
        tried.append(trial)
        raise EngineProofError(1.0, 0.002, "it was made up", "use another")

    with monkeypatch.context() as refusing:
        refusing.setattr(gate._Trial, "agreements", refuse)
        with pytest.raises(EngineProofError, match="made up"):
            _used(backend, spec)
    with pytest.raises(EngineProofError, match="made up"):
        _used(backend, spec)
    assert len(tried) == 1, "refused from what is on record, without being run"


def _used(backend: Backend, spec: ModelSpec) -> None:
    """Open an engine and run it once: where a model is compiled for a shape, it is proved when that is known."""
    given, made = spec.inputs[0], spec.outputs[0]
    with backend.open(spec, threads=1) as engine:
        out = {made.name: np.empty(made.shape(1, 16, 16), np.float32)}
        engine.run({given.name: np.zeros(given.shape(1, 16, 16), np.float32)}, out)


def test_the_reference_costs_nothing(spec: ModelSpec, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Conversions on the CPU are no slower for the gate: it is not asked, and no frame is decoded for it."""
    monkeypatch.setattr(gate, "require_proof", lambda *arguments, **facts: pytest.fail("the gate was asked"))
    monkeypatch.setattr(calibration, "default_frames", lambda: pytest.fail("frames were decoded"))
    load_backend(REFERENCE).open(spec, threads=1).close()
    assert not folder.exists()
