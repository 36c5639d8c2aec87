"""From what is asked for to the files of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from fastrestore.batch.jobfile import JobFile, Rule
from fastrestore.batch.request import Prepared, Request, prepare
from fastrestore.batch.settings import Value
from fastrestore.config import Target
from fastrestore.errors import FastRestoreError, UsageError


@pytest.fixture(autouse=True)
def films(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "films"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.mp4", "b.mov", "sub/c.mkv"):
        (folder / name).touch()
    monkeypatch.chdir(tmp_path)
    return folder


def prepared(jobs: JobFile | None = None, values: Mapping[str, Value] | None = None) -> Prepared:
    return prepare(Request(["films"], Path("out"), values or {}, jobs or JobFile()))


def outputs(found: Prepared) -> list[str]:
    return [str(item.output) for item in found.items]


def test_each_file_with_its_output_in_order() -> None:
    found = prepared()
    assert [item.index for item in found.items] == [0, 1, 2]
    assert [str(item.source) for item in found.items] == ["films/a.mp4", "films/b.mov", "films/sub/c.mkv"]
    assert outputs(found) == ["out/a.mkv", "out/b.mkv", "out/sub/c.mkv"]
    assert not Path("out").exists()


def test_the_command_line_stands_between_defaults_and_rules() -> None:
    jobs = JobFile(
        {"to": "x3", "crf": 30, "container": "mov"},
        [Rule("b.mov", {"to": "x4", "container": "mkv"}), Rule("*.avi", {"to": "x2"})],
    )
    found = prepared(jobs, {"to": "x2", "container": "mp4"})
    assert [item.options.to for item in found.items] == [Target.parse(text) for text in ("x2", "x4", "x2")]
    assert {item.options.encode.crf for item in found.items} == {30}
    assert outputs(found) == ["out/a.mp4", "out/b.mkv", "out/sub/c.mp4"]
    assert found.unmatched == ("*.avi",)
    assert found.items[0].options is found.items[2].options


def test_rules_name_outputs_and_leave_films_out() -> None:
    jobs = JobFile(rules=[Rule("a.mp4", output=Path("x/y.mp4")), Rule("b.mov", skip=True)])
    assert outputs(prepared(jobs)) == ["out/x/y.mp4", "out/sub/c.mkv"]
    with pytest.raises(UsageError, match="skips every film"):
        prepared(JobFile(rules=[Rule("*", skip=True)]))


def test_outputs_of_rules_clash_with_no_other() -> None:
    with pytest.raises(UsageError, match="same output name"):
        prepared(JobFile(rules=[Rule("a.mp4", output=Path("b.mkv"))]))
    with pytest.raises(UsageError, match=r"output x.avi has `.avi`"):
        prepared(JobFile(rules=[Rule("a.mp4", output=Path("x.avi"))]))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"codec": "x266"}, "x266"),
        ({"preset": "quick"}, "quick"),
        ({"sr": "nosuch"}, "nosuch"),
        ({"vfi": "nosuch"}, "nosuch"),
        ({"backend": "nosuch"}, "nosuch"),
        ({"color-from": ("nosuch.png@3",)}, "no coloured frame nosuch.png"),
        ({"colorize": "nosuch"}, "nosuch"),
        ({"c2pa": "nosuch.pem", "container": "mp4"}, "nosuch.pem|c2pa library"),
        ({"audio": "nosuch.wav"}, "no soundtrack nosuch.wav"),
        ({"start": 5, "end": 4}, "range from 5.0 s to 4.0 s is empty"),
        ({"container": "avi"}, "unknown container"),
    ],
)
def test_what_no_film_could_be_converted_with(values: dict[str, Value], words: str) -> None:
    with pytest.raises(FastRestoreError, match=words):
        prepared(values=values)
    rule = Rule("a.mp4", values)
    with pytest.raises(FastRestoreError, match=words):
        prepared(JobFile(rules=[rule]))


@pytest.mark.parametrize("name", ["../films/b.mov", "../films/sub/../b.mov", "link/b.mov"])
def test_no_output_takes_the_place_of_another_input(films: Path, name: str) -> None:
    Path("out").mkdir()
    Path("out/link").symlink_to(films)
    with pytest.raises(UsageError, match="is one of the inputs"):
        prepared(JobFile(rules=[Rule("a.mp4", output=Path(name))]), {"overwrite": True})
