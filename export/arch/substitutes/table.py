"""Which parts of which architecture are replaced while a network is traced, and the one place where that is done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import torch

from fastrestore.errors import ExportError
from fastrestore.export.arch.substitutes import experts, kernels_by_pixel, overlap, rolled, windows

_NOISE_LEVEL = 15 / 255
_lock = threading.RLock()


@dataclass(frozen=True, slots=True)
class Adaptation:
    """What an architecture of spandrel's needs to be traced with symbolic batch, height and width."""

    substitutes: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    """`module:name` or `module:Class.name`, below the architecture's own package, to what computes the same."""
    call: Callable[[Any, torch.Tensor], torch.Tensor] | None = None
    """Runs the network on a batch, where spandrel's own call does not."""
    singly: bool = False
    """Whether the author's code is right for one picture at a time only: it then is given one at a time."""


_SWIN = {"window_reverse": windows.picture_of_windows}


def _in(module: str, parts: Mapping[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    return {f"{module}:{name}": part for name, part in parts.items()}


def denoised(network: Any, image: torch.Tensor) -> torch.Tensor:
    """Run DRUNet on a batch at the noise level that spandrel gives it; its own map of that is for one picture."""
    level = torch.full_like(image[:, :1], _NOISE_LEVEL)
    result: torch.Tensor = network(torch.cat([image, level], dim=1))
    return result


ADAPTATIONS: Mapping[str, Adaptation] = {
    "SwinIR": Adaptation(_in("SwinIR", {**_SWIN, "SwinTransformerBlock.calculate_mask": windows.mask_of_block})),
    "Swin2SR": Adaptation(_in("Swin2SR", {**_SWIN, "SwinTransformerBlock.calculate_mask": windows.mask_of_block})),
    "DRCT": Adaptation(_in("drct_arch", {**_SWIN, "SwinTransformerBlock.calculate_mask": windows.mask_of_block})),
    "HAT": Adaptation(
        _in("HAT", {**_SWIN, "HAT.calculate_mask": windows.mask_of_network, "OCAB.forward": overlap.cross_attention})
    ),
    "DAT": Adaptation(
        _in(
            "DAT",
            {
                "windows2img": windows.picture_of_strips,
                "Adaptive_Spatial_Attention.calculate_mask": windows.masks_of_strips,
            },
        )
    ),
    "DRUNet": Adaptation(call=denoised, singly=True),
    "SCUNet": Adaptation({"SCUNet:WMSA.forward": rolled.window_attention}),
    "KBNet": Adaptation(
        {
            "kbnet_s:KBBlock_s.KBA": kernels_by_pixel.kernel_basis_attention,
            "kbnet_l:MFF.KBA": kernels_by_pixel.kernel_basis_attention,
        }
    ),
    "SeemoRe": Adaptation({"seemore_arch:MoELayer.forward": experts.chosen}, singly=True),
}


def adaptation(architecture: str) -> Adaptation:
    """Return what an architecture needs; nothing, if it is not in the table."""
    return ADAPTATIONS.get(architecture, Adaptation())


@contextmanager
def substituted(architecture: str) -> Iterator[None]:
    """Put the substitutes of an architecture in place of its own parts, and these back afterwards.

    One at a time: another thread that asks for the same waits.

    Raises:
        ExportError: If the spandrel that is installed has no such part.
    """
    with _lock:
        replaced: list[tuple[Any, str, Any]] = []
        try:
            for place, substitute in adaptation(architecture).substitutes.items():
                owner, name = _owner(architecture, place)
                replaced.append((owner, name, vars(owner)[name]))
                setattr(owner, name, substitute)
            yield
        finally:
            for owner, name, part in reversed(replaced):
                setattr(owner, name, part)


def _owner(architecture: str, place: str) -> tuple[Any, str]:
    module, _, path = place.partition(":")
    try:
        owner = import_module(f"spandrel.architectures.{architecture}.__arch.{module}")
        *classes, name = path.split(".")
        for part in classes:
            owner = vars(owner)[part]
        vars(owner)[name]
    except (ImportError, KeyError) as error:
        raise ExportError(
            f"{architecture} of the installed spandrel has no `{path}`, wanted one to trace it by",
            'run `pip install "spandrel==0.4.2"`',
        ) from error
    return owner, name
