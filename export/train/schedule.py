"""How the learning rate and the moving average of the weights go along with a training run."""

import math

import torch
from torch import nn


def learning_rate(first: float, final: float, warmup_steps: int, step: int, share_done: float) -> float:
    """Return the learning rate: a linear rise, times a cosine from `first` to `final`.

    Args:
        first: Rate at the top.
        final: Rate at the end.
        warmup_steps: Length of the rise.
        step: Steps made so far.
        share_done: Progress of the whole run, in `[0, 1]`.
    """
    warmth = min(1.0, (1 + step) / warmup_steps)
    return warmth * (final + (first - final) * 0.5 * (1.0 + math.cos(math.pi * share_done)))


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, ema: float, step: int) -> None:
    """Move an average of the weights towards the network's; faster in the first steps.

    Args:
        average: Copy of the network, changed in place.
        network: The network.
        ema: Share of the old average kept at a step.
        step: Steps made so far.
    """
    keep = min(ema, (1.0 + step) / (10.0 + step))
    for mean, value in zip(average.parameters(), network.parameters(), strict=True):
        mean.lerp_(value, 1.0 - keep)
