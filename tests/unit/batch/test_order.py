"""In which order runs side by side get in and read."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack

import pytest

from fastrestore.batch.order import Order, Place
from fastrestore.errors import JobCancelledError

LONG_S = 10


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as executor:
        yield executor


def waits(future: Future[None]) -> bool:
    """Whether it is still waiting; what ends at once is given the time to."""
    return bool(wait([future], 0.02).not_done)


def queue(order: Order, count: int) -> list[Place]:
    places = [Place(order) for _ in range(count)]
    for place in places:
        place.queue_up()
    return places


def enter(stack: ExitStack, place: Place, needed: int = 1, most: int = 100) -> None:
    stack.enter_context(place.inside(needed, most))


def test_sources_are_read_one_after_the_other(threads: ThreadPoolExecutor) -> None:
    order = Order()
    first, second, third = queue(order, 3)
    with ExitStack() as stack:
        for place in (first, second, third):
            enter(stack, place)
        first.begin()
        waiting = threads.submit(second.begin)
        last = threads.submit(third.begin)
        assert waits(waiting)
        first.end()  # its last pictures drain, and the next one is read
        waiting.result(LONG_S)
        assert waits(last)
        second.leave()  # one that failed keeps nobody waiting
        last.result(LONG_S)
    assert second.waited_s > 0


def test_nobody_gets_in_before_those_ahead(threads: ThreadPoolExecutor) -> None:
    order = Order()
    first, second = queue(order, 2)
    with ExitStack() as stack:
        waiting = threads.submit(enter, stack, second)
        assert waits(waiting)  # the first is being looked at: it may be skipped, or want all memory
        enter(stack, first)
        waiting.result(LONG_S)


def test_memory_is_shared_out(threads: ThreadPoolExecutor) -> None:
    order = Order()
    places = queue(order, 3)
    with ExitStack() as first, ExitStack() as others:
        enter(first, places[0], needed=200)  # alone, it may take more than there is
        second = threads.submit(enter, others, places[1], 60)
        assert waits(second)
        first.close()
        second.result(LONG_S)
        third = threads.submit(enter, others, places[2], 50)
        assert waits(third)
        places[1].leave()
        third.result(LONG_S)


def test_stopping_wakes_whoever_waits(threads: ThreadPoolExecutor) -> None:
    order = Order()
    places = queue(order, 3)
    with ExitStack() as stack:
        enter(stack, places[0])
        enter(stack, places[1])
        waiting = [threads.submit(places[1].begin), threads.submit(enter, stack, places[2], 500)]
        assert all(waits(each) for each in waiting)
        order.stop()
        for each in waiting:
            with pytest.raises(JobCancelledError):
                each.result(LONG_S)


def test_only_those_in_the_queue_are_waited_for() -> None:
    order = Order()
    looked_at, (first,) = Place(order), queue(order, 1)
    with ExitStack() as stack:
        enter(stack, first)
        first.begin()
    looked_at.leave()
