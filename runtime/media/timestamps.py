"""Repairs presentation times: what comes out rises strictly, and good times are left as they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import TypeVar

LOOKAHEAD = 8
"""Frames held back at most while waiting for the next good time."""
T = TypeVar("T")


def repair(items: Iterable[tuple[T, Fraction | None]], step: Fraction) -> Iterator[tuple[T, Fraction, bool]]:
    """Yield every item with its time in seconds and whether that had to be repaired.

    Missing and backward times are spread over the gap before the next good one: laying them `step` apart could
    overtake it, and then every later time would have to move as well.

    Args:
        items: Items and their times, None where missing.
        step: Usual seconds from one item to the next.
    """
    waiting: list[T] = []
    previous: Fraction | None = None
    for item, time in items:
        if time is not None and (previous is None or time > previous):
            yield from _spread(waiting, previous, time, step)
            waiting, previous = [], time
            yield item, time, False
            continue
        waiting.append(item)
        if len(waiting) == LOOKAHEAD:
            placed = list(_spread(waiting, previous, None, step))
            waiting, previous = [], placed[-1][1]
            yield from placed
    yield from _spread(waiting, previous, None, step)


def _spread(
    waiting: list[T], previous: Fraction | None, until: Fraction | None, step: Fraction
) -> Iterator[tuple[T, Fraction, bool]]:
    if previous is None:
        previous = -step if until is None else until - (len(waiting) + 1) * step
    elif until is not None:
        step = min(step, (until - previous) / (len(waiting) + 1))
    for number, item in enumerate(waiting, 1):
        yield item, previous + number * step, True
