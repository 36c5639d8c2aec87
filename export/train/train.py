"""Train one default network by its recipe.

`python -m fastrestore.export.train.train --recipe clean-x2-tiny --stills STILLS_DIR --work WORK_DIR`
"""

import argparse
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from fastrestore.export.arch.plainsr.network import PlainSR
from fastrestore.export.arch.srvgg.network import SRVGG
from fastrestore.export.train.data import (
    Batch,
    CleanSampler,
    PoolSampler,
    Sampler,
    training_stills,
    validation_names,
)
from fastrestore.export.train.evaluate import Case, open_cases
from fastrestore.export.train.gradients import gradient_dissimilarity, luma_of
from fastrestore.export.train.grow import of_smaller_scale, start_from
from fastrestore.export.train.muon import Muon
from fastrestore.export.train.narrow import narrowed
from fastrestore.export.train.quality import psnr_y
from fastrestore.export.train.recipe import Recipe
from fastrestore.export.train.resize import Bytes, to_bytes
from fastrestore.export.train.run import TrainingRun, set_up

LOG = logging.getLogger(__name__)
CHECKPOINT_EVERY_S = 60.0
VALIDATE_EVERY = 8
"""Checkpoints from one validation to the next."""
LEAST_ERROR = 1e-5
"""Mean squared error (50 dB) below which a patch no longer counts for much."""


RestorationNetwork = PlainSR | SRVGG


class Trainer(TrainingRun[Recipe, RestorationNetwork]):
    """The training run of a restoration network.

    Args:
        recipe: What to train.
        minutes: As for `TrainingRun`.
        device: Where to train.
    """

    def __init__(self, recipe: Recipe, minutes: float | None, device: str = "cpu") -> None:
        torch.manual_seed(recipe.seed)
        network = open_network(recipe).to(device)
        super().__init__(recipe, network, open_optimisers(network, recipe), minutes)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return device_of(self.network)

    def start_from(self, state: dict[str, Tensor], batch: Batch) -> None:
        """Start with the weights of another network.

        Args:
            state: Its weights. For a PlainSR: of one of equal or smaller width, depth and scale. For an SRVGG: of one
                of its size, whose scale may be a multiple.
            batch: What tells which channels are used least, where the last convolution is to see fewer.
        """
        if isinstance(self.network, SRVGG):
            self.network.load_state_dict(of_smaller_scale(state, self.network.scale))
        elif len(state["last.weight"][0]) <= self.network.last.in_channels:
            start_from(self.network, state)
        else:
            whole = open_plain(replace(self.recipe, last_channels=None))
            start_from(whole, state)
            pictures = to_tensor(batch.low, torch.device("cpu"))
            self.network.load_state_dict(narrowed(whole, self.network.last.in_channels, pictures))
        self.average.load_state_dict(self.network.state_dict())

    def step(self, batch: Batch) -> float:
        """Make one optimisation step and return its loss."""
        return self.optimise(lambda: distance(self.network(to_tensor(batch.low, self.device)), batch, self.recipe))


def open_network(recipe: Recipe) -> RestorationNetwork:
    """Build the network that a recipe trains, with fresh weights."""
    if recipe.network == "srvgg":
        return SRVGG(recipe.channels, recipe.convs - 2, recipe.scale)
    return open_plain(recipe)


def open_plain(recipe: Recipe) -> PlainSR:
    """Build the PlainSR that a recipe trains, with fresh weights."""
    return PlainSR(recipe.scale, recipe.channels, recipe.convs, recipe.last_channels)


def device_of(network: nn.Module) -> torch.device:
    """Return where a network is."""
    return next(network.parameters()).device


