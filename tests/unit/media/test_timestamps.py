"""Missing and backward times are repaired without touching the good ones."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastrestore.runtime.media.timestamps import LOOKAHEAD, repair

STEP = Fraction(1, 25)


def repaired(*ms: int | None) -> list[int]:
    times = [None if t is None else Fraction(t, 1000) for t in ms]
    return [int(time * 1000) for _, time, _ in repair(enumerate(times), STEP)]


@pytest.mark.parametrize(
    ("given_ms", "wanted_ms"),
    [
        ((0, 40, 80), [0, 40, 80]),
        ((0, None, 80), [0, 40, 80]),
        ((None, None, 80), [0, 40, 80]),
        ((None, None), [0, 40]),
        ((0, 40, 40, 80, 120), [0, 40, 60, 80, 120]),
        ((0, 40, 30, 120), [0, 40, 80, 120]),
        ((0, 40, None, 1000), [0, 40, 80, 1000]),
        ((400, 0, 40), [400, 440, 480]),
        ((), []),
    ],
)
def test_repairs(given_ms: tuple[int | None, ...], wanted_ms: list[int]) -> None:
    assert repaired(*given_ms) == wanted_ms


@given(st.lists(st.one_of(st.none(), st.integers(-100, 400)), max_size=60))
def test_always_rises_and_keeps_every_item(ms: list[int | None]) -> None:
    times = [None if t is None else Fraction(t, 1000) for t in ms]
    out = list(repair(enumerate(times), STEP))
    assert [index for index, _, _ in out] == list(range(len(ms)))
    assert all(a[1] < b[1] for a, b in pairwise(out))
    assert all(time == times[index] for index, time, changed in out if not changed)


def test_holds_back_a_bounded_number_of_frames() -> None:
    pulled = 0

    def endless() -> Iterator[tuple[int, Fraction | None]]:
        nonlocal pulled
        while True:
            pulled += 1
            yield pulled, None

    frames = repair(endless(), STEP)
    for number in range(1, 50):
        assert next(frames)[0] == number
        assert pulled <= number + LOOKAHEAD
