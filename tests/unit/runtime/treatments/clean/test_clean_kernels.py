"""What cleaning does to single samples, on arrays small enough to reason about."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from tests.unit.runtime.treatments.clean.clean_samples import Scene, soil, stored

from fastrestore.kernels.film_clean import healed, line_votes, mended, spikes, warped
from fastrestore.kernels.ops import open_ops
from fastrestore.runtime.treatments.clean.light import evened, grain_levels, light_gain
from fastrestore.runtime.treatments.short_motion import ShortMotion


def test_a_spike_stands_out_from_both_neighbours() -> None:
    before, after = np.full((5, 5), 100, np.uint8), np.full((5, 5), 104, np.uint8)
    luma = np.full((5, 5), 102, np.uint8)
    luma[2, 2], luma[2, 3] = 150, 60
    near, sure = spikes(luma, before, after)
    assert near[2, 2] == sure[2, 2] == 46
    assert near[2, 3] == sure[2, 3] == 40
    assert not np.delete(near.reshape(-1), [12, 13]).any()


def test_what_one_neighbour_has_is_no_spike() -> None:
    before, after = np.full((5, 5), 100, np.uint8), np.full((5, 5), 100, np.uint8)
    luma = before.copy()
    luma[2, 2] = after[2, 2] = 200
    near, sure = spikes(luma, before, after)
    assert not near.any()
    assert not sure.any()


def test_what_is_a_sample_off_is_no_sure_spike() -> None:
    before = np.full((5, 5), 100, np.uint8)
    luma = before.copy()
    before[2, 1], luma[2, 2] = 200, 200
    near, sure = spikes(luma, before, before)
    assert near[2, 2] == 100
    assert sure[2, 2] == 0


def test_warping_by_whole_samples_is_exact() -> None:
    plane = np.random.default_rng(2).integers(0, 255, (9, 11)).astype(np.uint8)
    flow = np.zeros((9, 11, 2), np.float32)
    flow[...] = (2, -1)
    assert np.array_equal(warped(plane, flow)[1:, :-2], plane[:-1, 2:])


def test_mending_blends_tones_and_keeps_one_grain() -> None:
    rng = np.random.default_rng(3)
    before, after = (np.float32(level) + rng.normal(0, 4, (40, 40)).astype(np.float32) for level in (100, 110))
    mask = np.zeros((40, 40), np.float32)
    mask[8:32, 8:32] = 1
    sample = np.full((40, 40), 30, np.float32)
    result = mended(sample, before, after, 0.3, mask)
    assert np.array_equal(result[mask == 0], sample[mask == 0])
    inside = result[mask == 1]
    assert inside.mean() == pytest.approx(107, abs=1)
    fine = result - cv2.GaussianBlur(result, (5, 5), 1.2)
    assert fine[12:28, 12:28].std() > 0.9 * (after - cv2.GaussianBlur(after, (5, 5), 1.2))[12:28, 12:28].std()


def test_an_edge_has_no_vote_and_a_line_has() -> None:
    luma = np.full((8, 40), 80, np.uint8)
    luma[:, 30:] = 160
    luma[:, 12] = 95
    votes = line_votes(luma, 3, 10.0)
    assert (votes[:, 12] == 10).all()
    assert not votes[:, 26:].any()


def test_healing_leaves_the_picture_under_a_thin_scratch() -> None:
    rng = np.random.default_rng(4)
    picture = (100 + np.arange(9) * 2.0 + rng.normal(0, 3, (120, 9))).astype(np.float32)
    strip = picture.copy()
    strip[:, 3:6] += np.array([10, 40, 10], np.float32)
    middle, added = healed(strip, 2, 11, 30.0)
    assert middle.shape == (120, 5)
    assert np.median(added, 0) == pytest.approx([0, 10, 40, 10, 0], abs=2.5)
    assert np.corrcoef(middle[:, 2], picture[:, 4])[0, 1] > 0.85


def test_light_is_evened_whatever_is_soiled() -> None:
    scene = Scene(frames=1, flicker=0.0, grain=1.0)
    luma = np.clip(scene.frame(0), 0, 255)
    other = np.clip(soil(luma * np.float32(0.85) + 9, 0)[0], 0, 255)
    luma8, other8 = (np.rint(plane).astype(np.uint8) for plane in (luma, other))
    gain = light_gain(other8, luma8)
    assert gain == pytest.approx(1 / 0.85, abs=0.02)
    away = np.abs(evened(other8, luma8, gain).astype(float) - luma8)
    assert np.median(away) <= 1


@pytest.mark.parametrize("deviation", [1.0, 3.0, 8.0])
def test_grain_is_measured(deviation: float) -> None:
    rng = np.random.default_rng(6)
    ramp = np.tile(np.linspace(30, 220, 200), (200, 1))
    one, other = (np.clip(np.rint(ramp + rng.normal(0, deviation, ramp.shape)), 0, 255) for _ in range(2))
    levels = grain_levels(one.astype(np.uint8), other.astype(np.uint8))
    assert levels[128] == pytest.approx(deviation * np.sqrt(2), rel=0.2)


def test_motion_is_found_under_dust() -> None:
    """Where dust bends it, it is taken from around."""
    scene = Scene(frames=2, disc=0.0, weave=0.0, pan=3.0)
    pictures = [stored(soil(scene.frame(i), i)[0]) for i in range(2)]
    wrong = []
    for two_ways in (True, False):
        motion = ShortMotion(open_ops(), two_ways=two_ways)
        for one, other, true in ((0, 1, -3), (1, 0, 3)):
            away = np.abs(motion.flow(pictures[one], pictures[other]) - (true, 0)).max(-1)[20:-20, 20:-20]
            wrong.append(float(np.percentile(away, 97)))
    assert max(wrong[:2]) < 1.25
    assert sum(wrong[:2]) < 0.6 * sum(wrong[2:])
