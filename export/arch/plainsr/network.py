"""PlainSR: a plain stack of 3x3 convolutions that upscales by a whole factor."""

from itertools import pairwise

import torch
from torch import Tensor, nn


class PlainSR(nn.Module):
    """Upscale and restore an RGB picture with `convs` 3x3 convolutions.

    The network adds what it has learned to the nearest-neighbour enlargement of its input, so that
    a network whose last layer is zero repeats every pixel. Padding is zero padding of one pixel per
    convolution: one output pixel depends on input pixels at most `convs` away, and on no others.

    Only ReLU is used and the inner width is a multiple of 16, because ONNX Runtime on a CPU runs
    such graphs in its blocked layout from end to end.

    Args:
        scale: Whole enlargement factor.
        channels: Inner width, a multiple of 16.
        convs: Number of 3x3 convolutions, at least 2.
        last_channels: How many of them the last convolution sees, a multiple of 8; None for all. At scale 4 that
            convolution is a quarter of the network.
    """

    nearest: Tensor
    """`(3 * scale**2, 3, 1, 1)`, float32: copies each colour `scale**2` times."""

    def __init__(self, scale: int, channels: int = 32, convs: int = 7, last_channels: int | None = None) -> None:
        narrowed = channels if last_channels is None else last_channels
        if scale < 1 or convs < 2 or channels % 16 != 0 or narrowed % 8 != 0 or not 0 < narrowed <= channels:
            raise ValueError(
                f"PlainSR(scale={scale}, channels={channels}, convs={convs}, last_channels={last_channels}): wanted"
                " scale >= 1, convs >= 2, channels a multiple of 16, last_channels a multiple of 8 and no more"
            )
        super().__init__()
        self.scale = scale
        self.convs = convs
        widths = [3, *[channels] * (convs - 2), narrowed]
        layers: list[nn.Module] = []
        for seen, made in pairwise(widths):
            layers += [nn.Conv2d(seen, made, 3, padding=1), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.last = nn.Conv2d(narrowed, 3 * scale * scale, 3, padding=1)
        self.shuffle = nn.PixelShuffle(scale)
        # A constant 1x1 convolution: repeat_interleave would export as shape arithmetic, and ONNX
        # Runtime fuses this convolution with the addition that follows it.
        copies = torch.eye(3).repeat_interleave(scale * scale, dim=0)
        self.register_buffer("nearest", copies.reshape(-1, 3, 1, 1), persistent=False)
        self._initialise()

    def _initialise(self) -> None:
        """Start the body at He's scale (at PyTorch's default one its last ReLU dies), the end at zero."""
        for parameter in self.body.parameters():
            if parameter.ndim == 4:
                nn.init.kaiming_normal_(parameter, nonlinearity="relu")
            else:
                nn.init.zeros_(parameter)
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)

    @property
    def halo_px(self) -> int:
        """Radius of the receptive field in input pixels."""
        return self.convs

    def forward(self, image: Tensor) -> Tensor:
        """Restore a batch.

        Args:
            image: `(N, 3, H, W)`, float32, RGB, range `[0, 1]`.

        Returns:
            `(N, 3, H * scale, W * scale)`, float32, RGB, nominal range `[0, 1]`, not clamped.
        """
        repeated = nn.functional.conv2d(image, self.nearest)
        restored: Tensor = self.shuffle(self.last(self.body(image)) + repeated)
        return restored
