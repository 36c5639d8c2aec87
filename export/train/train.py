"""Train one default network by its recipe.

`python -m fastrestore.export.train.train --recipe clean-x2-tiny --stills STILLS_DIR --work WORK_DIR`
"""

import argparse
import logging
import math
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from fastrestore.export.arch.plainsr.network import PlainSR
from fastrestore.export.train.data import Batch, CleanSampler, PoolSampler, Sampler, training_stills
from fastrestore.export.train.degrade import LUMA
from fastrestore.export.train.recipe import LossWeights, Recipe
from fastrestore.export.train.resize import Bytes

LOG = logging.getLogger(__name__)
CHECKPOINT_EVERY_S = 60.0
LEAST_ERROR = 1e-5
"""Mean squared error (50 dB) below which a patch no longer counts for much."""


@dataclass
class Progress:
    """How far a training run has come."""

    step: int = 0
    seconds: float = 0.0
    """Training time, over all sittings."""


class Trainer:
    """One training run: network, its moving average, optimiser, random state, and progress.

    Args:
        recipe: What to train.
        minutes: Training time over all sittings after which the run must be finished; the learning
            rate then follows whichever of steps and time is further on. None: steps alone.
    """

    def __init__(self, recipe: Recipe, minutes: float | None) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.minutes = recipe, minutes
        self.network = PlainSR(recipe.scale, recipe.channels, recipe.convs)
        self.average = deepcopy(self.network).requires_grad_(False)
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=recipe.learning_rate)
        self.rng = np.random.default_rng(recipe.seed)
        self.progress = Progress()

    @property
    def share_done(self) -> float:
        """Progress in `[0, 1]`; 1 ends the run."""
        by_steps = self.progress.step / self.recipe.steps
        by_time = 0.0 if self.minutes is None else self.progress.seconds / (60.0 * self.minutes)
        return min(1.0, max(by_steps, by_time))

    def start_from(self, state: dict[str, Tensor]) -> None:
        """Start with the parameters of another network of equal inner width, of this scale or a divisor.

        A larger scale begins by repeating the pixels of the other network's result.
        """
        count = len(state["last.bias"]) // 3
        repeats = self.recipe.scale // math.isqrt(count)
        last = {name: repeat_subpixels(state[name], repeats) for name in ("last.weight", "last.bias")}
        self.network.load_state_dict(state | last)
        self.average.load_state_dict(self.network.state_dict())

    def step(self, batch: Batch) -> float:
        """Make one optimisation step and return its loss."""
        started = time.perf_counter()
        rate = self._learning_rate()
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        loss = distance(self.network(to_tensor(batch.low)), batch, self.recipe.loss)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self._follow()
        self.progress.step += 1
        self.progress.seconds += time.perf_counter() - started
        return float(loss.detach())

    def save(self, path: Path) -> None:
        """Write the whole state to `path`, by way of a temporary file."""
        temporary = path.with_suffix(".partial")
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "rng": self.rng.bit_generator.state,
            "step": self.progress.step,
            "seconds": self.progress.seconds,
        }
        torch.save(state, temporary)
        temporary.replace(path)

    def load(self, path: Path) -> None:
        """Continue from what `save` wrote."""
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.rng.bit_generator.state = state["rng"]
        self.progress = Progress(state["step"], state["seconds"])

    def _learning_rate(self) -> float:
        first, final = self.recipe.learning_rate, self.recipe.final_learning_rate
        warmth = min(1.0, (1 + self.progress.step) / self.recipe.warmup_steps)
        return warmth * (final + (first - final) * 0.5 * (1.0 + math.cos(math.pi * self.share_done)))

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the average towards the network; faster in the first steps."""
        keep = min(self.recipe.ema, (1.0 + self.progress.step) / (10.0 + self.progress.step))
        for mean, value in zip(self.average.parameters(), self.network.parameters(), strict=True):
            mean.lerp_(value, 1.0 - keep)


def distance(restored: Tensor, batch: Batch, weights: LossWeights) -> Tensor:
    """Return the training loss: the weighted sum of the distances that `LossWeights` names.

    Args:
        restored: `(N, 3, H, W)`, float32, range `[0, 1]`.
        batch: The batch it was restored from.
        weights: Shares of the distances.
    """
    original = to_tensor(batch.original)
    loss = weights.original * nn.functional.l1_loss(restored, original)
    if weights.teacher > 0.0 and batch.teacher is not None:
        loss = loss + weights.teacher * nn.functional.l1_loss(restored, to_tensor(batch.teacher))
    if weights.log_error > 0.0:
        loss = loss + weights.log_error * log_error(restored - original)
    return loss


def log_error(error: Tensor) -> Tensor:
    """Return the mean over patches of the logarithm of colour's and luma's mean squared error.

    Args:
        error: `(N, 3, H, W)`, float32.
    """
    luma = (error * torch.from_numpy(LUMA).reshape(1, 3, 1, 1)).sum(dim=1)
    of_luma = torch.log(luma.square().mean(dim=(1, 2)) + LEAST_ERROR).mean()
    of_colour = torch.log(error.square().mean(dim=(1, 2, 3)) + LEAST_ERROR).mean()
    return 0.7 * of_luma + 0.3 * of_colour


def repeat_subpixels(parameter: Tensor, repeats: int) -> Tensor:
    """Enlarge the scale of the layer before a pixel shuffle by repeating what it makes.

    Args:
        parameter: `(3 * s * s, ...)`, float32: weight or bias of that layer.
        repeats: How often every pixel is to occur along either axis.

    Returns:
        `(3 * s * s * repeats**2, ...)`, float32.
    """
    side = math.isqrt(len(parameter) // 3)
    grid = parameter.reshape(3, side, side, *parameter.shape[1:])
    grid = grid.repeat_interleave(repeats, dim=1).repeat_interleave(repeats, dim=2)
    return grid.reshape(-1, *parameter.shape[1:])


def to_tensor(pictures: Bytes) -> Tensor:
    """Turn `(N, H, W, 3)` uint8 into `(N, 3, H, W)` float32 of range `[0, 1]`."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div_(255.0).contiguous()


