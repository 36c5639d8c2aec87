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
    input_name: str = ""
    """`(N, 3, H, W)` planar R'G'B', range `[0, 1]`."""
    output_name: str = ""
    """`(N, 3, H * scale, W * scale)` planar R'G'B', nominal range `[0, 1]`."""
    artifacts: Mapping[str, Artifact] = field(default_factory=dict)
    """Files by precision: `fp32`, `fp16`."""

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> ModelSpec:
        """Build a spec from one `[[model]]` table.

        Raises:
            ModelError: If a key is unknown or missing; a typo must not become a default.
        """
        fields = dict(row)
        artifacts = {
            precision: Artifact(Path(table["file"]), table["sha256"])
            for precision, table in fields.pop("artifacts", {}).items()
        }
        try:
            return cls(**{**fields, "task": Task(fields["task"]), "artifacts": artifacts})
        except (TypeError, ValueError, KeyError) as error:
            raise ModelError(f"catalogue row `{row.get('name', '?')}`: {error}", "correct the catalogue") from error

    def artifact(self, precision: str) -> Artifact:
        """Return the file for a precision.

        Raises:
            ModelError: If the model has none.
        """
        if precision not in self.artifacts:
            known = ", ".join(self.artifacts) or "none"
            raise ModelError(f"model `{self.name}` has no {precision} file (has: {known})", "choose another model")
        return self.artifacts[precision]
