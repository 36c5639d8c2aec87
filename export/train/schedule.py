"""How the learning rate goes along with a training run."""

import math


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
