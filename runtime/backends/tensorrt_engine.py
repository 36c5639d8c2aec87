"""Runs TensorRT engines: on device addresses and a stream, and around that on the host's arrays."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fastrestore.errors import DeviceError, EngineError, EngineIncompatibleError
from fastrestore.geometry import Size
from fastrestore.models.spec import ModelSpec, Tensor
from fastrestore.runtime.backends.tensorrt_library import FLAVOURS, Recorder, make_recorder, require, translated
from fastrestore.runtime.backends.tensorrt_session import Session
from fastrestore.runtime.devices.scratch import Scratch
from fastrestore.runtime.devices.slot_scratch import SlotScratch
from fastrestore.runtime.devices.staging import StagedTensor
from fastrestore.runtime.engine import PhaseTimes, check_tensors
from fastrestore.runtime.engine_key import EngineKey, Profile
from fastrestore.runtime.memory import Device, Event, Owner, Stream

_F32 = NDArray[np.float32]
_Dims = tuple[int, ...]
_FLOAT, _HALF = np.dtype(np.float32), np.dtype(np.float16)
_REBUILD = "build it again: `fastrestore build-engines {model} --backend {backend} --force`"


@dataclass(frozen=True, slots=True)
class TensorTypes:
    """What the tensors of an engine hold, by name."""

    inputs: dict[str, np.dtype[Any]]
    outputs: dict[str, np.dtype[Any]]


class LoadedEngine(Owner):
    """A deserialised plan, checked against what it is said to be. Its weights are on the device once.

    Args:
        session: The library on a card; stays open as long as this.
        spec: The model.
        key: What the plan was built as.
        plan: The plan; checked to be one of ours before, for it is executable content.

    Raises:
        EngineError: If the library refuses it.
        EngineIncompatibleError: If it does not fit this card or library, or is another model's.
    """

    def __init__(self, session: Session, spec: ModelSpec, key: EngineKey, plan: bytes) -> None:
        self.session, self.spec, self.key = session, spec, key
        self._hint = _REBUILD.format(model=spec.name, backend=key.backend)
        self.recorder: Recorder = make_recorder(session.trt)
        with session.device.current():
            self._engine: Any = session.deserialize(plan, key, self._hint)
            self._engine.error_recorder = self.recorder
            super().__init__()
            try:
                self.types = self._checked()
            except BaseException:
                self.close()
                raise

    @property
    def profile(self) -> Profile:
        """The inputs that it takes."""
        return self.key.profile

    def make_context(self) -> Any:
        """Return a new execution context without scratch memory of its own. Call with the device current."""
        self._require_open()
        what, witnesses = f"no execution context for `{self.spec.name}`", (self.recorder, self.session.logger)
        self.recorder.clear()
        with translated(what, *witnesses):
            made = self._engine.create_execution_context(self._context_settings(what))
        return require(made, what, *witnesses)

    def _context_settings(self, what: str) -> Any:
        """Return how contexts are made: by a strategy alone, or by all settings where there are more."""
        trt = self.session.trt
        if not FLAVOURS[self.key.backend].compiles_when_run:
            return trt.ExecutionContextAllocationStrategy.USER_MANAGED
        settings = require(self._engine.create_runtime_config(), what, self.recorder, self.session.logger)
        settings.set_execution_context_allocation_strategy(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        # Compiled in the background, kernels would change in the middle of a run, and rounding with them: what was
        # proved would not be what runs later, and a resumed run would not yield the same bytes.
        settings.dynamic_shapes_kernel_specialization_strategy = trt.DynamicShapesKernelSpecializationStrategy.EAGER
        return settings

    def _checked(self) -> TensorTypes:
        """Compare the engine's own word with the catalogue's and the key's."""
        trt, spec = self.session.trt, self.spec  # no second name for the engine: an error would keep it alive
        kinds: dict[Any, np.dtype[Any]] = {trt.DataType.FLOAT: _FLOAT, trt.DataType.HALF: _HALF}
        found = TensorTypes({}, {})
        for index in range(self._engine.num_io_tensors):
            name = self._engine.get_tensor_name(index)
            kind = self._engine.get_tensor_dtype(name)
            if kind not in kinds:
                raise EngineIncompatibleError(f"`{name}` of {kind}", "float16 or float32", self._hint)
            part = found.inputs if self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT else found.outputs
            part[name] = kinds[kind]
        wanted = _types(spec, self.key.precision)
        if found != wanted:
            raise EngineIncompatibleError(f"tensors {_words(found)}", _words(wanted), self._hint)
        _, _, most = (tuple(dims) for dims in self._engine.get_tensor_profile_shape(spec.inputs[0].name, 0))
        profile = self.key.profile.most
        if most != (expected := spec.inputs[0].shape(profile.batch, profile.height, profile.width)):
            raise EngineIncompatibleError(f"inputs of at most {most}", f"{expected}", self._hint)
        return found

    def _release(self) -> None:
        with self.session.device.current():
            self._engine = None


