"""Train the small colour network by its recipe.

`python -m fastrestore.export.train.colour.train --stills STILLS_DIR --work WORK_DIR`

The result, `NAME.best.pt`, becomes a model by `fastrestore export`. None is shipped: what 96 photographs teach it is
no better than a tint for every tone (docs/old-film/colour.md). With more of them, it is made the same way.
"""

import argparse
import logging
import math
import time
import tomllib
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from fastrestore.export.arch.colournet.network import ColourNet
from fastrestore.export.train.colour.data import ColourBatch, ColourSampler
from fastrestore.export.train.colour.evaluate import Case, chroma_error, open_cases
from fastrestore.export.train.data import training_stills, validation_names
from fastrestore.export.train.run import TrainingRun, set_up

LOG = logging.getLogger(__name__)
RECIPE = Path(__file__).with_name("recipe.toml")
CHECKPOINT_EVERY_S = 60.0
MOST_GRADIENT = 1.0
VIVID = 0.1
"""Chroma, in `[-0.5, 0.5]`, from which on a pixel is fully coloured."""


@dataclass(frozen=True)
class ColourRecipe:
    """Everything that decides how the network is trained; the keys of the TOML file are the fields here."""

    name: str
    steps: int
    warmup_steps: int
    batch: int
    patch_px: int
    learning_rate: float
    final_learning_rate: float
    weight_decay: float
    dropout: float
    ema: float
    vividness: float
    seed: int

    @classmethod
    def load(cls, path: Path = RECIPE) -> Self:
        """Read a recipe."""
        return cls(**tomllib.loads(path.read_text(encoding="utf-8")))


class ColourTrainer(TrainingRun[ColourRecipe, ColourNet]):
    """The training run of a colour network; it also keeps the best that the moving average has been.

    Args:
        recipe: What to train.
        minutes: As for `TrainingRun`.
    """

    def __init__(self, recipe: ColourRecipe, minutes: float | None) -> None:
        torch.manual_seed(recipe.seed)
        network = ColourNet(recipe.dropout)
        optimiser = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
        super().__init__(recipe, network, [optimiser], minutes)
        self.average.eval()
        self.best, self.best_error = deepcopy(self.average), math.inf

    def step(self, batch: ColourBatch) -> float:
        """Make one optimisation step and return its loss."""

        def loss() -> Tensor:
            chroma, spread = self.network.guess(torch.from_numpy(batch.luma))
            return unlikelihood(chroma, spread, torch.from_numpy(batch.chroma), self.recipe.vividness)

        return self.optimise(loss, MOST_GRADIENT)

    def keep_best(self, error: float) -> None:
        """Keep the moving average as it is if its error on the stills for validation is the least so far."""
        if error < self.best_error:
            self.best.load_state_dict(self.average.state_dict())
            self.best_error = error

    def state(self) -> dict[str, Any]:
        """See `TrainingRun.state`."""
        return {**super().state(), "best": self.best.state_dict(), "best_error": self.best_error}

    def restore(self, state: dict[str, Any]) -> None:
        """See `TrainingRun.restore`."""
        super().restore(state)
        self.best.load_state_dict(state["best"])
        self.best_error = state["best_error"]


def unlikelihood(chroma: Tensor, spread: Tensor, wanted: Tensor, vividness: float) -> Tensor:
    """Return the mean negative log-likelihood of the true chroma under Laplace's distribution.

    Args:
        chroma: `(N, 2, H, W)`: the guess, the median of the distribution.
        spread: `(N, 1, H, W)`: its mean absolute deviation.
        wanted: `(N, 2, H, W)`: the truth.
        vividness: How much more a fully coloured pixel counts. Most pixels of photographs are nearly grey, and a
            median that may be grey almost always will be.
    """
    error = (chroma - wanted).abs().mean(dim=1, keepdim=True)
    weight = 1.0 + vividness * torch.clamp(wanted.norm(dim=1, keepdim=True) / VIVID, max=1.0)
    return ((error / spread + torch.log(spread)) * weight).mean()


def train(trainer: ColourTrainer, sampler: ColourSampler, checkpoint: Path, cases: list[Case]) -> None:
    """Run to the end of the recipe, writing `checkpoint` every minute and at the end."""
    saved, losses = time.monotonic(), []
    while trainer.share_done < 1.0:
        losses.append(trainer.step(sampler.sample(trainer.rng)))
        if time.monotonic() - saved >= CHECKPOINT_EVERY_S or trainer.share_done >= 1.0:
            found = chroma_error(trainer.average, cases)
            trainer.keep_best(found.network)
            trainer.save(checkpoint)
            LOG.info(
                "step %d, %.0f s, loss %.4f; on the stills for validation an error of %.2f levels, grey %.2f",
                trainer.progress.step, trainer.progress.seconds, float(np.mean(losses)), found.network, found.grey,
            )  # fmt: skip
            saved, losses = time.monotonic(), []


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stills", type=Path, required=True, help="folder of training photographs")
    parser.add_argument("--work", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--minutes", type=float, help="finish within this training time")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--resume", action="store_true", help="continue from the last checkpoint")
    options = parser.parse_args(arguments)
    set_up(options.threads)
    recipe = ColourRecipe.load()
    trainer = ColourTrainer(recipe, options.minutes)
    checkpoint = options.work / f"{recipe.name}.pt"
    if options.resume and checkpoint.exists():
        trainer.load(checkpoint)
    sampler = ColourSampler(training_stills(options.stills), recipe.batch, recipe.patch_px)
    train(trainer, sampler, checkpoint, open_cases(options.stills, validation_names()))
    torch.save(trainer.best.state_dict(), options.work / f"{recipe.name}.best.pt")


if __name__ == "__main__":
    main()
