"""Architectures of others, through spandrel's registry: its claims are taken down here and measured later."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from fastrestore.errors import ExportError
from fastrestore.export.arch.loaded import LoadedNetwork
from fastrestore.export.arch.substitutes import table
from fastrestore.models.spec import FACE_PX, Task, Tensor

_PURPOSES = ("SR", "Restoration", "FaceSR")
_FACES: Mapping[str, Mapping[str, bool]] = {
    "GFPGAN": {"return_rgb": False, "randomize_noise": False},
    "RestoreFormer": {},
}
"""Face networks, and how each is called: without what only training needs, and with its stored noise."""
# What spandrel's detection and the networks' constructors raise on a table that only looks like one of theirs.
_NO_FIT = (
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    NotImplementedError,
)


def load(state: Mapping[str, torch.Tensor]) -> LoadedNetwork | None:
    """Build the network that spandrel finds in a state dict.

    Returns:
        The network, or None if no architecture of spandrel's fits.

    Raises:
        ExportError: If spandrel cannot be used here, an architecture fits but its network cannot be built, or the
            network does another job than making one RGB picture from one.
    """
    spandrel = _spandrel()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, of how these networks are written: users cannot follow them
            found = spandrel.ModelLoader().load_from_state_dict(dict(state))
    except spandrel.UnsupportedModelError:
        return None
    except _NO_FIT as error:
        reason = str(error).strip().partition("\n")[0][:160] or type(error).__name__
        raise ExportError(
            f"the checkpoint looks like an architecture of spandrel's but does not fit it: {reason}",
            "check that the file is whole, and see whether a newer spandrel knows it",
        ) from error
    architecture = str(found.architecture.name)
    _check_job(spandrel, found, architecture)
    if found.purpose == "FaceSR":
        return _face_network(found, architecture)
    # The public call pads and clamps, which would freeze sizes.
    network = Adapted(found.model, found._call_fn, str(found.architecture.id))
    return LoadedNetwork(
        module=network.eval(),
        architecture=architecture,
        task=Task.RESTORE,
        inputs=(Tensor("image", 3),),
        outputs=(Tensor("restored", 3, found.scale),),
        scale=found.scale,
        multiple_px=found.size_requirements.multiple_of,
        least_px=max(1, found.size_requirements.minimum),
        notes=_notes(found),
    )


class Adapted(nn.Module):
    """A network of spandrel's that takes a picture, yields one, and keeps its constants where `.half()` looks.

    In float32 its author's own code runs: that is what exports are held against. While it is traced, and in half
    precision, which many authors did not write for, the parts that `substitutes.table` names are replaced.

    Args:
        network: The network.
        call: Runs it on a picture, as its author's own inference does.
        architecture: Spandrel's name of it.
    """

    def __init__(
        self, network: nn.Module, call: Callable[[nn.Module, torch.Tensor], torch.Tensor], architecture: str
    ) -> None:
        super().__init__()
        _merge_training_branches(network)
        _adopt_constants(network)
        self.network = network
        self._call = call
        self._architecture = architecture

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Restore a batch.

        Args:
            image: `(N, 3, H, W)`, RGB, range `[0, 1]`. Some networks work in place, so that it is lost.

        Returns:
            `(N, 3, H * scale, W * scale)`, not clamped.
        """
        adaptation = table.adaptation(self._architecture)
        if torch.compiler.is_compiling() or image.dtype is torch.float16:
            with table.substituted(self._architecture):
                return (adaptation.call or self._call)(self.network, image)
        if adaptation.singly:
            return torch.cat([self._call(self.network, picture) for picture in image.split(1)])
        return self._call(self.network, image)


