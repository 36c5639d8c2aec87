"""ONNX Runtime on the CPU: the backend that every machine has."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrestore.config import cpu_count
from fastrestore.geometry import Size
from fastrestore.models import store
from fastrestore.models.spec import ModelSpec
from fastrestore.runtime.backends.host_engine import HostEngine
from fastrestore.runtime.backends.onnxruntime_session import require_tensors, session_options, translated


class OnnxRuntimeCpu:
    """Backend `onnxruntime`."""

    name = "onnxruntime"

    def unavailable_because(self) -> str | None:
        """See `Backend.unavailable_because`."""
        if find_spec("onnxruntime") is None:
            return "package onnxruntime is not installed"
        return None

    def describe(self) -> str:
        """See `Backend.describe`."""
        for package in ("onnxruntime", "onnxruntime-gpu"):
            try:
                return f"{package} {version(package)}, CPU, {cpu_count()} cores"
            except PackageNotFoundError:
                continue
        return "onnxruntime is not installed"

    def open(self, spec: ModelSpec, *, threads: int, size: Size | None = None) -> OnnxRuntimeEngine:
        """See `Backend.open`. The fp32 file is taken: half precision gains nothing on a CPU."""
        import onnxruntime

        options = session_options(threads)
        # A plan of the memory for every shape gains no time, and holds a second copy of what the arena holds.
        options.enable_mem_pattern = False
        path = store.locate(spec, "fp32")
        with translated(spec):
            session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
        return OnnxRuntimeEngine(spec, session)


class OnnxRuntimeEngine(HostEngine):
    """An ONNX Runtime session behind the engine protocol."""

    def __init__(self, spec: ModelSpec, session: Any) -> None:
        super().__init__(spec)
        self._session: Any = session
        require_tensors(spec, session)

    def _run(self, inputs: Mapping[str, NDArray[np.float32]], out: Mapping[str, NDArray[np.float32]]) -> None:
        binding = self._session.io_binding()
        for name, array in inputs.items():
            binding.bind_input(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        for name, array in out.items():
            binding.bind_output(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        with translated(self._spec):
            self._session.run_with_iobinding(binding)

    def _release(self) -> None:
        self._session = None
