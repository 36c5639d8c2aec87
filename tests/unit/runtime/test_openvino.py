"""Backend `openvino`: precision, proof, the caller's memory, and errors. What every engine must do is a contract."""

from __future__ import annotations

import ast
import hashlib
import os
import subprocess
import sys
import tracemalloc
import weakref
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fastrestore.errors import DeviceError, EngineError, EngineIncompatibleError, EngineProofError, UsageError
from fastrestore.frames import FloatImage
from fastrestore.models.catalog import find
from fastrestore.models.spec import Artifact, ModelSpec, Task, Tensor
from fastrestore.models.store import locate
from fastrestore.runtime import gate
from fastrestore.runtime.backends import openvino as module
from fastrestore.runtime.backends.openvino import PRECISION_VARIABLE, FixedEngine, OpenVino, OpenVinoEngine
from fastrestore.runtime.engine import BackendChoice, load_backend

if find_spec("openvino") is None:
    pytest.skip("package openvino is not installed", allow_module_level=True)
openvino = module.load_library()
SPEC = find("clean-x2-tiny")


@pytest.fixture(scope="module")
def proofs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where verdicts on the engines of this file are kept, so that each is proved once."""
    return tmp_path_factory.mktemp("engines")


@pytest.fixture(autouse=True)
def _environment(proofs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTRESTORE_ENGINES", str(proofs))
    monkeypatch.delenv(PRECISION_VARIABLE, raising=False)


@pytest.fixture
def engine() -> Iterator[OpenVinoEngine]:
    with OpenVino().open(SPEC, threads=1) as opened:
        yield opened


class Core:
    """OpenVINO's core on a CPU that has bfloat16: it computes in float32 and then does to the result as it is told."""

    def __init__(self, *, capable: bool = True, honest: bool = True, error: float = 0.0) -> None:
        self.real = openvino.Core()
        self.capable, self.honest, self.error = capable, honest, error
        self.settings: dict[str, Any] = {}
        self.runs = 0

    def get_property(self, device: str, name: str) -> Any:
        if name == "OPTIMIZATION_CAPABILITIES":
            return ["FP32", "BF16"] if self.capable else ["FP32"]
        return self.real.get_property(device, name)

    def read_model(self, path: Path) -> Any:
        return self.real.read_model(path)

    def compile_model(self, model: Any, device: str, settings: dict[str, Any]) -> Compiled:
        self.settings = settings
        return Compiled(self, self.real.compile_model(model, device, {**settings, "INFERENCE_PRECISION_HINT": "f32"}))


class Compiled:
    """A compiled model of `Core`."""

    def __init__(self, core: Core, real: Any) -> None:
        self._core, self._real = core, real
        self.inputs, self.outputs = real.inputs, real.outputs

    def get_property(self, name: str) -> Any:
        asked = {"f32": openvino.Type.f32, "bf16": openvino.Type.bf16}[self._core.settings[name]]
        return asked if self._core.honest else openvino.Type.f32

    def create_infer_request(self) -> Request:
        return Request(self._core, self._real.create_infer_request())


class Request:
    """A request of `Compiled`."""

    def __init__(self, core: Core, real: Any) -> None:
        self._core, self._real = core, real

    def set_tensor(self, name: str, tensor: Any) -> None:
        self._real.set_tensor(name, tensor)

    def get_tensor(self, name: str) -> Any:
        return self._real.get_tensor(name)

    def infer(self, *, share_outputs: bool) -> None:
        self._core.runs += 1
        self._real.infer(share_outputs=share_outputs)
        result: NDArray[np.float32] = self._real.get_output_tensor(0).data
        if self._core.settings["INFERENCE_PRECISION_HINT"] == "bf16":
            bits = result.view(np.uint32)
            bits[:] = (bits + 0x8000) & 0xFFFF0000  # to the nearest number of 8 bits
        result[..., ::2] += self._core.error


def given(core: Core, monkeypatch: pytest.MonkeyPatch) -> Core:
    """Let the backend find this core."""
    monkeypatch.setattr(module, "_core", lambda: core)
    return core


