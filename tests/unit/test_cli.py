"""What the command line works out itself: names of outputs, and how errors are put into words."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastrestore.api import output_paths
from fastrestore.cli import options, shell
from fastrestore.errors import UsageError


def test_one_input_goes_to_the_file_named(tmp_path: Path) -> None:
    assert output_paths([Path("a.mp4")], tmp_path / "b.mkv") == [(Path("a.mp4"), tmp_path / "b.mkv")]


def test_inputs_go_into_a_folder_under_their_own_names(tmp_path: Path) -> None:
    pairs = output_paths([Path("x/a.mp4"), Path("b.c.avi")], tmp_path)
    assert [target for _, target in pairs] == [tmp_path / "a.mkv", tmp_path / "b.c.mkv"]


@pytest.mark.parametrize("inputs", [["a.mp4", "b.mp4"], ["a.mp4", "a.avi"]])
def test_outputs_that_cannot_be(tmp_path: Path, inputs: list[str]) -> None:
    output = tmp_path / "none" if inputs[1].startswith("b") else tmp_path
    with pytest.raises(UsageError):
        output_paths([Path(name) for name in inputs], output)


def test_auto_or_a_number() -> None:
    assert options.auto_int("auto", "--tile") is None
    assert options.auto_int("64", "--tile") == 64
    for text in ("", "-1", "6.4", "1e3", "\N{SUPERSCRIPT TWO}", "\N{ARABIC-INDIC DIGIT TWO}"):
        with pytest.raises(UsageError, match="--tile"):
            options.auto_int(text, "--tile")
    with pytest.raises(UsageError) as caught:
        options.auto_int("9", "--bit-depth", (8, 10))
    assert caught.value.hint == "use `auto`, 8 or 10"


def test_an_error_is_one_line_and_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        shell._fail(UsageError("a name with\na break in it", "rename it"))
    assert stopped.value.code == 2
    assert capsys.readouterr() == ("", "error: a name with a break in it\nhint: rename it\n")
