"""A choice among experts that each picture of a batch makes for itself, as SeemoRe does for one picture."""

from __future__ import annotations

from typing import Any

import torch


def chosen(layer: Any, inputs: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """Stand in for the `forward` of SeemoRe's `MoELayer`: all experts work, those not chosen count nothing.

    The original looks the chosen ones up by number, which cannot be traced, and gives all pictures of a batch those of
    each. Experts are a few 1x1 convolutions, a small part of the network.

    Args:
        layer: The `MoELayer`.
        inputs: `(N, C, H, W)`, any float type.
        k: As `inputs`.

    Returns:
        As `inputs`.
    """
    weights = torch.softmax(layer.gate(inputs), dim=1, dtype=torch.float32).to(inputs.dtype)
    best, which = torch.topk(weights, layer.num_expert)
    counting = torch.zeros_like(weights).scatter(1, which, best)
    result = inputs
    for number, expert in enumerate(layer.experts):
        result = result + expert(inputs, k) * counting[:, number : number + 1, None, None]
    return result
