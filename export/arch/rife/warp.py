"""Backward warp, exported as one GridSample."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def warp(image: Tensor, flow: Tensor) -> Tensor:
    """Take the image at `x + flow(x)`, bilinearly; what lies outside is the nearest pixel of the border.

    Coordinates are float32 in any case: in float16 a normalised coordinate of a wide picture is off by a pixel.

    Args:
        image: `(N, C, H, W)`, float32 or float16, sides at least 2.
        flow: `(N, 2, H, W)`, float32, x and y displacement in pixels.

    Returns:
        `(N, C, H, W)` of the image's dtype.
    """
    height, width = flow.shape[2], flow.shape[3]
    # GridSample counts from -1 to 1, from the first pixel's middle to the last one's.
    one = torch.ones((), dtype=torch.float32, device=flow.device)
    per_pixel = torch.stack((one * (2.0 / (width - 1)), one * (2.0 / (height - 1))))
    grid = (_positions(height, width, flow) + flow.permute(0, 2, 3, 1)) * per_pixel - 1.0
    sampled = F.grid_sample(image.float(), grid, mode="bilinear", padding_mode="border", align_corners=True)
    return sampled.to(image.dtype)


def _positions(height: int, width: int, like: Tensor) -> Tensor:
    # arange, not linspace: the exporter freezes the length of a linspace.
    x = torch.arange(width, dtype=torch.float32, device=like.device).reshape(1, width)
    y = torch.arange(height, dtype=torch.float32, device=like.device).reshape(height, 1)
    return torch.stack((x.expand(height, width), y.expand(height, width)), 2)
