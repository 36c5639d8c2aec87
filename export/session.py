"""ONNX graphs run on ONNX Runtime's CPU provider, and torch modules, both as functions from arrays to arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as state

from fastrestore.errors import ExportError
from fastrestore.models.spec import Tensor

Array = NDArray[np.float32]
_ELEMENTS: Mapping[str, type[np.floating[Any]]] = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
# ONNX Runtime's exceptions share no base with one another.
_FAILURES = (
    state.Fail,
    state.InvalidArgument,
    state.InvalidGraph,
    state.InvalidProtobuf,
    state.NotImplemented,
    state.RuntimeException,
    state.EPFail,
    RuntimeError,
    ValueError,
)


class Graph:
    """An ONNX graph that is ready to run.

    Args:
        model: Path of the file, or the model itself.

    Raises:
        ExportError: If ONNX Runtime cannot load it.
    """

    def __init__(self, model: Path | onnx.ModelProto) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        given = str(model) if isinstance(model, Path) else model.SerializeToString()
        with _translated("ONNX Runtime cannot load the graph"):
            self._session: Any = onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
        self._elements = {node.name: _ELEMENTS.get(node.type) for node in self._session.get_inputs()}
        self.outputs: tuple[str, ...] = tuple(node.name for node in self._session.get_outputs())

    def __call__(self, given: Sequence[Array]) -> list[Array]:
        """Run once.

        Args:
            given: The inputs in the graph's order, as float32; what the graph takes as float16 is rounded to it.

        Returns:
            The outputs in the graph's order, as float32.

        Raises:
            ExportError: If the run fails.
        """
        feed = {
            name: np.ascontiguousarray(array, dtype=element or np.float32)
            for (name, element), array in zip(self._elements.items(), given, strict=True)
        }
        with _translated("ONNX Runtime failed"):
            found = self._session.run(None, feed)
        return [np.asarray(array, np.float32) for array in found]


class Module:
    """A torch module, in float32 on the CPU.

    Args:
        module: It takes and yields the tensors of a `LoadedNetwork`.
    """

    def __init__(self, module: torch.nn.Module) -> None:
        self.module = module

    def __call__(self, given: Sequence[Array]) -> list[Array]:
        """Run once; as `Graph.__call__`.

        Raises:
            ExportError: If the module refuses what it is given.
        """
        try:
            with torch.inference_mode():
                found = self.module(*self._tensors(given))
        except (RuntimeError, ValueError, TypeError, LookupError, AssertionError, ZeroDivisionError) as error:
            raise ExportError(f"the network cannot run: {str(error).strip().partition(chr(10))[0][:200]}") from error
        results = found if isinstance(found, (tuple, list)) else (found,)
        return [tensor.detach().float().numpy() for tensor in results]

    def _tensors(self, given: Sequence[Array]) -> list[torch.Tensor]:
        return [torch.from_numpy(np.array(array, np.float32)) for array in given]  # copies: some work in place


class HalfModule(Module):
    """A torch module after `.half()`: given float32, it is handed what is `half` as float16.

    Args:
        module: The module.
        inputs: What it takes.
    """

    def __init__(self, module: torch.nn.Module, inputs: Sequence[Tensor]) -> None:
        super().__init__(module)
        self._types = [torch.float16 if tensor.half else torch.float32 for tensor in inputs]

    def _tensors(self, given: Sequence[Array]) -> list[torch.Tensor]:
        return [tensor.to(kind) for tensor, kind in zip(super()._tensors(given), self._types, strict=True)]


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except _FAILURES as error:
        raise ExportError(f"{what}: {str(error).strip().partition(chr(10))[0][:400]}") from error
