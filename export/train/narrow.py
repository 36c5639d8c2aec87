"""Let the last convolution of a network see fewer channels: those that contribute least are left out."""

import torch
from torch import Tensor

from fastrestore.export.arch.plainsr.network import PlainSR
from fastrestore.export.train.channels import energy, outgoing


@torch.no_grad()
def narrowed(network: PlainSR, channels: int, pictures: Tensor) -> dict[str, Tensor]:
    """Return the weights of a network whose last convolution sees `channels` of the channels it sees now.

    A channel counts by the mean square of what it adds to the result: that of the channel itself over `pictures`,
    times the squared weights that carry it on. What the channels left out add on average goes into the bias.

    Args:
        network: The network as it is.
        channels: How many channels are kept, in their old order.
        pictures: `(N, 3, H, W)`, float32, RGB, range `[0, 1]`: what it is used for.
    """
    seen = network.body(pictures)
    share = energy(seen) * outgoing(network.last)
    kept, left_out = (
        part.sort().values for part in share.argsort(descending=True).split([channels, len(share) - channels])
    )
    state = {name: value.clone() for name, value in network.state_dict().items()}
    before_last = f"body.{len(network.body) - 2}"
    for part in ("weight", "bias"):
        state[f"{before_last}.{part}"] = state[f"{before_last}.{part}"][kept]
    added = network.last.weight[:, left_out].sum(dim=(2, 3)) @ seen.mean(dim=(0, 2, 3))[left_out]
    state["last.bias"] = state["last.bias"] + added
    state["last.weight"] = state["last.weight"][:, kept].contiguous()
    return state
