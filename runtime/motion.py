"""Motion between two frames, found once per pair and asked for at any instant between them."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fastrestore.frames import Motion, Picture
from fastrestore.kernels.ops import Ops
from fastrestore.models.spec import ModelSpec
from fastrestore.runtime.disflow import DisFlow, FlowPair


class PairMotion(Protocol):
    """Motion of one pair of frames. May be asked from several threads at once."""

    def at(self, t: float) -> Motion:
        """Return the motion at `t` in (0, 1), at the size it was found at."""
        ...


class MotionEstimator(Protocol):
    """Finds motion. `pair` may be called from one thread at a time."""

    def pair(self, left: Picture, right: Picture) -> PairMotion:
        """Find the motion between two pictures of one size."""
        ...


class DisEstimator:
    """OpenCV's dense inverse search, forwards and backwards, on luma. Needs no network.

    Args:
        ops: Pixel kernels.
    """

    def __init__(self, ops: Ops) -> None:
        self._ops = ops
        self._flow = DisFlow()

    def pair(self, left: Picture, right: Picture) -> DisPair:
        """See `MotionEstimator.pair`."""
        luma = self._ops.luma8(left), self._ops.luma8(right)
        return DisPair(self._ops, self._flow, self._flow.pair(*luma), luma)


class DisPair:
    """Motion of one pair by dense inverse search."""

    def __init__(
        self, ops: Ops, flow: DisFlow, pair: FlowPair, luma: tuple[NDArray[np.uint8], NDArray[np.uint8]]
    ) -> None:
        self._ops, self._flow, self._pair, self._luma = ops, flow, pair, luma

    def at(self, t: float) -> Motion:
        """See `PairMotion.at`."""
        to_left, to_right, mask = self._flow.at(self._pair, t)
        motion = Motion(to_left, to_right, mask)
        return replace(motion, disagreement=self._ops.disagreement(*self._luma, motion))


def open_estimator(spec: ModelSpec, ops: Ops) -> MotionEstimator:
    """Return the estimator for a motion model; the only one so far is classical and needs no engine."""
    assert spec.classical, spec.name
    return DisEstimator(ops)
