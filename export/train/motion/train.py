"""Train a motion network by its recipe.

`python -m fastrestore.export.train.motion.train --recipe motion-base --work WORK_DIR`

`WORK_DIR` holds the pools of `data.py` and the checkpoint that the recipe starts from.
"""

import argparse
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fastrestore.export.arch.rife.facts import GRAPHS
from fastrestore.export.arch.rife.network import IFNet
from fastrestore.export.arch.rife.warp import warp
from fastrestore.export.checkpoint import read_state
from fastrestore.export.detect import detect
from fastrestore.export.train.motion.data import TripletPool, Triplets
from fastrestore.export.train.motion.recipe import MotionRecipe
from fastrestore.export.train.motion.slim import slimmed
from fastrestore.export.train.run import TrainingRun, set_up
from fastrestore.export.train.schedule import learning_rate
from fastrestore.export.train.train import log_error

LOG = logging.getLogger(__name__)
CHECKPOINT_EVERY_S = 60.0
BORDER_PX = 24
"""Width of the rim of a picture that does not count: what moves there came from outside the crop."""
DISTIL_BATCH = 16
DISTIL_RATE = 1e-3
WEIGHT_DECAY = 1e-4
MOST_GRADIENT = 1.0


class MotionTrainer(TrainingRun[MotionRecipe, IFNet]):
    """The training run of a motion network.

    Args:
        recipe: What to train.
        network: The weights to start with.
        minutes: As for `TrainingRun`.
        device: Where to train.
    """

    def __init__(self, recipe: MotionRecipe, network: IFNet, minutes: float | None, device: str = "cpu") -> None:
        self.device = torch.device(device)
        network = network.to(self.device).train()
        optimiser = torch.optim.AdamW(network.parameters(), recipe.learning_rate, weight_decay=WEIGHT_DECAY)
        super().__init__(recipe, network, [optimiser], minutes)

    def step(self, triplets: Triplets) -> float:
        """Make one optimisation step and return its loss."""
        left, middle, right, t = (part.to(self.device) for part in triplets)
        return self.optimise(
            lambda: log_error(self.synthesized(left, right, t) - middle, border_shares(middle)), MOST_GRADIENT
        )

    def synthesized(self, left: Tensor, right: Tensor, t: Tensor) -> Tensor:
        """Return the picture at `t` as the runtime makes it: both neighbours warped and blended."""
        flow, mask = self.network(left, right, t)
        return warp(left, flow[:, :2]) * mask + warp(right, flow[:, 2:]) * (1.0 - mask)


def border_shares(pictures: Tensor) -> Tensor:
    """Return `(H, W)` weights of mean 1 for the pixels of `(N, 3, H, W)`: none at the rim."""
    share = torch.zeros(pictures.shape[2:], device=pictures.device)
    share[BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX] = 1.0
    return share / share.mean()


def starting_network(recipe: MotionRecipe, work: Path, rife: Path | None, pool: TripletPool) -> IFNet:
    """Return the network that a recipe begins with, made narrower and its first block taught where it says so.

    Args:
        recipe: The recipe.
        work: Folder of the checkpoints of earlier recipes.
        rife: The published checkpoint that `init_from = "rife-4.0"` stands for.
        pool: Triplets that show which channels matter, and from which the first block learns.
    """
    if recipe.init_from == "rife-4.0":
        if rife is None:
            raise ValueError(f"{recipe.name} starts from a published checkpoint: name it by --rife")
        state = read_state(rife)
    else:
        state = torch.load(work / f"{recipe.init_from}.pt", map_location="cpu", weights_only=True)["average"]
    module = detect(state, recipe.init_from).module
    if not isinstance(module, IFNet):
        raise ValueError(f"{recipe.init_from} is a {type(module).__name__}, wanted an IFNet")
    if tuple(module.facts.widths) == recipe.widths:
        return module
    rng = np.random.default_rng(recipe.seed)
    left, _, right, t = pool.sample(rng, DISTIL_BATCH)
    small = slimmed(module, recipe.widths, left, right, t)
    distil_first_block(small, module, pool, rng, recipe.distil_steps)
    return small


def distil_first_block(small: IFNet, whole: IFNet, pool: TripletPool, rng: np.random.Generator, steps: int) -> None:
    """Teach a narrower first block what the first block of the whole network says; the others stay.

    It sees pictures at an eighth of their size, so a step costs little; and what comes after it builds on its result.
    """
    student, teacher = small.get_submodule("block0"), whole.get_submodule("block0")
    optimiser = torch.optim.Adam(student.parameters(), DISTIL_RATE)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = learning_rate(DISTIL_RATE, 1e-5, 50, step, step / steps)
        left, _, right, t = pool.sample(rng, DISTIL_BATCH)
        seen = torch.cat((left, right), 1)
        with torch.no_grad():
            wanted = teacher(seen, t, None)
        found = student(seen, t, None)
        loss = (found.flow - wanted.flow).abs().mean() + (found.mask - wanted.mask).abs().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        if step % 100 == 0:
            LOG.info("first block, step %d: %.4f from what it said before", step, float(loss.detach()))


def train(trainer: MotionTrainer, pools: tuple[TripletPool, TripletPool], path: Path) -> None:
    """Run to the end of the recipe, writing `path` every minute and at the end.

    Args:
        trainer: The run.
        pools: Real triplets, and drawn ones.
        path: The checkpoint.
    """
    recipe, saved = trainer.recipe, time.monotonic()
    losses: list[list[float]] = [[], []]
    while trainer.share_done < 1.0:
        drawn = int(trainer.rng.random() >= recipe.real_share)
        losses[drawn].append(trainer.step(pools[drawn].sample(trainer.rng, recipe.batch)))
        if time.monotonic() - saved >= CHECKPOINT_EVERY_S:
            trainer.save(path)
            means = [float(np.mean(values)) if values else float("nan") for values in losses]
            LOG.info(
                "step %d, %.0f s, loss %.4f on clips, %.4f drawn",
                trainer.progress.step,
                trainer.progress.seconds,
                *means,
            )
            saved, losses = time.monotonic(), [[], []]
    trainer.save(path)
    LOG.info("finished: %d steps, %.1f min", trainer.progress.step, trainer.progress.seconds / 60.0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", required=True, help="a table of recipes.toml")
    parser.add_argument("--work", type=Path, required=True, help="folder of checkpoints and pools")
    parser.add_argument("--rife", type=Path, help="the published flownet.pkl of RIFE 4.0")
    parser.add_argument("--minutes", type=float, help="finish within this training time")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="such as cuda:0; default: %(default)s")
    parser.add_argument("--resume", action="store_true", help="continue from the last checkpoint")
    options = parser.parse_args(arguments)
    set_up(options.threads)
    recipe = MotionRecipe.load(options.recipe)
    torch.manual_seed(recipe.seed)
    pools = TripletPool(options.work / "motion-real.npz"), TripletPool(options.work / "motion-drawn.npz")
    path = options.work / f"{recipe.name}.pt"
    going_on = options.resume and path.exists()
    if going_on:
        network = IFNet(replace(GRAPHS[0], widths=recipe.widths))
    else:
        network = starting_network(recipe, options.work, options.rife, pools[0])
    trainer = MotionTrainer(recipe, network, options.minutes, options.device)
    if going_on:
        trainer.load(path)
    train(trainer, pools, path)


if __name__ == "__main__":
    main()
