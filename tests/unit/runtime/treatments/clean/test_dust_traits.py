"""What is measured of marks, on pictures in which it is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from tests.unit.runtime.treatments.clean.clean_samples import Image, Scene, stored

from fastrestore.kernels.ops import open_ops
from fastrestore.runtime.treatments.clean.dust_sight import Limits, Sight
from fastrestore.runtime.treatments.clean.dust_traits import CHEAP, SOUGHT, TRAITS, Cutting, cheap_traits, left, sought
from fastrestore.runtime.treatments.short_motion import ShortMotion

_SCENE = Scene(frames=3, disc=0.0, post=False, flicker=0.0, seed=21)


def _traits(frames: list[Image], place: tuple[int, int]) -> dict[str, float]:
    """Measure the mark that lies on a place of the frame in the middle."""
    pictures, motion = [stored(frame) for frame in frames], ShortMotion(open_ops())
    sight = Sight.of(motion, pictures[0], pictures[1], pictures[2])
    spots = sight.spots(Limits())
    number = int(spots.labels[place])
    assert number in spots.marked
    others, cutting = (motion.luma(pictures[0]), motion.luma(pictures[2])), Cutting.of(spots, number)
    cheap = cheap_traits(sight, spots, np.array([number]))[0]
    values = [*cheap, *sought(sight, others, cutting), *left(sight, others, cutting)]
    assert len(cheap) == CHEAP
    assert len(values) == len(TRAITS) > SOUGHT
    return dict(zip(TRAITS, values, strict=True))


def test_a_speck_stands_free_and_is_not_found_again() -> None:
    frames = [_SCENE.frame(i) for i in range(3)]
    cv2.circle(frames[1], (100, 90), 3, 20.0, cv2.FILLED, cv2.LINE_AA)
    traits = _traits(frames, (90, 100))
    assert traits["slimness"] == pytest.approx(1, abs=0.4)
    assert traits["breadth"] == pytest.approx(7, abs=2)
    assert traits["freed"] > 0.9
    assert traits["greater_misfit"] < 0.15
    assert traits["left"] == pytest.approx(1, abs=0.15)
    assert traits["explained"] < 0.6


def test_what_flies_past_is_found_again() -> None:
    frames = [_SCENE.frame(i) for i in range(3)]
    for index, frame in enumerate(frames):
        cv2.circle(frame, (100 + 9 * (index - 1), 90), 3, 20.0, cv2.FILLED, cv2.LINE_AA)
    traits = _traits(frames, (90, 100))
    assert traits["lesser_likeness"] > 0.8
    assert traits["lesser_explained"] > 0.7


def test_a_stroke_is_slim() -> None:
    frames = [_SCENE.frame(i) for i in range(3)]
    cv2.line(frames[1], (100, 90), (120, 90), 20.0, 1)
    assert _traits(frames, (90, 110))["slimness"] > 4


def test_traits_do_not_depend_on_the_other_marks() -> None:
    frames = [_SCENE.frame(i) for i in range(3)]
    cv2.circle(frames[1], (100, 90), 3, 20.0, cv2.FILLED, cv2.LINE_AA)
    pictures, motion = [stored(frame) for frame in frames], ShortMotion(open_ops())
    sight = Sight.of(motion, pictures[0], pictures[1], pictures[2])
    spots = sight.spots(Limits.of(1.0))
    together = cheap_traits(sight, spots, spots.marked)
    alone = [cheap_traits(sight, spots, np.array([number]))[0] for number in spots.marked]
    number = int(np.flatnonzero(spots.marked == spots.labels[90, 100])[0])
    assert together[number] == pytest.approx(alone[number], rel=0.2)
