"""What is known of a model. Code branches on these facts, never on a name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from fastrestore.errors import ModelError


class Task(StrEnum):
    """What a model does."""

    RESTORE = "restore"
    MOTION = "motion"


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file of a model."""

    path: Path
    """Relative to the folder of the catalogue."""
    sha256: str


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output of a network."""

    name: str
    channels: int
    scale: int = 1
    """Its pixels per pixel of the input picture along a side; 0 for one value a picture, `(N, channels, 1, 1)`."""
    half: bool = True
    """Whether it is float16 in the fp16 file; what counts pixels (flow, time) stays float32 there."""

    def shape(self, batch: int, height: int, width: int) -> tuple[int, int, int, int]:
        """Return its shape for `batch` input pictures of `height` x `width`."""
        if self.scale == 0:
            return batch, self.channels, 1, 1
        return batch, self.channels, height * self.scale, width * self.scale


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One row of the catalogue."""

    name: str
    family: str
    """Models of one family do the same job at different factors."""
    task: Task
    summary: str
    licence: str
    source: str
    """Where it comes from: the recipe in this repository, or a publication."""
    scale: int = 1
    """Output pixels per input pixel along a side."""
    classical: bool = False
    """Computed by the kernels, without a network."""
    halo_px: int = 0
    """Input pixels beyond a tile that can influence its result: the receptive field's reach."""
    multiple_px: int = 1
    """Sides of the input must be a multiple of this."""
    working_bytes_per_px: int = 0
    """Peak working memory of the network per input pixel, in bytes, in fp32."""
    inputs: tuple[Tensor, ...] = ()
    """Pictures are planar R'G'B', `(N, 3, H, W)`, range `[0, 1]`. A restoration network takes one; a motion network
    takes the left and the right one, and, if it finds the motion at any instant, `t` in (0, 1)."""
    outputs: tuple[Tensor, ...] = ()
    """A restoration network yields one picture, nominal range `[0, 1]`. A motion network yields flow in pixels of its
    input: four channels (x, y to the left picture; x, y to the right) and a mask (share of the left picture, in
    `[0, 1]`) where it takes `t`; else two channels, from the left picture to the right one."""
    artifacts: Mapping[str, Artifact] = field(default_factory=dict)
    """Files by precision: `fp32`, `fp16`."""
    folder: Path | None = None
    """Where its files are; None for the models that ship."""

    @classmethod
    def from_row(cls, row: Mapping[str, Any], folder: Path | None = None) -> ModelSpec:
        """Build a spec from one `[[model]]` table.

        Args:
            row: The table.
            folder: Where its files are; None for the models that ship.

        Raises:
            ModelError: If a key is unknown or missing; a typo must not become a default.
        """
        fields = dict(row)
        try:
            artifacts = {
                precision: Artifact(Path(table["file"]), table["sha256"])
                for precision, table in fields.pop("artifacts", {}).items()
            }
            for key in ("inputs", "outputs"):
                fields[key] = tuple(Tensor(**tensor) for tensor in fields.get(key, ()))
            return cls(**{**fields, "task": Task(fields["task"]), "artifacts": artifacts, "folder": folder})
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise ModelError(f"catalogue row `{row.get('name', '?')}`: {error}", "correct the catalogue") from error

    @property
    def any_instant(self) -> bool:
        """Whether a motion network takes `t` and finds the motion at that instant."""
        return self.task is Task.MOTION and len(self.inputs) == 3

    def artifact(self, precision: str) -> Artifact:
        """Return the file for a precision.

        Raises:
            ModelError: If the model has none.
        """
        if precision not in self.artifacts:
            known = ", ".join(self.artifacts) or "none"
            raise ModelError(f"model `{self.name}` has no {precision} file (has: {known})", "choose another model")
        return self.artifacts[precision]