def open_sampler(recipe: Recipe, stills: Path, work: Path) -> Sampler:
    """Open the training data that a recipe names."""
    if recipe.data == "film":
        return PoolSampler(work / f"pool-{recipe.name}.npz", recipe.batch, recipe.lr_patch_px)
    return CleanSampler(training_stills(stills), recipe)


def train(trainer: Trainer, sampler: Sampler, checkpoint: Path) -> None:
    """Run to the end of the recipe, writing `checkpoint` every minute and at the end."""
    saved, losses = time.monotonic(), []
    while trainer.share_done < 1.0:
        losses.append(trainer.step(sampler.sample(trainer.rng)))
        if time.monotonic() - saved >= CHECKPOINT_EVERY_S:
            trainer.save(checkpoint)
            done = trainer.progress
            LOG.info("step %d, %.0f s, loss %.5f", done.step, done.seconds, float(np.mean(losses)))
            saved, losses = time.monotonic(), []
    trainer.save(checkpoint)
    LOG.info("finished: %d steps, %.1f min", trainer.progress.step, trainer.progress.seconds / 60.0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", required=True, help="a table of recipes.toml")
    parser.add_argument("--stills", type=Path, required=True, help="folder of training photographs")
    parser.add_argument("--work", type=Path, required=True, help="folder of checkpoints and pools")
    parser.add_argument("--minutes", type=float, help="finish within this training time")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--resume", action="store_true", help="continue from the last checkpoint")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    recipe = Recipe.load(options.recipe)
    trainer = Trainer(recipe, options.minutes)
    checkpoint = options.work / f"{recipe.name}.pt"
    if options.resume and checkpoint.exists():
        trainer.load(checkpoint)
    elif recipe.init_from:
        start = torch.load(options.work / f"{recipe.init_from}.pt", weights_only=True)
        trainer.start_from(start["average"])
    train(trainer, open_sampler(recipe, options.stills, options.work), checkpoint)


if __name__ == "__main__":
    main()
