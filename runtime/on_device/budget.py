"""How many pictures are restored side by side: as many as gain something and as there is memory for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fastrestore.runtime.on_device.geometry import Cut
from fastrestore.runtime.on_device.lanes import MOST_SLOTS
from fastrestore.runtime.on_device.picture import Form

SPARE_SHARE = 8
"""One in so many bytes that are free on the card is left for what libraries take as they go."""


def usable_bytes(free_bytes: int) -> int:
    """Return how much of what is free on a card a pipeline plans with."""
    return free_bytes - free_bytes // SPARE_SHARE


def slot_bytes(cuts: Iterable[Cut], between: Sequence[Form]) -> int:
    """Return what it takes to restore one more picture side by side with others.

    Args:
        cuts: How every network of the chain goes over its pictures. Each keeps its tiles, and what it needs between
            layers: slots share neither.
        between: The pictures that all but the last network make.
    """
    networks = sum(cut.input_bytes + cut.output_bytes + cut.working_bytes for cut in cuts)
    return networks + sum(form.nbytes for form in between)


def fitting_slots(free_bytes: int, beside_bytes: int, each_bytes: int) -> int:
    """Return how many pictures to restore side by side, 1 to `MOST_SLOTS`.

    What else the pipeline keeps comes first: one picture more at a time gains a little, too few pictures on their way
    have the card stand still.

    Args:
        free_bytes: Nobody's memory on the card.
        beside_bytes: What the pipeline keeps whatever the number.
        each_bytes: What each picture that is being restored takes.
    """
    return max(1, min(MOST_SLOTS, (usable_bytes(free_bytes) - beside_bytes) // max(1, each_bytes)))
