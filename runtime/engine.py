"""The engine protocol: a network that has been made ready to run, and the table that finds an implementation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from fastrestore.errors import EngineError, EngineIncompatibleError, UsageError
from fastrestore.geometry import Size
from fastrestore.models.spec import ModelSpec


class Engine(Protocol):
    """A network on a device. `run` may be called from one thread at a time; `close` twice is fine."""

    @property
    def spec(self) -> ModelSpec:
        """The model this engine runs."""
        ...

    @property
    def largest(self) -> Size | None:
        """The largest input picture it takes, or None if memory alone decides; larger ones must be cut into tiles."""
        ...

    def run(self, inputs: Mapping[str, NDArray[np.float32]], out: Mapping[str, NDArray[np.float32]]) -> None:
        """Run once. The caller owns `out`; nothing of the result's size is allocated.

        Args:
            inputs: By name, C-contiguous float32.
            out: By name, C-contiguous float32 of exactly the shapes that the network produces.

        Raises:
            EngineError: If a name, shape or dtype does not fit, the engine is closed, or the run fails.
        """
        ...

    def close(self) -> None:
        """Give back everything held."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


class Backend(Protocol):
    """Makes engines for one runtime library on one kind of device."""

    name: str

    def unavailable_because(self) -> str | None:
        """Return why this backend cannot run here, or None if it can. Cheap; loads nothing heavy."""
        ...

    def describe(self) -> str:
        """Return library, version and device in a few words."""
        ...

    def open(self, spec: ModelSpec, *, threads: int, size: Size | None = None) -> Engine:
        """Load a model.

        Args:
            spec: The model.
            threads: Threads it may use on a CPU; 0 uses every core.
            size: The picture it will be given, if that is known: an engine made for a range of sizes is chosen by it.

        Raises:
            EngineError: If it cannot be loaded.
            ModelError: If its file is missing or damaged.
        """
        ...


BACKENDS: Mapping[str, str] = MappingProxyType(
    {
        "onnxruntime": "fastrestore.runtime.backends.onnxruntime_cpu:OnnxRuntimeCpu",
    }
)
"""Backends in the order in which `auto` prefers them. Adding one is one line here."""


@dataclass(frozen=True, slots=True)
class BackendChoice:
    """A backend and why it was taken."""

    backend: Backend
    reason: str


def choose_backend(name: str) -> BackendChoice:
    """Return the backend of that name; `auto` takes the first that can run here and says why.

    Raises:
        UsageError: If the name is unknown.
        EngineError: If the backend cannot run here.
    """
    if name != "auto":
        if name not in BACKENDS:
            raise UsageError(f"unknown backend `{name}`", f"known here: auto, {', '.join(BACKENDS)}")
        backend = load_backend(name)
        if problem := backend.unavailable_because():
            raise EngineError(f"backend `{name}` cannot run here: {problem}", "see `fastrestore doctor`")
        return BackendChoice(backend, "asked for")
    problems: list[str] = []
    for candidate in BACKENDS:
        backend = load_backend(candidate)
        problem = backend.unavailable_because()
        if problem is None:
            return BackendChoice(backend, "; ".join([*problems, "first that runs here"]))
        problems.append(f"{candidate}: {problem}")
    raise EngineError(
        f"no backend can run here ({'; '.join(problems)})", "install one: `pip install 'fastrestore[cpu]'`"
    )


def load_backend(name: str) -> Backend:
    """Return a backend by its name in the table, whether it can run here or not."""
    module, _, attribute = BACKENDS[name].partition(":")
    backend: Backend = getattr(import_module(module), attribute)()
    return backend


def check_tensors(
    spec: ModelSpec, inputs: Mapping[str, NDArray[np.float32]], out: Mapping[str, NDArray[np.float32]]
) -> None:
    """Check what an engine is given, before its addresses go to a library that would not.

    Raises:
        EngineIncompatibleError: If a name, dtype, layout or shape is not what the model has.
    """
    wanted = [tensor.name for tensor in spec.inputs], [tensor.name for tensor in spec.outputs]
    if set(inputs) != set(wanted[0]) or set(out) != set(wanted[1]):
        raise EngineIncompatibleError(f"{sorted(inputs)} -> {sorted(out)}", f"{wanted[0]} -> {wanted[1]}")
    for array in (*inputs.values(), *out.values()):
        if array.dtype != np.float32 or not array.flags.c_contiguous or array.ndim != 4:
            raise EngineIncompatibleError(
                f"{array.dtype} array of shape {array.shape}", "contiguous float32 `(N, C, H, W)`"
            )
    count, _, height, width = inputs[wanted[0][0]].shape
    for tensor, arrays in [(t, inputs) for t in spec.inputs] + [(t, out) for t in spec.outputs]:
        shape = tensor.shape(count, height, width)
        if arrays[tensor.name].shape != shape:
            raise EngineIncompatibleError(f"`{tensor.name}` of shape {arrays[tensor.name].shape}", f"{shape}")
    if height % spec.multiple_px or width % spec.multiple_px:
        raise EngineIncompatibleError(f"input of {width}x{height}", f"sides in multiples of {spec.multiple_px}")
