"""A stand-in for the `tensorrt` and `tensorrt_rtx` modules that runs networks on a counting device.

It has the part of the interface that is used here, under the names of the real bindings (tests/unit/backends compares
them), answers as those were seen to answer, and is stricter than they are: whatever would be undefined behaviour there
is a `MisuseError` here. Networks are run by ONNX Runtime, when the counting device gets round to it.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any

import numpy as np
from tests.fake_tensorrt.plans import HEADER_BYTES, FakePlan, TensorPlan

from fastrestore.errors import DeviceError
from fastrestore.runtime.devices.counting import CountingDevice
from fastrestore.runtime.memory import ALIGNMENT_BYTES

_BYTES_PER_PIXEL = 24
"""Scratch memory that an engine claims to need."""
_FAULTS: dict[str, Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]] = {
    "": lambda values: values,
    "nan": lambda values: np.where(np.arange(values.size).reshape(values.shape) == 7, np.nan, values),
    "black": np.zeros_like,
    "darker": lambda values: values * 0.9,
}


class MisuseError(AssertionError):
    """A call that the real library does not forgive."""


class DataType(IntEnum):
    FLOAT = 0
    HALF = 1


class TensorIOMode(IntEnum):
    NONE = 0
    INPUT = 1
    OUTPUT = 2


class ExecutionContextAllocationStrategy(IntEnum):
    STATIC = 0
    ON_PROFILE_CHANGE = 1
    USER_MANAGED = 2


class DynamicShapesKernelSpecializationStrategy(IntEnum):
    LAZY = 0
    EAGER = 1
    NONE = 2


class EngineValidity(IntEnum):
    VALID = 0
    SUBOPTIMAL = 1
    INVALID = 2


class EngineInvalidityDiagnostics(IntEnum):
    VERSION_MISMATCH = 1
    UNSUPPORTED_CC = 2
    OLD_CUDA_DRIVER = 4
    OLD_CUDA_RUNTIME = 8
    INSUFFICIENT_GPU_MEMORY = 16
    MALFORMED_ENGINE = 32
    CUDA_ERROR = 64


class ErrorCodeTRT(IntEnum):
    UNSPECIFIED_ERROR = 1
    INVALID_ARGUMENT = 3


class ILogger:
    class Severity(IntEnum):
        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2
        INFO = 3
        VERBOSE = 4

    def log(self, severity: Severity, msg: str) -> None:
        raise NotImplementedError


class IErrorRecorder:
    def report_error(self, arg0: ErrorCodeTRT, arg1: str) -> bool:
        raise NotImplementedError


class _Part:
    """Something of the library that lives on the device, and must be destroyed while that is current."""

    def __init__(self, library: FakeLibrary) -> None:
        self._library, self._device = library, library.device
        self._require_current()
        library.live += 1

    def _require_current(self) -> None:
        if not self._device.is_current:
            raise MisuseError(f"{type(self).__name__} was used while its device was not current")

    def __del__(self) -> None:
        if hasattr(self, "_library"):
            self._library.live -= 1
            if not self._device.is_current:
                self._library.misuses.append(f"{type(self).__name__} was destroyed while its device was not current")


class Runtime(_Part):
    engine_header_size = HEADER_BYTES
    library: FakeLibrary

    def __init__(self, logger: ILogger) -> None:
        if not isinstance(logger, ILogger):
            raise TypeError("__init__(): incompatible constructor arguments")
        super().__init__(self.library)
        self.logger = logger
        self.error_recorder: Any = None
        self.engine_host_code_allowed = False

    def get_engine_validity(self, buffer: bytes) -> tuple[EngineValidity, int]:
        if len(buffer) < HEADER_BYTES or not buffer.startswith(b"FAKEPLAN"):
            return EngineValidity.INVALID, int(EngineInvalidityDiagnostics.MALFORMED_ENGINE)
        if buffer[8:HEADER_BYTES].rstrip(b"\0").decode() != self._device.capability:
            return EngineValidity.INVALID, int(EngineInvalidityDiagnostics.UNSUPPORTED_CC)
        return EngineValidity.VALID, 0

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
        self._require_current()
        self.logger.log(ILogger.Severity.INFO, f"Loaded engine size: {len(serialized_engine) >> 20} MiB")
        try:
            plan = FakePlan.decode(serialized_engine)
        except ValueError as error:
            self.error_recorder.report_error(
                ErrorCodeTRT.UNSPECIFIED_ERROR, f"IRuntime::deserializeCudaEngine: Error Code 1: {error}"
            )
            return None
        return ICudaEngine(self._library, plan, self.error_recorder)


class IRuntimeConfig:
    def __init__(self) -> None:
        self.dynamic_shapes_kernel_specialization_strategy = DynamicShapesKernelSpecializationStrategy.LAZY
        self._strategy = ExecutionContextAllocationStrategy.STATIC

    def set_execution_context_allocation_strategy(
        self, strategy: ExecutionContextAllocationStrategy = ExecutionContextAllocationStrategy.STATIC
    ) -> None:
        self._strategy = strategy

    def get_execution_context_allocation_strategy(self) -> ExecutionContextAllocationStrategy:
        return self._strategy


class ICudaEngine(_Part):
    def __init__(self, library: FakeLibrary, plan: FakePlan, recorder: Any) -> None:
        import onnxruntime

        super().__init__(library)
        self.plan, self.error_recorder = plan, recorder
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session: Any = onnxruntime.InferenceSession(plan.network, options, providers=["CPUExecutionProvider"])
        self._tensors = {tensor.name: tensor for tensor in (*plan.inputs, *plan.outputs)}

    @property
    def num_io_tensors(self) -> int:
        return len(self._tensors)

    def get_tensor_name(self, index: int) -> str:
        return list(self._tensors)[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if self._tensors[name] in self.plan.inputs else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> DataType:
        return DataType.HALF if self._tensors[name].half else DataType.FLOAT

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[tuple[int, ...]]:
        if profile_index != 0:
            raise MisuseError(f"profile {profile_index}, of one")
        plan = self.plan
        return [shape_of(self._tensors[name], *bound) for bound in (plan.least, plan.best, plan.most)]

    def create_runtime_config(self) -> IRuntimeConfig:
        self._require_current()
        return IRuntimeConfig()

    def create_execution_context(
        self,
        strategy: ExecutionContextAllocationStrategy | IRuntimeConfig = ExecutionContextAllocationStrategy.STATIC,
    ) -> IExecutionContext | None:
        self._require_current()
        eager = DynamicShapesKernelSpecializationStrategy.EAGER
        if isinstance(strategy, IRuntimeConfig):
            if strategy.dynamic_shapes_kernel_specialization_strategy is not eager:
                raise MisuseError("kernels would be exchanged while the engine runs")
            strategy = strategy.get_execution_context_allocation_strategy()
        elif self._library.judges_headers:
            raise MisuseError("this library exchanges kernels while an engine runs, unless it is told not to")
        if strategy is not ExecutionContextAllocationStrategy.USER_MANAGED:
            raise MisuseError("this context would take scratch memory of its own")
        if self.plan.fault == "no context":
            self.error_recorder.report_error(ErrorCodeTRT.UNSPECIFIED_ERROR, "out of something while making a context")
            return None
        return IExecutionContext(self, self._library)


class IExecutionContext(_Part):
    def __init__(self, engine: ICudaEngine, library: FakeLibrary) -> None:
        super().__init__(library)
        self.engine, self.error_recorder = engine, engine.error_recorder
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self._inferred = False
        self._needed: int | None = None
        self._scratch: tuple[int, int] | None = None
        self._consumed = 0

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._require_current()
        plan = self.engine.plan
        tensor = next((tensor for tensor in plan.inputs if tensor.name == name), None)
        if tensor is None:
            return self._refuse(f"IExecutionContext::setInputShape: Error Code 3: {name} is no input")
        least, most = (shape_of(tensor, *bound) for bound in (plan.least, plan.most))
        if not all(low <= side <= high for low, side, high in zip(least, shape, most, strict=True)):
            return self._refuse(
                "IExecutionContext::setInputShape: Error Code 3: API Usage Error (Set dimensions "
                f"{shape} for tensor {name} do not satisfy any optimization profile: {least} to {most})"
            )
        if self._shapes.get(name) != tuple(shape):
            self._inferred, self._needed, self._scratch = False, None, None
        self._shapes[name] = tuple(shape)
        return True

    def infer_shapes(self) -> list[str]:
        missing = [tensor.name for tensor in self.engine.plan.inputs if tensor.name not in self._shapes]
        self._inferred = not missing
        return missing

    def update_device_memory_size_for_shapes(self) -> int:
        self._require_current()
        if not self._inferred:
            raise MisuseError("scratch memory was asked for before shapes were inferred")
        batch, _, height, width = self._shapes[self.engine.plan.inputs[0].name]
        self._needed = batch * height * width * _BYTES_PER_PIXEL
        return self._needed

    def set_device_memory(self, memory: int, size: int) -> None:
        if memory % ALIGNMENT_BYTES:
            raise MisuseError(f"scratch memory at {memory:#x} is not aligned to {ALIGNMENT_BYTES} bytes")
        self._device.at(memory, size)
        self._scratch = memory, size

    def set_tensor_address(self, name: str, memory: int) -> bool:
        if name not in {tensor.name for tensor in (*self.engine.plan.inputs, *self.engine.plan.outputs)}:
            return self._refuse(f"IExecutionContext::setTensorAddress: Error Code 3: unknown tensor {name}")
        self._addresses[name] = memory
        return True

    def set_input_consumed_event(self, event: int) -> bool:
        self._consumed = event
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        self._require_current()
        if stream_handle == 0:
            raise MisuseError("enqueued on the default stream, which waits for all others")
        if not self._inferred:
            raise MisuseError("enqueued before every input had a shape")
        if self._needed is None or self._scratch is None or self._scratch[1] < self._needed:
            raise MisuseError(f"enqueued with scratch memory {self._scratch}, wanted {self._needed} bytes")
        try:
            stream = self._device.stream_of(stream_handle)
            inputs = [(tensor, *self._bound(tensor)) for tensor in self.engine.plan.inputs]
            outputs = [(tensor, *self._bound(tensor)) for tensor in self.engine.plan.outputs]
        except DeviceError as error:
            return self._refuse(f"IExecutionContext::enqueueV3: Error Code 1: Cuda Runtime ({error.message})")
        scratch = self._scratch
        read: dict[str, np.ndarray[Any, Any]] = {}

        def take() -> None:
            read.update((t.name, self._memory(t, address, shape).copy()) for t, address, shape in inputs)

        def compute() -> None:
            self._device.at(*scratch)[:] = 0xFF  # what others kept there is gone
            made = self.engine.session.run([t.name for t, _, _ in outputs], read)
            for (tensor, address, shape), values in zip(outputs, made, strict=True):
                self._memory(tensor, address, shape)[:] = _FAULTS[self.engine.plan.fault](values)

        touched = [address for _, address, _ in (*inputs, *outputs)]
        stream.perform(take, touched)
        if self._consumed:
            stream.record(self._device.event_of(self._consumed))
        stream.perform(_crash if self.engine.plan.fault == "crash" else compute, [*touched, scratch[0]])
        return True

    def _bound(self, tensor: TensorPlan) -> tuple[int, tuple[int, ...]]:
        """Return a tensor's address and shape, all of it in memory that is there."""
        if tensor.name not in self._addresses:
            raise MisuseError(f"enqueued before `{tensor.name}` had an address")
        batch, _, height, width = self._shapes[self.engine.plan.inputs[0].name]
        shape, address = shape_of(tensor, batch, height, width), self._addresses[tensor.name]
        self._device.at(address, int(np.prod(shape)) * (2 if tensor.half else 4))
        return address, shape

    def _memory(self, tensor: TensorPlan, address: int, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        dtype = np.dtype(np.float16 if tensor.half else np.float32)
        return self._device.at(address, int(np.prod(shape)) * dtype.itemsize).view(dtype).reshape(shape)

    def _refuse(self, text: str) -> bool:
        self.error_recorder.report_error(ErrorCodeTRT.INVALID_ARGUMENT, text)
        return False


class FakeLibrary:
    """The module itself.

    Args:
        device: Where its engines run.
        judges_headers: Whether it is the library for RTX cards, which can tell from a header whether an engine fits,
            and compiles kernels when an engine runs.
    """

    DataType = DataType
    DynamicShapesKernelSpecializationStrategy = DynamicShapesKernelSpecializationStrategy
    TensorIOMode = TensorIOMode
    ExecutionContextAllocationStrategy = ExecutionContextAllocationStrategy
    EngineValidity = EngineValidity
    EngineInvalidityDiagnostics = EngineInvalidityDiagnostics
    ErrorCodeTRT = ErrorCodeTRT
    ILogger = ILogger
    IErrorRecorder = IErrorRecorder

    def __init__(self, device: CountingDevice, *, judges_headers: bool = False) -> None:
        self.device, self.judges_headers = device, judges_headers
        self.live = 0
        """Runtimes, engines and contexts that were not destroyed."""
        self.misuses: list[str] = []
        made: dict[str, Any] = {"library": self}
        if not judges_headers:
            made["get_engine_validity"] = property(_absent)
        self.Runtime = type("Runtime", (Runtime,), made)


def shape_of(tensor: TensorPlan, batch: int, height: int, width: int) -> tuple[int, ...]:
    if tensor.scale == 0:
        return batch, tensor.channels, 1, 1
    return batch, tensor.channels, height * tensor.scale, width * tensor.scale


def _crash() -> None:
    raise DeviceError("an illegal memory access was encountered (CUDA_ERROR_ILLEGAL_ADDRESS)")


def _absent(_: object) -> None:
    raise AttributeError("get_engine_validity")
