"""Faces are followed through shots: steadily, without lag, over gaps; what is no face, or turned away, is left out."""

from __future__ import annotations

import numpy as np
import pytest

from fastrestore.runtime.treatments.faces.detector import NUMBERS
from fastrestore.runtime.treatments.faces.pose import EYES_PX, fit
from fastrestore.runtime.treatments.faces.tracks import FADE, LONGEST_GAP, Detection, Track, detection, follow

UPRIGHT = np.array([192.98 + 239.95j, 318.90 + 240.19j, 256.63 + 314.02j, 201.26 + 371.41j, 313.09 + 371.15j])
EYES = 24.0


def row(middle: complex, eyes: float = EYES, turn: float = 0.0, noise: complex | np.ndarray = 0) -> np.ndarray:
    """Return the numbers of a face."""
    factor = eyes / EYES_PX * np.exp(1j * turn)
    marks = middle + factor * (UPRIGHT - UPRIGHT.mean()) + noise
    out = np.zeros(NUMBERS)
    side = 2.4 * eyes
    out[:4] = middle.real - side / 2, middle.imag - side / 2, side, side
    out[4:14:2], out[5:14:2], out[14] = marks.real, marks.imag, 0.9
    return out


def seen(at: int, numbers: np.ndarray) -> Detection:
    """Return a face that looks at us."""
    found = detection(at, numbers)
    assert found is not None
    return found


def followed(middles: list[complex | None], noise_px: float = 0.0) -> tuple[Track, ...]:
    """Follow one face that is missed where its middle is None."""
    rng = np.random.default_rng(3)
    pictures = []
    for at, middle in enumerate(middles):
        noise = noise_px * (rng.standard_normal(5) + 1j * rng.standard_normal(5))
        pictures.append([] if middle is None else [seen(at, row(middle, noise=noise))])
    return follow(pictures)


def test_a_pose_is_what_the_landmarks_have_in_common() -> None:
    landmarks = 80 + 60j + 0.3 * np.exp(0.4j) * (UPRIGHT - UPRIGHT.mean())
    pose, error = fit(landmarks)
    assert pose.middle == pytest.approx(80 + 60j) and pose.factor == pytest.approx(0.3 * np.exp(0.4j), rel=1e-4)
    assert error < 1e-4 and pose.eyes_px == pytest.approx(0.3 * EYES_PX)
    matrix = pose.matrix()
    for mark, wanted in zip(landmarks, UPRIGHT, strict=True):
        there = matrix[:, :2] @ (mark.real, mark.imag) + matrix[:, 2]
        assert complex(*there) == pytest.approx(wanted, abs=0.02)
    assert fit(np.full(5, 3 + 4j))[1] == float("inf")


def test_a_trembling_detector_gives_a_steady_pose_without_lag() -> None:
    middles = [60 + 2.5 * at + 1j * (50 + 8 * np.sin(at / 9)) for at in range(60)]
    (track,) = followed(list(middles), noise_px=1.0)
    found = np.array([pose.middle for pose in track.poses])
    off = np.abs(found - middles)
    assert np.sqrt(np.mean(off**2)) < 0.5  # the mean of five trembling landmarks is 0.63 px off
    assert abs(np.mean(found - middles)) < 0.25, "a face that moves is not left behind"
    eyes = np.array([pose.eyes_px for pose in track.poses])
    assert np.sqrt(np.mean((eyes - EYES) ** 2)) < 0.4 and np.abs(eyes - EYES).max() < 1.0
    trembling = np.diff(found - np.array(middles), 2)
    assert np.sqrt(np.mean(np.abs(trembling) ** 2)) < 0.5  # of 1.55 px


def test_short_gaps_are_bridged_and_long_ones_are_not() -> None:
    middles: list[complex | None] = [complex(60 + 2 * at, 50) for at in range(30)]
    middles[10 : 10 + LONGEST_GAP] = [None] * LONGEST_GAP
    (track,) = followed(middles)
    assert (track.begin, track.end, track.seen) == (0, 30, 30 - LONGEST_GAP)
    assert track.poses[11].middle == pytest.approx(82 + 50j, abs=0.1)
    middles[10 : 11 + LONGEST_GAP] = [None] * (LONGEST_GAP + 1)
    assert [(each.begin, each.end) for each in followed(middles)] == [(0, 10), (11 + LONGEST_GAP, 30)]


def test_faces_come_and_go_slowly_but_at_cuts() -> None:
    middles: list[complex | None] = [None] * 5 + [50 + 50j] * 12 + [None] * 6
    (track,) = followed(middles)
    assert track.weights[0] == pytest.approx(1 / (FADE + 1)) and track.weights[-1] == pytest.approx(1 / (FADE + 1))
    assert track.weights[FADE] == 1
    (track,) = followed([50 + 50j] * 4)
    assert track.weights == (1.0,) * 4


def test_two_faces_that_pass_each_other_stay_themselves() -> None:
    pictures = []
    for at in range(40):
        faces = [row(complex(40 + 4 * at, 50)), row(complex(200 - 4 * at, 78), eyes=30)]
        pictures.append([seen(at, numbers) for numbers in (faces if at % 2 else faces[::-1])])
    tracks = follow(pictures)
    assert len(tracks) == 2 and all(len(track.poses) == 40 for track in tracks)
    for track in tracks:
        assert np.ptp([pose.eyes_px for pose in track.poses]) < 0.5


def test_what_is_seen_once_is_no_face_except_in_a_short_shot() -> None:
    assert followed([None, None, 50 + 50j, None, None, None]) == ()
    (track,) = followed([50 + 50j])
    assert track.poses[0].middle == pytest.approx(50 + 50j) and track.poses[0].eyes_px == pytest.approx(EYES, rel=1e-4)
    (track,) = followed([50 + 50j, 50.5 + 50j])
    assert len(track.poses) == 2 and track.poses[0] == track.poses[1]


def test_a_profile_is_not_rebuilt() -> None:
    numbers = row(50 + 50j)
    numbers[4:14:2] = 50 + 0.15 * (numbers[4:14:2] - 50)  # seen from the side, all landmarks are near one line
    assert detection(0, numbers) is None
    assert detection(0, np.zeros(NUMBERS)) is None
