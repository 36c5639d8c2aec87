"""`fastrestore presets` as a user meets it, in this process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fastrestore.cli import presets
from fastrestore.errors import UsageError
from fastrestore.presets.film import SHIPPED, load_preset


def test_the_list_names_each_with_what_it_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    presets.presets_list()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(SHIPPED)
    assert all(load_preset(line.split()[0]).summary in line for line in lines)
    presets.presets_list(as_json=True)
    assert [each["name"] for each in json.loads(capsys.readouterr().out)] == list(SHIPPED)


def test_showing_one_prints_the_file_with_its_reasons(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    presets.presets_show("16mm")
    shown = capsys.readouterr().out
    assert shown.rstrip("\n") == load_preset("16mm").text.rstrip("\n")
    presets.presets_show("16mm", as_json=True)
    assert json.loads(capsys.readouterr().out)["options"] == dict(load_preset("16mm").options)
    # What was shown is a preset again.
    mine = tmp_path / "mine.toml"
    mine.write_text(shown)
    presets.presets_show(str(mine))
    assert capsys.readouterr().out == shown


def test_an_unknown_one_is_an_error() -> None:
    with pytest.raises(UsageError, match="no film preset"):
        presets.presets_show("70mm")
