"""Backends `tensorrt` and `tensorrt-rtx`, over a fake library: what they find, refuse, prove and give back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.fake_tensorrt import library as fake
from tests.fake_tensorrt.bench import TILE, Bench
from tests.fake_tensorrt.plans import plan_of
from tests.motion_samples import FLOW, INSTANT, LEFT, MASK, RIGHT, echo

from fastrestore.errors import (
    DeviceError,
    EngineError,
    EngineIncompatibleError,
    EngineProofError,
    OutOfDeviceMemoryError,
)
from fastrestore.geometry import Size
from fastrestore.models.catalog import find
from fastrestore.models.spec import ModelSpec, Task
from fastrestore.runtime import engine as engines
from fastrestore.runtime.backends.tensorrt import Surroundings, TensorRtBackend, profile_for
from fastrestore.runtime.backends.tensorrt_library import FLAVOURS
from fastrestore.runtime.cache.engines import EngineCache
from fastrestore.runtime.cache.entry import BuiltEngine
from fastrestore.runtime.engine import BackendChoice, choose_backend
from fastrestore.runtime.engine_key import BuildOptions, EngineKey, Profile, Shape
from fastrestore.runtime.memory import Card, DriverFacts
from fastrestore.runtime.profiles import class_profile, exact_profile


@pytest.fixture
def spec() -> ModelSpec:
    return find("film-x2-tiny")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    assert made.left_behind == []


def arrays(spec: ModelSpec, width: int = 40, height: int = 36) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    image = np.random.default_rng(1).random((1, 3, height, width)).astype(np.float32)
    out = np.full((1, 3, height * spec.scale, width * spec.scale), np.nan, np.float32)
    return {spec.inputs[0].name: image}, {spec.outputs[0].name: out}


class TestAvailability:
    def test_without_a_driver_nothing_else_matters(self) -> None:
        backend = TensorRtBackend(
            FLAVOURS["tensorrt"], Surroundings(cards=lambda: "no driver", installed=lambda _: None)
        )
        assert backend.unavailable_because() == "no driver"
        assert "no driver" in backend.describe()

    def test_a_package_that_is_missing(self) -> None:
        around = Surroundings(cards=lambda: facts("8.9"), installed=lambda _: None)
        assert TensorRtBackend(FLAVOURS["tensorrt-rtx"], around).unavailable_because() == (
            "package tensorrt-rtx is not installed"
        )

    def test_a_card_that_the_library_has_nothing_for(self) -> None:
        around = Surroundings(cards=lambda: facts("9.0"), installed=lambda _: "1.7.1")
        assert "compute capability 9.0" in (
            TensorRtBackend(FLAVOURS["tensorrt-rtx"], around).unavailable_because() or ""
        )
        assert TensorRtBackend(FLAVOURS["tensorrt"], around).unavailable_because() is None

    def test_what_it_says_of_itself(self, bench: Bench) -> None:
        assert bench.backend.unavailable_because() is None
        assert bench.backend.describe() == "tensorrt 11.4.0, Fake Card, driver 580.65"

    def test_auto_passes_over_a_backend_without_an_engine(
        self, bench: Bench, spec: ModelSpec, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = engines.load_backend
        monkeypatch.setattr(engines, "load_backend", lambda name: bench.backend if name == "tensorrt" else real(name))
        networks = [(spec, Size(100, 100))]
        choice = choose_backend("auto", networks)
        assert choice.backend is not bench.backend
        assert "tensorrt: no engine of `film-x2-tiny` for pictures of 100x100 is built for Fake Card" in choice.reason
        assert "`fastrestore build-engines film-x2-tiny --backend tensorrt`" in choice.reason
        bench.build(spec)
        assert choose_backend("auto", networks).backend is bench.backend
        assert choose_backend("auto").backend is not bench.backend, "there may be none for what is wanted"


class TestFinding:
    def test_a_missing_engine_is_an_error_with_the_command(self, bench: Bench, spec: ModelSpec) -> None:
        with pytest.raises(EngineError, match="no engine of `film-x2-tiny` is built for Fake Card") as raised:
            bench.backend.open(spec, threads=1)
        assert raised.value.hint == "`fastrestore build-engines film-x2-tiny --backend tensorrt`"
        assert bench.devices == [], "the library was loaded for nothing"

    @pytest.mark.parametrize(
        "change",
        [
            {"backend_version": "11.3.0"},
            {"capability": "8.6"},
            {"device": "Other Card"},
            {"onnx_sha256": "0" * 64},
            {"revision": 0},
        ],
    )
    def test_an_engine_for_something_else_is_none(
        self, bench: Bench, spec: ModelSpec, change: dict[str, object]
    ) -> None:
        store(bench, replace(bench.key(spec), **change))  # type: ignore[arg-type]
        assert bench.backend.missing(spec, None) is not None

    @pytest.mark.parametrize(
        ("change", "runs"),
        [
            ({"backend_version": "10.14.1", "options": BuildOptions(version_compatible=True)}, True),
            ({"backend_version": "12.0", "options": BuildOptions(version_compatible=True)}, False),
            ({"capability": "8.0", "device": "A100", "options": BuildOptions(hardware_compatible=True)}, True),
            ({"capability": "7.5", "device": "T4", "options": BuildOptions(hardware_compatible=True)}, False),
        ],
    )
    def test_compatible_engines(self, bench: Bench, spec: ModelSpec, change: dict[str, object], runs: bool) -> None:
        store(bench, replace(bench.key(spec), **change))  # type: ignore[arg-type]
        assert (bench.backend.missing(spec, None) is None) is runs

    def test_half_precision_first(self, bench: Bench, spec: ModelSpec) -> None:
        bench.build(spec, TILE, "fp32")
        assert opened_key(bench, spec).precision == "fp32"
        bench.build(spec, TILE, "fp16")
        assert opened_key(bench, spec).precision == "fp16"

    def test_the_size_chooses_the_profile(self, spec: ModelSpec) -> None:
        tile, hd, exact = class_profile("tile", spec), class_profile("hd", spec), exact_profile(Size(640, 480), spec)
        known = [tile, hd, exact]
        assert profile_for(spec, known, Size(640, 480)) is exact
        assert profile_for(spec, known, Size(1280, 720)) is hd
        assert profile_for(spec, known, Size(5000, 3000)) is tile, "cut into tiles"
        assert profile_for(spec, [hd, exact], Size(5000, 3000)) is hd
        assert profile_for(spec, [exact], Size(5000, 3000)) is None, "an engine for one size is a poor one for tiles"
        assert profile_for(spec, known, Size(20, 10)) is tile, "padded"
        assert profile_for(spec, known, None) is hd
        assert profile_for(spec, [], None) is None

    def test_motion_is_never_cut(self, spec: ModelSpec) -> None:
        motion = replace(spec, task=Task.MOTION, multiple_px=32, inputs=spec.inputs * 3)
        sd, fhd = class_profile("sd", motion), class_profile("fhd", motion)
        assert profile_for(motion, [sd, fhd], Size(720, 576)) is sd
        assert profile_for(motion, [sd], Size(1920, 1080)) is None
        assert profile_for(motion, [sd, fhd], Size(3840, 2160)) is fhd, "its grid is half as large"

    def test_a_size_that_no_usual_engine_takes_is_in_the_command(self, bench: Bench, spec: ModelSpec) -> None:
        motion = replace(spec, name="motion", task=Task.MOTION, multiple_px=32, inputs=spec.inputs * 3)
        assert (bench.backend.missing(motion, Size(1920, 1080)) or "").endswith(
            "(`fastrestore build-engines motion --backend tensorrt` builds one)"
        )


class TestOpening:
    def test_proves_once(self, bench: Bench, spec: ModelSpec) -> None:
        bench.build(spec)
        for _ in range(2):
            with bench.restarted().open(spec, threads=1):
                pass
        assert bench.references == 1
        assert bench.cache().entries()[0].proof is not None

    def test_proves_again_with_another_driver(self, bench: Bench, spec: ModelSpec) -> None:
        bench.build(spec)
        for driver in ("580.65", "590.10"):
            bench.driver = driver
            with bench.restarted().open(spec, threads=1):
                pass
        assert bench.references == 2

    @pytest.mark.parametrize("fault", ["nan", "black", "darker"])
    def test_fails_closed(self, bench: Bench, spec: ModelSpec, fault: str) -> None:
        """Law 7: an engine that does not compute what the reference computes is not handed out, now or later."""
        bench.build(spec, fault=fault)
        for _ in range(2):
            with pytest.raises(EngineProofError):
                bench.restarted().open(spec, threads=1)
        assert bench.references == 1, "what failed is refused without being run"
        assert bench.cache().entries()[0].proof is None

    def test_gives_back_what_the_proof_needed(self, bench: Bench, spec: ModelSpec) -> None:
        bench.build(spec)
        with bench.backend.open(spec, threads=1):
            held = bench.device.memory()
            assert held.free_bytes == held.total_bytes

    def test_a_plan_that_the_library_cannot_read(self, bench: Bench, spec: ModelSpec) -> None:
        bench.build(spec, plan=b"FAKE, but no plan")
        with pytest.raises(EngineError, match="magicTag == kEXPECTED_MAGIC_TAG failed") as raised:
            bench.backend.open(spec, threads=1)
        assert "build-engines film-x2-tiny --backend tensorrt --force" in raised.value.hint

    def test_a_header_that_says_that_it_does_not_fit(self, tmp_path: Path, spec: ModelSpec) -> None:
        bench = Bench(tmp_path, "tensorrt-rtx")
        bench.build(spec, plan=plan_of(spec, "fp16", TILE, "8.6"))
        with pytest.raises(EngineIncompatibleError, match=r"unsupported cc.*Fake Card \(8.9\)"):
            bench.backend.open(spec, threads=1)
        assert bench.left_behind == []

    def test_a_plan_of_another_precision(self, bench: Bench, spec: ModelSpec) -> None:
        bench.build(spec, precision="fp16", plan=plan_of(spec, "fp32", TILE, "8.9"))
        with pytest.raises(EngineIncompatibleError, match="image float32 -> restored float32, wanted image float16"):
            bench.backend.open(spec, threads=1)

    def test_a_plan_of_another_model(self, bench: Bench, spec: ModelSpec) -> None:
        bench.build(spec, plan=plan_of(find("film-x4-tiny"), "fp16", replace(TILE, most=Shape(2, 64, 64)), "8.9"))
        with pytest.raises(EngineIncompatibleError, match="inputs of at most"):
            bench.backend.open(spec, threads=1)

    def test_an_engine_that_cannot_be_made_ready(self, bench: Bench, spec: ModelSpec) -> None:
        bench.build(spec, fault="no context")
        with pytest.raises(EngineError, match="out of something while making a context"):
            bench.backend.open(spec, threads=1)

    def test_a_card_that_fails_in_the_middle(self, bench: Bench, spec: ModelSpec) -> None:
        """Such an error comes back when the host waits; all is given back, and the engine is not judged by it."""
        bench.build(spec, fault="crash")
        for _ in range(2):
            with pytest.raises(DeviceError, match="CUDA_ERROR_ILLEGAL_ADDRESS"):
                bench.restarted().open(spec, threads=1)
        assert bench.references == 2

    def test_a_library_that_makes_no_runtime(
        self, bench: Bench, spec: ModelSpec, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bench.build(spec)
        monkeypatch.setattr(fake.Runtime, "__init__", null_factory)
        with pytest.raises(EngineError, match=r"no runtime can be made.*factory function returned nullptr"):
            bench.backend.open(spec, threads=1)

    def test_a_card_that_is_full(self, tmp_path: Path, spec: ModelSpec) -> None:
        bench = Bench(tmp_path, memory_bytes=1 << 20)
        bench.build(spec)
        with pytest.raises(OutOfDeviceMemoryError, match="not enough memory on Fake Card") as raised:
            bench.backend.open(spec, threads=1)
        assert raised.value.free_bytes < raised.value.requested_bytes
        assert bench.left_behind == []

    def test_a_cache_that_cannot_be_written_to(
        self, bench: Bench, spec: ModelSpec, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The proof is kept among the gate's own; that it is not beside the engine is no reason to fail."""
        bench.build(spec)
        monkeypatch.setattr(EngineCache, "record_proof", refuse)
        for _ in range(2):
            with bench.restarted().open(spec, threads=1):
                pass
        assert bench.references == 1
        assert bench.cache().entries()[0].proof is None


