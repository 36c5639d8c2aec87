"""ONNX Runtime on an NVIDIA card: no engine to build, half precision, and never the CPU by accident."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrestore.errors import EngineError, EngineIncompatibleError
from fastrestore.geometry import Size
from fastrestore.models import store
from fastrestore.models.spec import ModelSpec
from fastrestore.runtime import gate
from fastrestore.runtime.backends.host_engine import HostEngine
from fastrestore.runtime.backends.onnxruntime_session import require_tensors, session_options, translated
from fastrestore.runtime.devices.driver import DriverFacts, driver
from fastrestore.runtime.devices.shared_device import SharedDevice
from fastrestore.runtime.memory import usable_cards

PACKAGE = "onnxruntime-gpu"
PROVIDER = "CUDAExecutionProvider"
PROVIDER_OPTIONS: Mapping[str, str] = MappingProxyType(
    {
        # EXHAUSTIVE, the library's default, times every algorithm and may settle on another one in the next run:
        # results would differ in their last bits, and a resumed film would not be what an uninterrupted one is. It also
        # does so anew for every size of picture, seconds each. HEURISTIC asks cuDNN, which always answers the same.
        "cudnn_conv_algo_search": "HEURISTIC",
        # Few buffers, all large: grown by powers of two, up to half of the card's memory would be taken for nothing.
        "arena_extend_strategy": "kSameAsRequested",
        # The other way copies race with computing for some networks, as the library's own documentation says.
        "do_copy_in_default_stream": "1",
        # An fp32 file is taken for its precision: not with factors of 11 bits.
        "use_tf32": "0",
    }
)
SHAPE_ARITHMETIC = frozenset(
    (
        *("Shape", "Size", "Gather", "Concat", "Unsqueeze", "Squeeze", "Slice", "Reshape", "Expand", "Identity"),
        *("Cast", "Add", "Sub", "Mul", "Div", "Mod", "Neg", "Floor", "Ceil", "Max", "Min", "ReduceProd"),
        *("Range", "Constant", "ConstantOfShape", "Where", "Equal", "Less", "Greater", "And", "Or", "Not"),
    )
)
"""Operators with which networks compute sizes. ONNX Runtime keeps those on the CPU on purpose, for sizes are there."""
_NO_CPU = "session.disable_cpu_ep_fallback"
_TELL_PLACES = "session.record_ep_graph_assignment_info"
_REFUSED_CPU = "assigned to the default CPU EP"
_QUIET, _USUAL = 4, 2
"""Severities from which the library writes to stderr: fatal errors alone, and its own default."""
_LIBRARIES = (
    *("nvidia-cudnn-cu13", "nvidia-cuda-runtime", "nvidia-cublas"),
    *("nvidia-cudnn-cu12", "nvidia-cuda-runtime-cu12", "nvidia-cublas-cu12"),
)
"""Packages that compute for ONNX Runtime, with CUDA 13 and with CUDA 12."""


class OnnxRuntimeCuda:
    """Backend `onnxruntime-cuda`, on the first card.

    Args:
        stream: Handle of a CUDA stream on which everything is to run, beside the work of others; 0 lets each engine
            make its own.
        card: Asks the driver; tests hand in another answer.
    """

    name = "onnxruntime-cuda"

    def __init__(self, stream: int = 0, card: Callable[[], DriverFacts | str] = driver) -> None:
        self._stream, self._card = stream, card
        self._shared = SharedDevice()

    def unavailable_because(self) -> str | None:
        """See `Backend.unavailable_because`. Nothing is loaded but the driver, and that before any library needs it."""
        if _version() is None:
            return f"package {PACKAGE} is not installed"
        if _provider_library() is None:
            return f"package {PACKAGE} was overwritten by package onnxruntime: its CUDA library is gone"
        facts = self._card()
        return facts if isinstance(facts, str) else None

    def describe(self) -> str:
        """See `Backend.describe`."""
        facts = self._card()
        where = facts if isinstance(facts, str) else f"{facts.cards[0].name}, driver {facts.release or facts.cuda}"
        return f"{PACKAGE} {_version() or 'not installed'}, {where}"

    def open(self, spec: ModelSpec, *, threads: int, size: Size | None = None) -> OnnxRuntimeCudaEngine:
        """See `Backend.open`. Takes the fp16 file where there is one; what never ran here is proved first.

        Raises:
            EngineError: If the card is not used after all, or a network would be computed on the CPU in part.
            EngineProofError: If it does not compute what the reference computes.
            DeviceError: If the card's memory does not suffice.
        """
        if problem := self.unavailable_because():
            raise EngineError(f"backend `{self.name}` cannot run here: {problem}", "see `fastrestore doctor`")
        precision = "fp16" if "fp16" in spec.artifacts else "fp32"
        engine = self._engine(spec, precision, threads)
        try:
            gate.require_proof(
                engine,
                facts=self._facts(spec, precision),
                reference=lambda: gate.reference(spec, threads),
                shapes=gate.usual_shapes(spec),
            )
        except BaseException:
            engine.close()
            raise
        return engine

    def _engine(self, spec: ModelSpec, precision: str, threads: int) -> OnnxRuntimeCudaEngine:
        """Return an engine, which can be given addresses too where the card can be programmed."""
        path, half = store.locate(spec, precision), precision == "fp16"
        session = self._session(spec, path, threads)
        if isinstance(usable_cards(), str):
            return OnnxRuntimeCudaEngine(spec, session, half=half)
        from fastrestore.runtime.backends.onnxruntime_addresses import AddressedEngine

        def reopen(stream: int) -> Any:
            return OnnxRuntimeCuda(stream, self._card)._session(spec, path, threads)

        return AddressedEngine(spec, session, half=half, reopen=reopen, card=self._shared)

    def _session(self, spec: ModelSpec, path: Path, threads: int) -> Any:
        """Open a session of which everything but the arithmetic of sizes runs on the card."""
        providers = [(PROVIDER, self._provider_options())]
        with translated(spec), _quiet() as onnxruntime:

            def session(entry: str) -> Any:
                options = session_options(threads)
                options.use_deterministic_compute = True
                options.log_severity_level = _QUIET
                options.add_session_config_entry(entry, "1")
                return onnxruntime.InferenceSession(str(path), options, providers=providers, enable_fallback=0)

            try:
                found = session(_NO_CPU)
            except onnxruntime.capi.onnxruntime_pybind11_state.Fail as error:
                if _REFUSED_CPU not in str(error):
                    raise
                found = session(_TELL_PLACES)
                _require_card(spec, found)
                _require_only_sizes_on_cpu(spec, found)
        _require_card(spec, found)
        return found

    def _provider_options(self) -> dict[str, str]:
        own = {"user_compute_stream": str(self._stream)} if self._stream else {}
        return {"device_id": "0", **PROVIDER_OPTIONS, **own}

    def _facts(self, spec: ModelSpec, precision: str) -> dict[str, str]:
        """Return all that an engine's results depend on here."""
        facts = self._card()
        assert not isinstance(facts, str)
        card = facts.cards[0]
        return {
            "model_sha256": spec.artifact(precision).sha256,
            "reference_sha256": spec.artifact("fp32").sha256,
            "backend": self.name,
            "version": str(_version()),
            "libraries": _libraries(),
            "options": " ".join(f"{name}={value}" for name, value in PROVIDER_OPTIONS.items()),
            "device": card.name,
            "capability": card.capability,
            "driver": f"{facts.release} (CUDA {facts.cuda})",
            "precision": precision,
        }


