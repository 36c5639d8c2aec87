"""Likeness of gradients: the perceptual part of the loss of the base film networks.

Xue, Zhang, Mou and Bovik, Gradient Magnitude Similarity Deviation, 2014. Squared and absolute errors reward blur where
a network is not sure of an edge's place; here a gradient that is too weak counts as much as one that is too strong,
and one where there should be none counts most.
"""

import torch
from torch import Tensor, nn

from fastrestore.export.train.degrade import LUMA

CALM = 8e-4
"""Square of the gradient (range `[0, 1]` per pixel) below which differences hardly count: grain is below it."""
LEAST = 1e-8
"""Keeps the root differentiable."""


def gradient_dissimilarity(found: Tensor, wanted: Tensor) -> Tensor:
    """Return how unlike the gradient magnitudes of luma are: 0 if equal, at most 1; mean of full and half size.

    Args:
        found: `(N, 3, H, W)`, float32, RGB, range `[0, 1]`.
        wanted: As `found`.
    """
    unlike = torch.zeros((), device=found.device)
    for one, other in zip(_magnitudes(found), _magnitudes(wanted), strict=True):
        likeness = (2 * one * other + CALM) / (one.square() + other.square() + CALM)
        unlike = unlike + (1 - likeness).mean()
    return unlike / 2


def luma_of(pictures: Tensor) -> Tensor:
    """Return BT.601 luma, `(N, 1, H, W)`, of `(N, 3, H, W)` RGB of any range; of differences, theirs."""
    return (pictures * torch.from_numpy(LUMA).to(pictures.device).reshape(1, 3, 1, 1)).sum(dim=1, keepdim=True)


def _magnitudes(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Return Prewitt's gradient magnitude of luma, at full size and at half size."""
    luma = luma_of(pictures)
    return _magnitude(luma), _magnitude(nn.functional.avg_pool2d(luma, 2))


def _magnitude(luma: Tensor) -> Tensor:
    across = torch.tensor([[1.0, 0.0, -1.0]], device=luma.device).expand(3, 3).reshape(1, 1, 3, 3) / 3
    along_x = nn.functional.conv2d(luma, across)
    along_y = nn.functional.conv2d(luma, across.transpose(2, 3))
    return (along_x.square() + along_y.square() + LEAST).sqrt()
