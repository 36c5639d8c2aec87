"""Finds the files of models and checks that they are the ones the catalogue means."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from fastrestore.errors import ModelError
from fastrestore.models.spec import ModelSpec


def locate(spec: ModelSpec, precision: str = "fp32") -> Path:
    """Return the path of a model's file, its content checked once per process.

    Raises:
        ModelError: If the file is missing or its sha256 is not the catalogue's.
    """
    artifact = spec.artifact(precision)
    path = _root(spec) / artifact.path
    _check(path, artifact.sha256)
    return path


def card(spec: ModelSpec) -> str:
    """Return a model's card as Markdown, or an empty string if it has none."""
    path = _root(spec) / spec.name / "card.md"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _root(spec: ModelSpec) -> Path:
    return spec.folder or Path(str(files("fastrestore.models")))


@lru_cache(maxsize=64)
def _check(path: Path, wanted: str) -> None:
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelError(f"model file {path} cannot be read: {error.strerror}", "reinstall fastrestore") from error
    if found != wanted:
        raise ModelError(
            f"model file {path} is damaged: sha256 {found[:12]}..., wanted {wanted[:12]}...", "reinstall fastrestore"
        )
