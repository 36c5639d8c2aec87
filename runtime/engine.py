"""The engine protocol: a network that has been made ready to run, and the table that finds an implementation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Protocol, Self, runtime_checkable

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
            DeviceError: If the device fails, or has too little memory.
        """
        ...

    def close(self) -> None:
        """Give back everything held."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


@dataclass(frozen=True, slots=True)
class PhaseTimes:
    """Seconds that the parts of one run took, as the device's own events tell."""

    enqueue_s: float
    """The host's, to hand the work over; it goes on while the device computes."""
    h2d_s: float
    """Copying the inputs to the device; 0 without transfers."""
    compute_s: float
    d2h_s: float
    """Copying the outputs back; 0 without transfers."""


@runtime_checkable
class PhasedEngine(Protocol):
    """What an engine on a device of its own offers besides `Engine`, to be measured."""

    def run_phased(
        self,
        inputs: Mapping[str, NDArray[np.float32]],
        out: Mapping[str, NDArray[np.float32]],
        *,
        transfers: bool = True,
        graph: bool = False,
    ) -> PhaseTimes:
        """Run once, as `Engine.run`, wait for the end, and say how long each part took.

        Args:
            inputs: As for `Engine.run`.
            out: As for `Engine.run`; left alone without transfers.
            transfers: Copy inputs and outputs; without, what an earlier run left on the device is computed on again.
            graph: Replay the run as one recorded graph of the device; the first run of a shape records it.

        Raises:
            EngineError: As for `Engine.run`, or if a graph cannot be recorded.
        """
        ...


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


@runtime_checkable
class BuiltAhead(Protocol):
    """What a backend offers besides `Backend` that runs engines built before for certain sizes."""

    def missing(self, spec: ModelSpec, size: Size | None) -> str | None:
        """Return why it cannot open a model for pictures of a size, or None if it can. Loads no engine."""
        ...

    def largest(self, spec: ModelSpec, size: Size | None) -> Size | None:
        """Return `Engine.largest` of the engine that it would open, or None if it has none."""
        ...

    def opened(self) -> str:
        """Return by what the engines opened so far are known: one built anew may round in another way."""
        ...


@runtime_checkable
class ChoosesPrecision(Protocol):
    """What a backend offers besides `Backend` that computes in what the machine is best at."""

    def precision(self) -> str:
        """Return in what it computes restoration networks here: `fp32` or `bf16`."""
        ...


BACKENDS: Mapping[str, str] = MappingProxyType(
    {
        "tensorrt": "fastrestore.runtime.backends.tensorrt:TensorRt",
        "tensorrt-rtx": "fastrestore.runtime.backends.tensorrt:TensorRtRtx",
        "onnxruntime-cuda": "fastrestore.runtime.backends.onnxruntime_cuda:OnnxRuntimeCuda",
        "openvino": "fastrestore.runtime.backends.openvino:OpenVino",
        "onnxruntime": "fastrestore.runtime.backends.onnxruntime_cpu:OnnxRuntimeCpu",
    }
)
"""Backends in the order in which `auto` prefers them. Adding one is one line here."""


@dataclass(frozen=True, slots=True)
class BackendChoice:
    """A backend and why it was taken."""

    backend: Backend
    reason: str

    @property
    def identity(self) -> str:
        """By what a run is known that may be resumed: the backend, and what its results depend on besides.

        Those are its engines where they were built before, its precision where the machine decides that.

        Raises:
            FastRestoreError: If the precision asked for cannot be had.
        """
        backend = self.backend
        if isinstance(backend, BuiltAhead):
            return f"{backend.name} {backend.opened()}"
        return f"{backend.name} {backend.precision()}" if isinstance(backend, ChoosesPrecision) else backend.name


def choose_backend(name: str, networks: Sequence[tuple[ModelSpec, Size]] = ()) -> BackendChoice:
    """Return the backend of that name; `auto` takes the first that can run here and says why.

    Args:
        name: Of a backend, or `auto`.
        networks: What is to be run, with the pictures that each will be given: `auto` passes over a backend that has
            no engine for one of them, and over all that need engines if none is given.

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
    passed_over: dict[str, list[str]] = {}
    for candidate in BACKENDS:
        backend = load_backend(candidate)
        problem = backend.unavailable_because() or _lacking(backend, networks)
        if problem is None:
            return BackendChoice(backend, "; ".join([*_grouped(passed_over), "first that runs here"]))
        passed_over.setdefault(problem, []).append(candidate)
    raise EngineError(
        f"no backend can run here ({'; '.join(_grouped(passed_over))})",
        "install one: `pip install 'fastrestore[cpu]'`",
    )


def _lacking(backend: Backend, networks: Sequence[tuple[ModelSpec, Size]]) -> str | None:
    if not isinstance(backend, BuiltAhead):
        return None
    if not networks:
        return "its engines are built for certain networks, and none was named"
    return next(filter(None, (backend.missing(spec, size) for spec, size in networks)), None)


def _grouped(passed_over: Mapping[str, list[str]]) -> list[str]:
    """Say a reason once, for all the backends that share it."""
    return [f"{', '.join(names)}: {reason}" for reason, names in passed_over.items()]


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