class OnnxRuntimeCudaEngine(HostEngine):
    """An ONNX Runtime session on a card behind the engine protocol.

    Inputs and outputs are bound by address: the library copies from and to them, and allocates nothing. What the file
    has in half precision goes through buffers of that precision, which are kept as long as the shape stays.

    Args:
        spec: The model.
        session: The session; owned from now on.
        half: Whether it is of the fp16 file.

    Raises:
        EngineIncompatibleError: If the file has other tensors than the model.
    """

    def __init__(self, spec: ModelSpec, session: Any, *, half: bool) -> None:
        super().__init__(spec)
        require_tensors(spec, session)
        self._session = session
        self._dtypes = {t.name: np.float16 if half and t.half else np.float32 for t in (*spec.inputs, *spec.outputs)}
        self._require_dtypes((*session.get_inputs(), *session.get_outputs()))
        self._staged: dict[str, NDArray[Any]] = {}

    def _run(self, inputs: Mapping[str, NDArray[np.float32]], out: Mapping[str, NDArray[np.float32]]) -> None:
        binding = self._session.io_binding()
        for name, array in inputs.items():
            given = self._at_the_border(name, array)
            if given is not array:
                np.copyto(given, array, casting="same_kind")
            binding.bind_input(name, "cpu", 0, given.dtype.type, given.shape, given.ctypes.data)
        taken = {name: self._at_the_border(name, array) for name, array in out.items()}
        for name, array in taken.items():
            binding.bind_output(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        with translated(self._spec):
            self._session.run_with_iobinding(binding)
            binding.synchronize_outputs()
        for name, array in taken.items():
            if array is not out[name]:
                np.copyto(out[name], array)

    def _release(self) -> None:
        self._session = None
        self._staged.clear()

    def _at_the_border(self, name: str, array: NDArray[np.float32]) -> NDArray[Any]:
        """Return what the library is given in an array's place: itself, or a buffer of the file's precision."""
        dtype = self._dtypes[name]
        if dtype is np.float32:
            return array
        staged = self._staged.get(name)
        if staged is None or staged.shape != array.shape:
            staged = self._staged[name] = np.empty(array.shape, dtype)
        return staged

    def _require_dtypes(self, nodes: Sequence[Any]) -> None:
        """Check them before addresses are bound: the library would read as many bytes as its own types take."""
        types = {np.float16: "tensor(float16)", np.float32: "tensor(float)"}
        for node in nodes:
            if node.type != types[self._dtypes[node.name]]:
                wanted = types[self._dtypes[node.name]]
                raise EngineIncompatibleError(
                    f"`{node.name}` of {node.type}", wanted, "the catalogue and the file disagree"
                )


def _require_card(spec: ModelSpec, session: Any) -> None:
    """Refuse a session that runs elsewhere: the library says so nowhere but here."""
    runs_on = session.get_providers()
    if runs_on and runs_on[0] == PROVIDER:
        return
    why = _why_not_loaded()
    raise EngineError(
        f"ONNX Runtime would run `{spec.name}` on {', '.join(runs_on) or 'nothing'}, wanted {PROVIDER}"
        + (f": {why}" if why else ""),
        f"install what it needs: `pip install '{PACKAGE}[cuda,cudnn]'`; or use `--backend onnxruntime`",
    )


def _require_only_sizes_on_cpu(spec: ModelSpec, session: Any) -> None:
    """Refuse a session that computes pictures on the CPU in part."""
    if not hasattr(session, "get_provider_graph_assignment_info"):
        raise EngineError(
            f"{PACKAGE} {_version()} computes parts of `{spec.name}` on the CPU and cannot tell which",
            f"`pip install --upgrade {PACKAGE}`",
        )
    parts = session.get_provider_graph_assignment_info()
    on_cpu = {node.op_type for part in parts if part.ep_name != PROVIDER for node in part.get_nodes()}
    if others := sorted(on_cpu - SHAPE_ARITHMETIC):
        raise EngineError(
            f"ONNX Runtime would compute {', '.join(others)} of `{spec.name}` on the CPU, wanted all on the card",
            "use `--backend tensorrt` or `--backend onnxruntime`",
        )


@contextmanager
def _quiet() -> Iterator[Any]:
    """Import the library with NVIDIA's own from the packages beside it; what it would log is in our errors."""
    import onnxruntime

    if hasattr(onnxruntime, "preload_dlls"):
        with redirect_stdout(StringIO()):  # it prints what it does not find, where data belongs
            onnxruntime.preload_dlls(directory="")
    onnxruntime.set_default_logger_severity(_QUIET)
    try:
        yield onnxruntime
    finally:
        onnxruntime.set_default_logger_severity(_USUAL)


def _provider_library() -> Path | None:
    """Return the library that makes the package one for cards; nothing is imported."""
    found = find_spec("onnxruntime")
    for folder in (found.submodule_search_locations or ()) if found else ():
        path = Path(folder) / "capi" / "libonnxruntime_providers_cuda.so"
        if path.is_file():
            return path
    return None


def _why_not_loaded() -> str:
    """Return what the system's loader has against that library, such as the name of one that is missing."""
    path = _provider_library()
    if path is None:
        return ""
    try:
        ctypes.CDLL(str(path))
    except OSError as error:
        return str(error)
    return ""


def _version(package: str = PACKAGE) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _libraries() -> str:
    """Return the packages that compute for ONNX Runtime, with their versions."""
    return ", ".join(f"{name} {number}" for name in _LIBRARIES if (number := _version(name)))
