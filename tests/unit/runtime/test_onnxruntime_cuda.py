"""Backend `onnxruntime-cuda` on a stand-in for the library; on a card, with the real one."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests import fake_onnxruntime, motion_samples

from fastrestore.errors import DeviceError, EngineError, EngineIncompatibleError, EngineProofError
from fastrestore.geometry import Size
from fastrestore.models import store
from fastrestore.models.catalog import find
from fastrestore.models.spec import ModelSpec
from fastrestore.runtime import calibration, gate
from fastrestore.runtime.backends import onnxruntime_cuda, onnxruntime_session
from fastrestore.runtime.backends.onnxruntime_cuda import PROVIDER_OPTIONS, OnnxRuntimeCuda, OnnxRuntimeCudaEngine
from fastrestore.runtime.devices.driver import Card as DriverCard
from fastrestore.runtime.devices.driver import DriverFacts
from fastrestore.runtime.engine_key import Shape

DRIVER = DriverFacts("13.0", "580.65.06", (DriverCard(0, "NVIDIA GeForce RTX 4090", "8.9", 24 << 30),))


@pytest.fixture
def spec() -> ModelSpec:
    return find("film-x2-tiny")


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> fake_onnxruntime.Card:
    """The library that there is stands in for the one for cards; the reference goes on using the real one."""
    import onnxruntime as real

    found = fake_onnxruntime.Card()
    fake = found.module()
    standard = gate.reference

    def reference(spec: ModelSpec, threads: int = 0) -> object:
        with pytest.MonkeyPatch.context() as inner:
            inner.setitem(sys.modules, "onnxruntime", real)
            return standard(spec, 1)

    monkeypatch.setenv("FASTRESTORE_ENGINES", str(tmp_path / "engines"))
    onnxruntime_session._known()  # asked of the real one
    monkeypatch.setitem(sys.modules, "onnxruntime", fake)
    monkeypatch.setattr(gate, "reference", reference)
    monkeypatch.setattr(gate, "usual_shapes", lambda spec: [Shape(1, 64, 64), Shape(2, 64, 96)])
    monkeypatch.setattr(onnxruntime_cuda, "version", lambda package: "1.31.1")
    monkeypatch.setattr(onnxruntime_cuda, "_provider_library", lambda: tmp_path / "libonnxruntime_providers_cuda.so")
    return found


def backend(stream: int = 0, driver: DriverFacts | str = DRIVER) -> OnnxRuntimeCuda:
    return OnnxRuntimeCuda(stream, card=lambda: driver)


def run(engine: OnnxRuntimeCudaEngine, width: int = 40, height: int = 32) -> np.ndarray:
    spec = engine.spec
    given = calibration.arguments(spec, calibration.default_frames(), 1, height, width)
    out = {t.name: np.full(t.shape(1, height, width), np.nan, np.float32) for t in spec.outputs}
    engine.run(given, out)
    return next(iter(out.values()))


def proofs(tmp_path: Path) -> list[dict[str, object]]:
    return [json.loads(path.read_text()) for path in (tmp_path / "engines" / "proofs").glob("*.json")]


def test_it_computes_the_network_in_half_precision(card: fake_onnxruntime.Card, spec: ModelSpec) -> None:
    with backend().open(spec, threads=1) as engine, gate.reference(spec) as standard:
        (session,) = card.sessions
        assert session.settings == {"device_id": "0", **PROVIDER_OPTIONS}
        assert session.options.use_deterministic_compute
        assert session.options.entries["session.disable_cpu_ep_fallback"] == "1"
        found, wanted = run(engine), run(standard)  # type: ignore[arg-type]
        assert 0 < np.abs(found - wanted).max() < 2e-3
        np.testing.assert_array_equal(run(engine), found)
        assert run(engine, 48, 40).shape == (1, 3, 80, 96), "another size takes other buffers"
        np.testing.assert_array_equal(run(engine), found)
    assert card.severities == [4, 2], "the logger is as it was"


def test_algorithms_are_asked_for_not_timed() -> None:
    """Timing may choose otherwise in the next run, and a resumed film would differ from an uninterrupted one."""
    assert PROVIDER_OPTIONS["cudnn_conv_algo_search"] == "HEURISTIC"
    assert set(PROVIDER_OPTIONS) <= fake_onnxruntime.KNOWN_OPTIONS


def test_what_is_staged_is_kept(card: fake_onnxruntime.Card, spec: ModelSpec) -> None:
    with backend().open(spec, threads=1) as engine:
        run(engine)
        before = {name: array.ctypes.data for name, array in engine._staged.items()}
        run(engine)
        assert {name: array.ctypes.data for name, array in engine._staged.items()} == before
        assert set(before) == {"image", "restored"}


def test_a_stream_of_the_caller_is_used(card: fake_onnxruntime.Card, spec: ModelSpec) -> None:
    backend(stream=0x7F00).open(spec, threads=1).close()
    assert card.sessions[-1].settings["user_compute_stream"] == str(0x7F00)


def test_an_engine_is_proved_once(card: fake_onnxruntime.Card, spec: ModelSpec, tmp_path: Path) -> None:
    backend().open(spec, threads=1).close()
    (proof,) = proofs(tmp_path)
    facts = proof["facts"]
    assert isinstance(facts, dict) and proof["holds"]
    assert (facts["device"], facts["driver"], facts["precision"]) == (
        "NVIDIA GeForce RTX 4090",
        "580.65.06 (CUDA 13.0)",
        "fp16",
    )
    assert facts["model_sha256"] == spec.artifact("fp16").sha256 and "HEURISTIC" in facts["options"]
    card.lie = 0.1  # nothing is run any more
    backend().open(spec, threads=1).close()
    newer = replace(DRIVER, release="590.10")
    with pytest.raises(EngineProofError):
        backend(driver=newer).open(spec, threads=1)
    assert len(proofs(tmp_path)) == 2


def test_an_engine_that_disagrees_is_not_handed_out(card: fake_onnxruntime.Card, spec: ModelSpec) -> None:
    card.lie = 0.1
    with pytest.raises(EngineProofError, match="film-x2-tiny"):
        backend().open(spec, threads=1)
    card.lie = 0.0
    with pytest.raises(EngineProofError, match="film-x2-tiny"):
        backend().open(spec, threads=1)


def test_a_session_on_the_cpu_is_refused(
    card: fake_onnxruntime.Card, spec: ModelSpec, capfd: pytest.CaptureFixture[str]
) -> None:
    card.works = False
    with pytest.raises(EngineError, match="on CPUExecutionProvider, wanted CUDAExecutionProvider") as caught:
        backend().open(spec, threads=1)
    assert "libonnxruntime_providers_cuda.so" in caught.value.message, "the loader's own words"
    assert "onnxruntime-gpu[cuda,cudnn]" in caught.value.hint
    assert card.preloaded and not any(capfd.readouterr()), "it would stand among the data"


def test_sizes_may_be_computed_on_the_cpu_and_pictures_not(card: fake_onnxruntime.Card, spec: ModelSpec) -> None:
    card.on_cpu = ("Shape", "Gather", "Concat")
    backend().open(spec, threads=1).close()
    card.on_cpu = ("Shape", "GridSample", "Conv")
    with pytest.raises(EngineError, match="compute Conv, GridSample of `film-x2-tiny` on the CPU"):
        backend().open(spec, threads=1)
    card.tells_places = False
    with pytest.raises(EngineError, match="cannot tell which") as caught:
        backend().open(spec, threads=1)
    assert "--upgrade" in caught.value.hint


def test_what_a_run_fails_with_is_said(card: fake_onnxruntime.Card, spec: ModelSpec) -> None:
    with backend().open(spec, threads=1) as engine:
        card.fault = "Non-zero status code returned while running Conv node. CUDNN_STATUS_EXECUTION_FAILED"
        with pytest.raises(EngineError, match="CUDNN_STATUS_EXECUTION_FAILED"):
            run(engine)
        card.fault = "BFCArena: Failed to allocate memory for requested buffer of size 4096"
        with pytest.raises(DeviceError, match="not enough memory") as caught:
            run(engine)
        assert "--tile" in caught.value.hint


def test_closed_means_closed(card: fake_onnxruntime.Card, spec: ModelSpec) -> None:
    engine = backend().open(spec, threads=1)
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        run(engine)


def test_what_counts_pixels_stays_in_full_precision(card: fake_onnxruntime.Card, tmp_path: Path) -> None:
    spec = motion_samples.shift_at_any_instant(tmp_path, 6.0, 2.0)
    with backend().open(spec, threads=1) as engine:
        assert run(engine, 64, 64).shape == (1, 4, 64, 64)
        assert not engine._staged, "an fp32 file is given the caller's own arrays"


def test_a_file_of_other_types_than_the_model_is_refused(card: fake_onnxruntime.Card, spec: ModelSpec) -> None:
    session = fake_onnxruntime.FakeSession(
        card,
        str(store.locate(spec, "fp32")),
        fake_onnxruntime.FakeOptions(),
        providers=[(fake_onnxruntime.CUDA, {})],
        enable_fallback=0,
    )
    with pytest.raises(EngineIncompatibleError, match="float16"):
        OnnxRuntimeCudaEngine(spec, session, half=True)


def test_why_it_cannot_run(card: fake_onnxruntime.Card, spec: ModelSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    assert backend().unavailable_because() is None
    assert backend().describe() == "onnxruntime-gpu 1.31.1, NVIDIA GeForce RTX 4090, driver 580.65.06"
    without = backend(driver="no NVIDIA driver")
    assert without.unavailable_because() == "no NVIDIA driver"
    with pytest.raises(EngineError, match="no NVIDIA driver"):
        without.open(spec, threads=1)
    monkeypatch.setattr(onnxruntime_cuda, "_provider_library", lambda: None)
    assert "overwritten" in str(backend().unavailable_because())
    monkeypatch.setattr(onnxruntime_cuda, "_version", lambda package="": None)
    assert "not installed" in str(backend().unavailable_because())


@pytest.mark.needs_cuda
@pytest.mark.parametrize("name", ["film-x2-tiny", "film-x4-tiny", "clean-x2-tiny", "clean-x4-tiny"])
def test_on_a_card(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FASTRESTORE_ENGINES", str(tmp_path / "engines"))
    with OnnxRuntimeCuda().open(find(name), threads=0, size=Size(640, 480)) as engine:
        first = run(engine, 640, 480)
        np.testing.assert_array_equal(run(engine, 640, 480), first)
    (proof,) = proofs(tmp_path)
    assert proof["holds"]
