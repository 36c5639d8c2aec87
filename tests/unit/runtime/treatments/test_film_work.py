"""Finished pictures are known to belong to the shot that they show."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import numpy as np
import pytest

from fastrestore.frames import FORMATS, Picture, StreamInfo
from fastrestore.geometry import Size
from fastrestore.runtime.treatments.film_work import FilmWork
from fastrestore.runtime.treatments.treating import Treating
from fastrestore.runtime.treatments.treatment import Film, Shot

RATE, COUNT = Fraction(30000, 1001), 30
PICTURE = Picture((np.zeros((4, 4), np.uint8),), FORMATS["gray"])


class Noting:
    """Notes of which shot it is told that pictures are."""

    name = "noting"

    def __init__(self) -> None:
        self.shots: list[int] = []

    def apply(self, picture: Picture, index: int, shot: int) -> Picture:
        assert index == len(self.shots)
        self.shots.append(shot)
        return picture

    def report(self, shot: Shot) -> Mapping[str, float | str]:
        return {}


@pytest.mark.parametrize("cut", [13, 14, 16, 19])
@pytest.mark.parametrize("times", [1, 2])
def test_the_first_frame_of_a_shot_is_finished_as_one_of_it(cut: int, times: int) -> None:
    """Also where a clock of milliseconds has rounded its time to after the instant at which it is shown."""
    info = StreamInfo(Size(4, 4), FORMATS["gray"], PICTURE.colour, RATE, time_base=Fraction(1, 1000))
    pts = tuple(Fraction(round(1000 * number / RATE), 1000) for number in range(COUNT))
    film = Film(info, pts, (Shot(0, 0, cut), Shot(1, cut, COUNT)))
    noting = Noting()
    work = FilmWork(Treating(film, ()), (noting,))
    for index in range(times * COUNT):
        assert work.finished(PICTURE, index, index / (times * RATE)) is PICTURE
    assert noting.shots == [int(index >= times * cut) for index in range(times * COUNT)]