def picture(height: int, width: int, count: int = 1) -> FloatImage:
    return np.random.default_rng(5).random((count, 3, height, width), np.float32)


def room(image: FloatImage, scale: int = SPEC.scale) -> FloatImage:
    count, channels, height, width = image.shape
    return np.full((count, channels, height * scale, width * scale), np.nan, np.float32)


def restored(engine: OpenVinoEngine, image: FloatImage) -> FloatImage:
    out = room(image)
    engine.run({"image": image}, {"restored": out})
    return out


def try_out(spec: ModelSpec = SPEC, threads: int = 1, shape: tuple[int, int, int] = (1, 40, 56)) -> FloatImage:
    """Open the network and run it once, which compiles and proves it."""
    count, height, width = shape
    with OpenVino().open(spec, threads=threads) as opened:
        return restored(opened, picture(height, width, count))


@pytest.mark.parametrize(
    ("capable", "asked", "precision"),
    [(True, "", "bf16"), (True, "auto", "bf16"), (True, "bf16", "bf16"), (True, "fp32", "fp32"), (False, "", "fp32")],
)
def test_precision_is_what_the_cpu_has_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, capable: bool, asked: str, precision: str
) -> None:
    monkeypatch.setenv(PRECISION_VARIABLE, asked)
    core = given(Core(capable=capable), monkeypatch)
    backend = OpenVino()
    assert BackendChoice(backend, "").identity == f"openvino {precision}"
    assert precision not in backend.describe()
    with backend.open(SPEC, threads=1) as opened:
        restored(opened, picture(40, 56))
    assert core.settings["INFERENCE_PRECISION_HINT"] == {"fp32": "f32", "bf16": "bf16"}[precision]
    assert backend.describe().endswith(precision)


def test_a_precision_that_cannot_be_had_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    given(Core(capable=False), monkeypatch)
    monkeypatch.setenv(PRECISION_VARIABLE, "bf16")
    with pytest.raises(EngineError, match="no bfloat16"):
        OpenVino().open(SPEC, threads=1)
    monkeypatch.setenv(PRECISION_VARIABLE, "fp8")
    with pytest.raises(UsageError, match="`fp8`"):
        OpenVino().precision()


def test_a_precision_that_the_library_changed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    given(Core(honest=False), monkeypatch)
    with pytest.raises(EngineError, match="computes in f32, wanted bf16"):
        try_out()


def test_motion_stays_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    core = given(Core(), monkeypatch)
    monkeypatch.setattr(module, "_require_proof", lambda engine, shape, facts, threads: None)
    try_out(replace(SPEC, task=Task.MOTION))
    assert core.settings["INFERENCE_PRECISION_HINT"] == "f32"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_wrong_engine_is_refused_and_stays_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, precision: str
) -> None:
    monkeypatch.setenv("FASTRESTORE_ENGINES", str(tmp_path))
    core = given(Core(capable=precision == "bf16", error=0.05), monkeypatch)
    with pytest.raises(EngineProofError) as first:
        try_out()
    assert (f"{PRECISION_VARIABLE}=fp32" in first.value.hint) is (precision == "bf16")
    assert "--backend onnxruntime" in first.value.hint
    runs = core.runs
    with pytest.raises(EngineProofError):
        try_out()
    assert core.runs == runs > 0


def test_every_shape_is_proved_once_and_for_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FASTRESTORE_ENGINES", str(tmp_path))
    core = given(Core(capable=False), monkeypatch)
    try_out(shape=(1, 40, 56))
    assert core.runs == 2  # the gate's, and ours
    try_out(shape=(1, 40, 64))
    assert core.runs == 4

    def reference(spec: ModelSpec, threads: int) -> Any:
        raise AssertionError(f"the reference of {spec.name} was opened again")

    monkeypatch.setattr(gate, "reference", reference)
    try_out(shape=(1, 40, 56), threads=2)
    with pytest.raises(AssertionError, match="opened again"):
        try_out(shape=(2, 40, 56))
    monkeypatch.setattr(module, "_instruction_sets", lambda: "of another CPU")
    with pytest.raises(AssertionError, match="opened again"):
        try_out(shape=(1, 40, 56))


