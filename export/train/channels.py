"""Which channels of a layer matter: what decides which ones are left out when a network is made narrower."""

from torch import Tensor, nn


def energy(yielded: Tensor) -> Tensor:
    """Return the mean square of each channel of `(N, C, H, W)`."""
    return yielded.square().mean(dim=(0, 2, 3))


def outgoing(convolution: nn.Module) -> Tensor:
    """Return how strongly a convolution reads each of its input channels."""
    weight: Tensor = convolution.weight  # type: ignore[assignment]
    return weight.square().sum(dim=(0, 2, 3))


def strongest(shares: Tensor, count: int) -> Tensor:
    """Return the indices of the `count` largest shares, in their old order."""
    return shares.argsort(descending=True)[:count].sort().values
