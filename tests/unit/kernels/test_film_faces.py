"""Faces are cut out, matched in tone and laid in: known maps, exact outside, nothing where nothing changes."""

from __future__ import annotations

import numpy as np
import pytest

from fastrestore.geometry import Rect
from fastrestore.kernels.film_faces import changes, combined, cut_out, face_mask, inverted, laid_in

SIDE = 128


def waves(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([0.5 + 0.2 * np.sin(x / 9 + k) * np.cos(y / 11) for k in range(3)]).astype(np.float32)


def similarity(scale: float, turn: float, x: float, y: float) -> np.ndarray:
    a, b = scale * np.cos(turn), scale * np.sin(turn)
    return np.array([[a, -b, x], [b, a, y]])


def test_a_map_and_its_inverse_lead_back() -> None:
    matrix = similarity(2.5, 0.3, -7, 4)
    assert combined(matrix, inverted(matrix)) == pytest.approx(np.eye(3)[:2], abs=1e-12)
    place = np.array([3.0, 5.0])
    first = similarity(0.5, -0.2, 1, 2)
    there = first[:, :2] @ place + first[:, 2]
    assert combined(matrix, first)[:, :2] @ place + combined(matrix, first)[:, 2] == pytest.approx(
        matrix[:, :2] @ there + matrix[:, 2]
    )


def test_the_mask_is_whole_in_the_middle_and_nothing_at_the_edges() -> None:
    mask = face_mask(SIDE)
    assert mask[SIDE // 2, SIDE // 2] == 1
    assert mask[0].max() == mask[-1].max() == mask[:, 0].max() == mask[:, -1].max() == 0
    for x, y in ((193, 240), (319, 240), (257, 314), (201, 371), (313, 371)):  # eyes, nose and mouth
        assert mask[y * SIDE // 512, x * SIDE // 512] > 0.9
    assert np.all(np.diff(mask[SIDE // 2, : SIDE // 2]) >= 0)


@pytest.mark.parametrize("scale", [2.0, 0.5])
def test_a_cut_out_face_lies_where_the_map_says(scale: float) -> None:
    image = waves(200, 240)
    matrix = similarity(scale, 0.1, -20 * scale, -10 * scale)
    face = cut_out(image, matrix, SIDE)
    back = inverted(matrix)
    for x, y in ((40, 40), (64, 90), (100, 30)):
        sx, sy = back[:, :2] @ (x, y) + back[:, 2]
        wanted = [0.5 + 0.2 * np.sin(sx / 9 + k) * np.cos(sy / 11) for k in range(3)]
        assert face[:, y, x] == pytest.approx(wanted, abs=0.02)


def test_what_is_the_same_changes_nothing_and_tone_is_kept() -> None:
    face, mask = waves(SIDE, SIDE), face_mask(SIDE)
    assert np.abs(changes(face, face, mask)).max() < 1e-6
    toned = np.float32(0.8) * face + np.float32(0.15)  # another exposure and contrast
    assert np.abs(changes(face, toned, mask)).max() < 0.02
    fine = np.float32(0.1) * np.tile(np.array([[1, -1], [-1, 1]], np.float32), (SIDE // 2, SIDE // 2))
    change = changes(face, face + fine, mask)
    assert change[0] == pytest.approx(fine * mask, abs=0.01)
    assert np.all(change[:, 0] == 0) and np.all(change[:, :, -1] == 0)


@pytest.mark.parametrize("scale", [0.5, 1.0, 4.0])
def test_a_change_is_laid_in_where_it_belongs_and_nowhere_else(scale: float) -> None:
    plane = np.full((160, 200), 400, np.uint16)
    matrix = similarity(scale, 0.0, -30 * scale, -20 * scale)
    change = 50 * face_mask(SIDE)
    where = Rect(20, 10, 190, 150) if scale < 4 else Rect(20, 10, 80, 70)
    out = laid_in(plane, change, matrix, where, 1023)
    middle = inverted(matrix)[:, :2] @ (SIDE / 2, SIDE / 2) + inverted(matrix)[:, 2]
    if middle[0] < 190 and middle[1] < 150:
        assert out[round(middle[1]), round(middle[0])] == 450
    outside = np.ones_like(plane, bool)
    outside[where.slices] = False
    assert np.all(out[outside] == 400) and np.all(plane == 400)
    assert out.dtype == plane.dtype
    assert int(laid_in(plane, 5000 * change, matrix, where, 1023).max()) == 1023
