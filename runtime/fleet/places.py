"""Where on a cluster there is room for a worker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """Room for one worker."""

    node: str
    """The node's id in the cluster."""
    number: int
    """Among those of the node, from 0."""
    cores: int
    card: bool
    """Whether it has a card of its own."""


def places(nodes: Iterable[Mapping[str, float]], names: Iterable[str], wanted: int | None) -> list[Place]:
    """Return where workers are to run: one for each card; where there is no card in the cluster, one for each node.

    Args:
        nodes: What each node has: `CPU`, `GPU`.
        names: Their ids.
        wanted: How many workers there should be at most; None: as many as there is room for. More than there are nodes
            without cards share their cores.
    """
    rooms = [(name, int(node.get("CPU", 0)), int(node.get("GPU", 0))) for name, node in zip(names, nodes, strict=True)]
    if any(cards for _, _, cards in rooms):
        found = [
            Place(name, number, max(1, cores // cards), card=True)
            for name, cores, cards in rooms
            for number in range(cards)
        ]
    else:
        rooms = [room for room in rooms if room[1] > 0]
        each = max(1, -(-wanted // len(rooms))) if wanted is not None and rooms else 1
        found = [
            Place(name, number, cores // min(each, cores), card=False)
            for number in range(each)
            for name, cores, _ in rooms
            if number < min(each, cores)
        ]
    return found if wanted is None else found[:wanted]