def open_optimisers(network: RestorationNetwork, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Share the parameters out between Adam and, where the recipe says so, Muon."""
    convolutions = [parameter for parameter in network.parameters() if parameter.ndim == 4]
    inner = convolutions[1:-1] if recipe.optimiser == "muon" else []
    others = [p for p in network.parameters() if not any(p is each for each in inner)]
    optimisers: list[torch.optim.Optimizer] = [torch.optim.Adam(others, lr=recipe.learning_rate)]
    if inner:
        optimisers.append(Muon(inner, lr=recipe.learning_rate))
    return optimisers


def distance(restored: Tensor, batch: Batch, recipe: Recipe) -> Tensor:
    """Return the training loss: the weighted sum of the distances that `LossWeights` names.

    Args:
        restored: `(N, 3, H, W)`, float32, range `[0, 1]`.
        batch: The batch it was restored from.
        recipe: Gives the shares of the distances, and how much the edges of patches count.
    """
    weights = recipe.loss
    share = edge_shares(restored.shape[2], restored.shape[3], recipe).to(restored.device)
    error = restored - to_tensor(batch.original, restored.device)
    loss = weights.original * (error.abs() * share).mean()
    if batch.teacher is not None:
        teacher = to_tensor(batch.teacher, restored.device)
        loss = loss + weights.teacher * ((restored - teacher).abs() * share).mean()
        if weights.gradient > 0.0:
            loss = loss + weights.gradient * gradient_dissimilarity(restored, teacher)
    if weights.log_error > 0.0:
        loss = loss + weights.log_error * log_error(error, share)
    return loss


def edge_shares(height: int, width: int, recipe: Recipe) -> Tensor:
    """Return `(height, width)` weights of mean 1: less where the zero padding around a patch is seen."""
    share = torch.full((height, width), recipe.edge_weight)
    rim = recipe.convs * recipe.scale
    share[rim : height - rim, rim : width - rim] = 1.0
    return share / share.mean()


def log_error(error: Tensor, share: Tensor) -> Tensor:
    """Return the mean over patches of the logarithm of colour's and luma's mean squared error.

    Args:
        error: `(N, 3, H, W)`, float32.
        share: `(H, W)`, float32: weights of mean 1.
    """
    of_luma = torch.log((luma_of(error).square() * share).mean(dim=(1, 2, 3)) + LEAST_ERROR).mean()
    of_colour = torch.log((error.square() * share).mean(dim=(1, 2, 3)) + LEAST_ERROR).mean()
    return 0.7 * of_luma + 0.3 * of_colour


def to_tensor(pictures: Bytes, device: torch.device) -> Tensor:
    """Turn `(N, H, W, 3)` uint8 into `(N, 3, H, W)` float32 of range `[0, 1]` on `device`."""
    return torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2).float().div_(255.0).contiguous()


def open_sampler(recipe: Recipe, stills: Path, work: Path) -> Sampler:
    """Open the training data that a recipe names."""
    if recipe.data == "film":
        return PoolSampler(work / recipe.pool_name, recipe.batch, recipe.lr_patch_px)
    return CleanSampler(training_stills(stills), recipe)


@torch.inference_mode()
def validate(network: RestorationNetwork, cases: list[Case]) -> float:
    """Return the mean PSNR-Y in dB of a network's results."""
    scores = []
    for case in cases:
        low = to_tensor(case.low[None], device_of(network))
        restored = network(low).mul(255.0)[0].permute(1, 2, 0).cpu().numpy()
        scores.append(psnr_y(to_bytes(restored), case.wanted))
    return float(np.mean(scores))


def train(trainer: Trainer, sampler: Sampler, checkpoint: Path, cases: list[Case]) -> None:
    """Run to the end of the recipe, writing `checkpoint` every minute and at the end."""
    saved, losses, sitting = time.monotonic(), [], 0
    LOG.info("begins with %.3f dB on the stills for validation", validate(trainer.average, cases))
    while trainer.share_done < 1.0:
        losses.append(trainer.step(sampler.sample(trainer.rng)))
        if time.monotonic() - saved >= CHECKPOINT_EVERY_S:
            trainer.save(checkpoint)
            done = trainer.progress
            LOG.info("step %d, %.0f s, loss %.5f", done.step, done.seconds, float(np.mean(losses)))
            if (sitting := sitting + 1) % VALIDATE_EVERY == 0:
                LOG.info("%.3f dB on the stills for validation", validate(trainer.average, cases))
            saved, losses = time.monotonic(), []
    trainer.save(checkpoint)
    LOG.info("finished: %d steps, %.1f min", trainer.progress.step, trainer.progress.seconds / 60.0)
    LOG.info("ends with %.3f dB on the stills for validation", validate(trainer.average, cases))


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", required=True, help="a table of recipes.toml")
    parser.add_argument("--stills", type=Path, required=True, help="folder of training photographs")
    parser.add_argument("--work", type=Path, required=True, help="folder of checkpoints and pools")
    parser.add_argument("--minutes", type=float, help="finish within this training time")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="such as cuda:0; default: %(default)s")
    parser.add_argument("--resume", action="store_true", help="continue from the last checkpoint")
    options = parser.parse_args(arguments)
    set_up(options.threads)
    recipe = Recipe.load(options.recipe)
    trainer = Trainer(recipe, options.minutes, options.device)
    checkpoint = options.work / f"{recipe.name}.pt"
    sampler = open_sampler(recipe, options.stills, options.work)
    if options.resume and checkpoint.exists():
        trainer.load(checkpoint)
    elif recipe.init_from:
        start = torch.load(options.work / f"{recipe.init_from}.pt", map_location="cpu", weights_only=True)
        trainer.start_from(start["average"], sampler.sample(np.random.default_rng(recipe.seed)))
    train(trainer, sampler, checkpoint, open_cases(recipe, options.stills, validation_names()))


if __name__ == "__main__":
    main()
