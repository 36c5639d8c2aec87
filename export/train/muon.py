"""Muon: momentum whose update of each weight matrix is made orthogonal, so that all its directions advance alike.

Jordan, Muon: an optimizer for hidden layers in neural networks, 2024; the step is scaled as in
Liu et al., Muon is Scalable for LLM Training, 2025, so that Adam's learning rates carry over.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

ITERATIONS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic of Newton and Schulz; it brings singular values near 1, not to it."""
ADAM_RMS = 0.2
"""Root mean square of what Adam typically adds per unit of learning rate."""


class Muon(torch.optim.Optimizer):
    """Optimise convolution weights as matrices of one row per output channel.

    Args:
        parameters: Weights of at least two axes.
        lr: Learning rate, on Adam's scale.
        momentum: Share of the old momentum kept; the step looks ahead (Nesterov).
    """

    def __init__(self, parameters: Iterable[Tensor], lr: float, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Apply the gradients of the last backward pass."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                momentum = state.setdefault("momentum", torch.zeros_like(weight))
                momentum.lerp_(weight.grad, 1.0 - group["momentum"])
                ahead = weight.grad.lerp(momentum, group["momentum"])
                update = orthogonal(ahead.flatten(1)).view_as(weight)
                scale = ADAM_RMS * math.sqrt(max(weight.shape[0], weight[0].numel()))
                weight.add_(update, alpha=-group["lr"] * scale)


def orthogonal(matrix: Tensor) -> Tensor:
    """Return `(m, n)` `matrix` with its singular values brought to about 1 (0.7 to 1.2)."""
    a, b, c = COEFFICIENTS
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    wide = wide / (wide.norm() + 1e-12)
    for _ in range(ITERATIONS):
        gram = wide @ wide.T
        wide = a * wide + (b * gram + c * gram @ gram) @ wide
    return wide if matrix.shape[0] <= matrix.shape[1] else wide.T
