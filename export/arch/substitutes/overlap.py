"""Attention to windows that overlap, as HAT has it, with windows gathered by position instead of unfolded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from fastrestore.export.arch.substitutes import windows


def cross_attention(block: Any, x: torch.Tensor, x_size: Sequence[int], rpi: torch.Tensor) -> torch.Tensor:
    """Stand in for the `forward` of HAT's `OCAB`.

    Args:
        block: The `OCAB`.
        x: `(N, height * width, C)`, any float type.
        x_size: Height and width in px, multiples of the window's side.
        rpi: `(side ** 2, reach ** 2)`, int64: which bias belongs to a pixel and one that it sees.

    Returns:
        As `x`.
    """
    height, width = x_size
    batch, _, channels = x.shape
    side, reach = block.window_size, block.overlap_win_size
    found = block.qkv(block.norm1(x)).reshape(batch, height, width, 3, channels)
    query = _heads(windows.windows_of(found[..., 0, :], side, side), block.num_heads)
    key, value = (_heads(overlapping(found[..., part, :], side, reach), block.num_heads) for part in (1, 2))
    bias = block.relative_position_bias_table[rpi.reshape(-1)].reshape(side * side, reach * reach, -1)
    weights = block.softmax((query * block.scale) @ key.transpose(-2, -1) + bias.permute(2, 0, 1)[None])
    merged = (weights @ value).transpose(1, 2).reshape(-1, side * side, channels)
    seen = windows.picture_of_windows(merged, side, height, width).reshape(batch, height * width, channels)
    x = block.proj(seen) + x
    result: torch.Tensor = x + block.mlp(block.norm2(x))
    return result


def overlapping(features: torch.Tensor, side: int, reach: int) -> torch.Tensor:
    """Cut a picture into windows that reach beyond their own square, to zeros beyond the picture.

    Args:
        features: `(N, H, W, C)`, any float type, sides multiples of `side`.
        side: Of the squares, in px.
        reach: Side of what is cut out around each, in px.

    Returns:
        `(N * windows, reach * reach, C)`.
    """
    _, height, width, channels = features.shape
    before = (reach - side) // 2
    # As many behind as before, as `torch.nn.Unfold` has it; the last window then still ends within.
    padded = nn.functional.pad(features, (0, 0, before, before, before, before))
    down = _places(height // side, side, reach)
    across = _places(width // side, side, reach)
    parts = padded[:, down][:, :, :, across]  # (N, windows down, reach, windows across, reach, C)
    return parts.permute(0, 1, 3, 2, 4, 5).reshape(-1, reach * reach, channels)


def _places(count: int, side: int, reach: int) -> torch.Tensor:
    return torch.arange(count)[:, None] * side + torch.arange(reach)[None, :]


def _heads(windows_: torch.Tensor, heads: int) -> torch.Tensor:
    pixels, channels = windows_.shape[1:]
    return windows_.reshape(-1, pixels, heads, channels // heads).transpose(1, 2)
