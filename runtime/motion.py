"""Motion between two frames, found once per pair and asked for at any instant between them."""

from __future__ import annotations

from typing import Protocol

from fastrestore.frames import Motion, Picture
from fastrestore.kernels.ops import Ops
from fastrestore.models.spec import ModelSpec
from fastrestore.runtime.disflow import DisFlow
from fastrestore.runtime.engine import Engine
from fastrestore.runtime.flowpair import FlowMotion
from fastrestore.runtime.motion_network import AnyInstantEstimator, FlowEstimator


class PairMotion(Protocol):
    """Motion of one pair of frames. May be asked from several threads at once."""

    def at(self, t: float) -> Motion:
        """Return the motion at `t` in (0, 1), at the size of the pictures it was found on.

        Raises:
            EngineError: If a network fails or yields anything but finite numbers.
            ValueError: If `t` is not within `[0, 1]`.
        """
        ...


class MotionEstimator(Protocol):
    """Finds motion. `pair` may be called from one thread at a time."""

    def pair(self, left: Picture, right: Picture) -> PairMotion:
        """Find the motion between two pictures.

        Raises:
            EngineError: If a network fails or yields anything but finite numbers.
            ValueError: If the pictures are not of one size.
        """
        ...


class DisEstimator:
    """OpenCV's dense inverse search, forwards and backwards, on luma. Needs no network.

    Args:
        ops: Pixel kernels.
    """

    def __init__(self, ops: Ops) -> None:
        self._ops = ops
        self._flow = DisFlow()

    def pair(self, left: Picture, right: Picture) -> FlowMotion:
        """See `MotionEstimator.pair`."""
        luma = self._ops.luma8(left), self._ops.luma8(right)
        return FlowMotion(self._ops, self._flow.pair(*luma), luma)


def open_estimator(spec: ModelSpec, ops: Ops, engine: Engine | None = None) -> MotionEstimator:
    """Return the estimator for a motion model.

    Args:
        spec: The model.
        ops: Pixel kernels.
        engine: The model's network, used by nobody else while the estimator is in use; it stays the caller's to
            close. None for a classical model.

    Raises:
        EngineIncompatibleError: If the network's tensors are not those of a motion network.
        ValueError: If a model that is no classical one comes without an engine.
    """
    if spec.classical:
        return DisEstimator(ops)
    if engine is None:
        raise ValueError(f"motion model `{spec.name}` is a network: wanted its engine, got None")
    return AnyInstantEstimator(engine, ops) if spec.any_instant else FlowEstimator(engine, ops)
