"""The rank statistics: against counting every possibility, and their coverage."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from fastrestore.bench import shift
from fastrestore.bench.shift import paired_shift, unpaired_shift


@pytest.mark.parametrize(("m", "n"), [(3, 4), (5, 5), (6, 3)])
@pytest.mark.parametrize("tail", [0.005, 0.025, 0.1])
def test_rank_sum_cut_equals_the_count_of_every_arrangement(m: int, n: int, tail: float) -> None:
    sums = [sum(ranks) - m * (m + 1) // 2 for ranks in itertools.combinations(range(1, m + n + 1), m)]
    likely = [value for value in range(m * n + 1) if np.mean(np.less_equal(sums, value)) <= tail]
    assert shift._rank_sum_cut(m, n, tail) == len(likely)


@pytest.mark.parametrize("n", [4, 8, 10])
@pytest.mark.parametrize("tail", [0.005, 0.05])
def test_signed_rank_cut_equals_the_count_of_every_sign(n: int, tail: float) -> None:
    sums = [sum(r for r, taken in enumerate(signs, 1) if taken) for signs in itertools.product((0, 1), repeat=n)]
    likely = [value for value in range(n * (n + 1) // 2 + 1) if np.mean(np.less_equal(sums, value)) <= tail]
    assert shift._signed_rank_cut(n, tail) == len(likely)


def test_the_normal_approximation_takes_over_smoothly() -> None:
    most = shift.MOST_EXACT
    assert abs(shift._rank_sum_cut(most + 1, most, 0.005) - shift._rank_sum_cut(most, most, 0.005)) < most
    assert abs(shift._signed_rank_cut(most + 1, 0.005) - shift._signed_rank_cut(most, 0.005)) < most


def test_the_shift_is_found_whatever_one_wild_value_says() -> None:
    first = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    second = [value + 10 for value in first]
    assert paired_shift(first, second, 0.99) == shift.Shift(10, 10, 10)
    second[3] = 1e6
    found = paired_shift(first, second, 0.95)
    assert found.estimate == found.low == 10
    found = unpaired_shift(first, second, 0.95)
    assert found.low > 4
    assert 9 < found.estimate < 12


def test_too_few_values_are_sure_of_nothing() -> None:
    assert paired_shift([1.0] * 7, [2.0] * 7, 0.99) == shift.Shift(1, -math.inf, math.inf)
    assert not math.isinf(paired_shift([1.0] * 8, [2.0] * 8, 0.99).low)
    assert math.isinf(unpaired_shift([1.0] * 4, [2.0] * 5, 0.99).low)
    assert not math.isinf(unpaired_shift([1.0] * 5, [2.0] * 5, 0.99).low)


def test_the_interval_covers_as_often_as_it_says() -> None:
    """Heavy tails included: 400 draws of log-normal values; 95 % intervals must hold the truth in 91 to 99 of 100."""
    rng = np.random.default_rng(5)
    held = {"paired": 0, "unpaired": 0}
    for _ in range(400):
        first, second = rng.lognormal(0, 1, 10), rng.lognormal(0, 1, 10)
        for name, measure in (("paired", paired_shift), ("unpaired", unpaired_shift)):
            found = measure(np.log(first).tolist(), np.log(second).tolist(), 0.95)
            held[name] += found.low <= 0 <= found.high
    assert all(364 <= count <= 396 for count in held.values()), held
