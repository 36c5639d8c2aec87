"""Transfers that share a storage: even shares, links that limit, nothing lost."""

from __future__ import annotations

import math
import random

import pytest

from fastrestore.bench.fairshare import SharedStorage, Transfer


def drain(storage: SharedStorage) -> list[tuple[float, Transfer]]:
    """End every transfer when it is done; return when that was."""
    ended = []
    while (following := storage.next_end()) is not None:
        storage.end(following[1], following[0])
        ended.append(following)
    return ended


def test_equal_transfers_share_evenly() -> None:
    storage = SharedStorage(100.0, [math.inf])
    for size in (100.0, 200.0):
        storage.begin(0, size, 0.0, None)
    # Both at 50 until the first is done at 2 s; the second moves its last 100 alone.
    assert [at for at, _ in drain(storage)] == pytest.approx([2.0, 3.0])


def test_what_slow_links_leave_goes_to_fast_ones() -> None:
    storage = SharedStorage(100.0, [80.0, 10.0])
    fast, slow = storage.begin(0, 160.0, 0.0, "fast"), storage.begin(1, 40.0, 0.0, "slow")
    ended = drain(storage)
    assert [transfer for _, transfer in ended] == [fast, slow]
    assert [at for at, _ in ended] == pytest.approx([2.0, 4.0])


def test_a_late_one_slows_the_others_and_one_that_ends_early_frees_them() -> None:
    storage = SharedStorage(10.0, [math.inf])
    first = storage.begin(0, 100.0, 0.0, None)
    late = storage.begin(0, 1000.0, 5.0, None)
    storage.end(late, 10.0)
    storage.end(late, 10.0)
    # 50 alone until 5 s, 25 beside the late one until 10 s, the last 25 alone.
    ((at, transfer),) = drain(storage)
    assert transfer is first
    assert at == pytest.approx(12.5)


def test_only_what_is_bounded_limits() -> None:
    storage = SharedStorage(math.inf, [math.inf, 5.0])
    assert not storage.limits(0)
    assert storage.limits(1)
    assert SharedStorage(1.0, [math.inf]).limits(0)


@pytest.mark.parametrize("seed", range(5))
def test_all_bytes_arrive_and_no_faster_than_the_storage(seed: int) -> None:
    chance = random.Random(seed)
    storage = SharedStorage(50.0, [20.0, 7.0, math.inf])
    sent = now = 0.0
    for _ in range(200):
        now += chance.expovariate(0.3)
        while (following := storage.next_end()) is not None and following[0] <= now:
            storage.end(following[1], following[0])
        size = chance.uniform(1.0, 300.0)
        sent += size
        storage.begin(chance.randrange(3), size, now, None)
    last = max(at for at, _ in drain(storage))
    assert last >= sent / 50.0
    assert storage.next_end() is None
