"""ONNX Runtime sessions on a counting device: bound by address, enqueued on a stream, computed by the CPU's library."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrestore.models import store
from fastrestore.models.spec import ModelSpec
from fastrestore.runtime.backends.onnxruntime_addresses import AddressedEngine
from fastrestore.runtime.devices.counting import CountingDevice
from fastrestore.runtime.devices.shared_device import SharedDevice


class PlayedBinding:
    """Where tensors lie."""

    def __init__(self) -> None:
        self.inputs: dict[str, tuple[int, tuple[int, ...], Any]] = {}
        self.outputs: dict[str, tuple[int, tuple[int, ...], Any]] = {}

    def bind_input(self, name: str, kind: str, index: int, dtype: Any, shape: tuple[int, ...], address: int) -> None:
        assert (kind, index) == ("cuda", 0)
        self.inputs[name] = address, shape, np.dtype(dtype)

    def bind_output(self, name: str, kind: str, index: int, dtype: Any, shape: tuple[int, ...], address: int) -> None:
        assert (kind, index) == ("cuda", 0)
        self.outputs[name] = address, shape, np.dtype(dtype)


class PlayedSession:
    """A session whose runs are work of a stream.

    Args:
        device: The card.
        stream: Handle of the stream.
        session: Computes.
    """

    def __init__(self, device: CountingDevice, stream: int, session: Any) -> None:
        self._device, self.stream, self._session = device, stream, session

    def io_binding(self) -> PlayedBinding:
        return PlayedBinding()

    def run_with_iobinding(self, binding: PlayedBinding, options: Any) -> None:
        assert options.get_run_config_entry("disable_synchronize_execution_providers") == "1", "the host would wait"
        assert self._device.is_current

        def compute() -> None:
            given = {name: self._memory(*where).copy() for name, where in binding.inputs.items()}
            made = self._session.run(list(binding.outputs), given)
            for where, values in zip(binding.outputs.values(), made, strict=True):
                self._memory(*where)[:] = values

        touched = [address for address, _, _ in (*binding.inputs.values(), *binding.outputs.values())]
        self._device.stream_of(self.stream).perform(compute, touched)

    def _memory(self, address: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        return self._device.at(address, int(np.prod(shape)) * dtype.itemsize).view(dtype).reshape(shape)


def played_engine(spec: ModelSpec, card: SharedDevice) -> AddressedEngine:
    """Return an engine of a model, in full precision, on a card that opens as a counting device."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(store.locate(spec, "fp32")), options, ["CPUExecutionProvider"])
    engine: AddressedEngine

    def reopen(stream: int) -> PlayedSession:
        device = engine.device
        assert isinstance(device, CountingDevice)
        return PlayedSession(device, stream, session)

    engine = AddressedEngine(spec, session, half=False, reopen=reopen, card=card)
    return engine
