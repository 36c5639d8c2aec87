"""TrainingRun: what every training run has, whatever it trains: progress, its steps, a moving average, checkpoints."""

import logging
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from fastrestore.export.train.schedule import learning_rate


class Scheduled(Protocol):
    """What a recipe says of the course of a run."""

    @property
    def steps(self) -> int:
        """Length of the run."""
        ...

    @property
    def warmup_steps(self) -> int:
        """Length of the rise of the learning rate."""
        ...

    @property
    def learning_rate(self) -> float:
        """The rate after it."""
        ...

    @property
    def final_learning_rate(self) -> float:
        """The rate at the end."""
        ...

    @property
    def ema(self) -> float:
        """Share of the old average of the weights that is kept at a step."""
        ...

    @property
    def seed(self) -> int:
        """Of everything random."""
        ...


_Recipe = TypeVar("_Recipe", bound=Scheduled)
_Network = TypeVar("_Network", bound=nn.Module)


@dataclass
class Progress:
    """How far a training run has come."""

    step: int = 0
    seconds: float = 0.0
    """Training time, over all sittings."""


class TrainingRun(Generic[_Recipe, _Network]):
    """One training run: network, its moving average, optimisers, random state, and progress.

    Args:
        recipe: What to train.
        network: The network, with the weights that it starts with.
        optimisers: They share its parameters out between them.
        minutes: Training time over all sittings after which the run must be finished; the learning rate then follows
            whichever of steps and time is further on. None: steps alone.
    """

    def __init__(
        self, recipe: _Recipe, network: _Network, optimisers: Sequence[torch.optim.Optimizer], minutes: float | None
    ) -> None:
        self.recipe, self.minutes = recipe, minutes
        self.network, self.optimisers = network, list(optimisers)
        self.average = deepcopy(network).requires_grad_(False)
        self.rng = np.random.default_rng(recipe.seed)
        self.progress = Progress()

    @property
    def share_done(self) -> float:
        """Progress in `[0, 1]`; 1 ends the run."""
        by_time = 0.0 if self.minutes is None else self.progress.seconds / (60.0 * self.minutes)
        return min(1.0, max(self.progress.step / self.recipe.steps, by_time))

    def optimise(self, loss_now: Callable[[], Tensor], most_gradient: float | None = None) -> float:
        """Make one optimisation step and return its loss.

        Args:
            loss_now: Computes the loss.
            most_gradient: Norm that the gradient of all parameters is cut to; None leaves it.
        """
        started, recipe, done = time.perf_counter(), self.recipe, self.progress.step
        first, final = recipe.learning_rate, recipe.final_learning_rate
        rate = learning_rate(first, final, recipe.warmup_steps, done, self.share_done)
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
            for group in optimiser.param_groups:
                group["lr"] = rate
        loss = loss_now()
        loss.backward()  # type: ignore[no-untyped-call]
        if most_gradient is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), most_gradient)
        for optimiser in self.optimisers:
            optimiser.step()
        self._follow()
        self.progress.step += 1
        self.progress.seconds += time.perf_counter() - started
        return float(loss.detach())

    def save(self, path: Path) -> None:
        """Write the whole state to `path`, by way of a temporary file."""
        temporary = path.with_suffix(".partial")
        torch.save(self.state(), temporary)
        temporary.replace(path)

    def load(self, path: Path) -> None:
        """Continue from what `save` wrote."""
        self.restore(torch.load(path, map_location="cpu", weights_only=True))

    def state(self) -> dict[str, Any]:
        """Return everything that the run needs to go on."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "rng": self.rng.bit_generator.state,
            "step": self.progress.step,
            "seconds": self.progress.seconds,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up what `state` returned."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        for optimiser, stored in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(stored)
        self.rng.bit_generator.state = state["rng"]
        self.progress = Progress(state["step"], state["seconds"])

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the average towards the network; faster in the first steps."""
        keep = min(self.recipe.ema, (1.0 + self.progress.step) / (10.0 + self.progress.step))
        for mean, value in zip(self.average.parameters(), self.network.parameters(), strict=True):
            mean.lerp_(value, 1.0 - keep)


def set_up(threads: int) -> None:
    """Prepare the process for a run: a log with times, `threads` threads, and no numbers too small to be quick."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
