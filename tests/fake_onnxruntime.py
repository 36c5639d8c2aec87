"""An ONNX Runtime for cards that needs none: it mimics what the real one does with a card, and is strict about calls.

Networks are computed by the real library on the CPU. Where the file is in half precision, so are inputs and outputs.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
KNOWN_OPTIONS = {
    "device_id",
    "cudnn_conv_algo_search",
    "cudnn_conv_use_max_workspace",
    "arena_extend_strategy",
    "do_copy_in_default_stream",
    "use_tf32",
    "user_compute_stream",
    "gpu_mem_limit",
    "prefer_nhwc",
}
"""Found in the library of onnxruntime-gpu 1.31.1. The real one passes over what it does not know."""
KNOWN_ENTRIES = {
    "session.intra_op.allow_spinning",
    "session.disable_cpu_ep_fallback",
    "session.record_ep_graph_assignment_info",
}
_STATE = onnxruntime.capi.onnxruntime_pybind11_state
_DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


@dataclass
class Card:
    """How the machine is that the fake runs on, and what was asked of it."""

    works: bool = True
    """Whether CUDA's libraries load."""
    on_cpu: tuple[str, ...] = ()
    """Types of operators that are left to the CPU."""
    tells_places: bool = True
    """Whether the library is new enough to say what runs where."""
    fault: str = ""
    """What every run fails with."""
    lie: float = 0.0
    """Added to every value of every result."""
    sessions: list[FakeSession] = field(default_factory=list)
    severities: list[int] = field(default_factory=list)
    preloaded: list[str | None] = field(default_factory=list)

    def module(self) -> ModuleType:
        """Return what stands in for the package."""
        fake = ModuleType("onnxruntime")
        names: Mapping[str, Any] = {
            "SessionOptions": FakeOptions,
            "InferenceSession": lambda *arguments, **options: FakeSession(self, *arguments, **options),
            "capi": onnxruntime.capi,
            "set_default_logger_severity": self.severities.append,
            "preload_dlls": self._preload,
        }
        for name, value in names.items():
            setattr(fake, name, value)
        return fake

    def _preload(self, directory: str | None = None) -> None:
        self.preloaded.append(directory)
        print("Failed to load libcublasLt.so.13")


class FakeOptions:
    """Session options: only those that there are can be set."""

    __slots__ = (
        "entries",
        "inter_op_num_threads",
        "intra_op_num_threads",
        "log_severity_level",
        "use_deterministic_compute",
    )

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}
        self.use_deterministic_compute = False

    def add_session_config_entry(self, key: str, value: str) -> None:
        assert key in KNOWN_ENTRIES and isinstance(value, str), key
        self.entries[key] = value


class FakeSession:
    """A session that falls back to the CPU without a word, as the real one does, unless told not to."""

    def __init__(
        self,
        card: Card,
        path: str,
        options: FakeOptions,
        *,
        providers: Sequence[Any],
        enable_fallback: int,
    ) -> None:
        assert enable_fallback == 0, "the Python layer would try the CPU by itself"
        ((provider, settings),) = providers
        assert provider == CUDA and set(settings) <= KNOWN_OPTIONS, settings
        assert all(isinstance(value, str) for value in settings.values())
        strict = options.entries.get("session.disable_cpu_ep_fallback") == "1"
        if strict and (not card.works or card.on_cpu):
            raise _STATE.Fail(
                "[ONNXRuntimeError] : 1 : FAIL : This session contains graph nodes that are assigned to the default "
                "CPU EP, but fallback to CPU EP has been explicitly disabled by the user."
            )
        self.card, self.settings, self.options = card, dict(settings), options
        real = onnxruntime.SessionOptions()
        real.intra_op_num_threads = 1
        self._real = onnxruntime.InferenceSession(path, real, providers=[CPU])
        if card.tells_places and "session.record_ep_graph_assignment_info" in options.entries:
            self.get_provider_graph_assignment_info = self._places
        card.sessions.append(self)

    def get_inputs(self) -> list[Any]:
        return list(self._real.get_inputs())

    def get_outputs(self) -> list[Any]:
        return list(self._real.get_outputs())

    def get_providers(self) -> list[str]:
        return [CUDA, CPU] if self.card.works else [CPU]

    def io_binding(self) -> FakeBinding:
        return FakeBinding(self)

    def run_with_iobinding(self, binding: FakeBinding) -> None:
        assert binding.session is self
        if self.card.fault:
            raise _STATE.RuntimeException(f"[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : {self.card.fault}")
        wanted = [node.name for node in self.get_inputs()], [node.name for node in self.get_outputs()]
        assert sorted(binding.inputs) == sorted(wanted[0]) and sorted(binding.outputs) == sorted(wanted[1])
        results = self._real.run(wanted[1], binding.inputs)
        for name, result in zip(wanted[1], results, strict=True):
            assert binding.outputs[name].shape == result.shape, "the real one writes beyond the buffer"
            binding.outputs[name][:] = result + np.asarray(self.card.lie, result.dtype)
        binding.ran = True

    def _places(self) -> list[Any]:
        @dataclass
        class Node:
            op_type: str

        @dataclass
        class Part:
            ep_name: str
            nodes: list[Node]

            def get_nodes(self) -> list[Node]:
                return self.nodes

        return [Part(CUDA, [Node("Conv")]), *(Part(CPU, [Node(kind)]) for kind in self.card.on_cpu)]


class FakeBinding:
    """Addresses of inputs and outputs. They are memory of the host here, as they are for the backend."""

    def __init__(self, session: FakeSession) -> None:
        self.session = session
        self.inputs: dict[str, NDArray[Any]] = {}
        self.outputs: dict[str, NDArray[Any]] = {}
        self.ran = False

    def bind_input(self, name: str, device: str, index: int, dtype: type, shape: Sequence[int], address: int) -> None:
        self.inputs[name] = self._seen(self.session.get_inputs(), name, device, index, dtype, shape, address)

    def bind_output(self, name: str, device: str, index: int, dtype: type, shape: Sequence[int], address: int) -> None:
        self.outputs[name] = self._seen(self.session.get_outputs(), name, device, index, dtype, shape, address)

    def synchronize_outputs(self) -> None:
        assert self.ran, "synchronised before anything ran"

    def _seen(
        self, nodes: list[Any], name: str, device: str, index: int, dtype: type, shape: Sequence[int], address: int
    ) -> NDArray[Any]:
        assert (device, index) == ("cpu", 0) and not self.ran
        (node,) = (node for node in nodes if node.name == name)
        assert dtype is _DTYPES[node.type], f"{name} is {node.type}, bound as {dtype}"
        length = int(np.prod(shape)) * np.dtype(dtype).itemsize
        memory = (ctypes.c_uint8 * length).from_address(address)
        found: NDArray[Any] = np.ctypeslib.as_array(memory).view(np.dtype(dtype)).reshape(tuple(shape))
        return found
