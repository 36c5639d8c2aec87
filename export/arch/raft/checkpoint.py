"""Recognise a RAFT-small checkpoint by its names and shapes, and build its network."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from fastrestore.errors import ModelError
from fastrestore.export.arch.loaded import LoadedNetwork
from fastrestore.export.arch.raft.network import LEVELS, STRIDE_PX, RaftSmall
from fastrestore.models.spec import Task, Tensor

ITERATIONS = 12
"""As in the published evaluation; each costs its share of the time."""
_PREFIX = "module."  # left by the data-parallel wrapper that the network was trained in
_MARKS = ("fnet.conv1.weight", "cnet.conv1.weight", "update_block.flow_head.conv2.weight")

INPUTS = (Tensor("left", 3), Tensor("right", 3))
OUTPUTS = (Tensor("flow", 2, half=False),)


def load(state: Mapping[str, torch.Tensor], iterations: int = ITERATIONS) -> LoadedNetwork | None:
    """Build the network of a checkpoint.

    Args:
        state: Parameter name to tensor, as in `raft-small.pth`, with or without the prefix `module.`.
        iterations: How often the flow is corrected, at least 1.

    Returns:
        The network, or None if this is no checkpoint of RAFT.

    Raises:
        ModelError: If it is one, but not of RAFT-small.
        ValueError: If there are no iterations.
    """
    if iterations < 1:
        raise ValueError(f"iterations={iterations}: wanted at least 1")
    weights = {name.removeprefix(_PREFIX): tensor for name, tensor in state.items()}
    if any(mark not in weights for mark in _MARKS):
        return None
    with torch.device("meta"):  # no use drawing parameters that are replaced at once
        network = RaftSmall(iterations)
    for name, parameter in network.state_dict().items():
        found = tuple(weights[name].shape) if name in weights else "absent"
        if found != tuple(parameter.shape):
            raise ModelError(
                f"a RAFT checkpoint other than RAFT-small: `{name}` is {found}, wanted {tuple(parameter.shape)}",
                "export RAFT-small; the large network is not known",
            )
    network.load_state_dict({name: weights[name].float() for name in network.state_dict()}, assign=True)
    return LoadedNetwork(
        module=network.eval(),
        architecture="RAFT-small",
        task=Task.MOTION,
        inputs=INPUTS,
        outputs=OUTPUTS,
        multiple_px=STRIDE_PX,
        least_px=STRIDE_PX * 2 ** (LEVELS - 1),
        notes=(
            f"{iterations} iterations, unrolled.",
            "Pictures are brought from [0, 1] to the published range [-1, 1] inside.",
            "Correlates all pairs of 8 x 8 blocks in float32: memory grows with the square of the picture's area.",
        ),
    )
