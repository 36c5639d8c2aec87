"""Start a network with the weights of another, so that it begins with the same results."""

import math

import torch
from torch import Tensor, nn


def grow(small: dict[str, Tensor], large: dict[str, Tensor]) -> dict[str, Tensor]:
    """Enlarge the state of a PlainSR to the width, depth and scale of another.

    New channels are fed at He's scale and feed nothing that was there before; new layers pass the old
    channels on unchanged (they are not negative, so ReLU keeps them); a larger scale repeats pixels.

    Args:
        small: State of the network that exists.
        large: Freshly initialised state of the network wanted: no narrower, no shallower, of the same
            scale or a multiple of it.

    Returns:
        A state with the names and shapes of `large`.
    """
    inner = [name for name in large if name.startswith("body.") and name.endswith(".weight")]
    width = len(small["body.0.bias"])
    grown = {name: value.clone() for name, value in large.items()}
    for name in inner:
        bias = name.replace(".weight", ".bias")
        nn.init.kaiming_normal_(grown[name], nonlinearity="relu")
        nn.init.zeros_(grown[bias])
        grown[name][:width] = 0.0
        if name in small:
            grown[name][:width, : small[name].shape[1]] = small[name]
            grown[bias][:width] = small[bias]
        else:
            grown[name][range(width), range(width), 1, 1] = 1.0
    repeats = math.isqrt(len(large["last.bias"]) // len(small["last.bias"]))
    grown["last.weight"].zero_()
    grown["last.weight"][:, :width] = repeat_subpixels(small["last.weight"], repeats)
    grown["last.bias"] = repeat_subpixels(small["last.bias"], repeats)
    return grown


def repeat_subpixels(parameter: Tensor, repeats: int) -> Tensor:
    """Enlarge the scale of the layer before a pixel shuffle by repeating what it makes.

    Args:
        parameter: `(3 * s * s, ...)`, float32: weight or bias of that layer.
        repeats: How often every pixel is to occur along either axis.

    Returns:
        `(3 * s * s * repeats**2, ...)`, float32.
    """
    side = math.isqrt(len(parameter) // 3)
    grid = parameter.reshape(3, side, side, *parameter.shape[1:])
    grid = grid.repeat_interleave(repeats, dim=1).repeat_interleave(repeats, dim=2)
    return grid.reshape(-1, *parameter.shape[1:])


@torch.no_grad()
def start_from(network: nn.Module, state: dict[str, Tensor]) -> None:
    """Load the weights of a network of equal or smaller size into `network`."""
    network.load_state_dict(grow(state, network.state_dict()))


def of_smaller_scale(state: dict[str, Tensor], scale: int) -> dict[str, Tensor]:
    """Let the last layer of an SRVGG make the means of the pixels that it made.

    Args:
        state: Its weights.
        scale: The scale wanted, that of the weights or a whole fraction of it.
    """
    last = max(int(name.split(".")[1]) for name in state)
    small = dict(state)
    for name in (f"body.{last}.weight", f"body.{last}.bias"):
        side = math.isqrt(len(state[name]) // 3)
        size = side // scale
        grid = state[name].reshape(3, scale, size, scale, size, *state[name].shape[1:])
        small[name] = grid.mean(dim=(2, 4)).flatten(0, 2)
    return small
