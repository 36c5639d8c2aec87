"""Faces followed through a shot: which detections are one face, and where it is at every frame, steadily.

A detector's landmarks tremble by a pixel or so from frame to frame, and a network that is shown a trembling face
answers with a flickering one. A face's pose is therefore smoothed along its track: its size and turn, which change
slowly, much more than its place. Straight motion is followed without lag.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fastrestore.runtime.treatments.faces.detector import SCORE
from fastrestore.runtime.treatments.faces.pose import Pose, fit
from fastrestore.runtime.treatments.steady.whittaker import smoothed

LONGEST_GAP: Final = 4
"""Pictures in a row in which a face may be missed."""
FADE: Final = 4
"""Pictures in which a face that comes or goes within its shot is taken up and let go."""
_LEAST_SEEN: Final = 3
"""Pictures: what is seen less often in a longer shot is no face."""
_MOST_ERROR: Final = 0.22
"""RMS distance of landmarks from the upright face's, in distances between the eyes, up to which it looks at us."""
_LEAST_OVERLAP: Final = 0.2
_FARTHEST: Final = 0.5
"""Mean distance of the landmarks of one face from picture to picture, as a share of its box's mean side."""
_PLACE_STIFFNESS, _SHAPE_STIFFNESS = 2.0, 60.0


@dataclass(frozen=True, slots=True)
class Detection:
    """A face as it was seen in a picture."""

    at: int
    """Number of the picture in its shot."""
    box: tuple[float, float, float, float]
    """Left, top, width, height."""
    landmarks: NDArray[np.complex128]
    """`(5,)`."""
    score: float


@dataclass(slots=True)
class _Open:
    """A track that may go on."""

    seen: list[Detection] = field(default_factory=list)

    @property
    def last(self) -> Detection:
        return self.seen[-1]


@dataclass(frozen=True, slots=True)
class Track:
    """A face through a shot."""

    begin: int
    """Number in the shot of the first picture with it."""
    poses: tuple[Pose, ...]
    """One for each picture from there on."""
    weights: tuple[float, ...]
    """How much of it is taken for its coming and going, 0 to 1."""
    seen: int
    """In how many pictures it was detected."""

    @property
    def end(self) -> int:
        """Number of the first picture after it."""
        return self.begin + len(self.poses)


def detection(at: int, row: NDArray[np.float64]) -> Detection | None:
    """Return a face of the numbers of one, moved as they are; None if it is none, or does not look at us.

    Args:
        at: Number of the picture in its shot.
        row: See `detector.NUMBERS`; in square pixels.
    """
    if row[SCORE] <= 0:
        return None
    landmarks = row[4:SCORE:2] + 1j * row[5:SCORE:2]
    if fit(landmarks)[1] > _MOST_ERROR:
        return None
    return Detection(at, (row[0], row[1], row[2], row[3]), landmarks, float(row[SCORE]))


def follow(pictures: Sequence[Sequence[Detection]]) -> tuple[Track, ...]:
    """Return the faces of a shot, in the order in which they come.

    Args:
        pictures: What was seen in each picture.
    """
    going: list[_Open] = []
    all_tracks: list[_Open] = []
    for at, seen in enumerate(pictures):
        going = [track for track in going if at - track.last.at <= LONGEST_GAP + 1]
        taken: set[int] = set()
        for track, number in _pairs(going, seen):
            track.seen.append(seen[number])
            taken.add(number)
        fresh = [_Open([face]) for number, face in enumerate(seen) if number not in taken]
        going += fresh
        all_tracks += fresh
    least = min(_LEAST_SEEN, len(pictures))
    return tuple(_track(each.seen, len(pictures)) for each in all_tracks if len(each.seen) >= least)


def _pairs(tracks: Sequence[_Open], seen: Sequence[Detection]) -> Iterable[tuple[_Open, int]]:
    """Yield which face goes on with which track: the most alike first, each once."""
    likeness = [
        (_likeness(track.last, face), index, number)
        for index, track in enumerate(tracks)
        for number, face in enumerate(seen)
    ]
    used: set[int] = set()
    given: set[int] = set()
    for alike, index, number in sorted(likeness, key=lambda each: (-each[0], each[1], each[2])):
        if alike > 0 and index not in used and number not in given:
            used.add(index)
            given.add(number)
            yield tracks[index], number


def _likeness(before: Detection, face: Detection) -> float:
    """Return how much two faces seem one, above 0 to 2; 0 if they do not."""
    overlap = _overlap(before.box, face.box)
    side = (before.box[2] + before.box[3] + face.box[2] + face.box[3]) / 4
    apart = float(np.abs(before.landmarks - face.landmarks).mean()) / side
    reach = _FARTHEST * (face.at - before.at)
    if apart > min(1.0, reach) or (overlap < _LEAST_OVERLAP and face.at == before.at + 1):
        return 0.0
    return overlap + max(0.01, 1 - apart)


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)


def _track(seen: Sequence[Detection], pictures: int) -> Track:
    begin, end = seen[0].at, seen[-1].at + 1
    places, sure = np.zeros((end - begin, 4)), np.zeros(end - begin)
    for face in seen:
        pose, _ = fit(face.landmarks)
        logarithm = np.log(pose.factor)
        places[face.at - begin] = pose.middle.real, pose.middle.imag, logarithm.real, logarithm.imag
        sure[face.at - begin] = face.score
    known = sure > 0
    places[known, 3] = np.unwrap(places[known, 3])
    place = _smooth(places[:, :2], sure, _PLACE_STIFFNESS)
    shape = _smooth(places[:, 2:], sure, _SHAPE_STIFFNESS)
    poses = tuple(
        Pose(complex(x, y), complex(np.exp(complex(size, turn))))
        for (x, y), (size, turn) in zip(place, shape, strict=True)
    )
    return Track(begin, poses, _fade(begin, end, pictures), len(seen))


def _smooth(places: NDArray[np.float64], sure: NDArray[np.float64], stiffness: float) -> NDArray[np.float64]:
    if len(places) == 2:  # too short to bend
        return np.broadcast_to(np.average(places, axis=0, weights=sure), places.shape)
    return smoothed(places, sure, np.full(len(places), stiffness))


def _fade(begin: int, end: int, pictures: int) -> tuple[float, ...]:
    """Return the weights of a track: it comes and goes slowly, but at cuts."""
    first = begin if begin > 0 else begin - FADE
    last = end - 1 if end < pictures else end - 1 + FADE
    return tuple(min(1.0, (at - first + 1) / (FADE + 1), (last - at + 1) / (FADE + 1)) for at in range(begin, end))
