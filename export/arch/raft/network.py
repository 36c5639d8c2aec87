"""RAFT-small: optical flow by looking up all-pairs correlations again and again.

Written from the published definition (Teed and Deng, "RAFT: Recurrent All-Pairs Field Transforms for Optical Flow",
ECCV 2020); parameter names and shapes are those of `raft-small.pth`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STRIDE_PX = 8
"""Pixels per vector that is estimated, along a side."""
LEVELS = 4
"""Sizes at which correlations are looked up, each half the one before."""
_RADIUS = 3  # vectors to each side that are looked up
_TAPS = (2 * _RADIUS + 1) ** 2
_HIDDEN, _CONTEXT, _FEATURES = 96, 64, 128


class RaftSmall(nn.Module):
    """Find the flow from one picture to another.

    In float16 the correlations, where they are looked up, and the flow stay float32.

    Args:
        iterations: How often the flow is corrected; unrolled in the exported graph.
    """

    def __init__(self, iterations: int) -> None:
        super().__init__()
        self.iterations = iterations
        self.fnet = Encoder(_FEATURES, normalised=True)
        self.cnet = Encoder(_HIDDEN + _CONTEXT, normalised=False)
        self.update_block = Update()

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Find the flow of a batch.

        Args:
            left: `(N, 3, H, W)`, RGB, range `[0, 1]`, float32 or float16 as the weights are; sides are multiples of
                8 and at least 64.
            right: Of the same shape and dtype.

        Returns:
            `(N, 2, H, W)`, float32: x and y in pixels; `left(x)` matches `right(x + flow(x))`.
        """
        dtype, size, count = left.dtype, left.shape[2:], left.shape[0]
        left, right = 2 * left - 1, 2 * right - 1
        features = self.fnet(torch.cat((left, right)))
        levels = _levels(features[:count], features[count:])
        hidden, context = self.cnet(left).split((_HIDDEN, _CONTEXT), 1)
        hidden, context = torch.tanh(hidden), torch.relu(context)
        here = _positions(features)
        flow = torch.zeros_like(features[:count, :2], dtype=torch.float32)
        for _ in range(self.iterations):
            seen = _seen(levels, here + flow.permute(0, 2, 3, 1))
            hidden, correction = self.update_block(hidden, context, seen.to(dtype), flow.to(dtype))
            flow = flow + correction.float()
        return F.interpolate(flow * STRIDE_PX, size=size, mode="bilinear", align_corners=True)


class Level(NamedTuple):
    """Correlations of each left vector with all right ones, at one size, and where its window lies in them."""

    correlations: Tensor
    """`(N * h * w, 1, h / 2**l, w / 2**l)`, float32."""
    gain: Tensor
    """`(2,)`, float32: what a position, x and y in vectors, counts in the coordinates of GridSample."""
    window: Tensor
    """`(1, 7, 7, 2)`, float32: the window around position 0, in the same coordinates."""


def _levels(left: Tensor, right: Tensor) -> list[Level]:
    """Correlate features, `(N, C, h, w)`, with each other, at every size."""
    count, channels, height, width = left.shape
    pairs = (left.flatten(2).transpose(1, 2) / math.sqrt(channels)) @ right.flatten(2)
    correlations = pairs.float().reshape(count * height * width, 1, height, width)
    reach = torch.arange(-_RADIUS, _RADIUS + 1, dtype=torch.float32, device=left.device)
    # The network was trained with x along the first axis of its window.
    window = torch.stack(torch.meshgrid(reach, reach, indexing="ij"), 2)
    one = torch.ones((), dtype=torch.float32, device=left.device)
    levels = []
    for index in range(LEVELS):
        if index > 0:
            correlations = F.avg_pool2d(correlations, 2)
        # GridSample counts from -1 to 1; without aligned corners, from edge to edge, so that a side of one vector
        # has a length to divide by.
        per_vector = torch.stack((one * (2 / correlations.shape[3]), one * (2 / correlations.shape[2])))
        levels.append(Level(correlations, per_vector / 2**index, ((window + 0.5) * per_vector - 1)[None]))
    return levels


def _positions(like: Tensor) -> Tensor:
    """Return `(1, h, w, 2)`, float32: x and y of every vector of features `(N, C, h, w)`, in vectors."""
    height, width = like.shape[2:]
    # arange, not linspace: the exporter freezes the length of a linspace.
    x = torch.arange(width, dtype=torch.float32, device=like.device).reshape(1, 1, width)
    y = torch.arange(height, dtype=torch.float32, device=like.device).reshape(1, height, 1)
    return torch.stack((x.expand(1, height, width), y.expand(1, height, width)), 3)


def _seen(levels: list[Level], positions: Tensor) -> Tensor:
    """Return `(N, levels * taps, h, w)`: the correlations around `positions`, `(N, h, w, 2)`."""
    count, height, width, _ = positions.shape
    centres = positions.reshape(count * height * width, 1, 1, 2)
    found = [
        F.grid_sample(
            level.correlations, centres * level.gain + level.window, padding_mode="zeros", align_corners=False
        )
        for level in levels
    ]
    return torch.cat(found, 1).reshape(count, height, width, LEVELS * _TAPS).permute(0, 3, 1, 2)


