"""Which frames are synthesised, in few words."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastrestore.runtime.frame_set import FrameSet


def between(count: int, source: Fraction | int, rate: int) -> list[bool]:
    """Return for each output frame whether it lies between two of the source's."""
    return [(Fraction(number, rate) * source).denominator != 1 for number in range(count)]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (24, "0-9999/5:1.2.3.4"),
        (25, "0-9999/12:1.2.3.4.5.6.7.8.9.10.11"),
        (30, "0-9999/2:1"),
        (60, ""),
    ],
)
def test_the_usual_rates_are_one_word(source: int, text: str) -> None:
    flags = between(10_000, source, 60)
    found = FrameSet.from_flags(flags)
    assert str(found) == text
    assert len(found) == sum(flags)


def test_an_odd_rate_is_told_shortly() -> None:
    flags = between(100_000, Fraction(24000, 1001), 60)
    found = FrameSet.from_flags(flags)
    assert len(str(found)) < 2000
    assert list(found) == [number for number, flag in enumerate(flags) if flag]


def test_segments_join_to_what_the_whole_is() -> None:
    flags = between(1000, 24, 60)
    parts = [FrameSet.from_flags(flags[a:b], a) for a, b in ((0, 240), (240, 545), (545, 1000))]
    assert str(FrameSet.joined(parts)) == "0-999/5:1.2.3.4"
    with pytest.raises(ValueError, match="not behind"):
        FrameSet.joined([parts[1], parts[0]])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.booleans(), max_size=200), st.integers(0, 1000))
def test_every_set_survives_the_way_through_text(flags: list[bool], first: int) -> None:
    wanted = [first + number for number, flag in enumerate(flags) if flag]
    found = FrameSet.from_flags(flags, first)
    again = FrameSet.from_text(str(found))
    assert list(found) == wanted
    assert list(again) == wanted
    assert len(found) == len(wanted)
    assert [number for number in range(first, first + len(flags)) if number in found] == wanted
    assert found.end >= (wanted[-1] + 1 if wanted else 0)


@pytest.mark.parametrize(
    "text",
    ["x", "3-1", "1-5/0:0", "1-5/3:3", "1-5/3:2.1", "1-5/3:1.1", "5 3", "1-9 9", "-1", "1-99999999999", "4294967296"],
)
def test_a_damaged_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="names no frames"):
        FrameSet.from_text(text)
