"""Removes grain before restoration: along the motion where both neighbours agree, in space where they do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from fastrestore.frames import Picture, Plane, StreamInfo
from fastrestore.kernels.film_clean import warped
from fastrestore.kernels.film_degrain import agreement, averaged, calmed, variance_left
from fastrestore.kernels.ops import Ops
from fastrestore.runtime.treatments.grain.model import GrainModel, GrainModels
from fastrestore.runtime.treatments.short_motion import ShortMotion
from fastrestore.runtime.treatments.treatment import Film, Shot, Treated, Window

F32: TypeAlias = NDArray[np.float32]
_LEAST_SIDE_PX: Final = 8  # a smaller plane is left to the temporal mean


class Degrain:
    """The treatment `grain` with `remove`.

    Args:
        film: With the findings of `GrainProbe`.
        strength: Times the grain's own standard deviation.
        ops: Pixel kernels.
    """

    name = "grain"
    radius = 1

    def __init__(self, film: Film, strength: float, ops: Ops) -> None:
        self._film, self._strength = film, strength
        self._motion = ShortMotion(ops, two_ways=False)
        self._grain = GrainModels(film)
        self._models: dict[int, GrainModel | None] = {}

    def info(self, info: StreamInfo) -> StreamInfo:
        """See `Treatment.info`."""
        return info

    def apply(self, window: Window) -> Treated:
        """See `Treatment.apply`."""
        model = self._model(window.shot)
        if model is None or self._strength == 0:
            return Treated(window.picture)
        picture = window.picture
        others = [each for each in (window.pictures[0], window.pictures[2]) if each is not None and each is not picture]
        variance = self._variances(picture, model)
        flows = [self._motion.flow(picture, other) for other in others]
        weights = self._weights(picture, others, flows, variance)
        left = variance_left(weights, variance.shape)
        planes = [
            self._plane(index, picture, others, flows, (weights, left, variance, model))
            for index in range(picture.format.planes)
        ]
        believed = float(np.mean([float(weight.mean()) for weight in weights])) if weights else 0.0
        treated = Picture(tuple(planes), picture.format, picture.colour)
        return Treated(treated, {"treated_frames": 1.0, "matched_frames": believed})

    def report(self, shot: Shot) -> Mapping[str, float | str]:
        """See `Treatment.report`."""
        model = self._model(shot)
        return {"done": "none found"} if model is None else {"done": "removed", "sigma": round(model.level, 2)}

    def _model(self, shot: Shot) -> GrainModel | None:
        if shot.number not in self._models:
            self._models[shot.number] = self._grain.of(shot)
        return self._models[shot.number]

    def _variances(self, picture: Picture, model: GrainModel) -> F32:
        """Return the variance of the grain at each sample of luma, `(H, W)`."""
        table = np.square(model.strength * self._strength).astype(np.float32)[None]
        smooth = cv2.blur(self._motion.luma(picture), (3, 3))
        return np.maximum(np.asarray(cv2.LUT(smooth, table), np.float32), np.float32(1e-2))

    def _weights(self, picture: Picture, others: Sequence[Picture], flows: Sequence[F32], variance: F32) -> list[F32]:
        luma = self._motion.luma(picture).astype(np.float32)
        return [
            agreement(luma, warped(self._motion.luma(other), flow).astype(np.float32), variance)
            for other, flow in zip(others, flows, strict=True)
        ]

    def _plane(
        self,
        index: int,
        picture: Picture,
        others: Sequence[Picture],
        flows: Sequence[F32],
        found: tuple[Sequence[F32], F32, F32, GrainModel],
    ) -> Plane:
        """Return a plane without grain; the very same where it has none."""
        weights, left, variance, model = found
        plane = picture.planes[index]
        if index > 0 and picture.format.kind == "yuv":
            sigma = model.chroma[index - 1] * self._strength
            if sigma == 0:
                return plane
            variance = np.full(plane.shape, sigma * sigma, np.float32)
            weights, left = [_resized(weight, plane.shape) for weight in weights], _resized(left, plane.shape)
            across, down = (2.0**-shift for shift in picture.format.chroma_shift)
            flows = [_resized(flow, plane.shape) * np.array([across, down], np.float32) for flow in flows]
        unit = np.float32(1 << (picture.format.bits - 8))
        sample = plane.astype(np.float32) / unit
        there = [
            warped(other.planes[index], flow).astype(np.float32) / unit
            for other, flow in zip(others, flows, strict=True)
        ]
        sample = averaged(sample, there, weights)
        if min(plane.shape) >= _LEAST_SIDE_PX:
            sample = calmed(sample, left * variance)
        return np.asarray(np.rint(sample * unit), plane.dtype)


def _resized(field: F32, shape: tuple[int, ...]) -> F32:
    height, width = shape[:2]
    return np.asarray(cv2.resize(field, (width, height), interpolation=cv2.INTER_AREA), np.float32)