class Encoder(nn.Module):
    """Describe a picture at an eighth of its size."""

    def __init__(self, channels: int, normalised: bool) -> None:
        super().__init__()
        self.normalised = normalised
        self.conv1 = nn.Conv2d(3, 32, 7, stride=2, padding=3)
        self.layer1 = nn.Sequential(Bottleneck(32, 32, 1, normalised), Bottleneck(32, 32, 1, normalised))
        self.layer2 = nn.Sequential(Bottleneck(32, 64, 2, normalised), Bottleneck(64, 64, 1, normalised))
        self.layer3 = nn.Sequential(Bottleneck(64, 96, 2, normalised), Bottleneck(96, 96, 1, normalised))
        self.conv2 = nn.Conv2d(96, channels, 1)

    def forward(self, picture: Tensor) -> Tensor:
        """Return `(N, channels, H / 8, W / 8)` for a picture `(N, 3, H, W)`."""
        code = torch.relu(_normalised(self.conv1(picture), self.normalised))
        described: Tensor = self.conv2(self.layer3(self.layer2(self.layer1(code))))
        return described


class Bottleneck(nn.Module):
    """Three convolutions, narrow in the middle, that correct their input."""

    def __init__(self, channels: int, width: int, stride: int, normalised: bool) -> None:
        super().__init__()
        self.normalised = normalised
        self.conv1 = nn.Conv2d(channels, width // 4, 1)
        self.conv2 = nn.Conv2d(width // 4, width // 4, 3, stride, padding=1)
        self.conv3 = nn.Conv2d(width // 4, width, 1)
        self.downsample = nn.Sequential(nn.Conv2d(channels, width, 1, stride)) if stride > 1 else None

    def forward(self, code: Tensor) -> Tensor:
        """Return `(N, width, H / stride, W / stride)` for `(N, channels, H, W)`."""
        corrected = code
        for layer in (self.conv1, self.conv2, self.conv3):
            corrected = torch.relu(_normalised(layer(corrected), self.normalised))
        if self.downsample is not None:
            code = _normalised(self.downsample(code), self.normalised)
        return torch.relu(code + corrected)


def _normalised(code: Tensor, wanted: bool) -> Tensor:
    # float16 would lose the variance of a large picture: it is a mean over all of its pixels.
    return F.instance_norm(code.float()).to(code.dtype) if wanted else code


class Update(nn.Module):
    """Correct the flow once: describe what is seen, remember, correct."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = MotionEncoder()
        self.gru = ConvGru()
        self.flow_head = FlowHead()

    def forward(self, hidden: Tensor, context: Tensor, seen: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        """Return the new hidden state, `(N, 96, h, w)`, and the correction of the flow, `(N, 2, h, w)`, in vectors."""
        hidden = self.gru(hidden, torch.cat((context, self.encoder(seen, flow)), 1))
        return hidden, self.flow_head(hidden)


class MotionEncoder(nn.Module):
    """Describe the correlations found and the flow so far."""

    def __init__(self) -> None:
        super().__init__()
        self.convc1 = nn.Conv2d(LEVELS * _TAPS, 96, 1)
        self.convf1 = nn.Conv2d(2, 64, 7, padding=3)
        self.convf2 = nn.Conv2d(64, 32, 3, padding=1)
        self.conv = nn.Conv2d(128, 80, 3, padding=1)

    def forward(self, seen: Tensor, flow: Tensor) -> Tensor:
        """Return `(N, 82, h, w)`; its last two channels are the flow itself."""
        correlations = torch.relu(self.convc1(seen))
        course = torch.relu(self.convf2(torch.relu(self.convf1(flow))))
        described = torch.relu(self.conv(torch.cat((correlations, course), 1)))
        return torch.cat((described, flow), 1)


class ConvGru(nn.Module):
    """A gated recurrent unit of convolutions."""

    def __init__(self) -> None:
        super().__init__()
        channels = _HIDDEN + _CONTEXT + 82
        self.convz = nn.Conv2d(channels, _HIDDEN, 3, padding=1)
        self.convr = nn.Conv2d(channels, _HIDDEN, 3, padding=1)
        self.convq = nn.Conv2d(channels, _HIDDEN, 3, padding=1)

    def forward(self, hidden: Tensor, news: Tensor) -> Tensor:
        """Return the new hidden state, `(N, 96, h, w)`."""
        both = torch.cat((hidden, news), 1)
        update, reset = torch.sigmoid(self.convz(both)), torch.sigmoid(self.convr(both))
        proposed = torch.tanh(self.convq(torch.cat((reset * hidden, news), 1)))
        return (1 - update) * hidden + update * proposed


class FlowHead(nn.Module):
    """Read the correction of the flow from the hidden state."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(_HIDDEN, 128, 3, padding=1)
        self.conv2 = nn.Conv2d(128, 2, 3, padding=1)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return `(N, 2, h, w)`, in vectors."""
        correction: Tensor = self.conv2(torch.relu(self.conv1(hidden)))
        return correction
