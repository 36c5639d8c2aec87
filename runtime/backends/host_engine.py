"""What is the same in every engine that takes arrays of the host, of any size."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fastrestore.errors import EngineError
from fastrestore.geometry import Size
from fastrestore.models.spec import ModelSpec
from fastrestore.runtime.engine import check_tensors


class HostEngine(ABC):
    """An `Engine`, but for running and giving back.

    Args:
        spec: The model.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self._spec, self._closed = spec, False

    @property
    def spec(self) -> ModelSpec:
        """See `Engine.spec`."""
        return self._spec

    @property
    def largest(self) -> Size | None:
        """See `Engine.largest`."""
        return None

    def run(self, inputs: Mapping[str, NDArray[np.float32]], out: Mapping[str, NDArray[np.float32]]) -> None:
        """See `Engine.run`."""
        if self._closed:
            raise EngineError(f"engine of `{self._spec.name}` is closed", "open it again")
        check_tensors(self._spec, inputs, out)
        self._run(inputs, out)

    def close(self) -> None:
        """See `Engine.close`."""
        self._closed = True
        self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @abstractmethod
    def _run(self, inputs: Mapping[str, NDArray[np.float32]], out: Mapping[str, NDArray[np.float32]]) -> None:
        """Run once, on arrays that were checked."""

    @abstractmethod
    def _release(self) -> None:
        """Let go of what the library holds. Twice is fine."""
