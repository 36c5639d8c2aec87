"""What an engine offers whose tensors may lie on the card: the seam between backends and the pipeline on the device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

from fastrestore.models.spec import ModelSpec
from fastrestore.runtime.engine_key import Profile
from fastrestore.runtime.memory import Device, Event, Owned, Stream


class AddressSlot(Owned, Protocol):
    """One run at a time of an engine, on addresses of the device. Several slots of one engine may run at once."""

    @property
    def capturable(self) -> bool:
        """Whether runs of a shape may be recorded as a graph, once one has been done without."""
        ...

    def enqueue(
        self,
        addresses: Mapping[str, int],
        shapes: Mapping[str, tuple[int, ...]],
        stream: Stream,
        *,
        consumed: Event | None = None,
    ) -> None:
        """Enqueue one run. The host does not wait.

        Args:
            addresses: Of every input and output, each as large as its shape in the engine's own type; multiples of
                `ALIGNMENT_BYTES`.
            shapes: Of every input.
            stream: Where; the same one for every run of a slot.
            consumed: Recorded once the inputs are read.

        Raises:
            EngineError: If a shape or an address is refused, or the run.
            OutOfDeviceMemoryError: If there is not enough memory for what is between layers.
        """
        ...

    def trim(self) -> None:
        """Give back what is not needed between runs. Nothing enqueued may still use the slot."""
        ...


@runtime_checkable
class AddressEngine(Protocol):
    """What an engine offers besides `Engine` that can be given addresses in the place of arrays."""

    @property
    def spec(self) -> ModelSpec:
        """The model."""
        ...

    @property
    def device(self) -> Device:
        """The card that it runs on; stays open as long as the engine."""
        ...

    @property
    def range(self) -> Profile | None:
        """The inputs that it takes; None if memory alone decides."""
        ...

    @property
    def dtypes(self) -> Mapping[str, np.dtype[Any]]:
        """What its tensors hold, by name: float16 or float32."""
        ...

    def slot(self, stream: Stream) -> AddressSlot:
        """Return another slot, whose runs go to a stream. Close it before the engine.

        Raises:
            EngineError: If the library refuses.
        """
        ...