def test_what_is_proved_is_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    proved: list[tuple[object, str]] = []
    monkeypatch.setattr(
        module, "_require_proof", lambda engine, shape, facts, threads: proved.append((engine, str(shape)))
    )
    with OpenVino().open(SPEC, threads=1) as opened:
        restored(opened, picture(24, 32, 2))
        (made,) = opened._engines.values()
    assert proved == [(made, "2x32x24")]


def test_two_shapes_are_kept_compiled_and_a_third_takes_the_older_ones_place(monkeypatch: pytest.MonkeyPatch) -> None:
    core = given(Core(capable=False), monkeypatch)
    monkeypatch.setattr(module, "_require_proof", lambda engine, shape, facts, threads: None)
    pictures = {name: picture(height, 40) for name, height in (("a", 24), ("b", 32), ("c", 48))}
    alone = {name: try_out(shape=(1, image.shape[2], 40)) for name, image in pictures.items()}
    compiled = []
    real = core.compile_model

    def compile_model(model: Any, device: str, settings: dict[str, Any]) -> Compiled:
        compiled.append(tuple(model.inputs[0].shape)[2])
        assert not model.is_dynamic()
        return real(model, device, settings)

    monkeypatch.setattr(core, "compile_model", compile_model)
    with OpenVino().open(SPEC, threads=1) as opened:
        assert compiled == []
        for name in "abbaacbac":  # `c` comes when `b` was used longer ago than `a`
            np.testing.assert_array_equal(restored(opened, pictures[name]), alone[name])
    assert compiled == [24, 32, 48, 32, 24, 48]


def test_the_cpu_is_known_by_what_it_can_do(tmp_path: Path) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text("model name\t: One\nflags\t\t: avx2 fma\n\nmodel name\t: One\nflags\t\t: sse\n")
    assert module._instruction_sets(path) == "avx2 fma"
    assert module._instruction_sets(tmp_path / "none") == ""


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 40), (33, 1), (61, 47)])
def test_agrees_with_onnxruntime_at_any_size(engine: OpenVinoEngine, height: int, width: int) -> None:
    image = picture(height, width, 2)
    wanted = room(image)
    with load_backend("onnxruntime").open(SPEC, threads=1) as reference:
        reference.run({"image": image}, {"restored": wanted})
    np.testing.assert_allclose(restored(engine, image), wanted, rtol=0, atol=1e-5)


def test_no_bit_depends_on_threads_or_runs(engine: OpenVinoEngine) -> None:
    image = picture(61, 83)
    wanted = restored(engine, image)
    np.testing.assert_array_equal(restored(engine, image), wanted)
    for threads in (2, 3):
        with OpenVino().open(SPEC, threads=threads) as other:
            np.testing.assert_array_equal(restored(other, image), wanted)


def test_settings_leave_the_cores_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    core = given(Core(capable=False), monkeypatch)
    try_out(threads=3)
    assert core.settings["INFERENCE_NUM_THREADS"] == 3
    assert core.settings["ENABLE_CPU_PINNING"] is False
    assert core.settings["NUM_STREAMS"] == 1


def test_nothing_of_the_results_size_is_allocated(engine: OpenVinoEngine) -> None:
    image = picture(64, 64)
    out = room(image)
    engine.run({"image": image}, {"restored": out})
    tracemalloc.start()
    try:
        for _ in range(5):
            engine.run({"image": image}, {"restored": out})
        assert tracemalloc.get_traced_memory()[1] < out.nbytes // 8
    finally:
        tracemalloc.stop()


def test_the_callers_arrays_are_not_held(engine: OpenVinoEngine) -> None:
    image = picture(16, 16)
    out = room(image)
    held = weakref.ref(image), weakref.ref(out)
    engine.run({"image": image}, {"restored": out})
    del image, out
    assert [ref() for ref in held] == [None, None]


