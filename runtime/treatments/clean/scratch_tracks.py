"""Which of the upright lines that were found on frames are scratches: those that keep their place on the film."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fastrestore.runtime.treatments.clean.scratches import Line, lines_of, reach_px
from fastrestore.runtime.treatments.treatment import Shot

_F64 = NDArray[np.float64]

_SURE: Final = 0.15  # response of phase correlation from which the picture's motion counts
_JUMP: Final = 1.0  # of the reach: further than that from one frame to the next it is another line
_GAP: Final = 2  # frames in which it may not be seen
_LEAST_SEEN: Final = 5  # frames
_LEAST_MOVES: Final = 4  # pairs of frames whose motion counts
_OWN_WAY: Final = 0.17  # of the reach: by so much, as a mean from frame to frame, it must move apart from the picture
_SPAN: Final = 0.5  # of the height, as a mean over its life
_DRIFT: Final = 0.06  # of the reach: what surely runs away by more a frame is a thing, nearer or farther than the rest
_MOST_DRIFT: Final = 0.1  # and what seems to, by so much


@dataclass(slots=True)
class _Track:
    """A line as it is followed through a shot."""

    seen: dict[int, Line] = field(default_factory=dict)
    last: int = 0

    def add(self, index: int, line: Line) -> None:
        self.seen[index] = line
        self.last = index


def scratches_of(
    findings: _F64, shot: Shot, size: tuple[int, int], least_strength: float
) -> Mapping[int, tuple[Line, ...]]:
    """Return the scratches of a shot, by number of the frame.

    Args:
        findings: `(frames, numbers)` of the whole film, as the probe found them.
        shot: The shot.
        size: Height and width of the film, px.
        least_strength: As a mean over its life; see `Line.strength`.
    """
    reach = reach_px(size)
    scratches: dict[int, list[Line]] = {}
    for track in _tracks(findings, shot, reach):
        span = sum(line.bottom - line.top for line in track.seen.values()) / len(track.seen)
        strength = abs(sum(line.strength for line in track.seen.values())) / len(track.seen)
        if span >= _SPAN and strength >= least_strength and _keeps_its_place(track, reach):
            for index, line in _without_gaps(track):
                scratches.setdefault(index, []).append(line)
    return {index: tuple(lines) for index, lines in scratches.items()}


def _tracks(findings: _F64, shot: Shot, reach: int) -> list[_Track]:
    """Follow lines of one sign from frame to frame, the nearest first."""
    tracks: list[_Track] = []
    for index in range(shot.begin, shot.end):
        lines = list(lines_of(findings[index]))
        open_tracks = [track for track in tracks if index - track.last <= _GAP + 1]
        pairs = sorted(
            (abs(line.x - track.seen[track.last].x), number, place)
            for number, track in enumerate(open_tracks)
            for place, line in enumerate(lines)
            if line.strength * track.seen[track.last].strength > 0
        )
        followed: set[int] = set()
        for away, number, place in pairs:
            track = open_tracks[number]
            if away <= _JUMP * reach and track.last != index and place not in followed:
                track.add(index, lines[place])
                followed.add(place)
        for place, line in enumerate(lines):
            if place not in followed:
                track = _Track()
                track.add(index, line)
                tracks.append(track)
    return tracks


def _keeps_its_place(track: _Track, reach: int) -> bool:
    """Whether a line stays where it is while the picture beside it goes its own way."""
    numbers = sorted(track.seen)
    if len(numbers) < _LEAST_SEEN:
        return False
    apart = [
        track.seen[b].x - track.seen[a].x - track.seen[b].shift
        for a, b in pairwise(numbers)
        if b == a + 1 and track.seen[b].surety >= _SURE
    ]
    if len(apart) < _LEAST_MOVES:
        return False
    trend, error = _trend(track, numbers)
    drifts = trend - error > _DRIFT * reach or trend > _MOST_DRIFT * reach
    return float(np.median(np.abs(apart))) > _OWN_WAY * reach and not drifts


def _trend(track: _Track, numbers: list[int]) -> tuple[float, float]:
    """Return how fast a line runs away, px a frame, and the standard error of that: wandering looks like it too."""
    times = np.array(numbers, np.float64) - np.mean(numbers)
    places = np.array([track.seen[n].x for n in numbers])
    places -= places.mean()
    spread = float(times @ times)
    trend = float(times @ places) / spread
    left = places - trend * times
    return abs(trend), math.sqrt(float(left @ left) / (len(numbers) - 2) / spread)


def _without_gaps(track: _Track) -> list[tuple[int, Line]]:
    """Return the line on every frame of its life; where it was not seen, between where it was before and after."""
    numbers = sorted(track.seen)
    whole = [(numbers[-1], track.seen[numbers[-1]])]
    for a, b in pairwise(numbers):
        first, last = track.seen[a], track.seen[b]
        for index in range(a, b):
            share = (index - a) / (b - a)
            top_x = first.top_x + share * (last.top_x - first.top_x)
            bottom_x = first.bottom_x + share * (last.bottom_x - first.bottom_x)
            whole.append((index, replace(first, top_x=top_x, bottom_x=bottom_x)))
    return whole
