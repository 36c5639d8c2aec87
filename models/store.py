"""Finds the files of models and checks that they are the ones the catalogue means."""

from __future__ import annotations

import os
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from unicodedata import category

from fastrestore.errors import ModelError
from fastrestore.files import digest
from fastrestore.models.spec import ModelSpec

USER_FOLDER_VARIABLE = "FASTRESTORE_MODELS"
DOWNLOADS = "downloads"
"""Folder in the user's folder for what was fetched, as it was published."""


def user_folder() -> Path:
    """Return the folder of the user's own models, which need not exist: `FASTRESTORE_MODELS`, or the platform's."""
    if chosen := os.environ.get(USER_FOLDER_VARIABLE):
        return Path(chosen).absolute()
    import platformdirs

    return platformdirs.user_data_path("fastrestore", appauthor=False) / "models"


def locate(spec: ModelSpec, precision: str = "fp32") -> Path:
    """Return the path of a model's file, its content checked once per process, and again once it changed.

    Raises:
        ModelError: If the file is missing or its sha256 is not the catalogue's.
    """
    artifact = spec.artifact(precision)
    path = _root(spec) / artifact.path
    try:
        status = path.stat()
    except OSError as error:
        raise _unreadable(path, error, spec) from error
    found = _digest_of(path, status.st_size, status.st_mtime_ns)
    if found != artifact.sha256:
        raise ModelError(
            f"model file {path} is damaged: sha256 {found[:12]}..., wanted {artifact.sha256[:12]}...", _remedy(spec)
        )
    return path


def verify(spec: ModelSpec) -> None:
    """Check every file of a model as it is now on the disk.

    Raises:
        ModelError: If one is missing or damaged.
    """
    _digest_of.cache_clear()
    for precision in spec.artifacts:
        locate(spec, precision)


def card(spec: ModelSpec) -> str:
    """Return a model's card as Markdown, or an empty string if it has none. It cannot steer a terminal.

    Raises:
        ModelError: If it is there and cannot be read.
    """
    try:
        text = (_root(spec) / spec.name / "card.md").read_text(encoding="utf-8", errors="replace")
        return "".join(letter if letter in "\n\t" or category(letter)[0] != "C" else "\ufffd" for letter in text)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        raise ModelError(f"the card of `{spec.name}` cannot be read: {error.strerror}", _remedy(spec)) from error


def _root(spec: ModelSpec) -> Path:
    return spec.folder or Path(str(files("fastrestore.models")))


def _remedy(spec: ModelSpec) -> str:
    if spec.folder is None:
        return "reinstall fastrestore"
    return f"remove {spec.folder / spec.name} and add, pull or export the model again"


def _unreadable(path: Path, error: OSError, spec: ModelSpec) -> ModelError:
    return ModelError(f"model file {path} cannot be read: {error.strerror}", _remedy(spec))


@lru_cache(maxsize=256)
def _digest_of(path: Path, size: int, changed_ns: int) -> str:
    """Return a file's sha256; size and time stand for its content, so that a changed file is read again."""
    try:
        return digest(path)
    except OSError as error:
        raise ModelError(f"model file {path} cannot be read: {error.strerror}", "check its permissions") from error
