"""Rebuilds the faces of restored pictures: each is turned upright, given to the network, and its changes laid in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fastrestore.errors import EngineError
from fastrestore.frames import FloatImage, Picture, Plane
from fastrestore.frames import Matrix as Coding
from fastrestore.geometry import Rect
from fastrestore.kernels import colour as colours
from fastrestore.kernels import film_faces as kernels
from fastrestore.kernels.film_faces import Matrix
from fastrestore.kernels.ops import Ops
from fastrestore.models.spec import FACE_PX
from fastrestore.runtime.engine import Engine
from fastrestore.runtime.treatments.faces.cast import Cast
from fastrestore.runtime.treatments.retouch import Moment
from fastrestore.runtime.treatments.treatment import Film, Shot

_MARGIN_PX: Final = 8
"""Around a face: what filters reach for."""
_LISTED: Final = 24
"""Faces of a shot that a report lists by themselves."""


class FaceRetouch:
    """Rebuilds faces; see `Retouch`. All that is done to a film is decided when it is opened.

    Args:
        film: The film.
        cast: Whose faces are where in it.
        strength: How much of a rebuilt face is taken, 0 to 1.
        ops: Pixel kernels.
    """

    def __init__(self, film: Film, cast: Cast, strength: float, ops: Ops) -> None:
        self._film, self._cast, self._strength, self._ops = film, cast, strength, ops
        self._aspect = float(film.info.pixel_aspect)

    @property
    def name(self) -> str:
        """See `Retouch.name`."""
        return "faces"

    def alike(self, first: int, second: int) -> bool:
        """See `Retouch.alike`."""
        return self._strength == 0 or self._cast.at(Moment.of(first)) == self._cast.at(Moment.of(second))

    def apply(self, picture: Picture, moment: Moment, engine: Engine) -> Picture:
        """See `Retouch.apply`."""
        planes = list(picture.planes)
        for placed in self._cast.at(moment) if self._strength > 0 else ():
            matrix = kernels.combined(placed.pose.matrix(), self._to_square(picture))
            where = _region(matrix, picture)
            if where is None:
                continue
            given = self._cut_out(picture, matrix, where)
            change = kernels.changes(given, _rebuilt(given, engine), kernels.face_mask(FACE_PX))
            change *= np.float32(self._strength * placed.weight)
            for number, each in enumerate(_in_samples(change, picture)):
                planes[number] = _laid_in(planes[number], each, matrix, where, picture, number)
        same = all(plane is before for plane, before in zip(planes, picture.planes, strict=True))
        return picture if same else Picture(tuple(planes), picture.format, picture.colour)

    def report(self, shot: Shot) -> Mapping[str, float | str]:
        """See `Retouch.report`.

        `found` faces were followed; of those `rebuilt` were, and `too_small` were left alone. `which` lists the rebuilt
        ones: from when to when on the film's clock, and how far apart their eyes are at most.
        """
        roles = self._cast.roles(shot)
        rebuilt = [role for role in roles if role.rebuilt and self._strength > 0]
        too_small = sum(not role.rebuilt for role in roles)
        told: dict[str, float | str] = {"found": len(roles), "rebuilt": len(rebuilt), "too_small": too_small}
        if rebuilt:
            listed = [
                f"{float(self._film.pts[role.first]):.3f}-{float(self._film.pts[role.last]):.3f} s, "
                f"{role.eyes_px:.0f} px between the eyes, at {role.middle.real:.0f},{role.middle.imag:.0f}"
                for role in rebuilt[:_LISTED]
            ]
            more = len(rebuilt) - len(listed)
            told["which"] = "; ".join([*listed, *([f"{more} more"] if more else [])])
        return told

    def _to_square(self, picture: Picture) -> Matrix:
        """Return the map from places of a restored picture to those of the source, its pixels made square."""
        source, size = self._film.info.size, picture.size
        across, down = source.width / size.width, source.height / size.height
        return np.array(
            [
                [across * self._aspect, 0.0, (across - 1) / 2 * self._aspect],
                [0.0, down, (down - 1) / 2],
            ]
        )

    def _cut_out(self, picture: Picture, matrix: Matrix, where: Rect) -> FloatImage:
        part = Picture(
            tuple(
                np.ascontiguousarray(plane[_of_plane(where, picture, number).slices])
                for number, plane in enumerate(picture.planes)
            ),
            picture.format,
            picture.colour,
        )
        corner = np.array([[1.0, 0.0, where.x0], [0.0, 1.0, where.y0]])
        rgb = self._ops.to_rgb(part)
        grey = picture.neutral_chroma  # then all three planes are the same
        face = kernels.cut_out(rgb[:1] if grey else rgb, kernels.combined(matrix, corner), FACE_PX)
        return np.broadcast_to(face, (3, FACE_PX, FACE_PX))


def _rebuilt(given: FloatImage, engine: Engine) -> FloatImage:
    spec = engine.spec
    out = np.empty((1, *given.shape), np.float32)
    engine.run({spec.inputs[0].name: np.ascontiguousarray(given[None])}, {spec.outputs[0].name: out})
    if not np.isfinite(out).all():
        raise EngineError(f"`{spec.name}` produced numbers that are not finite", "try another backend")
    return np.asarray(out[0], np.float32)


def _region(matrix: Matrix, picture: Picture) -> Rect | None:
    """Return the part of a picture that a face lies in, whole in chroma samples; None if it lies outside."""
    corners = np.array([[0, 0], [FACE_PX, 0], [0, FACE_PX], [FACE_PX, FACE_PX]], np.float64) - 0.5
    back = kernels.inverted(matrix)
    places = corners @ back[:, :2].T + back[:, 2]
    low, high = places.min(axis=0) - _MARGIN_PX, places.max(axis=0) + _MARGIN_PX
    edges = []
    for axis, length in enumerate((picture.size.width, picture.size.height)):
        step = 1 << picture.format.chroma_shift[axis]
        begin = int(max(0.0, np.floor(low[axis]))) // step * step
        end = min(length, -(-int(np.ceil(max(0.0, high[axis]))) // step) * step)
        edges.append((begin, end))
    (x0, x1), (y0, y1) = edges
    return Rect(x0, y0, x1, y1) if x1 - x0 > 2 and y1 - y0 > 2 else None


def _of_plane(where: Rect, picture: Picture, number: int) -> Rect:
    if number == 0 or picture.format.kind != "yuv":
        return where
    sx, sy = picture.format.chroma_shift
    return Rect(where.x0 >> sx, where.y0 >> sy, -(-where.x1 >> sx), -(-where.y1 >> sy))


def _laid_in(
    plane: Plane, change: NDArray[np.float32], matrix: Matrix, where: Rect, picture: Picture, number: int
) -> Plane:
    if number and picture.format.kind == "yuv":
        steps = np.exp2(picture.format.chroma_shift)
        first = np.array(picture.colour.siting.value) * (steps - 1)
        matrix = kernels.combined(matrix, np.column_stack([np.diag(steps), first]))
    most = (1 << picture.format.bits) - 1
    return kernels.laid_in(plane, change, matrix, _of_plane(where, picture, number), most)


def _in_samples(change: FloatImage, picture: Picture) -> Sequence[NDArray[np.float32]]:
    """Return a change of R'G'B' as one of each plane's samples; of an exactly grey picture luma alone changes."""
    layout, colour = picture.format, picture.colour
    if layout.kind == "rgb":
        if picture.neutral_chroma:
            peak = (1 << layout.bits) - 1
            return [_weighted(np.asarray(colours.luma_weights(Coding.BT709)) * peak, change)] * 3
        return [change[channel] * np.float32((1 << layout.bits) - 1) for channel in (1, 2, 0)]
    if layout.kind == "grey":
        scale, _ = colours.samples_from_grey(colour, layout.bits)
        rows = np.asarray([colours.luma_weights(Coding.BT709)]) * scale
    else:
        rows = colours.samples_from_rgb(colour, layout.bits).matrix
        rows = rows[:1] if picture.neutral_chroma else rows
    return [_weighted(row, change) for row in rows]


def _weighted(weights: NDArray[np.float64], change: FloatImage) -> NDArray[np.float32]:
    """Return the sum of the channels, `(3, h, w)`, by their weights."""
    red, green, blue = (channel * np.float32(weight) for channel, weight in zip(change, weights, strict=True))
    return np.asarray(red + green + blue, np.float32)
