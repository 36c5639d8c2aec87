"""What an engine depends on. The hash of it is the engine's file name, so that a stale engine is never found."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

BUILDER_REVISION = 1
"""Raised whenever the builder makes another engine of the same inputs."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Batch, height and width of a network's input pictures."""

    batch: int
    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.batch}x{self.width}x{self.height}"


@dataclass(frozen=True, slots=True)
class Profile:
    """The range of inputs one engine takes, and the input it is tuned for."""

    name: str
    """A resolution class (`tile`, `sd`, `hd`, `uhd`) or the exact size, `1920x1080`."""
    least: Shape
    best: Shape
    most: Shape

    def takes(self, shape: Shape) -> bool:
        """Return whether an input of this shape lies within the range."""
        low, high = self.least, self.most
        return (
            low.batch <= shape.batch <= high.batch
            and low.height <= shape.height <= high.height
            and low.width <= shape.width <= high.width
        )


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """Settings of the builder that change what it makes."""

    workspace_bytes: int | None = None
    """Scratch memory a layer may use while it runs; None leaves it to the library."""
    optimization_level: int = 3
    """0 (fast to build) to 5 (fast to run)."""
    aux_streams: int | None = None
    """Further streams the engine may use inside one run; None leaves it to the library."""
    tiling_level: int = 0
    """0 (none) to 3 (full): fusing layers in tiles that fit the cache."""
    version_compatible: bool = False
    """Runs under later versions of the library too."""
    hardware_compatible: bool = False
    """Runs on later cards too."""


@dataclass(frozen=True, slots=True)
class EngineKey:
    """All that an engine depends on. Equal keys mean the same file; any field changed means another one."""

    model: str
    """For people to read; the file's hash decides."""
    onnx_sha256: str
    backend: str
    """`tensorrt` or `tensorrt-rtx`."""
    backend_version: str
    device: str
    """The card's name, or empty where an engine fits every card of a capability."""
    capability: str
    """Compute capability, `8.9`."""
    driver_floor: str
    """Oldest driver that runs it, as far as the library says; empty where it says nothing."""
    precision: str
    profile: Profile
    options: BuildOptions = BuildOptions()
    revision: int = BUILDER_REVISION

    def as_dict(self) -> dict[str, Any]:
        """Return all fields as JSON holds them."""
        return asdict(self)

    @property
    def digest(self) -> str:
        """The sha256 of all fields, in lower-case hexadecimal."""
        text = json.dumps(self.as_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def stem(self) -> str:
        """The file name of its engine without a suffix: what a person looks for first, then the hash."""
        card = "sm" + self.capability.replace(".", "")
        return f"{self.model}-{self.profile.name}-{self.backend}-{card}-{self.digest[:24]}"
