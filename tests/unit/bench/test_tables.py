"""Strict TOML: what is wrong is named, with the place and the nearest known name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fastrestore.bench.tables import Table, read_table
from fastrestore.errors import UsageError


def test_values_come_out_with_their_types() -> None:
    table = Table({"a": "x", "b": 3, "c": 2.5, "d": {"e": 1}, "f": [{"g": 1}], "h": "one"}, "file")
    assert (table.text("a"), table.count("b", 1), table.number("c"), table.texts("h")) == ("x", 3, 2.5, ["one"])
    assert table.table("d").count("e", 9) == 1
    assert [inner.count("g", 9) for inner in table.tables("f")] == [1]
    assert (table.text("i", "y"), table.number("j", 4), table.optional("k"), table.texts("l")) == ("y", 4.0, None, [])
    table.close()


@pytest.mark.parametrize(
    ("values", "ask", "words"),
    [
        ({"a": 1}, lambda table: table.text("a"), "`a` is 1, wanted a text"),
        ({"a": True}, lambda table: table.number("a"), "`a` is True, wanted a number, 0 or more"),
        ({"a": -1}, lambda table: table.optional("a"), "`a` is -1, wanted a number, 0 or more"),
        ({"a": 3}, lambda table: table.number("a", most=2), "wanted a number, 0 to 2"),
        ({"a": float("nan")}, lambda table: table.number("a"), "`a` is nan"),
        ({"a": 0}, lambda table: table.count("a", 1), "`a` is 0, wanted a whole number"),
        ({"a": ["x", 1]}, lambda table: table.texts("a"), "wanted a text, or a list of texts"),
        ({"a": 1}, lambda table: table.table("a"), "wanted a table"),
        ({"a": {}}, lambda table: table.tables("a"), r"each under `\[\[a\]\]`"),
        ({}, lambda table: table.text("a"), "`a` is missing, wanted a text"),
    ],
)
def test_what_is_wrong_is_named(values: dict[str, object], ask: Callable[[Table], object], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        ask(Table(values, "fleet.toml, machine 2"))
    assert "fleet.toml, machine 2" in caught.value.message


def test_a_mistyped_key_that_must_be_there_is_found() -> None:
    with pytest.raises(UsageError, match="`name` is missing") as caught:
        Table({"count": 1, "nmae": "x"}, "films.toml").text("name")
    assert caught.value.hint == "did you mean it by `nmae`?"


def test_unknown_keys_are_refused_with_the_nearest_name() -> None:
    table = Table({"sped": 2}, "fleet.toml")
    table.number("speed", 1.0)
    with pytest.raises(UsageError, match="unknown key `sped`") as caught:
        table.close()
    assert caught.value.hint.startswith("did you mean `speed`? ")


@pytest.mark.parametrize(("content", "words"), [(b"a = ", "no TOML"), (b"\xff", "no TOML"), (None, "cannot be read")])
def test_a_file_that_is_none_is_told(content: bytes | None, words: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "x.toml").write_bytes(content)
    with pytest.raises(UsageError, match=words):
        read_table(tmp_path / "x.toml")
