"""The one list of models, read from `catalog.toml` beside this file."""

from __future__ import annotations

import difflib
import tomllib
from fractions import Fraction
from functools import lru_cache
from importlib.resources import files

from fastrestore.errors import ModelError, UsageError
from fastrestore.models.spec import ModelSpec, Task

COARSEST_LAST_STEP = 2
"""After a chain of networks, plain resampling may enlarge by less than this; beyond it another network is added."""


@lru_cache(maxsize=1)
def catalog() -> tuple[ModelSpec, ...]:
    """Return every model, in the order of the file.

    Raises:
        ModelError: If the catalogue is damaged or names a model twice.
    """
    text = files("fastrestore.models").joinpath("catalog.toml").read_text(encoding="utf-8")
    return parse(text)


def parse(text: str) -> tuple[ModelSpec, ...]:
    """Read a catalogue.

    Raises:
        ModelError: If it is no TOML, a row is wrong or a name occurs twice.
    """
    try:
        rows = tomllib.loads(text).get("model")
    except tomllib.TOMLDecodeError as error:
        raise ModelError(f"the model catalogue cannot be read: {error}", "reinstall fastrestore") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ModelError("the model catalogue holds no `[[model]]` rows", "reinstall fastrestore")
    specs = tuple(ModelSpec.from_row(row) for row in rows)
    names = [spec.name for spec in specs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ModelError(f"the model catalogue names {', '.join(twice)} twice", "keep one row of each")
    return specs


def find(name: str) -> ModelSpec:
    """Return the model of that name.

    Raises:
        UsageError: If there is none; the message offers the nearest names.
    """
    for spec in catalog():
        if spec.name == name:
            return spec
    raise _unknown(name, [spec.name for spec in catalog()])


def restoration_chain(name: str, factor: Fraction) -> tuple[ModelSpec, ...]:
    """Return the networks that enlarge by about `factor`, to be run one after the other.

    A family name (`film`) lets the factor choose among its members; a model's name is used as it is, and again
    as long as more than plain resampling by `COARSEST_LAST_STEP` would be left. No enlargement needs no network.

    Raises:
        UsageError: If there is no such model, or it does something else.
    """
    family = [s for s in catalog() if s.task is Task.RESTORE and name in (s.family, s.name)]
    if not family:
        if any(name == s.name for s in catalog()):
            raise UsageError(f"model `{name}` does not restore: it cannot be `--sr`", "see `fastrestore models list`")
        raise _unknown(name, [n for s in catalog() if s.task is Task.RESTORE for n in (s.family, s.name)])
    if factor <= 1 or any(spec.classical for spec in family):
        return ()
    by_scale = sorted(family, key=lambda spec: spec.scale)
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
    """
    known = [spec for spec in catalog() if spec.task is Task.MOTION]
    for spec in known:
        if spec.name == name:
            return spec
    raise _unknown(name, [spec.name for spec in known])


def _unknown(name: str, known: list[str]) -> UsageError:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean `{near[0]}`? " if near else ""
    return UsageError(f"unknown model `{name}`", f"{hint}known here: {', '.join(sorted(set(known)))}")
