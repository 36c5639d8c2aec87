"""Make the teacher narrower: what the base film networks begin with.

`python -m fastrestore.export.train.thin --recipe film-x4-base --weights WEIGHTS_DIR --work WORK_DIR`
"""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from fastrestore.export.arch.srvgg.network import SRVGG
from fastrestore.export.train.channels import energy, outgoing, strongest
from fastrestore.export.train.recipe import Recipe
from fastrestore.export.train.run import set_up
from fastrestore.export.train.teacher import load_teacher
from fastrestore.export.train.train import to_tensor

START = "thinned-teacher"
"""What recipes that begin with the narrower teacher call it."""
LOG = logging.getLogger(__name__)
PATCHES = 160
"""Of the pool: so many show what the channels are used for."""
CHUNK = 16
"""Patches at a time."""
EVERY = 5
"""Of so many pixels one is an equation of the least squares."""
RIDGE = 1e-6
"""Of the mean of the diagonal; keeps channels that are nearly alike apart."""


@torch.no_grad()
def thinned(network: SRVGG, features: int, pictures: Tensor) -> SRVGG:
    """Return a network with fewer channels that begins as near to `network` as its layers allow.

    Of every layer the channels that are carried on most strongly are kept: mean square over the pictures, times the
    squared weights of the next layer. Then, layer by layer, the weights are those that come nearest to what the layer
    yielded before, given what the narrower layers ahead of it yield now (least squares over all pictures).

    Args:
        network: As it is.
        features: Inner width wanted, no more than now.
        pictures: `(N, 3, H, W)`, float32, RGB, range `[0, 1]`: what the network is used for.
    """
    small = SRVGG(features, len(network.body) // 2 - 1, network.scale).eval()
    wide, narrow = _convolutions(network), _convolutions(small)
    seen, seen_now = pictures, pictures
    for index, (before, now) in enumerate(zip(wide, narrow, strict=True)):
        wanted = before(seen)
        if index + 1 < len(wide):
            seen = _activation(network, index)(wanted)
            kept = strongest(energy(seen) * outgoing(wide[index + 1]), features)
            _activation(small, index).weight.copy_(_activation(network, index).weight[kept])
            wanted = wanted[:, kept]
        _fit(now, seen_now, wanted)
        yielded = now(seen_now)
        lost = (yielded - wanted).square().mean() / wanted.var()
        LOG.info("convolution %d of %d: %.3f of the variance is lost", index + 1, len(wide), float(lost))
        if index + 1 < len(wide):
            seen_now = _activation(small, index)(yielded)
    return small


def _convolutions(network: SRVGG) -> list[nn.Conv2d]:
    return [module for module in network.body if isinstance(module, nn.Conv2d)]


def _activation(network: SRVGG, index: int) -> nn.PReLU:
    """Return what follows the convolution `index`; the last has nothing after it."""
    module = network.body[2 * index + 1]
    assert isinstance(module, nn.PReLU)
    return module


def _fit(convolution: nn.Conv2d, seen: Tensor, wanted: Tensor) -> None:
    """Give a 3x3 convolution the weights that bring `seen` nearest to `wanted`."""
    unknown = seen.shape[1] * 9 + 1
    normal = torch.zeros(unknown, unknown, dtype=torch.float64)
    right = torch.zeros(unknown, wanted.shape[1], dtype=torch.float64)
    for given, target in zip(seen.split(CHUNK), wanted.split(CHUNK), strict=True):
        rows = nn.functional.unfold(given, 3, padding=1).transpose(1, 2).flatten(0, 1)[::EVERY]
        rows = torch.cat([rows, torch.ones(len(rows), 1)], dim=1)
        normal += rows.T @ rows
        right += rows.T @ target.permute(0, 2, 3, 1).flatten(0, 2)[::EVERY]
    normal += torch.eye(unknown, dtype=torch.float64) * normal.diagonal().mean() * RIDGE
    found = torch.linalg.solve(normal, right).float()
    convolution.weight.copy_(found[:-1].T.reshape(convolution.weight.shape))
    assert convolution.bias is not None
    convolution.bias.copy_(found[-1])


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, and write the checkpoint `thinned-teacher.pt`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", required=True, help="a table of recipes.toml: gives width and pool")
    parser.add_argument("--weights", type=Path, required=True, help="folder of the teacher's checkpoints")
    parser.add_argument("--work", type=Path, required=True, help="folder of checkpoints and pools")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    set_up(options.threads)
    recipe = Recipe.load(options.recipe)
    with np.load(options.work / recipe.pool_name) as pool:
        pictures = to_tensor(pool["low"][:PATCHES], torch.device("cpu"))
    network = thinned(load_teacher(options.weights), recipe.channels, pictures)
    torch.save({"average": network.state_dict()}, options.work / f"{START}.pt")


if __name__ == "__main__":
    main()
