"""Whose faces are where in a film, and how much of each is rebuilt: decided once, from what was seen of all frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fastrestore.runtime.treatments.faces.detector import MOST_FACES, NUMBERS, SCORE
from fastrestore.runtime.treatments.faces.pose import Pose
from fastrestore.runtime.treatments.faces.tracks import Detection, Track, detection, follow
from fastrestore.runtime.treatments.retouch import Moment, View
from fastrestore.runtime.treatments.treatment import Film, Shot

_KNOWN: Final = 1.25
"""Times the smallest size that is rebuilt at all: from here on a face is rebuilt in full."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A face in a picture."""

    pose: Pose
    """In the source's pixels, made square."""
    weight: float
    """How much of it is rebuilt, above 0 to 1."""


@dataclass(frozen=True, slots=True)
class Role:
    """A face of a shot, for its report."""

    first: int
    """Number in the film of the first frame with it."""
    last: int
    rebuilt: bool
    """Whether it is large enough anywhere."""
    eyes_px: float
    """Between the eyes, at most."""
    middle: complex
    """Where it is at its first frame."""


@dataclass(frozen=True, slots=True)
class _Scene:
    """A shot and its faces."""

    shot: Shot
    tracks: tuple[Track, ...]
    pictures: tuple[int, ...]
    """By frame: which of the shot's pictures it shows. Exact repeats show the same."""


class Cast:
    """The faces of a film.

    Args:
        film: The film.
        probe: Name of the probe that looked for faces.
        least_eyes_px: Between the eyes, up to which a face is too small to be known.
        views: Where treatments put each frame's pixels.
    """

    def __init__(self, film: Film, probe: str, least_eyes_px: float, views: Sequence[View] = ()) -> None:
        self._film, self._least, self._views = film, least_eyes_px, tuple(views)
        rows = film.findings[probe].reshape(len(film.pts), MOST_FACES, NUMBERS)
        self._scenes = tuple(self._scene(shot, rows) for shot in film.shots)

    def at(self, moment: Moment) -> tuple[Placed, ...]:
        """Return the faces that are rebuilt in a picture."""
        scene = self._scenes[self._film.shot_of(moment.left).number]
        left, right = (scene.pictures[index - scene.shot.begin] for index in (moment.left, moment.right))
        found = (self._placed(track, left, right, moment.t) for track in scene.tracks)
        return tuple(placed for placed in found if placed is not None)

    def roles(self, shot: Shot) -> tuple[Role, ...]:
        """Return the faces that were followed in a shot."""
        scene = self._scenes[shot.number]
        return tuple(self._role(scene, track) for track in scene.tracks)

    def _placed(self, track: Track, left: int, right: int, t: float) -> Placed | None:
        here, there = (at - track.begin if track.begin <= at < track.end else None for at in (left, right))
        if here is None and there is None:
            return None
        one = track.poses[there if here is None else here]  # type: ignore[index]    # one of them is there
        other = one if there is None else track.poses[there]
        weight = (1 - t) * self._weight(track, here) + t * self._weight(track, there)
        return Placed(_between(one, other, t), weight) if weight > 0 else None

    def _weight(self, track: Track, at: int | None) -> float:
        if at is None:
            return 0.0
        known = (track.poses[at].eyes_px / self._least - 1) / (_KNOWN - 1)
        return track.weights[at] * min(1.0, max(0.0, known))

    def _role(self, scene: _Scene, track: Track) -> Role:
        frames = [scene.shot.begin + k for k, at in enumerate(scene.pictures) if track.begin <= at < track.end]
        rebuilt = any(self._weight(track, at) > 0 for at in range(len(track.poses)))
        eyes_px = max(pose.eyes_px for pose in track.poses)
        return Role(frames[0], frames[-1], rebuilt, eyes_px, track.poses[0].middle)

    def _scene(self, shot: Shot, rows: NDArray[np.float64]) -> _Scene:
        pictures = self._pictures(shot)
        seen: list[list[Detection]] = []
        for index, at in enumerate(pictures, shot.begin):
            if at == len(seen):
                faces = (detection(at, row) for row in self._moved(index, rows[index]))
                seen.append([face for face in faces if face is not None])
        return _Scene(shot, follow(seen), pictures)

    def _pictures(self, shot: Shot) -> tuple[int, ...]:
        """Number the different pictures of a shot: time stands still in exact repeats, unless they are moved."""
        if self._views:
            return tuple(range(len(shot)))
        sums, at, found = self._film.checksums, 0, [0]
        for index in range(shot.begin + 1, shot.end):
            at += sums[index] != sums[index - 1]
            found.append(at)
        return tuple(found)

    def _moved(self, index: int, faces: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a frame's faces as its treatments leave them, in square pixels."""
        out = faces.copy()
        there = out[:, SCORE] > 0
        corners = np.column_stack([out[:, 0:2], out[:, 0:2] + out[:, 2:4]])
        for view in self._views:
            matrix = view(index)
            for places in (*(out[:, k : k + 2] for k in range(4, SCORE, 2)), corners[:, 0:2], corners[:, 2:4]):
                places[there] = places[there] @ matrix[:, :2].T + matrix[:, 2]
        out[:, 0:2], out[:, 2:4] = corners[:, 0:2], corners[:, 2:4] - corners[:, 0:2]
        across = [0, 2, *range(4, SCORE, 2)]
        out[:, across] *= float(self._film.info.pixel_aspect)
        return out


def _between(one: Pose, other: Pose, t: float) -> Pose:
    if one == other:
        return one
    factor = one.factor * np.exp(t * np.log(other.factor / one.factor))
    return Pose(one.middle + t * (other.middle - one.middle), complex(factor))
