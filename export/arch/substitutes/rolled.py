"""Attention in windows of a rolled picture, as SCUNet has it, without einops: that reads sizes as numbers."""

from __future__ import annotations

from typing import Any

import torch

from fastrestore.export.arch.substitutes import windows


def window_attention(attention: Any, x: torch.Tensor) -> torch.Tensor:
    """Stand in for the `forward` of SCUNet's `WMSA`.

    Args:
        attention: The `WMSA`.
        x: `(N, H, W, C)`, any float type, sides multiples of the window's.

    Returns:
        As `x`.
    """
    batch, height, width, _ = x.shape
    side = attention.window_size
    shift = side // 2 if attention.type != "W" else 0
    if shift:
        x = torch.roll(x, shifts=(-shift, -shift), dims=(1, 2))
    found = attention.embedding_layer(windows.windows_of(x, side, side))
    # Query, key and value, each of all heads: (3, windows, heads, pixels, channels of a head).
    parts = found.reshape(-1, side * side, 3, attention.n_heads, attention.head_dim).permute(2, 0, 3, 1, 4)
    query, key, value = parts[0], parts[1], parts[2]
    likeness = (query @ key.transpose(-2, -1)) * attention.scale + attention.relative_embedding()[None]
    if shift:
        parted = windows.apart(height, width, (side, side), (shift, shift))
        each = likeness.reshape(batch, -1, *likeness.shape[1:]).masked_fill(parted[None, :, None], float("-inf"))
        likeness = each.reshape(-1, *likeness.shape[1:])
    merged = (likeness.softmax(dim=-1) @ value).transpose(1, 2).reshape(-1, side * side, attention.input_dim)
    picture = windows.picture_of_windows(attention.linear(merged), side, height, width)
    return torch.roll(picture, shifts=(shift, shift), dims=(1, 2)) if shift else picture
