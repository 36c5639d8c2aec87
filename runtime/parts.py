"""The parts that a pipeline is built from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

from fastrestore.config import Plan
from fastrestore.frames import Picture
from fastrestore.kernels.ops import Ops
from fastrestore.runtime.engine import Engine
from fastrestore.runtime.media.card_reading import CardReading
from fastrestore.runtime.motion import MotionEstimator
from fastrestore.runtime.restorer import Restorer
from fastrestore.runtime.steps import HostSteps, Steps
from fastrestore.runtime.treatments.retouch import Retouch

Finisher: TypeAlias = Callable[[Picture, int, Fraction], Picture]
"""Returns a picture of the output finished, by its number and its seconds; called from several threads at once."""


@dataclass(frozen=True, slots=True)
class Stages:
    """The parts a pipeline is built from."""

    ops: Ops
    restorer: Restorer
    """Restores pictures in the host's memory; not used where `on_device` is given."""
    estimator: MotionEstimator
    plan: Plan = Plan.GUIDED
    on_device: Steps[Any] | None = None
    """What is done to pictures where that is not in the host's memory."""
    finish: Finisher | None = None
    """What is done to finished pictures before they are encoded."""
    faces: Engine | None = None
    """Rebuilds faces, where that is asked for."""
    retouch: Retouch | None = None
    """What is done, with `faces`, to restored pictures; only where they are in the host's memory."""
    card: CardReading | None = None
    """How the source is read where its pictures stay on a card from the decoder on."""

    @property
    def steps(self) -> Steps[Any]:
        """What is done to pictures."""
        return self.on_device or HostSteps(self.ops, self.restorer)