class UprightFace(nn.Module):
    """A face network of spandrel's that takes and yields `[0, 1]`.

    Their authors' own programs give these networks `[-1, 1]`, and get that. Spandrel's call does so for some only.

    Args:
        network: The network.
        options: How it is called.
    """

    def __init__(self, network: nn.Module, options: Mapping[str, bool]) -> None:
        super().__init__()
        _adopt_constants(network)
        self.network = network
        self._options = dict(options)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Rebuild an upright face.

        Args:
            image: `(1, 3, 512, 512)`, RGB, range `[0, 1]`.

        Returns:
            As many pixels, not clamped.
        """
        rebuilt: torch.Tensor = self.network(image * 2 - 1, **self._options)[0]
        return (rebuilt + 1) / 2


class MergedConvolution(nn.Module):
    """A convolution that was trained as several and is one when it runs."""

    def __init__(self, convolution: nn.Module, *, activated: bool) -> None:
        super().__init__()
        self.convolution = convolution
        self.activated = activated

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the convolution of `(N, C, H, W)`, activated where the original is."""
        result: torch.Tensor = self.convolution(features)
        return nn.functional.leaky_relu(result, negative_slope=0.05) if self.activated else result


def _face_network(found: Any, architecture: str) -> LoadedNetwork:
    if architecture not in _FACES:
        known = " and ".join(_FACES)
        raise ExportError(f"{architecture} rebuilds faces in a way that is not known here", f"known are {known}")
    notes = [
        f"Architecture found by spandrel. It takes one upright face of {FACE_PX} px; its author's range is [-1, 1], "
        "and was brought to [0, 1].",
    ]
    if _FACES[architecture].get("randomize_noise") is False:
        notes.append("Its decoder adds the noise that is stored with its weights: other noise each time would flicker.")
    return LoadedNetwork(
        module=UprightFace(found.model, _FACES[architecture]).eval(),
        architecture=architecture,
        task=Task.FACE,
        inputs=(Tensor("image", 3),),
        outputs=(Tensor("restored", 3),),
        multiple_px=FACE_PX,
        least_px=FACE_PX,
        fixed_px=FACE_PX,
        notes=tuple(notes),
    )


def _spandrel() -> Any:
    try:
        import spandrel
    except ImportError as error:
        raise ExportError(
            f"{error.name or 'spandrel'} is not installed", 'run `pip install "fastrestore[export]"`'
        ) from error
    except RuntimeError as error:  # torchvision registers its operators when it is imported
        raise ExportError(
            f"spandrel cannot be imported here, because torchvision does not fit torch {torch.__version__}: "
            f"{str(error).strip().partition(chr(10))[0]}",
            "install torch and torchvision from one index, such as "
            "`pip install torch torchvision --index-url https://download.pytorch.org/whl/cpu`",
        ) from error
    return spandrel


def _check_job(spandrel: Any, found: Any, architecture: str) -> None:
    wanted = "wanted one that restores or enlarges a picture"
    if not isinstance(found, spandrel.ImageModelDescriptor):
        raise ExportError(f"{architecture} takes a mask besides the picture, {wanted}", "choose another network")
    if found.purpose not in _PURPOSES:
        raise ExportError(f"{architecture} is a network for {found.purpose}, {wanted}", "choose another network")
    channels = (found.input_channels, found.output_channels)
    if channels != (3, 3):
        raise ExportError(
            f"this {architecture} takes {channels[0]} and yields {channels[1]} channels, wanted RGB in and out (3, 3)",
            "choose the colour version of the network",
        )
    if found.size_requirements.square:
        raise ExportError(f"{architecture} takes square pictures only", "choose a network for pictures of any shape")


def _notes(found: Any) -> tuple[str, ...]:
    notes = [f"Architecture found by spandrel; tags: {', '.join(found.tags) or 'none'}."]
    if found.tiling.name != "SUPPORTED":
        notes.append("Its authors' results are for whole pictures; in tiles it may look different from tile to tile.")
    if not found.supports_half:
        notes.append("spandrel does not run it in half precision; what the proof below says was measured.")
    return tuple(notes)


def _merge_training_branches(network: nn.Module) -> None:
    """Replace convolutions that work out their merged weights on every call, which cannot be traced."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if hasattr(child, "eval_conv") and hasattr(child, "update_params"):
                child.update_params()
                setattr(module, name, MergedConvolution(child.eval_conv, activated=bool(child.has_relu)))


def _adopt_constants(network: nn.Module) -> None:
    """Make buffers of tensors that are plain attributes: `.half()` passes those by."""
    for module in network.modules():
        for name, value in list(vars(module).items()):
            if isinstance(value, torch.Tensor):
                delattr(module, name)
                module.register_buffer(name, value, persistent=False)
