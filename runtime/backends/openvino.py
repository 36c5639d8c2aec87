"""OpenVINO on the CPU: faster than ONNX Runtime where it was measured, more so where the CPU multiplies bfloat16.

What was measured is in docs/performance.md. In short, why some things are absent here:

* No model of dynamic shape: one compiled for a shape needs less memory and is a little faster, and the tiles of a run
  have one shape. A batch of tiles gains nothing over one tile after the other.
* Compiling takes less than 0.1 s: a cache of compiled models, which are executable content, would risk more than it
  gains.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrestore.config import cpu_count
from fastrestore.errors import DeviceError, EngineError, EngineIncompatibleError, EngineProofError, UsageError
from fastrestore.geometry import Size
from fastrestore.models import store
from fastrestore.models.spec import ModelSpec, Task
from fastrestore.runtime import gate
from fastrestore.runtime.backends.host_engine import HostEngine
from fastrestore.runtime.engine_key import Shape

PRECISION_VARIABLE = "FASTRESTORE_OPENVINO_PRECISION"
_HINTS = {"fp32": "f32", "bf16": "bf16"}
"""Our names of precisions, and the library's."""
_TELEMETRY = "openvino_telemetry"
_MOST_SHAPES = 2
"""Compiled models that an engine keeps: a run gives a network one shape, or two where a chain has it twice."""


class OpenVino:
    """Backend `openvino`."""

    name = "openvino"

    def __init__(self) -> None:
        self._opened: set[str] = set()

    def unavailable_because(self) -> str | None:
        """See `Backend.unavailable_because`."""
        if find_spec("openvino") is None:
            return "package openvino is not installed"
        if find_spec("onnxruntime") is None:
            return "package onnxruntime, against which its results are proved, is not installed"
        return None

    def describe(self) -> str:
        """See `Backend.describe`. Names the precisions of what was opened; before that, it would have to load much."""
        try:
            found = version("openvino")
        except PackageNotFoundError:
            return "openvino is not installed"
        return ", ".join([f"openvino {found}", "CPU", f"{cpu_count()} cores", *sorted(self._opened)])

    def precision(self) -> str:
        """Return in what restoration networks are computed here: `bf16` if the CPU has it, unless told otherwise.

        Raises:
            UsageError: If `FASTRESTORE_OPENVINO_PRECISION` is none of `auto`, `fp32` and `bf16`.
            EngineError: If it asks for `bf16` and the CPU has none, or the library cannot be loaded.
        """
        wanted = os.environ.get(PRECISION_VARIABLE) or "auto"
        if wanted not in ("auto", *_HINTS):
            raise UsageError(
                f"{PRECISION_VARIABLE} is `{wanted}`: wanted `auto`, `fp32` or `bf16`", f"unset {PRECISION_VARIABLE}"
            )
        if wanted == "fp32":
            return wanted
        with _translated("the CPU"):
            capable = "BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if wanted == "bf16" and not capable:
            raise EngineError(
                f"this CPU has no bfloat16, which {PRECISION_VARIABLE} asks for", f"unset {PRECISION_VARIABLE}"
            )
        return "bf16" if capable else "fp32"

    def open(self, spec: ModelSpec, *, threads: int, size: Size | None = None) -> OpenVinoEngine:
        """See `Backend.open`. The fp32 file is taken: the library rounds to bfloat16 by itself.

        Motion networks stay in fp32: bfloat16 has 8 bits, and they count pixels. `size` is not looked at: the tiles
        of such a picture are known when the first comes.
        """
        precision = "fp32" if spec.task is Task.MOTION else self.precision()
        path = store.locate(spec, "fp32")
        core = _core()
        with _translated(f"`{spec.name}`"):
            model = core.read_model(path)
        _require_tensors(spec, model)
        facts = _facts(spec, core, precision)

        def compiled_for(shape: Shape) -> FixedEngine:
            with _translated(f"`{spec.name}` at {shape}"):
                dimensions = (shape.batch, shape.height, shape.width)
                model.reshape({tensor.name: list(tensor.shape(*dimensions)) for tensor in spec.inputs})
                compiled = core.compile_model(model, "CPU", _settings(precision, threads))
                engine = FixedEngine(spec, compiled)
            _check_precision(compiled, precision)
            _require_proof(engine, shape, facts, threads)
            return engine

        self._opened.add(precision)
        return OpenVinoEngine(spec, compiled_for)


class OpenVinoEngine(HostEngine):
    """A network of OpenVINO, compiled for each shape of input at its first run, and then proved: at that very shape.

    What a run gives depends on its inputs alone, not on the shapes that came before.

    Args:
        spec: The model.
        compiled_for: Compiles it for a shape and proves the result; raises `EngineProofError` if that fails.
    """

    def __init__(self, spec: ModelSpec, compiled_for: Callable[[Shape], FixedEngine]) -> None:
        super().__init__(spec)
        self._compiled_for = compiled_for
        self._engines: dict[Shape, FixedEngine] = {}
        """By shape, the most recently used last."""

    def _run(self, inputs: Mapping[str, NDArray[np.float32]], out: Mapping[str, NDArray[np.float32]]) -> None:
        batch, _, height, width = inputs[self._spec.inputs[0].name].shape
        shape = Shape(batch, height, width)
        engine = self._engines.pop(shape, None)
        if engine is None:
            while len(self._engines) >= _MOST_SHAPES:  # before the next one asks for memory
                self._engines.pop(next(iter(self._engines))).close()
            engine = self._compiled_for(shape)
        self._engines[shape] = engine
        engine.run(inputs, out)

    def _release(self) -> None:
        for engine in self._engines.values():
            engine.close()
        self._engines.clear()


