"""What comes with fastrestore: `catalog.toml` beside this file, its networks and the publications it knows."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from fastrestore.errors import ModelError
from fastrestore.models.spec import ModelSpec, Publication


@dataclass(frozen=True, slots=True)
class Shipped:
    """The content of a `catalog.toml`."""

    models: tuple[ModelSpec, ...]
    publications: tuple[Publication, ...]


@lru_cache(maxsize=1)
def shipped() -> Shipped:
    """Return what ships, in the order of the file.

    Raises:
        ModelError: If the catalogue is damaged or names something twice.
    """
    return parse(files("fastrestore.models").joinpath("catalog.toml").read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def reserved_names() -> frozenset[str]:
    """Return the names and families that ship, which no other model may take."""
    return frozenset(name for spec in shipped().models for name in (spec.name, spec.family))


def parse(text: str) -> Shipped:
    """Read a catalogue.

    Raises:
        ModelError: If it is no TOML, a row is wrong or a name occurs twice.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ModelError(f"the model catalogue cannot be read: {error}", "reinstall fastrestore") from error
    unknown = sorted(set(table) - {"model", "published"})
    if unknown:
        raise ModelError(f"the model catalogue holds `{unknown[0]}`", "it may hold `[[model]]` and `[[published]]`")
    models = tuple(ModelSpec.from_row(row) for row in _rows(table, "model"))
    publications = tuple(Publication.from_row(row) for row in _rows(table, "published")) if "published" in table else ()
    _require_unique([spec.name for spec in models] + [publication.name for publication in publications])
    return Shipped(models, publications)


def _rows(table: dict[str, Any], key: str) -> list[dict[str, Any]]:
    rows = table.get(key)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ModelError(f"the model catalogue holds no `[[{key}]]` rows", "reinstall fastrestore")
    return rows


def _require_unique(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ModelError(f"the model catalogue names {name} twice", "keep one row of each")
        seen.add(name)
