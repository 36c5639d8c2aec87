"""A convolution with a kernel of its own at every pixel, as KBNet has it: by shifted pictures, not by unfolding."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def kernel_basis_attention(
    block: Any,
    x: torch.Tensor,
    att: torch.Tensor,
    selfk: int,
    selfg: int,
    selfb: torch.Tensor,
    selfw: torch.Tensor,
) -> torch.Tensor:
    """Stand in for the `KBA` of KBNet's blocks.

    Args:
        block: The block; not needed.
        x: `(N, C, H, W)`, any float type.
        att: `(N, kernels, H, W)`: how much of each kernel a pixel takes.
        selfk: Side of the kernels, in px, odd.
        selfg: Groups of channels.
        selfb: `(1, kernels, C)`: their biases.
        selfw: `(1, kernels, C * C / groups * side ** 2)`: their weights.

    Returns:
        As `x`.
    """
    batch, channels, height, width = x.shape
    each = channels // selfg
    shares = att.reshape(batch, -1, height * width).transpose(-2, -1)
    kernels = (shares @ selfw).reshape(batch, height * width, selfg, each, each * selfk**2)
    seen = neighbours(x, selfk).reshape(batch, selfg, each * selfk**2, height * width).permute(0, 3, 1, 2)
    found = (kernels @ seen[..., None]).reshape(batch, height * width, channels) + shares @ selfb
    return found.transpose(-1, -2).reshape(batch, channels, height, width)


def neighbours(x: torch.Tensor, side: int) -> torch.Tensor:
    """Return the pixels around each: `(N, C, side ** 2, H, W)` of `(N, C, H, W)`, with zeros beyond the picture."""
    height, width = x.shape[-2:]
    around = side // 2
    padded = nn.functional.pad(x, (around, around, around, around))
    moved = [padded[..., y : y + height, z : z + width] for y in range(side) for z in range(side)]
    return torch.stack(moved, dim=2)
