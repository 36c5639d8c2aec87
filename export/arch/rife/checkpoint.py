"""Recognise a published RIFE checkpoint by its names and shapes, and build its network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

import torch

from fastrestore.errors import ModelError
from fastrestore.export.arch.loaded import LoadedNetwork
from fastrestore.export.arch.rife.facts import GRAPHS, NARROWER_4_0, Facts
from fastrestore.export.arch.rife.network import IFNet
from fastrestore.models.spec import Task, Tensor

_PREFIX = "module."  # left by the data-parallel wrapper that the networks were trained in
_USED = re.compile(r"(block\d+|encode)\.")
_MARK = "block0.conv0.0.0.weight"

INPUTS = (Tensor("left", 3), Tensor("right", 3), Tensor("t", 1, scale=0, half=False))
OUTPUTS = (Tensor("flow", 4, half=False), Tensor("mask", 1))


def load(state: Mapping[str, torch.Tensor], version: str | None = None) -> LoadedNetwork | None:
    """Build the network of a checkpoint.

    What training left besides (`teacher`, `caltime`, `block_tea`, `contextnet`, `unet`) is ignored, as the published
    inference does.

    Args:
        state: Parameter name to tensor, as in `flownet.pkl`, with or without the prefix `module.`.
        version: Which version it is said to be, such as `4.22 lite`; None to tell by names and shapes, which leaves
            open which of several versions with one graph it is.

    Returns:
        The network, or None if this is no checkpoint of an IFNet.

    Raises:
        ModelError: If it is one, but of no version that is known or not of the one that was named.
    """
    shapes = {name.removeprefix(_PREFIX): tuple(tensor.shape) for name, tensor in state.items()}
    if _MARK not in shapes:
        return None
    used = {name: shape for name, shape in shapes.items() if _USED.match(name)}
    version = None if version is None else published_name(version)
    facts = _graph(used) if version is None else _named(version, used)
    with torch.device("meta"):  # no use drawing parameters that are replaced at once
        network = IFNet(facts)
    weights = {name.removeprefix(_PREFIX): tensor for name, tensor in state.items()}
    network.load_state_dict({name: weights[name].float() for name in used}, assign=True)
    return LoadedNetwork(
        module=network.eval(),
        architecture=f"RIFE {version or facts.title}",
        task=Task.MOTION,
        inputs=INPUTS,
        outputs=OUTPUTS,
        multiple_px=facts.multiple_px,
        least_px=facts.multiple_px,
        notes=tuple(_notes(facts, version)),
    )


def published_name(version: str) -> str:
    """Return a version as the fact table spells it.

    Args:
        version: Such as `4.6` or `4.22 lite`; a dot, dash or underscore may stand for the space.

    Raises:
        ModelError: If there is no such version.
    """
    name = re.sub(r"[\s._-]+(?=[a-z])", " ", version.strip().lower())
    known = [each for facts in GRAPHS for each in facts.versions]
    if name not in known:
        raise ModelError(f"RIFE version `{version}` is not known", f"name one of {', '.join(known)}")
    return name


@cache
def shapes_of(facts: Facts) -> Mapping[str, tuple[int, ...]]:
    """Return the names and shapes that a checkpoint of this graph must have, without `module.`."""
    with torch.device("meta"):
        return {name: tuple(tensor.shape) for name, tensor in IFNet(facts).state_dict().items()}


def _graph(used: Mapping[str, tuple[int, ...]]) -> Facts:
    for facts in (*GRAPHS, NARROWER_4_0):
        if shapes_of(facts) == used:
            return facts
    blocks = len({name.split(".")[0] for name in used if name.startswith("block")})
    raise ModelError(
        f"a checkpoint of RIFE with {blocks} blocks, the first seeing {used[_MARK][1]} channels, fits no version of "
        f"{GRAPHS[0].versions[0]} to {GRAPHS[-1].versions[-1]}",
        "export a published checkpoint; versions before 4.0 and networks with changed layers are not known",
    )


def _named(version: str, used: Mapping[str, tuple[int, ...]]) -> Facts:
    facts = next(facts for facts in GRAPHS if version in facts.versions)
    wanted = shapes_of(facts)
    for name in sorted(wanted.keys() | used.keys()):
        if wanted.get(name) != used.get(name):
            raise ModelError(
                f"not a checkpoint of RIFE {version}: `{name}` is {used.get(name, 'absent')}, wanted "
                f"{wanted.get(name, 'absent')}",
                "leave the version out to have it told by names and shapes",
            )
    return facts


def _notes(facts: Facts, version: str | None) -> list[str]:
    notes = ["The published network's last step, warping and blending both pictures, is left to the runtime."]
    if version is None and len(facts.versions) > 1:
        notes.append(f"Versions {', '.join(facts.versions)} share names, shapes and graph: it may be any of them.")
    if facts.restarts:
        notes.append("The published inference starts over at half the scale where motion is large; this one does not.")
    return notes
