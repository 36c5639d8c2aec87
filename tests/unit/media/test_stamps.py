"""Timestamps kept short are the timestamps that went in."""

from __future__ import annotations

from itertools import accumulate, pairwise

from hypothesis import given
from hypothesis import strategies as st

from fastrestore.runtime.media.stamps import Stamps

gaps = st.lists(st.integers(1, 5), max_size=200)


@given(first=st.integers(-(1 << 40), 1 << 40), gaps=gaps, last=st.integers(0, 100))
def test_round_trip(first: int, gaps: list[int], last: int) -> None:
    times = list(accumulate(gaps, initial=first))
    stamps = Stamps.of(times, last)
    assert list(stamps) == times
    assert (len(stamps), stamps.first, stamps.last) == (len(times), times[0], times[-1])
    assert list(stamps.durations()) == [*gaps, last]


@given(gaps=gaps)
def test_runs_are_as_long_as_can_be(gaps: list[int]) -> None:
    runs = Stamps.of(list(accumulate(gaps, initial=0)), 1).gaps
    assert all(a != b for (a, _), (b, _) in pairwise(runs))


def test_a_steady_rate_is_one_run() -> None:
    assert Stamps.of(list(range(0, 3_000_000, 1001)), 1001).gaps == ((1001, 2997),)
