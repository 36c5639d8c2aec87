"""How much is tried, and what is decided about a task that failed."""

from __future__ import annotations

import enum
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Policy:
    """How much is tried."""

    attempts: int = 3
    """How often a task may fail before it is given up."""
    losses: int = 5
    """With how many workers a task may be lost before it is given up: it may be what ends them."""
    longest_run: int = 16
    """Most neighbouring segments that a worker holds ahead."""
    stealing: bool = True
    """Whether the idle take what others hold and have not begun."""
    patience: float | None = 1.5
    """After how many times the median time a task is begun a second time by an idle worker; None: never."""
    samples: int = 10
    """How many tasks must be finished before the median is believed."""
    strikes: int = 3
    """After how many failures in a row a worker rests."""
    rest_s: float = 1.0
    """How long its first rest is. Each further failure doubles it."""
    longest_rest_s: float = 60.0


class Action(enum.Enum):
    """What becomes of a task that failed."""

    RETRY = "retry"
    """It waits to be begun again."""
    WAIT = "wait"
    """Another worker is still at it."""
    GIVE_UP = "give up"
    """It is not begun again."""
    NOTHING = "nothing"
    """It was settled before: done elsewhere, given up, or dropped."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a task that failed, and why."""

    action: Action
    reason: str
