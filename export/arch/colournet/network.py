"""ColourNet: a small U-shaped network that guesses the chroma of a grey picture and how sure it is."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LUMA = (0.299, 0.587, 0.114)
"""Weights of R'G'B' in luma, BT.601."""
RED_FROM_CR, BLUE_FROM_CB = 1.402, 1.772
"""R' - Y' per Cr and B' - Y' per Cb, BT.601 with chroma in `[-0.5, 0.5]`."""
CHROMA_UNIT = 0.1
"""Chroma per unit of the last layer: what a picture's chroma typically is."""
LEAST_SPREAD, MOST_SPREAD = 0.01, 1.0
"""Bounds of the spread that the network may claim, in chroma units of `[-0.5, 0.5]`."""
TRUSTED_SPREAD = 0.05
"""Spread at which the confidence is 1/2."""
_WIDTHS = (32, 48, 64, 64)


class ColourNet(nn.Module):
    """Guess the chroma of a grey picture.

    The picture is halved four times. At the bottom its mean goes through two layers and is added everywhere, so that a
    pixel's colour depends on the whole picture; on the way back up each level gets the details of its own size. The
    chroma comes out at half size and is enlarged linearly: chroma is stored at half size in most films anyway.

    A grid of heights goes in beside the luma, for sky is above and grass below.

    Args:
        dropout: Share of the channels that are left out at a time while it is trained.
    """

    multiple_px = 16
    """Sides of the input are multiples of this."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout2d(dropout)
        sides = (2, *_WIDTHS)
        self.down = nn.ModuleList(nn.Conv2d(sides[i], sides[i + 1], 3, 2, 1) for i in range(4))
        self.here = nn.ModuleList(nn.Conv2d(width, width, 3, 1, 1) for width in _WIDTHS)
        self.whole = nn.Sequential(nn.Conv2d(64, 64, 1), nn.ReLU(), nn.Conv2d(64, 64, 1))
        self.narrow = nn.ModuleList(nn.Conv2d(_WIDTHS[i + 1], _WIDTHS[i], 1) for i in range(3))
        self.back = nn.ModuleList(nn.Conv2d(width, width, 3, 1, 1) for width in _WIDTHS[:3])
        self.last = nn.Conv2d(_WIDTHS[0], 3, 3, 1, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.last.weight)

    def guess(self, luma: Tensor) -> tuple[Tensor, Tensor]:
        """Guess at half size.

        Args:
            luma: `(N, 1, H, W)`, range `[0, 1]`; sides are multiples of `multiple_px`.

        Returns:
            Cb and Cr, `(N, 2, H/2, W/2)`, nominal range `[-0.5, 0.5]`; and the spread (mean absolute deviation) of
            either that the network expects, `(N, 1, H/2, W/2)`.
        """
        row = torch.arange(luma.shape[2], dtype=luma.dtype, device=luma.device) / luma.shape[2]
        height = row.reshape(1, 1, -1, 1).expand(luma.shape[0], 1, luma.shape[2], luma.shape[3])
        x, levels = torch.cat([luma, height], dim=1) - 0.5, []
        for down, here in zip(self.down, self.here, strict=True):
            x = F.relu(down(x))
            x = F.relu(x + here(x))
            x = self.dropout(x)
            levels.append(x)
        x = x + self.whole(x.mean(dim=(2, 3), keepdim=True))
        for level in (2, 1, 0):
            x = F.interpolate(self.narrow[level](x), scale_factor=2.0, mode="nearest")
            x = F.relu(x + levels[level])
            x = F.relu(x + self.back[level](x))
        out = self.last(x)
        spread = torch.clamp(torch.exp(out[:, 2:]) * CHROMA_UNIT, LEAST_SPREAD, MOST_SPREAD)
        return out[:, :2] * CHROMA_UNIT, spread

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Colour a batch.

        Args:
            image: `(N, 3, H, W)`, float32, R'G'B' of which only the luma is seen, range `[0, 1]`; sides are multiples
                of `multiple_px`.

        Returns:
            The picture in colour, `(N, 3, H, W)`, float32, R'G'B', not clamped, of the input's luma; and how far each
            pixel's colour is to be trusted, `(N, 1, H, W)`, float32, in `(0, 1)`.
        """
        luma = LUMA[0] * image[:, 0:1] + LUMA[1] * image[:, 1:2] + LUMA[2] * image[:, 2:3]
        chroma, spread = self.guess(luma)
        chroma = F.interpolate(chroma, scale_factor=2.0, mode="bilinear", align_corners=False)
        spread = F.interpolate(spread, scale_factor=2.0, mode="bilinear", align_corners=False)
        blue, red = chroma[:, 0:1] * BLUE_FROM_CB, chroma[:, 1:2] * RED_FROM_CR
        green = (LUMA[2] * blue + LUMA[0] * red) * (-1.0 / LUMA[1])
        confidence = 1.0 / (1.0 + torch.square(spread * (1.0 / TRUSTED_SPREAD)))
        return torch.cat([luma + red, luma + green, luma + blue], dim=1), confidence
