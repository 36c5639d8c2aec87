"""Which files words on the command line stand for."""

from __future__ import annotations

import errno
import io
import os
import sys
from pathlib import Path
from typing import NoReturn

import pytest
from tests.media_samples import Clip, write_clip

from fastrestore.api import convert
from fastrestore.batch.inputs import find_inputs, is_several
from fastrestore.batch.settings import options_from
from fastrestore.errors import UsageError

NOWHERE = Path("nowhere")
FILES = [
    "b.mov", "a.MP4", "note.txt", "cover.jpg", ".hidden.mp4", "sub/c.mkv", "sub/deep/a.mp4", ".trash/x.mp4",
    "b.mkv.fastrestore/000000.nut",
]  # fmt: skip


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of empty files; the current folder is the one that holds it."""
    for name in FILES:
        path = tmp_path / "films" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(*words: str, output: Path = NOWHERE) -> dict[str, str]:
    return {str(each.path): str(each.below) for each in find_inputs(words, output).files}


def test_a_folder_stands_for_all_films_in_it_by_name(tree: Path) -> None:
    assert found("films") == {
        "films/a.MP4": "a.MP4",
        "films/b.mov": "b.mov",
        "films/sub/c.mkv": "sub/c.mkv",
        "films/sub/deep/a.mp4": "sub/deep/a.mp4",
    }


def test_several_folders_keep_their_names(tree: Path) -> None:
    assert found("films/sub", "films/sub/deep") == {
        "films/sub/c.mkv": "sub/c.mkv",
        "films/sub/deep/a.mp4": "sub/deep/a.mp4",
    }
    assert list(found("films/sub/deep", "films/sub").values()) == ["deep/a.mp4", "sub/c.mkv"]


def test_the_folder_one_is_in(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree / "films" / "sub")
    assert list(found(".").values()) == ["c.mkv", "deep/a.mp4"]
    assert list(found(".", "deep").values()) == ["sub/c.mkv", "sub/deep/a.mp4"]
    assert list(found("..").values())[:2] == ["a.MP4", "b.mov"]


def test_files_go_by_their_names_each_once(tree: Path) -> None:
    (tree / "link.mp4").symlink_to(tree / "films/a.MP4")
    assert found("films/b.mov", "films/sub/../b.mov", "missing.mp4", "films/a.MP4", "link.mp4") == {
        "films/b.mov": "b.mov",
        "missing.mp4": "missing.mp4",  # told when it is its turn: other files are not held up by it
        "films/a.MP4": "a.MP4",
    }


def test_patterns(tree: Path) -> None:
    assert found("films/**/*.mp4") == {"films/sub/deep/a.mp4": "sub/deep/a.mp4"}
    assert found("films/*.m[ok]v") == {"films/b.mov": "b.mov"}
    assert found("films/note.*") == {"films/note.txt": "note.txt"}  # whoever names it means it
    assert "films/b.mkv.fastrestore/000000.nut" not in found("films/**/*")
    with pytest.raises(UsageError, match=r"no file matches `films/\*\.avi`"):
        found("films/*.avi")
    (tree / "films" / "[1].mp4").touch()
    assert found("films/[1].mp4") == {"films/[1].mp4": "[1].mp4"}


@pytest.mark.parametrize("separator", [b"\n", b"\r\n", b"\0"])
def test_lists(tree: Path, separator: bytes) -> None:
    names = [b"films/sub/c.mkv", b"films", str(tree / "films/b.mov").encode(), b"", b"n\xffame.mp4"]
    (tree / "list.txt").write_bytes(separator.join(names) + separator)
    assert found("@list.txt") == {
        "films/sub/c.mkv": "films/sub/c.mkv",
        "films/a.MP4": "films/a.MP4",
        "films/b.mov": "films/b.mov",
        "films/sub/deep/a.mp4": "films/sub/deep/a.mp4",
        os.fsdecode(b"n\xffame.mp4"): os.fsdecode(b"n\xffame.mp4"),
    }


def test_a_list_on_standard_input(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = f"{tree}/films/b.mov\n../{tree.name}/films/a.MP4\n".encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert list(found("-").values()) == ["b.mov", "a.MP4"]


def test_lists_that_cannot_be_read(tree: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the list nosuch"):
        found("@nosuch")
    (tree / "empty").touch()
    with pytest.raises(UsageError, match="no film in `@empty`"):
        found("@empty")


def test_outputs_and_what_we_made_are_no_inputs(tree: Path) -> None:
    source = write_clip(tree / "films" / "real.mp4", Clip(frames=3))
    convert(source, tree / "films" / "ours.mkv", options_from({"to": "x1", "fps": "source", "preset": "ultrafast"}))
    inputs = find_inputs(["films"], tree / "films" / "sub")
    assert [each.path.name for each in inputs.files] == ["a.MP4", "b.mov", "real.mp4"]
    assert [path.name for path in inputs.left_out] == ["ours.mkv"]
    assert list(found("films/*.m*", "films/s*/*", output=tree / "films" / "sub").values()) == ["b.mov", "real.mp4"]
    assert list(found("films/ours.mkv").values()) == ["ours.mkv"]  # named itself, it is meant
    (tree / "done").mkdir()
    (tree / "films" / "ours.mkv").rename(tree / "done" / "ours.mkv")
    with pytest.raises(UsageError, match="but for 1 that fastrestore has made"):
        find_inputs(["done"], NOWHERE)


def test_a_folder_that_cannot_be_looked_into(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def scandir(path: str) -> NoReturn:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(UsageError, match="cannot look into films: Permission denied"):
        found("films")


def test_a_folder_may_hold_its_own_outputs(tree: Path) -> None:
    assert len(found("films", output=tree / "films")) == 4
    assert len(found("films", output=tree)) == 4


def test_what_is_a_batch(tree: Path) -> None:
    for words in (["films"], ["films/*.mp4"], ["@list"], ["-"], ["a.mp4", "b.mp4"]):
        assert is_several(words)
    (tree / "[1].mp4").touch()
    for word in ("films/a.MP4", "missing.mp4", "[1].mp4", "./@list"):
        assert not is_several([word])


def test_patterns_follow_no_links_to_folders_above(tree: Path) -> None:
    (tree / "films/above").symlink_to(tree / "films")  # one: two would end no run that follows them
    assert list(found("films/**/*.m[ok]v")) == ["films/b.mov", "films/sub/c.mkv"]
    assert set(found("films/**").values()) == {"a.MP4", "b.mov", "cover.jpg", "note.txt", "sub/c.mkv", "sub/deep/a.mp4"}
    assert list(found("films/**/deep/*")) == ["films/sub/deep/a.mp4"]
    assert list(found("films/above/*.mov")) == ["films/above/b.mov"]  # whoever names a link means it
    assert list(found(str(tree / "*/b.*"))) == [str(tree / "films/b.mov")]


def test_an_empty_word_is_not_the_folder_one_is_in(tree: Path) -> None:
    for words in ([""], ["films", ""]):
        with pytest.raises(UsageError, match="an input is empty"):
            find_inputs(words, NOWHERE)