class FixedEngine(HostEngine):
    """A model that was compiled for one shape of input.

    Args:
        spec: The model.
        compiled: As the library gives it.
    """

    def __init__(self, spec: ModelSpec, compiled: Any) -> None:
        super().__init__(spec)
        self._request: Any = compiled.create_infer_request()

    def _run(self, inputs: Mapping[str, NDArray[np.float32]], out: Mapping[str, NDArray[np.float32]]) -> None:
        request, tensor = self._request, load_library().Tensor
        # OpenVINO takes no read-only memory. It does not hold on to these arrays, so this name must.
        given = {name: array if array.flags.writeable else array.copy() for name, array in inputs.items()}
        with _translated(f"`{self._spec.name}`"):
            for name, array in (*given.items(), *out.items()):
                request.set_tensor(name, tensor(array, shared_memory=True))
            request.infer(share_outputs=True)  # else every output would be copied into a new array
            shapes = {name: tuple(request.get_tensor(name).shape) for name in out}
        for name, array in out.items():
            # OpenVINO puts a result that does not fit elsewhere, and says nothing.
            if shapes[name] != array.shape:
                raise EngineIncompatibleError(
                    f"`{name}` of shape {shapes[name]}", f"{array.shape}", "the catalogue and the file disagree"
                )

    def _release(self) -> None:
        self._request = None


def load_library() -> Any:
    """Return the package, loaded without its telemetry, which would tell its maker of every import over the network.

    A program that has loaded it before has decided for itself.

    Raises:
        EngineError: If it cannot be loaded.
    """
    hidden = "openvino" not in sys.modules and _TELEMETRY not in sys.modules
    if hidden:
        # What Python takes for a missing package: OpenVINO then puts in its own, which does nothing.
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
    try:
        import openvino  # noqa: TID251
    except ImportError as error:
        raise EngineError(f"package openvino cannot be loaded: {error}", "install it anew") from error
    finally:
        if hidden:
            del sys.modules[_TELEMETRY]
    return openvino


def _core() -> Any:
    return load_library().Core()


def _settings(precision: str, threads: int) -> dict[str, Any]:
    return {
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "INFERENCE_NUM_THREADS": threads or cpu_count(),
        # One picture at a time, by all threads: a second stream would wait for a second picture.
        "NUM_STREAMS": 1,
        # Threads that are bound to cores wait there while encoder and kernels use them, and other cores are free.
        "ENABLE_CPU_PINNING": False,
    }


def _require_tensors(spec: ModelSpec, model: Any) -> None:
    """Refuse a file that has not the tensors of the catalogue.

    Raises:
        EngineIncompatibleError: If it has others.
    """
    names = tuple({name for port in ports for name in port.names} for ports in (model.inputs, model.outputs))
    wanted = {tensor.name for tensor in spec.inputs}, {tensor.name for tensor in spec.outputs}
    counts = len(model.inputs), len(model.outputs)
    if not (wanted[0] <= names[0] and wanted[1] <= names[1] and counts == (len(wanted[0]), len(wanted[1]))):
        raise EngineIncompatibleError(f"tensors {names}", f"{wanted}", "the catalogue and the file disagree")


def _check_precision(compiled: Any, wanted: str) -> None:
    """Refuse a model that is computed in another precision than was asked for: OpenVINO changes it silently."""
    found = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    if found != _HINTS[wanted]:
        raise EngineError(
            f"OpenVINO computes in {found}, wanted {_HINTS[wanted]}", f"set {PRECISION_VARIABLE}=fp32, or unset it"
        )


def _require_proof(engine: FixedEngine, shape: Shape, facts: Mapping[str, str], threads: int) -> None:
    try:
        gate.require_proof(engine, facts=facts, reference=lambda: gate.reference(engine.spec, threads), shapes=[shape])
    except EngineProofError as error:
        if facts["precision"] == "fp32":
            raise
        hint = f"set {PRECISION_VARIABLE}=fp32, or {error.hint}"
        raise EngineProofError(error.measured, error.allowed, error.where, hint) from error


def _facts(spec: ModelSpec, core: Any, precision: str) -> dict[str, str]:
    """Return what the results depend on. Threads are not among them: they change no bit."""
    with _translated("the CPU"):
        device = core.get_property("CPU", "FULL_DEVICE_NAME")
    return {
        "backend": OpenVino.name,
        "model_sha256": spec.artifact("fp32").sha256,
        "openvino": version("openvino"),
        "precision": precision,
        "cpu": f"{device}; {_instruction_sets()}",
    }


def _instruction_sets(path: Path = Path("/proc/cpuinfo")) -> str:
    """Return what the first CPU can do, as Linux tells: one name of a CPU may stand for many in virtual machines."""
    try:
        with path.open(encoding="ascii", errors="replace") as lines:
            return next((line.partition(":")[2].strip() for line in lines if line.startswith("flags")), "")
    except OSError:
        return ""


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Turn OpenVINO's exceptions, which are RuntimeErrors of many lines, into ours."""
    try:
        yield
    except MemoryError as error:
        raise DeviceError(f"not enough memory for {what} on OpenVINO", "use a smaller `--tile` or `--to`") from error
    except (RuntimeError, ValueError, TypeError) as error:
        # The last line says why; those above, where in OpenVINO's own source.
        lines = [line for line in str(error).splitlines() if line.strip()]
        reason = lines[-1].strip() if lines else type(error).__name__
        raise EngineError(f"OpenVINO failed on {what}: {reason}", "use `--backend onnxruntime`") from error
