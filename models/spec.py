"""What is known of a model. Code branches on these facts, never on a name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from fastrestore.errors import ModelError

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
"""What a model may be called: it becomes a folder and a word of a command line on every system."""
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""What a file of a model may be called: one plain component, hidden nowhere."""
SHA256 = re.compile(r"[0-9a-f]{64}")
LONGEST_TEXT = 2000
_MOST_BYTES = 2**40


class Task(StrEnum):
    """What a model does."""

    RESTORE = "restore"
    MOTION = "motion"
    COLOUR = "colour"
    FACE = "face"
    """Rebuilds a face that fills a picture of `FACE_PX`, upright, as FFHQ's faces lie in theirs."""
    DETECT = "detect"
    """Finds faces: YuNet, which OpenCV runs."""


FACE_PX = 512
"""Both sides of the picture that a face network takes, in pixels."""


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
    """Pictures are planar R'G'B', `(N, 3, H, W)`, range `[0, 1]`. A restoration network takes one; a colour network
    takes a grey one, a face network an upright face; a motion network takes the left and the right one, and, if it
    finds the motion at any instant, `t` in (0, 1)."""
    outputs: tuple[Tensor, ...] = ()
    """A restoration network yields one picture, nominal range `[0, 1]`; a face network too. So does a colour network,
    of which the chroma is taken; it may also yield how far that is to be trusted, one channel in `[0, 1]`. A motion
    network yields flow in pixels of its input: four channels (x, y to the left picture; x, y to the right) and a mask
    (share of the left picture, in `[0, 1]`) where it takes `t`; else two channels, from the left picture to the right
    one. Those of a detector are not listed: OpenCV knows them."""
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
            ModelError: If a key is unknown or missing, or a value is of the wrong type or beyond its range; a typo must
                not become a default.
        """
        fields = dict(row)
        try:
            artifacts = {p: _artifact(table) for p, table in _table(fields.pop("artifacts", {})).items()}
            tensors = {
                key: tuple(_tensor(row) for row in _tables(fields.pop(key, []))) for key in ("inputs", "outputs")
            }
            _check(fields, _MODEL_RULES)
            return cls(**{**fields, **tensors, "task": Task(fields["task"]), "artifacts": artifacts, "folder": folder})
        except (TypeError, ValueError, KeyError) as error:
            raise _row_error(row, error) from error

    @property
    def sees_whole(self) -> bool:
        """Whether it must see whole pictures: what it finds at one place depends on all others."""
        return self.task is not Task.RESTORE

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


@dataclass(frozen=True, slots=True)
class Publication:
    """A network that others publish: enough to find, judge and fetch it.

    What runs is made of it by `export`, which measures what a `ModelSpec` must know (halo, size rule, memory).
    """

    name: str
    """Also the name of the model that is made of it."""
    task: Task
    summary: str
    licence: str
    """SPDX identifier."""
    source: str
    """The project that publishes it."""
    url: str
    """Address of the file; https."""
    filename: str
    scale: int = 1
    size_bytes: int = 0
    """0 if it is not documented."""
    sha256: str = ""
    """Empty if it is not documented: then it is pinned when first pulled."""

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Publication:
        """Build a publication from one `[[published]]` table.

        Raises:
            ModelError: If a key is unknown or missing, or a value cannot be meant.
        """
        fields = dict(row)
        try:
            _check(fields, _PUBLICATION_RULES)
            return cls(**{**fields, "task": Task(fields["task"])})
        except (TypeError, ValueError, KeyError) as error:
            raise _row_error(row, error) from error


def _is_text(value: object) -> bool:
    # Printable only: a summary from a stranger's package must not steer the terminal that shows it.
    return isinstance(value, str) and value.isprintable() and 0 < len(value) <= LONGEST_TEXT


def _is_name(value: object) -> bool:
    return isinstance(value, str) and NAME.fullmatch(value) is not None


def _is_file_name(value: object) -> bool:
    return isinstance(value, str) and FILE_NAME.fullmatch(value) is not None


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and SHA256.fullmatch(value) is not None


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_whole(least: int, most: int) -> Callable[[object], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


_Rules = Mapping[str, Callable[[object], bool]]
_MODEL_RULES: _Rules = {
    **dict.fromkeys(("name", "family"), _is_name),
    **dict.fromkeys(("task", "summary", "licence", "source"), _is_text),
    "scale": _is_whole(1, 16),
    "classical": _is_flag,
    "halo_px": _is_whole(0, 1 << 16),
    "multiple_px": _is_whole(1, 1 << 12),
    "working_bytes_per_px": _is_whole(0, _MOST_BYTES),
}
_TENSOR_RULES: _Rules = {
    "name": _is_text,
    "channels": _is_whole(1, 1 << 12),
    "scale": _is_whole(0, 16),
    "half": _is_flag,
}
_ARTIFACT_RULES: _Rules = {"file": _is_text, "sha256": _is_hash}
_PUBLICATION_RULES: _Rules = {
    "name": _is_name,
    **dict.fromkeys(("task", "summary", "licence", "source"), _is_text),
    "url": lambda value: _is_text(value) and str(value).startswith("https://"),
    "filename": _is_file_name,
    "scale": _is_whole(1, 16),
    "size_bytes": _is_whole(0, _MOST_BYTES),
    "sha256": lambda value: value == "" or _is_hash(value),
}


def _check(fields: Mapping[str, object], rules: _Rules) -> None:
    for key, value in fields.items():
        if key not in rules:
            raise ValueError(f"unknown key {ascii(key)[:42]}")
        if not rules[key](value):
            raise ValueError(f"`{key}` cannot be {ascii(value)[:60]}")


def _artifact(row: object) -> Artifact:
    fields = _table(row)
    _check(fields, _ARTIFACT_RULES)
    return Artifact(Path(fields["file"]), fields["sha256"])


def _tensor(row: object) -> Tensor:
    fields = _table(row)
    _check(fields, _TENSOR_RULES)
    return Tensor(**fields)


def _table(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"a table was wanted, not {ascii(value)[:60]}")
    return value


def _tables(value: object) -> list[object]:
    if not isinstance(value, list):
        raise ValueError(f"a list of tables was wanted, not {ascii(value)[:60]}")
    return value


def _row_error(row: Mapping[str, Any], error: Exception) -> ModelError:
    name = ascii(row.get("name", "?"))[:70].strip("'")
    problem = f"`{error.args[0]}` is missing" if isinstance(error, KeyError) else str(error)
    return ModelError(f"the row of model `{name}`: {problem}", "correct the row, or export the model anew")