def test_input_that_may_not_be_written(engine: OpenVinoEngine) -> None:
    image = picture(20, 20)
    wanted = restored(engine, image)
    image.flags.writeable = False
    np.testing.assert_array_equal(restored(engine, image), wanted)


def test_a_catalogue_that_does_not_fit_the_file() -> None:
    for changes in (
        {"inputs": (Tensor("other", 3),)},
        {"inputs": (*SPEC.inputs, Tensor("t", 1, 0))},
        {"outputs": ()},
    ):
        with pytest.raises(EngineIncompatibleError, match="found tensors"):
            OpenVino().open(replace(SPEC, **changes), threads=1)
    image = picture(8, 8)
    larger = replace(SPEC, scale=4, outputs=(Tensor("restored", 3, 4),))
    compiled = openvino.Core().compile_model(locate(SPEC), "CPU", {})
    with FixedEngine(larger, compiled) as engine, pytest.raises(EngineIncompatibleError, match=r"16, 16.*32, 32"):
        engine.run({"image": image}, {"restored": room(image, 4)})


def test_a_file_that_is_no_network(tmp_path: Path) -> None:
    content = b"no network\n" * 40
    (tmp_path / "model.onnx").write_bytes(content)
    artifact = Artifact(Path("model.onnx"), hashlib.sha256(content).hexdigest())
    with pytest.raises(EngineError, match="OpenVINO failed on `clean-x2-tiny`: Unable to read the model"):
        OpenVino().open(replace(SPEC, folder=tmp_path, artifacts={"fp32": artifact}), threads=1)


def test_errors_become_ours() -> None:
    with pytest.raises(EngineError, match=r"on `it`: why$"), module._translated("`it`"):
        raise RuntimeError("Exception from src/core.cpp:1:\nException from src/plugin.cpp:2:\nwhy\n\n")
    with pytest.raises(EngineError, match=r"on `it`: RuntimeError$"), module._translated("`it`"):
        raise RuntimeError
    with pytest.raises(DeviceError, match="not enough memory"), module._translated("`it`"):
        raise MemoryError


@pytest.mark.parametrize("package", ["openvino", "onnxruntime"])
def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    assert OpenVino().unavailable_because() is None
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == package else object())
    assert package in (OpenVino().unavailable_because() or "")


_MARKS_OF_BUILDERS = ("CI", "TF_BUILD", "JENKINS_URL")
_WATCHED = """
import sys
def watch(event, arguments):
    if event.startswith(("socket.", "urllib.")) or event in ("subprocess.Popen", "os.mkdir"):
        print(event, arguments)
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        print(event, arguments)
sys.addaudithook(watch)
from fastrestore.models.catalog import find
from fastrestore.runtime.backends import openvino
openvino._require_proof = lambda engine, shape, facts, threads: None
import numpy
spec = find(sys.argv[1])
with openvino.OpenVino().open(spec, threads=1) as engine:
    image, out = (numpy.zeros(tensor.shape(1, 8, 8), numpy.float32) for tensor in (*spec.inputs, *spec.outputs))
    engine.run({"image": image}, {"restored": out})
print("done", hasattr(openvino.load_library(), "convert_model"), [name for name in sys.modules if "telemetry" in name])
"""


def test_the_library_sends_and_writes_nothing(tmp_path: Path) -> None:
    """By itself it tells its maker of every import, unless it takes the machine for a builder."""
    environment = {name: value for name, value in os.environ.items() if name not in _MARKS_OF_BUILDERS}
    environment |= {"HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", _WATCHED, SPEC.name]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    own = ["openvino.tools.ovc.telemetry_params", "openvino.tools.ovc.telemetry_stub"]
    own.append("openvino.tools.ovc.telemetry_utils")
    done, *rest = found.stdout.splitlines()
    assert done.startswith("done True") and not rest
    assert set(ast.literal_eval(done.removeprefix("done True "))) <= set(own)
    assert list(tmp_path.iterdir()) == []
