"""Model packages to try: made of a network that ships, under another name."""

from __future__ import annotations

import shutil
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastrestore.models import package
from fastrestore.models.shipped import shipped
from fastrestore.models.spec import Artifact, ModelSpec


def tiny() -> ModelSpec:
    """Return a small restoration network that ships."""
    return next(spec for spec in shipped().models if spec.name == "film-x2-tiny")


def renamed(name: str, **changes: Any) -> ModelSpec:
    """Return that network's facts under another name."""
    artifacts = {"fp32": Artifact(Path(name, "model.fp32.onnx"), tiny().artifacts["fp32"].sha256)}
    facts: dict[str, Any] = {"name": name, "family": name, "artifacts": artifacts, **changes}
    return replace(tiny(), **facts)


def make(parent: Path, name: str, row: str | None = None, **changes: Any) -> Path:
    """Write a package `parent/name`; `row` replaces its model.toml."""
    folder = parent / name
    folder.mkdir(parents=True)
    network = Path(str(files("fastrestore.models"))) / "film-x2-tiny" / "model.fp32.onnx"
    shutil.copyfile(network, folder / "model.fp32.onnx")
    (folder / "card.md").write_text(f"# {name}\n", encoding="utf-8")
    text = package.dump(renamed(name, **changes)) if row is None else row
    (folder / package.ROW_FILE).write_text(text, encoding="utf-8", errors="surrogateescape")
    return folder