class ExecutionSlot(Owner):
    """One run at a time of a loaded engine, on addresses of the device. Several slots of one engine run at once.

    Args:
        loaded: The engine; closed after its slots.
        scratch: Memory for what is between layers, shared with whatever need not run at the same time.
    """

    def __init__(self, loaded: LoadedEngine, scratch: Scratch) -> None:
        self._loaded, self._scratch = loaded, scratch
        self._device = loaded.session.device
        with self._device.current():
            self._context: Any = loaded.make_context()
        super().__init__()
        self._shapes: dict[str, _Dims] | None = None
        self._addresses: dict[str, int] = {}
        self._scratch_bytes = 0
        self._consumed = 0

    def enqueue(
        self,
        addresses: Mapping[str, int],
        shapes: Mapping[str, _Dims],
        stream: Stream,
        *,
        consumed: Event | None = None,
    ) -> None:
        """Enqueue one run. The host does not wait.

        Args:
            addresses: Of every input and output on the device; each as large as its shape, in the engine's own type.
            shapes: Of every input; within the engine's profile.
            stream: Where; never the default stream.
            consumed: Recorded once the inputs are read, which may be long before the outputs are there.

        Raises:
            EngineError: If the library refuses a shape or an address, or the run.
            OutOfDeviceMemoryError: If there is not enough scratch memory.
        """
        self._require_open()
        self._loaded.recorder.clear()
        with self._device.current(), self._translated("cannot run"):
            self._set_shapes(shapes)
            for name, address in addresses.items():
                if self._addresses.get(name) != address:
                    self._require(self._context.set_tensor_address(name, address), f"refuses an address for `{name}`")
                    self._addresses[name] = address
            handle = 0 if consumed is None else consumed.handle
            if handle != self._consumed:
                self._require(self._context.set_input_consumed_event(handle), "refuses an event")
                self._consumed = handle
            with self._scratch.lent(self._scratch_bytes, stream) as memory:
                self._context.set_device_memory(memory.address, memory.size_bytes)
                self._require(self._context.execute_async_v3(stream.handle), "cannot run")

    @property
    def capturable(self) -> bool:
        """See `AddressSlot.capturable`. The library allows it once a run has been done with the shapes."""
        return True

    def trim(self) -> None:
        """Give the memory between layers back until the next run. Nothing enqueued may still use it."""
        self._require_open()
        self._scratch.trim()

    def _set_shapes(self, shapes: Mapping[str, _Dims]) -> None:
        """Set what changed; only then the library has to think about the shapes again."""
        if self._shapes == shapes:
            return
        self._shapes = None
        for name, shape in shapes.items():
            self._require(self._context.set_input_shape(name, shape), f"refuses shape {shape} for `{name}`")
        if missing := self._context.infer_shapes():
            raise EngineError(f"`{self._loaded.spec.name}` was not told everything: {', '.join(missing)}")
        self._scratch_bytes = int(self._context.update_device_memory_size_for_shapes())
        self._shapes = dict(shapes)

    def _require(self, value: Any, what: str) -> None:
        require(value, f"`{self._loaded.spec.name}` {what}", self._loaded.recorder, self._loaded.session.logger)

    def _translated(self, what: str) -> Any:
        name = f"`{self._loaded.spec.name}` {what}"
        return translated(name, self._loaded.recorder, self._loaded.session.logger)

    def _release(self) -> None:
        with self._device.current():
            self._context = None


