"""ONNX Runtime on addresses: a session a slot, on its stream, bound once, and never waited for."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fastrestore.errors import DeviceError
from fastrestore.models.catalog import find
from fastrestore.models.spec import ModelSpec
from fastrestore.runtime.backends.onnxruntime_addresses import AddressedEngine
from fastrestore.runtime.devices.counting import CountingDevice
from fastrestore.runtime.devices.shared_device import SharedDevice
from fastrestore.runtime.on_device.engine import AddressEngine


class RecordingSession:
    """What the real one has of what is used here; keeps what it was called with."""

    def __init__(self, spec: ModelSpec, stream: int = 0) -> None:
        self.spec, self.stream = spec, stream
        self.bound: list[tuple[Any, ...]] = []
        self.runs: list[Any] = []

    def get_inputs(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(name=t.name, type="tensor(float16)") for t in self.spec.inputs]

    def get_outputs(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(name=t.name, type="tensor(float16)") for t in self.spec.outputs]

    def io_binding(self) -> Any:
        return SimpleNamespace(
            bind_input=lambda *arguments: self.bound.append(arguments),
            bind_output=lambda *arguments: self.bound.append(arguments),
        )

    def run_with_iobinding(self, binding: Any, options: Any) -> None:
        self.runs.append(options.get_run_config_entry("disable_synchronize_execution_providers"))


@pytest.fixture
def device() -> Iterator[CountingDevice]:
    with CountingDevice() as made:
        yield made
    assert made.leaks == []


def test_every_slot_is_a_session_on_its_stream(device: CountingDevice) -> None:
    pytest.importorskip("onnxruntime")
    spec, opened = find("clean-x2-tiny"), []

    def reopen(stream: int) -> RecordingSession:
        assert device.is_current
        opened.append(RecordingSession(spec, stream))
        return opened[-1]

    engine = AddressedEngine(spec, RecordingSession(spec), half=True, reopen=reopen, card=SharedDevice(lambda: device))
    assert isinstance(engine, AddressEngine)
    assert engine.range is None and set(engine.dtypes.values()) == {np.dtype(np.float16)}
    with device.stream() as stream, device.event() as consumed:
        with engine.slot(stream) as slot:
            assert not slot.capturable
            addresses, shapes = {"image": 4096, "restored": 8192}, {"image": (2, 3, 32, 64)}
            slot.enqueue(addresses, shapes, stream)
            slot.enqueue(addresses, shapes, stream, consumed=consumed)
            (session,) = opened
            assert session.stream == stream.handle
            assert session.runs == ["1", "1"], "the host goes on"
            assert session.bound == [
                ("image", "cuda", 0, np.float16, (2, 3, 32, 64), 4096),
                ("restored", "cuda", 0, np.float16, (2, 3, 64, 128), 8192),
            ], "bound once for the same addresses"
        with pytest.raises(DeviceError, match="after it was closed"):
            slot.enqueue(addresses, shapes, stream)
    engine.close()
    assert device.closed
