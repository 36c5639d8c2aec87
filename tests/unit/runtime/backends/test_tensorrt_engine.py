"""The core that runs on device addresses and a stream, and that the fake library would notice if it did so wrongly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from tests.fake_tensorrt.bench import TILE, Bench
from tests.fake_tensorrt.library import FakeLibrary, MisuseError
from tests.fake_tensorrt.plans import plan_of

from fastrestore.errors import DeviceError, EngineError
from fastrestore.models.catalog import find
from fastrestore.models.spec import ModelSpec, Task
from fastrestore.runtime.backends.tensorrt_engine import ExecutionSlot, LoadedEngine
from fastrestore.runtime.backends.tensorrt_session import Session
from fastrestore.runtime.devices.counting import CountingDevice
from fastrestore.runtime.devices.staging import StagedTensor

SHAPE = (1, 3, 40, 48)


@pytest.fixture(scope="module")
def spec() -> ModelSpec:
    return find("film-x2-tiny")


@pytest.fixture
def device() -> CountingDevice:
    return CountingDevice(name="Fake Card")


@pytest.fixture
def library(device: CountingDevice) -> FakeLibrary:
    return FakeLibrary(device)


@pytest.fixture
def loaded(library: FakeLibrary, device: CountingDevice, spec: ModelSpec, tmp_path: Path) -> Iterator[LoadedEngine]:
    key = Bench(tmp_path).key(spec)
    with Session(library, device) as session:
        with LoadedEngine(session, spec, key, plan_of(spec, "fp16", TILE, "8.9")) as engine:
            yield engine
        assert library.live == 1, "contexts and engines are gone, the runtime is there"
    assert library.live == 0
    assert library.misuses == []
    assert device.closed
    assert device.leaks == []


class Lane:
    """What one run of an engine needs: a slot, a stream, and its tensors."""

    def __init__(self, loaded: LoadedEngine, stack: ExitStack) -> None:
        device, self.spec = loaded.session.device, loaded.spec
        self.slot = stack.enter_context(ExecutionSlot(loaded, loaded.session.scratch_for(Task.RESTORE)))
        self.stream = stack.enter_context(device.stream())
        self.given = stack.enter_context(StagedTensor(device, np.float16))
        self.made = stack.enter_context(StagedTensor(device, np.float16))
        self.given.reserve(SHAPE)
        self.made.reserve((1, 3, SHAPE[2] * self.spec.scale, SHAPE[3] * self.spec.scale))

    @property
    def addresses(self) -> dict[str, int]:
        return {self.spec.inputs[0].name: self.given.address, self.spec.outputs[0].name: self.made.address}

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {self.spec.inputs[0].name: SHAPE}

    def result(self) -> np.ndarray:
        out = np.empty((1, 3, SHAPE[2] * self.spec.scale, SHAPE[3] * self.spec.scale), np.float32)
        self.made.read(out)
        return out


def grey(level: float) -> np.ndarray:
    return np.full(SHAPE, level, np.float32)


def test_slots_of_one_engine_have_runs_under_way_at_once(loaded: LoadedEngine) -> None:
    """Enqueued on two streams before the host waits for any; scratch memory is never used by both at once."""
    with ExitStack() as stack:
        lanes = [Lane(loaded, stack) for _ in range(2)]
        for lane, level in zip(lanes, (0.25, 0.75), strict=True):
            lane.given.fill(grey(level))
            lane.given.upload(lane.stream)
            lane.slot.enqueue(lane.addresses, lane.shapes, lane.stream)
            lane.made.download(lane.stream)
        lanes[1].stream.synchronize()
        assert abs(lanes[1].result().mean() - 0.75) < 0.01
        assert np.isnan(lanes[0].result()).all(), "nobody waited for it"
        lanes[0].stream.synchronize()
        assert abs(lanes[0].result().mean() - 0.25) < 0.01


def test_inputs_may_be_overwritten_once_they_are_consumed(loaded: LoadedEngine) -> None:
    """The next picture is uploaded on a stream of its own, which waits for the event and for no result."""
    device = loaded.session.device
    with ExitStack() as stack:
        lane = Lane(loaded, stack)
        copying = stack.enter_context(device.stream())
        consumed, uploaded = (stack.enter_context(device.event()) for _ in range(2))
        results = []
        for level in (0.25, 0.75):
            uploaded.synchronize()  # the pinned buffer is free
            lane.given.fill(grey(level))
            copying.wait(consumed)  # and so is the one on the device
            lane.given.upload(copying)
            copying.record(uploaded)
            lane.stream.wait(uploaded)
            lane.slot.enqueue(lane.addresses, lane.shapes, lane.stream, consumed=consumed)
            lane.made.download(lane.stream)
            lane.stream.synchronize()
            results.append(lane.result().mean())
    assert results == pytest.approx([0.25, 0.75], abs=0.01)


def test_shapes_are_thought_about_once(loaded: LoadedEngine) -> None:
    with ExitStack() as stack:
        lane = Lane(loaded, stack)
        lane.given.fill(grey(0.5))
        lane.given.upload(lane.stream)
        lane.slot.enqueue(lane.addresses, lane.shapes, lane.stream)
        lane.slot._context.set_input_shape = lane.slot._context.set_tensor_address = None
        lane.slot.enqueue(lane.addresses, lane.shapes, lane.stream)
        lane.stream.synchronize()


def test_refusals_carry_the_librarys_words(loaded: LoadedEngine) -> None:
    with ExitStack() as stack:
        lane = Lane(loaded, stack)
        name = lane.spec.inputs[0].name
        with pytest.raises(EngineError, match="do not satisfy any optimization profile"):
            lane.slot.enqueue(lane.addresses, {name: (1, 3, 4096, 4096)}, lane.stream)
        with pytest.raises(EngineError, match="unknown tensor other"):
            lane.slot.enqueue({**lane.addresses, "other": lane.given.address}, lane.shapes, lane.stream)
        with pytest.raises(EngineError, match="was not told everything: image"):
            Lane(loaded, stack).slot.enqueue(lane.addresses, {}, lane.stream)
        with pytest.raises(EngineError, match=r"enqueueV3.*illegal address"):
            lane.slot.enqueue({**lane.addresses, name: 0x1234}, lane.shapes, lane.stream)
        short = stack.enter_context(loaded.session.device.buffer(100))
        with pytest.raises(EngineError, match=r"enqueueV3.*illegal address"):  # too short for float16 of that shape
            lane.slot.enqueue({**lane.addresses, name: short.address}, lane.shapes, lane.stream)
        lane.given.fill(grey(0.5))
        lane.given.upload(lane.stream)
        lane.slot.enqueue(lane.addresses, lane.shapes, lane.stream)  # after all that, it runs
        lane.made.download(lane.stream)
        lane.stream.synchronize()
        assert abs(lane.result().mean() - 0.5) < 0.01


def test_use_after_close(loaded: LoadedEngine) -> None:
    with ExitStack() as stack:
        lane = Lane(loaded, stack)
        lane.slot.close()
        with pytest.raises(DeviceError, match="after it was closed"):
            lane.slot.enqueue(lane.addresses, lane.shapes, lane.stream)


class TestTheFakeIsStrict:
    """What would be undefined behaviour in the real library must not pass unnoticed here."""

    def context(self, loaded: LoadedEngine) -> object:
        with loaded.session.device.current():
            return loaded.make_context()

    def test_about_order_scratch_and_device(self, loaded: LoadedEngine, spec: ModelSpec) -> None:
        device, name = loaded.session.device, spec.inputs[0].name
        with ExitStack() as stack, device.current():
            lane = Lane(loaded, stack)
            context = stack.enter_context(ExecutionSlot(loaded, loaded.session.scratch_for(Task.RESTORE)))._context
            with pytest.raises(MisuseError, match="before every input had a shape"):
                context.execute_async_v3(lane.stream.handle)
            with pytest.raises(MisuseError, match="before shapes were inferred"):
                context.update_device_memory_size_for_shapes()
            assert context.infer_shapes() == [name]
            assert context.set_input_shape(name, SHAPE)
            assert context.infer_shapes() == []
            with pytest.raises(MisuseError, match="with scratch memory None"):
                context.execute_async_v3(lane.stream.handle)
            needed = context.update_device_memory_size_for_shapes()
            scratch = stack.enter_context(device.buffer(needed))
            with pytest.raises(MisuseError, match="not aligned"):
                context.set_device_memory(scratch.address + 8, needed - 8)
            context.set_device_memory(scratch.address, needed - 256)
            with pytest.raises(MisuseError, match="with scratch memory"):
                context.execute_async_v3(lane.stream.handle)
            context.set_device_memory(scratch.address, needed)
            with pytest.raises(MisuseError, match="had an address"):
                context.execute_async_v3(lane.stream.handle)
            with pytest.raises(MisuseError, match="default stream"):
                context.execute_async_v3(0)
            for tensor, address in lane.addresses.items():
                assert context.set_tensor_address(tensor, address)
            assert context.execute_async_v3(lane.stream.handle)
            assert context.set_input_shape(name, (1, 3, 48, 48))
            assert context.infer_shapes() == []
            with pytest.raises(MisuseError, match="with scratch memory None"):
                context.execute_async_v3(lane.stream.handle)  # the size of before may be too little now
            lane.stream.synchronize()
            del context

    def test_about_the_current_device(self, loaded: LoadedEngine, library: FakeLibrary) -> None:
        with pytest.raises(MisuseError, match="not current"):
            loaded.make_context()
        context = self.context(loaded)
        assert library.misuses == []
        del context
        assert library.misuses == ["IExecutionContext was destroyed while its device was not current"]
        library.misuses.clear()
