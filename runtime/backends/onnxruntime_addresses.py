"""ONNX Runtime on addresses of the card: one session a slot, each on the stream of its slot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from fastrestore.errors import DeviceError, OutOfDeviceMemoryError
from fastrestore.models.spec import ModelSpec
from fastrestore.runtime.backends.onnxruntime_cuda import OnnxRuntimeCudaEngine
from fastrestore.runtime.backends.onnxruntime_session import translated
from fastrestore.runtime.devices.shared_device import SharedDevice
from fastrestore.runtime.engine_key import Profile
from fastrestore.runtime.memory import Device, Event, Owner, Stream

_NO_WAIT = "disable_synchronize_execution_providers"
"""Run option: the host goes on while the card computes."""


class SessionSlot(Owner):
    """A session as an `AddressSlot`. The library takes memory between layers by itself, and keeps it.

    Args:
        spec: The model.
        session: The session, on the slot's stream; owned from now on.
        dtypes: What its tensors hold.
        options: Run options, new ones.
        device: The card.
    """

    def __init__(
        self, spec: ModelSpec, session: Any, dtypes: Mapping[str, np.dtype[Any]], options: Any, device: Device
    ) -> None:
        super().__init__()
        self._spec, self._session, self._dtypes, self._options, self._device = spec, session, dtypes, options, device
        options.add_run_config_entry(_NO_WAIT, "1")
        self._bindings: dict[tuple[Any, ...], Any] = {}

    @property
    def capturable(self) -> bool:
        """See `AddressSlot.capturable`. The library would have to record by itself, on buffers of its own."""
        return False

    def enqueue(
        self,
        addresses: Mapping[str, int],
        shapes: Mapping[str, tuple[int, ...]],
        stream: Stream,
        *,
        consumed: Event | None = None,
    ) -> None:
        """See `AddressSlot.enqueue`."""
        self._require_open()
        key = (*sorted(addresses.items()), *sorted(shapes.items()))
        with self._device.current():
            try:
                with translated(self._spec):
                    if key not in self._bindings:
                        self._bindings[key] = self._bound(addresses, shapes)
                    self._session.run_with_iobinding(self._bindings[key], self._options)
            except DeviceError as error:  # it is told of memory alone, and not how much
                count, _, height, width = shapes[self._spec.inputs[0].name]
                wanted = count * height * width * self._spec.working_bytes_per_px
                raise OutOfDeviceMemoryError(wanted, self._device.memory().free_bytes, self._device.name) from error
        if consumed is not None:
            stream.record(consumed)

    def trim(self) -> None:
        """See `AddressSlot.trim`. What the library keeps for itself it gives back with the session only."""
        self._bindings.clear()

    def _bound(self, addresses: Mapping[str, int], shapes: Mapping[str, tuple[int, ...]]) -> Any:
        binding = self._session.io_binding()
        count, _, height, width = shapes[self._spec.inputs[0].name]
        for name, shape in shapes.items():
            binding.bind_input(name, "cuda", 0, self._dtypes[name].type, shape, addresses[name])
        for tensor in self._spec.outputs:
            shape = tensor.shape(count, height, width)
            binding.bind_output(tensor.name, "cuda", 0, self._dtypes[tensor.name].type, shape, addresses[tensor.name])
        return binding

    def _release(self) -> None:
        self._bindings.clear()
        self._session = None


class AddressedEngine(OnnxRuntimeCudaEngine):
    """An ONNX Runtime engine that is an `AddressEngine` too.

    Args:
        spec: The model.
        session: The session for arrays of the host; owned from now on.
        half: Whether it is of the fp16 file.
        reopen: Opens another session of the same file on the stream of a handle.
        card: The card, shared with the backend's other engines.
    """

    def __init__(
        self,
        spec: ModelSpec,
        session: Any,
        *,
        half: bool,
        reopen: Callable[[int], Any],
        card: SharedDevice,
    ) -> None:
        super().__init__(spec, session, half=half)
        self._reopen, self._card = reopen, card
        self._device: Device | None = None

    @property
    def device(self) -> Device:
        """See `AddressEngine.device`. Joined when it is first asked for."""
        if self._device is None:
            self._device = self._card.join()
        return self._device

    @property
    def range(self) -> Profile | None:
        """See `AddressEngine.range`: memory alone decides."""
        return None

    @property
    def dtypes(self) -> Mapping[str, np.dtype[Any]]:
        """See `AddressEngine.dtypes`."""
        return {name: np.dtype(dtype) for name, dtype in self._dtypes.items()}

    def slot(self, stream: Stream) -> SessionSlot:
        """See `AddressEngine.slot`. Opens another session: its stream is fixed when it is opened."""
        import onnxruntime

        with self.device.current():
            session = self._reopen(stream.handle)
        return SessionSlot(self.spec, session, self.dtypes, onnxruntime.RunOptions(), self.device)

    def close(self) -> None:
        """See `Engine.close`."""
        super().close()
        if self._device is not None:
            self._device = None
            self._card.leave()