class TestRunning:
    def test_allocates_nothing_in_steady_state_and_waits_once(self, bench: Bench, spec: ModelSpec) -> None:
        bench.build(spec)
        with bench.backend.open(spec, threads=1) as engine:
            inputs, out = arrays(spec)
            engine.run(inputs, out)
            before = replace(bench.device.counts)
            for _ in range(3):
                engine.run(inputs, out)
            since = bench.device.counts.since(before)
        assert since.allocations == 0
        assert (since.uploads, since.downloads, since.host_waits) == (3, 3, 3)

    def test_sizes_may_change_at_every_run(self, bench: Bench, spec: ModelSpec) -> None:
        bench.build(spec)
        with bench.backend.open(spec, threads=1) as engine:
            wanted: dict[tuple[int, int], np.ndarray] = {}
            for width, height in ((40, 36), (120, 100), (33, 110), (40, 36), (128, 128)):
                inputs, out = arrays(spec, width, height)
                engine.run(inputs, out)
                result = out[spec.outputs[0].name]
                assert np.isfinite(result).all()
                np.testing.assert_array_equal(result, wanted.setdefault((width, height), result.copy()))

    def test_refuses_what_is_larger_than_its_profile(self, bench: Bench, spec: ModelSpec) -> None:
        bench.build(spec)
        with (
            bench.backend.open(spec, threads=1) as engine,
            pytest.raises(EngineIncompatibleError, match="input of 129x64, wanted at most 128x128"),
        ):
            engine.run(*arrays(spec, 129, 64))

    def test_engines_of_one_kind_share_scratch_memory(self, bench: Bench, spec: ModelSpec) -> None:
        bench.build(spec)
        other = find("clean-x2-tiny")
        bench.build(other)
        with bench.backend.open(spec, threads=1) as first, bench.backend.open(other, threads=1) as second:
            assert len(bench.devices) == 1, "one device for all engines of a backend"
            for _ in range(2):
                for engine in (first, second):
                    inputs, out = arrays(engine.spec)
                    engine.run(inputs, out)
            image, result = 36 * 40 * 3 * 2, 36 * 40 * 4 * 3 * 2
            scratch = 36 * 40 * 24
            held = bench.device.memory()
            assert held.total_bytes - held.free_bytes == 2 * (image + result) + scratch

    def test_a_full_card_is_survived(self, tmp_path: Path, spec: ModelSpec) -> None:
        """A picture too large for the memory is refused; smaller ones go on."""
        bench = Bench(tmp_path, memory_bytes=8 << 20)
        bench.build(spec)
        with bench.backend.open(spec, threads=1) as engine:
            inputs, out = arrays(spec)
            engine.run(inputs, out)
            wanted = out[spec.outputs[0].name].copy()
            free = bench.device.memory().free_bytes
            with bench.device.buffer(free - 200_000), pytest.raises(OutOfDeviceMemoryError):
                engine.run(*arrays(spec, 128, 128))
            engine.run(inputs, out)
            np.testing.assert_array_equal(out[spec.outputs[0].name], wanted)
        assert bench.left_behind == []

    def test_closing_one_engine_leaves_the_others(self, bench: Bench, spec: ModelSpec) -> None:
        bench.build(spec)
        first, second = (bench.backend.open(spec, threads=1) for _ in range(2))
        first.close()
        first.close()
        with second:
            second.run(*arrays(spec))
        with pytest.raises(EngineError, match="closed"):
            second.run(*arrays(spec))

    def test_is_known_by_what_it_opened(self, bench: Bench, spec: ModelSpec) -> None:
        """A run is resumed only with the very engines that it was begun with."""
        bench.build(spec)
        with bench.backend.open(spec, threads=1):
            first = BackendChoice(bench.backend, "asked for").identity
        assert first.startswith("tensorrt 11.4.0 on Fake Card: film-x2-tiny-tile-tensorrt-sm89-")
        with bench.restarted().open(spec, threads=1):
            assert BackendChoice(bench.backend, "asked for").identity == first
        bench.build(spec, replace(TILE, most=Shape(2, 96, 96)))
        with bench.restarted().open(spec, threads=1, size=Size(90, 90)):
            assert BackendChoice(bench.backend, "asked for").identity != first

    def test_motion_at_any_instant(self, bench: Bench, tmp_path: Path) -> None:
        """Two pictures and an instant in, flow and mask out: smaller pictures than the engine takes are padded."""
        motion = echo(tmp_path, multiple_px=32)
        profile = Profile("sd", Shape(1, 64, 64), Shape(1, 64, 64), Shape(1, 128, 128))
        bench.build(motion, profile, "fp32")
        rng, shape = np.random.default_rng(2), (1, 3, 32, 96)
        left, right = (rng.random(shape).astype(np.float32) for _ in range(2))
        inputs = {LEFT: left, RIGHT: right, INSTANT: np.full((1, 1, 1, 1), 0.25, np.float32)}
        out = {FLOW: np.empty((1, 4, 32, 96), np.float32), MASK: np.empty((1, 1, 32, 96), np.float32)}
        with bench.backend.open(motion, threads=1, size=Size(96, 32)) as engine:
            engine.run(inputs, out)
        np.testing.assert_array_equal(out[FLOW], np.concatenate([left[:, :2], right[:, :2]], axis=1))
        np.testing.assert_array_equal(out[MASK], left[:, 2:])

    def test_no_graphs_yet(self, bench: Bench, spec: ModelSpec) -> None:
        bench.build(spec)
        with bench.backend.open(spec, threads=1) as engine, pytest.raises(EngineError, match="graph"):
            engine.run_phased(*arrays(spec), graph=True)


def facts(capability: str) -> DriverFacts:
    return DriverFacts("13.0", "580.65", (Card(0, "Some Card", capability, 1 << 30),))


def store(bench: Bench, key: EngineKey) -> None:
    bench.cache().obtain(key, lambda: BuiltEngine(b"a plan"))


def opened_key(bench: Bench, spec: ModelSpec) -> EngineKey:
    with bench.restarted().open(spec, threads=1) as engine:
        return engine.key


def null_factory(*_: object) -> None:
    raise TypeError("pybind11::init(): factory function returned nullptr")


def refuse(*_: object) -> None:
    raise EngineError("the folder cannot be written to")
