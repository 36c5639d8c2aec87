"""SRVGGNetCompact: the compact network of Real-ESRGAN, with the published parameter names."""

from pathlib import Path

import torch
from torch import Tensor, nn


class SRVGG(nn.Module):
    """A stack of 3x3 convolutions and PReLUs, then a pixel shuffle, added to the enlarged input.

    Parameter names follow the published checkpoints (`body.0.weight` ... `body.N.bias`).

    Args:
        features: Inner width.
        convs: Number of inner convolutions, the first and last not counted.
        scale: Whole enlargement factor.
    """

    def __init__(self, features: int = 64, convs: int = 32, scale: int = 4) -> None:
        super().__init__()
        self.scale = scale
        layers: list[nn.Module] = [nn.Conv2d(3, features, 3, padding=1), nn.PReLU(features)]
        for _ in range(convs):
            layers += [nn.Conv2d(features, features, 3, padding=1), nn.PReLU(features)]
        layers.append(nn.Conv2d(features, 3 * scale * scale, 3, padding=1))
        self.body = nn.Sequential(*layers)
        self.shuffle = nn.PixelShuffle(scale)

    def forward(self, image: Tensor) -> Tensor:
        """Upscale a batch.

        Args:
            image: `(N, 3, H, W)`, float32, RGB, range `[0, 1]`.

        Returns:
            `(N, 3, H * scale, W * scale)`, float32, RGB, nominal range `[0, 1]`, not clamped.
        """
        enlarged = nn.functional.interpolate(image, scale_factor=float(self.scale), mode="nearest")
        restored: Tensor = self.shuffle(self.body(image)) + enlarged
        return restored


def read_state(checkpoint: Path) -> dict[str, Tensor]:
    """Read a published checkpoint without running anything that is stored in it.

    Args:
        checkpoint: A `.pth` file: a state dict, bare or under the key `params`.

    Returns:
        Parameter name to float32 tensor.
    """
    stored = torch.load(checkpoint, map_location="cpu", weights_only=True)
    stored = stored.get("params", stored)
    return {name: tensor.float() for name, tensor in stored.items()}


def load_srvgg(states: dict[float, dict[str, Tensor]], scale: int = 4) -> SRVGG:
    """Build the network from one state dict, or from a weighted mean of several.

    Real-ESRGAN publishes two `general-x4v3` checkpoints, one that denoises strongly and one that
    does so weakly, and offers any strength between them as the weighted mean of the parameters.

    Args:
        states: Weight to state dict; the weights add up to 1.
        scale: Whole enlargement factor of the checkpoints.

    Returns:
        The network in evaluation mode.
    """
    if abs(sum(states) - 1.0) > 1e-6:
        raise ValueError(f"weights add up to {sum(states)}, wanted 1")
    names = next(iter(states.values())).keys()
    mean = {name: sum((w * s[name] for w, s in states.items()), torch.zeros(())) for name in names}
    convs = (max(int(name.split(".")[1]) for name in names) - 2) // 2
    network = SRVGG(mean["body.0.weight"].shape[0], convs, scale)
    network.load_state_dict(mean)
    return network.eval()
