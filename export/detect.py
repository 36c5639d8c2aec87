"""Which network a checkpoint is of: our own architectures first, then those that spandrel knows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path

import torch

from fastrestore.errors import ExportError
from fastrestore.export.arch.colournet.network import ColourNet
from fastrestore.export.arch.loaded import LoadedNetwork
from fastrestore.export.arch.plainsr.network import PlainSR
from fastrestore.export.arch.srvgg.network import SRVGG
from fastrestore.export.checkpoint import read_state
from fastrestore.models.spec import Task, Tensor

State = Mapping[str, torch.Tensor]
_MOTION_FOLDERS = ("rife", "raft")
_LARGEST_SCALE = 16


def load_network(path: Path) -> LoadedNetwork:
    """Read a checkpoint and build the network that it is of.

    Raises:
        ExportError: If it cannot be read safely, or no known architecture fits.
    """
    return detect(read_state(path), path.name)


def detect(state: State, title: str = "the checkpoint") -> LoadedNetwork:
    """Build the network that a state dict is of.

    Args:
        state: Name to float32 tensor.
        title: What to call it in messages.

    Raises:
        ExportError: If no known architecture fits, or the network does not make RGB pictures or motion.
    """
    for loader in _loaders():
        if (found := loader(state)) is not None:
            return found
    some = ", ".join(f"{ascii(name)[1:-1]} {tuple(tensor.shape)}" for name, tensor in list(state.items())[:3])
    raise ExportError(
        f"{title} is of no architecture known here ({len(state)} tensors: {some}, ...)",
        "known are RIFE 4, RAFT small, SRVGG, PlainSR, ColourNet and what spandrel lists; "
        "an ONNX file may serve instead",
    )


def _loaders() -> tuple[Callable[[State], LoadedNetwork | None], ...]:
    own = tuple(import_module(f"fastrestore.export.arch.{name}").load for name in _MOTION_FOLDERS)
    # Imported last and late: it takes seconds, and our own architectures do not need it.
    foreign = import_module("fastrestore.export.foreign_arch").load
    return (*own, load_srvgg, load_plainsr, load_colournet, foreign)


def load_srvgg(state: State) -> LoadedNetwork | None:
    """Build an SRVGG of Real-ESRGAN for RGB, or return None if the state dict is of none."""
    last = _last_layer(state, "body")
    if last is None or last < 2 or last % 2:
        return None
    first_weight, last_weight = state["body.0.weight"], state[f"body.{last}.weight"]
    if first_weight.ndim != 4 or last_weight.ndim != 4 or first_weight.shape[1] != 3:
        return None
    scale = math.isqrt(last_weight.shape[0] // 3)
    if not 1 <= scale <= _LARGEST_SCALE:
        return None
    network = SRVGG(first_weight.shape[0], last // 2 - 1, scale)
    if not _fits(network, state):
        return None
    inner = f"{network.body[0].out_channels} channels, {last // 2 - 1} inner convolutions"
    return _restoration(network, state, f"SRVGG ({inner})", scale)


def load_plainsr(state: State) -> LoadedNetwork | None:
    """Build a PlainSR of this project, or return None if the state dict is of none."""
    last = _last_layer(state, "body")
    if last is None or last % 2 or "last.weight" not in state:
        return None
    first_weight, last_weight = state["body.0.weight"], state["last.weight"]
    if first_weight.ndim != 4 or last_weight.ndim != 4 or first_weight.shape[0] % 16:
        return None
    scale, seen = math.isqrt(last_weight.shape[0] // 3), last_weight.shape[1]
    if not 1 <= scale <= _LARGEST_SCALE or seen % 8 or not 0 < seen <= first_weight.shape[0]:
        return None
    network = PlainSR(scale, first_weight.shape[0], last // 2 + 2, seen)
    if not _fits(network, state):
        return None
    return _restoration(
        network, state, f"PlainSR ({network.convs} convolutions, {first_weight.shape[0]} channels)", scale
    )


def load_colournet(state: State) -> LoadedNetwork | None:
    """Build a ColourNet of this project, or return None if the state dict is of none."""
    network = ColourNet()
    if not _fits(network, state):
        return None
    network.load_state_dict(dict(state))
    return LoadedNetwork(
        module=network.eval(),
        architecture="ColourNet",
        task=Task.COLOUR,
        inputs=(Tensor("image", 3),),
        outputs=(Tensor("coloured", 3), Tensor("confidence", 1)),
        multiple_px=ColourNet.multiple_px,
        least_px=ColourNet.multiple_px,
    )


def _last_layer(state: State, prefix: str) -> int | None:
    """Return the highest number in `prefix.N.weight`; None if there is none, or if there are fewer than it says."""
    numbers = [part for name in state if (part := name.removeprefix(f"{prefix}.").removesuffix(".weight")).isdigit()]
    if f"{prefix}.0.weight" not in state or not numbers:
        return None
    last = max(map(int, numbers))
    return last if last < 2 * len(state) and f"{prefix}.{last}.weight" in state else None


def _fits(network: torch.nn.Module, state: State) -> bool:
    wanted = network.state_dict()
    return wanted.keys() == state.keys() and all(wanted[name].shape == state[name].shape for name in wanted)


def _restoration(network: torch.nn.Module, state: State, architecture: str, scale: int) -> LoadedNetwork:
    network.load_state_dict(dict(state))
    return LoadedNetwork(
        module=network.eval(),
        architecture=architecture,
        task=Task.RESTORE,
        inputs=(Tensor("image", 3),),
        outputs=(Tensor("restored", 3, scale),),
        scale=scale,
    )
