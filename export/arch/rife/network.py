"""IFNet, the network of RIFE 4: flow from an instant to both pictures, coarse to fine, and how to blend them.

Written from the published definition (Huang et al., "Real-Time Intermediate Flow Estimation for Video Frame
Interpolation", ECCV 2022, and its later versions); parameter names and shapes are those of `flownet.pkl`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fastrestore.export.arch.rife.facts import Facts, HeadFacts
from fastrestore.export.arch.rife.warp import warp

_SLOPE = 0.2


class IFNet(nn.Module):
    """Find the motion from an instant between two pictures to both of them.

    Each block sees the pictures as warped by the flow so far, at its own scale, and corrects it. The published
    network ends by warping both pictures and blending them; that last step is left to the caller, who may warp
    pictures of another size.

    In float16 the flow, the grids and the mask's logits stay float32: they are sums over the blocks, and pixels.

    Args:
        facts: Which of the published graphs to build.
    """

    def __init__(self, facts: Facts) -> None:
        super().__init__()
        self.facts = facts
        features = 0 if facts.head is None else facts.head.features
        entry = 2 * (3 + features) + 1  # two pictures with their features, and t
        for index, scale in enumerate(facts.scales):
            later = entry + 1 + facts.carried + 4  # and the mask, what is carried, and the flow
            self.add_module(f"block{index}", Block(facts, entry if index == 0 else later, facts.widths[index], scale))
        if facts.head is not None:
            self.encode = Head(facts.head)

    def forward(self, left: Tensor, right: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Find flow and mask of a batch.

        Args:
            left: `(N, 3, H, W)`, RGB, range `[0, 1]`, float32 or float16 as the weights are; sides are multiples
                of `facts.multiple_px`.
            right: The later picture, of the same shape and dtype.
            t: `(N, 1, 1, 1)`, float32, in (0, 1): 0 is the left picture's instant.

        Returns:
            Flow, `(N, 4, H, W)`, float32: x and y in pixels to the left picture, then to the right one; and mask,
            `(N, 1, H, W)`, range `[0, 1]`, of the pictures' dtype: the share of the left picture.
        """
        t = t.to(left.dtype)
        if self.facts.head is not None:
            left, right = (torch.cat((picture, self.encode(picture)), 1) for picture in (left, right))
        motion = self.get_submodule("block0")(_side_by_side(left, right), t, None)
        for index in range(1, len(self.facts.scales)):
            seen = _side_by_side(warp(left, motion.flow[:, :2]), warp(right, motion.flow[:, 2:]))
            motion = self.get_submodule(f"block{index}")(seen, t, motion)
        return motion.flow, torch.sigmoid(motion.mask).to(left.dtype)


class Motion(NamedTuple):
    """What a block hands to the next, at full size."""

    flow: Tensor
    """`(N, 4, H, W)`, float32, pixels."""
    mask: Tensor
    """`(N, 1, H, W)`, float32, logits."""
    carried: Tensor | None
    """`(N, facts.carried, H, W)`, of the weights' dtype; None where nothing is."""


class Block(nn.Module):
    """Correct the motion at one scale.

    Args:
        facts: The graph that it is part of.
        channels: How many it sees.
        width: Inner channels.
        scale: By how much its pictures are shrunk.
    """

    def __init__(self, facts: Facts, channels: int, width: int, scale: int) -> None:
        super().__init__()
        self.facts = facts
        self.scale = scale
        self.conv0 = nn.Sequential(
            _layer(channels, width // 2, facts, stride=2), _layer(width // 2, width, facts, stride=2)
        )
        make = ResidualLayer if facts.residual else _layer
        self.convblock = nn.Sequential(*(make(width, width, facts) for _ in range(facts.layers)))
        if facts.shuffled:
            self.lastconv: nn.Module = nn.Sequential(_enlarging(width, 4 * facts.planes), nn.PixelShuffle(2))
        else:
            self.lastconv = _enlarging(width, facts.planes)

    def forward(self, seen: Tensor, t: Tensor, before: Motion | None) -> Motion:
        """Find the motion of a batch, or correct that of the block before.

        Args:
            seen: `(N, C, H, W)`, pictures and their features, warped by the flow so far.
            t: `(N, 1, 1, 1)`, of the same dtype.
            before: What the block before found; None for the first.

        Returns:
            The motion so far.
        """
        full, shrunk = seen.shape[2:], [side // self.scale for side in seen.shape[2:]]
        parts = [_resized(seen, shrunk), t.expand(-1, -1, *shrunk)]
        if before is not None:
            known = [plane.to(seen.dtype) for plane in (before.mask, before.carried) if plane is not None]
            flow = _resized(before.flow, shrunk) / self.scale
            parts += [_resized(torch.cat(known, 1), shrunk), flow.to(seen.dtype)]
        code = self.conv0(torch.cat(parts, 1))
        bridged = self.convblock(code) + code if self.facts.skip else self.convblock(code)
        found = self.lastconv(bridged)
        flow, mask = _resized(found[:, :5].float(), full).split((4, 1), 1)
        flow = flow * (self.scale if self.facts.shuffled else 2 * self.scale)
        carried = _resized(found[:, 5 : 5 + self.facts.carried], full) if self.facts.carried else None
        if before is None:
            return Motion(flow, mask, carried)
        return Motion(before.flow + flow, before.mask + mask if self.facts.mask_adds else mask, carried)


class ResidualLayer(nn.Module):
    """A convolution that corrects its input, weighted by channel."""

    def __init__(self, channels: int, width: int, facts: Facts) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, 3, padding=1, groups=facts.groups)
        self.beta = nn.Parameter(torch.ones(1, width, 1, 1))
        self.relu = nn.LeakyReLU(_SLOPE)

    def forward(self, code: Tensor) -> Tensor:
        """Return `(N, C, H, W)` for `(N, C, H, W)`."""
        corrected: Tensor = self.relu(self.conv(code) * self.beta + code)
        return corrected


class Head(nn.Module):
    """Describe one picture at full size, independently of the other and of the instant."""

    def __init__(self, facts: HeadFacts) -> None:
        super().__init__()
        self.facts = facts
        first, *inner, last = facts.layers
        self.add_module(first, nn.Conv2d(3, facts.width, 3, stride=2, padding=1))
        for name in inner:
            self.add_module(name, nn.Conv2d(facts.width, facts.width, 3, padding=1))
        self.add_module(last, _enlarging(facts.width, facts.features))

    def forward(self, picture: Tensor) -> Tensor:
        """Return `(N, features, H, W)` for a picture `(N, 3, H, W)`."""
        *inner, last = (self.get_submodule(name) for name in self.facts.layers)
        for layer in inner:
            picture = layer(picture)
            if self.facts.activated:
                picture = F.leaky_relu(picture, _SLOPE)
        features: Tensor = last(picture)
        return features


def _layer(channels: int, width: int, facts: Facts, stride: int = 1) -> nn.Sequential:
    activation = nn.PReLU(width) if facts.prelu else nn.LeakyReLU(_SLOPE)
    return nn.Sequential(nn.Conv2d(channels, width, 3, stride, padding=1), activation)


def _enlarging(channels: int, width: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(channels, width, 4, stride=2, padding=1)


def _resized(planes: Tensor, size: list[int]) -> Tensor:
    return F.interpolate(planes, size=size, mode="bilinear", align_corners=False)


def _side_by_side(left: Tensor, right: Tensor) -> Tensor:
    """Order channels as the blocks were trained on: both pictures, then the features of both."""
    return torch.cat((left[:, :3], right[:, :3], left[:, 3:], right[:, 3:]), 1)