class OwnedSlot(ExecutionSlot):
    """A slot with scratch memory of its own, so that it need not wait for others; all its runs go to one stream.

    Args:
        loaded: The engine; closed after its slots.
    """

    def __init__(self, loaded: LoadedEngine) -> None:
        own = SlotScratch(loaded.session.device)
        try:
            super().__init__(loaded, own)
        except BaseException:
            own.close()
            raise

    def _release(self) -> None:
        super()._release()
        self._scratch.close()


class TensorRtEngine(Owner):
    """A TensorRT engine behind the engine protocol: pinned staging around one slot on a stream of its own.

    Pictures smaller than the engine's range are padded by their own last row and column, batches larger than it are
    run in parts.

    Args:
        loaded: The engine, given over to this: closed with it.
        on_close: Called once, after everything was given back.
    """

    def __init__(self, loaded: LoadedEngine, on_close: Callable[[], None] = lambda: None) -> None:
        session = loaded.session
        with ExitStack() as stack:
            stack.callback(on_close)
            stack.enter_context(loaded)
            scratch = session.scratch_for(loaded.spec.task)
            self._slot = stack.enter_context(ExecutionSlot(loaded, scratch))
            self._stream = stack.enter_context(session.device.stream())
            self._done = stack.enter_context(session.device.event())
            self._staged = {
                name: stack.enter_context(StagedTensor(session.device, dtype))
                for name, dtype in (*loaded.types.inputs.items(), *loaded.types.outputs.items())
            }
            self._held = stack.pop_all()
        super().__init__()
        self._loaded, self._scratch, self._device = loaded, scratch, session.device
        self._marks: tuple[Event, ...] = ()

    @property
    def spec(self) -> ModelSpec:
        """See `Engine.spec`."""
        return self._loaded.spec

    @property
    def key(self) -> EngineKey:
        """What the engine was built as."""
        return self._loaded.key

    @property
    def device(self) -> Device:
        """See `AddressEngine.device`."""
        return self._device

    @property
    def range(self) -> Profile:
        """See `AddressEngine.range`."""
        return self._loaded.profile

    @property
    def dtypes(self) -> Mapping[str, np.dtype[Any]]:
        """See `AddressEngine.dtypes`."""
        return {**self._loaded.types.inputs, **self._loaded.types.outputs}

    def slot(self, stream: Stream) -> OwnedSlot:
        """See `AddressEngine.slot`."""
        self._require_usable()
        return OwnedSlot(self._loaded)

    @property
    def largest(self) -> Size | None:
        """See `Engine.largest`."""
        most = self._loaded.profile.most
        return Size(most.width, most.height)

    def run(self, inputs: Mapping[str, _F32], out: Mapping[str, _F32]) -> None:
        """See `Engine.run`."""
        self._check(inputs, out)
        for first in range(0, self._count(inputs), self._loaded.profile.most.batch):
            given, wanted = self._part(inputs, first), self._part(out, first)
            with self._finished():
                shapes = self._fill(given)
                for name in given:
                    self._staged[name].upload(self._stream)
                self._enqueue(shapes)
                for name in wanted:
                    self._staged[name].download(self._stream)
                self._stream.record(self._done)
            for name, array in wanted.items():
                self._staged[name].read(array)

    def run_phased(
        self, inputs: Mapping[str, _F32], out: Mapping[str, _F32], *, transfers: bool = True, graph: bool = False
    ) -> PhaseTimes:
        """See `PhasedEngine.run_phased`. The batch must fit the engine at once."""
        if graph:
            raise EngineError(f"`{self.spec.name}` cannot be recorded as a graph yet", "measure without `--graph`")
        self._check(inputs, out)
        if (count := self._count(inputs)) > (most := self._loaded.profile.most.batch):
            raise EngineIncompatibleError(f"a batch of {count}", f"at most {most}")
        begin, uploaded, computed, end = self._timers()
        with self._finished():
            shapes = self._fill(inputs)
            self._stream.record(begin)
            for name in inputs if transfers else ():
                self._staged[name].upload(self._stream)
            self._stream.record(uploaded)
            started = time.perf_counter()
            self._enqueue(shapes)
            enqueue_s = time.perf_counter() - started
            self._stream.record(computed)
            for name in out if transfers else ():
                self._staged[name].download(self._stream)
            self._stream.record(end)
            self._stream.record(self._done)
        for name, array in out.items() if transfers else ():
            self._staged[name].read(array)
        return PhaseTimes(
            enqueue_s, uploaded.seconds_since(begin), computed.seconds_since(uploaded), end.seconds_since(computed)
        )

    def trim(self) -> None:
        """Give back what large pictures needed; the next run takes what it needs itself."""
        self._require_usable()
        for staged in self._staged.values():
            staged.trim()
        self._scratch.trim()

    def _check(self, inputs: Mapping[str, _F32], out: Mapping[str, _F32]) -> None:
        self._require_usable()
        check_tensors(self.spec, inputs, out)
        _, _, height, width = inputs[self.spec.inputs[0].name].shape
        most = self._loaded.profile.most
        if height > most.height or width > most.width:
            raise EngineIncompatibleError(f"input of {width}x{height}", f"at most {most.width}x{most.height}")

    def _count(self, inputs: Mapping[str, _F32]) -> int:
        return int(inputs[self.spec.inputs[0].name].shape[0])

    def _part(self, arrays: Mapping[str, _F32], first: int) -> dict[str, _F32]:
        return {name: array[first : first + self._loaded.profile.most.batch] for name, array in arrays.items()}

    def _fill(self, inputs: Mapping[str, _F32]) -> dict[str, _Dims]:
        """Take the inputs in, padded to the engine's range, and return the shapes that the engine is given."""
        spec, least = self.spec, self._loaded.profile.least
        count, _, height, width = inputs[spec.inputs[0].name].shape
        run = max(count, least.batch), max(height, least.height), max(width, least.width)
        for tensor in (*spec.inputs, *spec.outputs):
            self._staged[tensor.name].reserve(tensor.shape(*run))
        for name, array in inputs.items():
            self._staged[name].fill(array)
        return {tensor.name: tensor.shape(*run) for tensor in spec.inputs}

    def _enqueue(self, shapes: Mapping[str, _Dims]) -> None:
        addresses = {name: staged.address for name, staged in self._staged.items()}
        self._slot.enqueue(addresses, shapes, self._stream)

    def _finished(self) -> _Finished:
        return _Finished(self._stream, self._done)

    def _timers(self) -> tuple[Event, ...]:
        if not self._marks:
            self._marks = tuple(self._held.enter_context(self._device.event(timed=True)) for _ in range(4))
        return self._marks

    def _require_usable(self) -> None:
        if self.closed:
            raise EngineError(f"engine of `{self.spec.name}` is closed", "open it again")

    def _release(self) -> None:
        with suppress(DeviceError):  # a card that failed has said so; what is held is given back all the same
            self._stream.synchronize()
        self._held.close()


class _Finished:
    """At the end, the host waits for what was enqueued; also for a part of it, if an error came between."""

    def __init__(self, stream: Stream, done: Event) -> None:
        self._stream, self._done = stream, done

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        if kind is None:
            self._done.synchronize()
        else:
            with suppress(DeviceError):  # or it would be told instead of what came first
                self._stream.synchronize()


def _types(spec: ModelSpec, precision: str) -> TensorTypes:
    """Return what the tensors of a model's file hold."""

    def of(tensor: Tensor) -> np.dtype[Any]:
        return _HALF if precision == "fp16" and tensor.half else _FLOAT

    return TensorTypes({t.name: of(t) for t in spec.inputs}, {t.name: of(t) for t in spec.outputs})


def _words(types: TensorTypes) -> str:
    named = (", ".join(f"{name} {dtype}" for name, dtype in part.items()) for part in (types.inputs, types.outputs))
    return " -> ".join(named)
