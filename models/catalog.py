"""The one list of models: those that ship, the user's own, and those that could be fetched."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

from fastrestore.errors import ModelError, UsageError
from fastrestore.models import package, store
from fastrestore.models.shipped import shipped
from fastrestore.models.spec import ModelSpec, Publication, Task

COARSEST_LAST_STEP = 2
"""After a chain of networks, plain resampling may enlarge by less than this; beyond it another network is added."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A package in the user's folder that cannot be used."""

    name: str
    folder: Path
    error: ModelError
    """Why, and what to do."""


def catalog() -> tuple[ModelSpec, ...]:
    """Return every model that is here: what ships in the order of the file, then the user's by name.

    What is in the user's folder is looked at anew each time, so that a model added a moment ago is found.

    Raises:
        ModelError: If the catalogue that ships is damaged.
    """
    return shipped().models + tuple(found for found in _packages() if isinstance(found, ModelSpec))


def broken() -> tuple[Broken, ...]:
    """Return the packages in the user's folder that cannot be used. They disturb no other model."""
    return tuple(found for found in _packages() if isinstance(found, Broken))


def publications() -> tuple[Publication, ...]:
    """Return the networks of others that can be fetched, whether that was done or not."""
    return shipped().publications


def find(name: str) -> ModelSpec:
    """Return the model of that name.

    Raises:
        UsageError: If there is none; the message offers the nearest names.
        ModelError: If it is a broken package, or can be fetched but was not.
    """
    for spec in catalog():
        if spec.name == name:
            return spec
    raise _missing(name, [spec.name for spec in catalog()])


def publication(name: str) -> Publication:
    """Return what can be fetched under that name.

    Raises:
        UsageError: If there is nothing.
    """
    for known in publications():
        if known.name == name:
            return known
    if any(name == spec.name for spec in catalog()):
        raise UsageError(f"model `{name}` is not one to pull: it is here", "see `fastrestore models list`")
    fetchable = [known.name for known in publications()]
    raise UsageError(f"unknown model `{name}`", f"{_nearest(name, fetchable)}to pull: {', '.join(fetchable)}")


def restoration_chain(name: str, factor: Fraction) -> tuple[ModelSpec, ...]:
    """Return the networks that enlarge by about `factor`, to be run one after the other.

    A family name (`film`) lets the factor choose among its members; a model's name is used as it is, and again
    as long as more than plain resampling by `COARSEST_LAST_STEP` would be left. No enlargement needs no network, except
    one that does not enlarge at all: that one runs once.

    Raises:
        UsageError: If there is no such model, or it does something else.
        ModelError: If it is a broken package, or can be fetched but was not.
    """
    family = [s for s in catalog() if s.task is Task.RESTORE and name in (s.family, s.name)]
    if not family:
        if any(name == s.name for s in catalog()):
            raise UsageError(f"model `{name}` does not restore: it cannot be `--sr`", "see `fastrestore models list`")
        raise _missing(name, [n for s in catalog() if s.task is Task.RESTORE for n in (s.family, s.name)])
    if any(spec.classical for spec in family):
        return ()
    by_scale = sorted(family, key=lambda spec: spec.scale)
    if by_scale[-1].scale == 1:  # it cleans and does not enlarge: once, whatever the factor
        return (by_scale[0],)
    if factor <= 1:
        return ()
    chain: list[ModelSpec] = []
    left = factor
    while not chain or left >= COARSEST_LAST_STEP:
        # The smallest network that reaches the factor; else the largest there is, and another after it.
        step = next((spec for spec in by_scale if spec.scale >= left), by_scale[-1])
        chain.append(step)
        left /= step.scale
    return tuple(chain)


def motion_model(name: str) -> ModelSpec:
    """Return the motion model of that name.

    Raises:
        UsageError: If there is none.
        ModelError: If it is a broken package, or can be fetched but was not.
    """
    known = [spec for spec in catalog() if spec.task is Task.MOTION]
    for spec in known:
        if spec.name == name:
            return spec
    raise _missing(name, [spec.name for spec in known])


def _packages() -> Iterator[ModelSpec | Broken]:
    root = store.user_folder()
    try:
        with os.scandir(root) as entries:
            folders = sorted(Path(entry.path) for entry in entries if entry.is_dir() and _is_package_name(entry.name))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        reason = ModelError(f"the models in {root} cannot be seen: {error.strerror}", "check the folder's permissions")
        yield Broken(root.name, root, reason)
        return
    for folder in folders:
        try:
            yield _read(folder, _state(folder))
        except ModelError as error:
            yield Broken(folder.name, folder, error)


def _is_package_name(name: str) -> bool:
    return not name.startswith(".") and name != store.DOWNLOADS


@lru_cache(maxsize=256)
def _read(folder: Path, state: tuple[tuple[str, int, int, int], ...]) -> ModelSpec:
    """Read a package; `state` stands for what is in it, so that a changed one is read again."""
    return package.read(folder)


def _state(folder: Path) -> tuple[tuple[str, int, int, int], ...]:
    try:
        with os.scandir(folder) as entries:
            found = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
    except OSError as error:
        raise ModelError(f"model package {folder} cannot be seen: {error.strerror}", "check its permissions") from error
    return tuple(sorted((name, status.st_ino, status.st_size, status.st_mtime_ns) for name, status in found))


def _missing(name: str, known: list[str]) -> ModelError | UsageError:
    """Return the error for a model that cannot be had by that name, with what would help."""
    for package_ in broken():
        if package_.name == name:
            return ModelError(f"model `{name}` cannot be used: {package_.error.message}", package_.error.hint)
    for published in publications():
        if published.name == name:
            return ModelError(
                f"model `{name}` is not here", f"`fastrestore models pull {name}` fetches it ({published.licence})"
            )
    hint = _nearest(name, [*known, *(published.name for published in publications())])
    return UsageError(f"unknown model `{name}`", f"{hint}known here: {', '.join(sorted(set(known)))}")


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean `{near[0]}`? " if near else ""
