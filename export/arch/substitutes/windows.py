"""Pictures cut into windows, put together again, and the masks of shifted windows: for sizes that are symbols.

The originals work the batch out as `int(windows / (height * width / side / side))`, a float, and paint their masks
into an array by slices; both freeze sizes when they are traced. Here the batch is what is left over, and a mask is a
comparison of positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

_APART = -100.0
"""Added to what attention should not see. The authors' number: after a softmax nothing is left of it."""


def picture_of_windows(windows: torch.Tensor, side: int, height: int, width: int) -> torch.Tensor:
    """Put square windows together: `window_reverse` of the Swin family.

    Args:
        windows: `(N * windows, side, side, C)`, any float type.
        side: Of a window, in px.
        height: Of the picture, in px, a multiple of `side`.
        width: Of the picture, in px, a multiple of `side`.

    Returns:
        `(N, height, width, C)`.
    """
    return picture_of_strips(windows, side, side, height, width)


def picture_of_strips(windows: torch.Tensor, tall: int, wide: int, height: int, width: int) -> torch.Tensor:
    """Put windows together whose sides differ: `windows2img` of DAT and its kin.

    Args:
        windows: `(N * windows, ..., C)` with `tall * wide` values of each channel in each window, any float type.
        tall: Height of a window, in px.
        wide: Width of a window, in px.
        height: Of the picture, in px, a multiple of `tall`.
        width: Of the picture, in px, a multiple of `wide`.

    Returns:
        `(N, height, width, C)`.
    """
    down, across, channels = height // tall, width // wide, windows.shape[-1]
    parts = windows.reshape(-1, down, across, tall, wide, channels).permute(0, 1, 3, 2, 4, 5)
    return parts.reshape(-1, down * tall, across * wide, channels)


def windows_of(picture: torch.Tensor, tall: int, wide: int) -> torch.Tensor:
    """Cut a picture into windows.

    Args:
        picture: `(N, H, W, C)`, any float type, sides multiples of the windows'.
        tall: Height of a window, in px.
        wide: Width of a window, in px.

    Returns:
        `(N * windows, tall * wide, C)`.
    """
    batch, height, width, channels = picture.shape
    parts = picture.reshape(batch, height // tall, tall, width // wide, wide, channels).permute(0, 1, 3, 2, 4, 5)
    return parts.reshape(-1, tall * wide, channels)


def apart(height: int, width: int, window: Sequence[int], shift: Sequence[int]) -> torch.Tensor:
    """Say which pixels of a window do not belong together, because they lie at opposite ends of the picture.

    Before it is cut into windows the picture is rolled up and to the left, so that the last windows along each axis
    hold what comes from the picture's beginning, too.

    Args:
        height: Of the picture, in px.
        width: Of the picture, in px.
        window: Height and width of a window, in px.
        shift: How far the picture was rolled along each axis, in px.

    Returns:
        `(windows, pixels, pixels)`, bool.
    """
    rolled_down = torch.arange(height) >= height - shift[0]
    rolled_across = torch.arange(width) >= width - shift[1]
    ends = 2 * rolled_down.long()[:, None] + rolled_across.long()[None, :]
    parts = ends.reshape(height // window[0], window[0], width // window[1], window[1]).permute(0, 2, 1, 3)
    flat = parts.reshape(-1, window[0] * window[1])
    return flat[:, :, None] != flat[:, None, :]


def added_mask(
    height: int, width: int, window: Sequence[int], shift: Sequence[int], dtype: torch.dtype
) -> torch.Tensor:
    """Return `apart` as what is added to attention: 0, or a number that leaves nothing.

    Returns:
        `(windows, pixels, pixels)`; of a picture that was not rolled, one mask for all windows.
    """
    if not any(shift):
        return torch.zeros(1, window[0] * window[1], window[0] * window[1], dtype=dtype)
    parted = apart(height, width, window, shift)
    return torch.where(parted, torch.tensor(_APART, dtype=dtype), torch.tensor(0.0, dtype=dtype))


def mask_of_block(block: Any, size: Sequence[int]) -> torch.Tensor:
    """Stand in for `calculate_mask(x_size)` of a block of SwinIR, Swin2SR or DRCT, in the type of its weights."""
    window, shift = (block.window_size, block.window_size), (block.shift_size, block.shift_size)
    return added_mask(size[0], size[1], window, shift, block.mlp.fc1.weight.dtype)


def mask_of_network(network: Any, size: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    """Stand in for `calculate_mask(x_size, dtype)` of a whole HAT."""
    window, shift = (network.window_size, network.window_size), (network.shift_size, network.shift_size)
    return added_mask(size[0], size[1], window, shift, dtype)


def masks_of_strips(
    attention: Any, height: int, width: int, dtype: torch.dtype | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Stand in for `calculate_mask(H, W)` of DAT: one mask for windows as they are, one for windows on their side."""
    window, shift = tuple(attention.split_size), tuple(attention.shift_size)
    kind = dtype or attention.qkv.weight.dtype
    return (
        added_mask(height, width, window, shift, kind),
        added_mask(height, width, window[::-1], shift[::-1], kind),
    )
