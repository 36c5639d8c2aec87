"""Equal keys mean the same file, and any field changed means another one (law 6)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest
from tests.unit.runtime.engine_samples import KEY

from fastrestore.runtime.cache.entry import key_of
from fastrestore.runtime.engine_key import BuildOptions, EngineKey, Profile, Shape

OTHERS: dict[type, Any] = {str: "other", int: 11, float: 1.5, bool: True}


def changed(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield a dataclass with each single field changed, however deep, and the field's name."""
    for field in fields(value):
        old, name = getattr(value, field.name), f"{path}{field.name}"
        if is_dataclass(old):
            for inner, new in changed(old, f"{name}."):
                yield inner, replace(value, **{field.name: new})
        elif old is None:
            yield name, replace(value, **{field.name: 1})
            yield f"{name} (zero)", replace(value, **{field.name: 0})
        else:
            yield name, replace(value, **{field.name: OTHERS[type(old)]})


CHANGED = dict(changed(KEY))


def test_every_field_is_changed() -> None:
    assert {"model", "onnx_sha256", "revision", "profile.name", "profile.most.width", "options.tiling_level"} <= set(
        CHANGED
    )
    scalars = sum(len(fields(kind)) for kind in (EngineKey, Profile, BuildOptions)) - 2 - 3 + 3 * len(fields(Shape))
    assert len({name.partition(" ")[0] for name in CHANGED}) == scalars


@pytest.mark.parametrize("name", CHANGED)
def test_any_field_changed_is_another_file(name: str) -> None:
    assert CHANGED[name] != KEY
    assert CHANGED[name].stem != KEY.stem
    assert CHANGED[name].digest != KEY.digest


def test_no_two_changes_meet() -> None:
    assert len({key.digest[:24] for key in CHANGED.values()}) == len(CHANGED)


def test_equal_keys_are_the_same_file() -> None:
    again = key_of(json.loads(json.dumps(KEY.as_dict())))
    assert again == KEY and again is not KEY
    assert (again.stem, again.digest) == (KEY.stem, KEY.digest)


def test_values_of_another_type_are_no_key() -> None:
    """Else `1`, `1.0` and `true` would be equal keys of different files."""
    for path, value in (("revision", 1.0), ("revision", True), ("model", 1), ("options", None), ("device", None)):
        with pytest.raises(ValueError, match=r"is no|others"):
            key_of({**json.loads(json.dumps(KEY.as_dict())), path: value})
    for change in ({"more": 1}, {}):
        fewer = {name: value for name, value in KEY.as_dict().items() if change or name != "device"}
        with pytest.raises(ValueError, match="fields of a EngineKey"):
            key_of({**fewer, **change})


def test_the_name_says_what_a_person_looks_for() -> None:
    assert KEY.stem == f"film-x4-tiny-tile-tensorrt-rtx-sm89-{KEY.digest[:24]}"
