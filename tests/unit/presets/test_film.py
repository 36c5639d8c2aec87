"""Film presets: those that ship say what they mean, and a file of one's own is read strictly."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from importlib.resources import files
from pathlib import Path

import pytest

from fastrestore.config import FilmOptions
from fastrestore.errors import UsageError
from fastrestore.presets.film import OPTIONS, SHIPPED, load_preset, presets
from fastrestore.runtime.treatments.fields.planner import FieldSettings
from fastrestore.runtime.treatments.table import asked_for


def test_those_that_ship_are_those_in_the_folder() -> None:
    found = [entry.name for entry in files("fastrestore.presets").iterdir() if entry.name.endswith(".toml")]
    assert sorted(found) == sorted(f"{name}.toml" for name in SHIPPED)
    assert [preset.name for preset in presets()] == list(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_each_sets_options_of_the_film_and_explains_them(name: str) -> None:
    preset = load_preset(name)
    assert preset.summary
    assert preset.path is None
    assert dict(preset.options) == tomllib.loads(preset.text)["options"]
    # What is wanted of the output is not the film's business.
    assert not set(preset.options) & {"to", "fps", "codec", "crf", "preset", "bit-depth"}
    assert len(re.findall(r"^# ", preset.text, re.MULTILINE)) > len(preset.options) / 2


@pytest.mark.parametrize("name", SHIPPED)
def test_the_stages_understand_its_words(name: str) -> None:
    options = load_preset(name).options
    known = {field.name for field in fields(FilmOptions)}
    words = {key.replace("-", "_"): value for key, value in options.items() if key.replace("-", "_") in known}
    film = FilmOptions(**words)  # type: ignore[arg-type]
    assert set(asked_for(film)) == set(words) - {"deinterlace", "detelecine"}
    FieldSettings.parse(film.deinterlace or "off", detelecine=film.detelecine)


def test_a_file_of_ones_own_is_read_in_its_order(tmp_path: Path) -> None:
    path = tmp_path / "attic.toml"
    path.write_text('summary = "from the attic"\n[options]\nsteady = "fill"\ncrf = 17\nkeep-holds = true\n')
    preset = load_preset(str(path))
    assert preset.name == "attic"
    assert preset.path == path
    assert list(preset.options.items()) == [("steady", "fill"), ("crf", 17), ("keep-holds", True)]


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("[options]\nstedy = 'crop'", "unknown option 'stedy'", "did you mean `steady`?"),
        ("[options]\nkeep_holds = true", "unknown option 'keep_holds'", "did you mean `keep-holds`?"),
        ("[options]\noverwrite = true", "unknown option 'overwrite'", "known: "),
        ("[option]\nsteady = 'crop'", "unknown key 'option'", "did you mean `options`?"),
        ("steady = 'crop'", "unknown key 'steady'", "known: summary, options"),
        ("options = 3", "`options` is no table", "`[options]`"),
        ("[options]\nsteady = ['crop']", "`steady` cannot be", "wanted words"),
        ("[options]\ngrain = ''", "`grain` cannot be", "wanted words"),
        ("[options]\nfps = inf", "`fps` cannot be", "a number"),
        ("[options]\ngrain = 'ke\\u001bep'".replace("'", '"'), "`grain` cannot be", "wanted words"),
        ("summary = 3", "`summary` is no line", "one line"),
        ("[options", "cannot be read", "presets show"),
    ],
)
def test_what_no_preset_can_hold_is_refused(tmp_path: Path, text: str, message: str, hint: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=re.escape(message)) as caught:
        load_preset(str(path))
    assert hint in caught.value.hint
    assert caught.value.exit_code == 2


def test_a_name_that_is_none_is_met_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="no film preset `silent`") as caught:
        load_preset("silent")
    assert "did you mean `silent-1900`?" in caught.value.hint


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the preset"):
        load_preset(str(tmp_path / "absent.toml"))
    with pytest.raises(UsageError, match="cannot read the preset"):
        load_preset(f"{tmp_path}/")
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="is no text"):
        load_preset(str(binary))
    long = tmp_path / "long.toml"
    long.write_bytes(b"#" * 70_000)
    with pytest.raises(UsageError, match="larger than"):
        load_preset(str(long))


def test_options_have_one_spelling() -> None:
    assert len(set(OPTIONS)) == len(OPTIONS)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", option) for option in OPTIONS)
