"""Make the blocks of an IFNet narrower: of every layer the channels that matter least are left out."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from fastrestore.export.arch.rife.network import Block, IFNet
from fastrestore.export.train.channels import energy, outgoing, strongest


@torch.no_grad()
def slimmed(network: IFNet, widths: Sequence[int], left: Tensor, right: Tensor, t: Tensor) -> IFNet:
    """Return a network with narrower blocks that begins as near to `network` as leaving channels out allows.

    A channel counts by its mean square over the pictures, times the squared weights that carry it on.

    Args:
        network: An IFNet of RIFE 4.0 to 4.4, whose blocks are bridged as a whole or not at all.
        widths: Inner channels of each block, even and no more than before.
        left: `(N, 3, H, W)`, float32, range `[0, 1]`: pictures that show what channels are used for.
        right: The later pictures.
        t: `(N, 1, 1, 1)`, float32: the instants between.
    """
    with _energies(network) as energies:
        network(left, right, t)
    small = IFNet(replace(network.facts, widths=tuple(widths)))
    for index, width in enumerate(widths):
        path = f"block{index}"
        _slim_block(network.get_submodule(path), small.get_submodule(path), width, energies, path)
    return small


@contextmanager
def _energies(network: IFNet) -> Iterator[dict[str, Tensor]]:
    """Collect the mean square of every channel that a layer yields, by the layer's path."""
    found: dict[str, Tensor] = {}

    def note(path: str, _module: nn.Module, _given: object, result: Tensor) -> None:
        found[path] = energy(result)

    layers = [(path, module) for path, module in network.named_modules() if isinstance(module, nn.PReLU)]
    handles = [module.register_forward_hook(partial(note, path.rpartition(".")[0])) for path, module in layers]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _slim_block(block: nn.Module, small: nn.Module, width: int, energies: Mapping[str, Tensor], path: str) -> None:
    """Copy what is kept of one block into its narrower copy."""
    assert isinstance(block, Block) and isinstance(small, Block)
    names = [*(f"conv0.{i}" for i in range(2)), *(f"convblock.{i}" for i in range(len(block.convblock)))]
    convolutions = [block.get_submodule(f"{name}.0") for name in names]
    yielded = [energies[f"{path}.{name}"] for name in names]
    # What a layer yields is carried on by the next; the code also skips all layers, and is read out at the end.
    carried = [outgoing(after) for after in convolutions[1:]]
    read_out = block.lastconv.weight.square().sum(dim=(1, 2, 3))  # type: ignore[union-attr, operator]
    code = strongest((yielded[1] + yielded[-1]) * (carried[1] + read_out), width)
    kept = [strongest(yielded[0] * carried[0], width // 2), code]
    kept += [strongest(yielded[i] * carried[i], width) for i in range(2, len(names) - 1)] + [code]
    seen = [torch.arange(convolutions[0].weight.shape[1]), *kept[:-1]]  # type: ignore[union-attr, index]
    for name, before, after in zip(names, seen, kept, strict=True):
        layer, narrow = block.get_submodule(name), small.get_submodule(name)
        state = layer.state_dict()
        narrow.load_state_dict(
            {"0.weight": state["0.weight"][after][:, before], "0.bias": state["0.bias"][after]}
            | {"1.weight": state["1.weight"][after]}
        )
    last = block.lastconv.state_dict()
    small.lastconv.load_state_dict({"weight": last["weight"][code], "bias": last["bias"]})
