"""Where outputs lie and what they are called."""

from __future__ import annotations

import os
from pathlib import Path, PurePath

import pytest

from fastrestore.batch.inputs import Input
from fastrestore.batch.outputs import check_folder, check_report, name_outputs, output_for, suffix_of
from fastrestore.errors import EncodeError, UsageError


def named(*below: str, folder: str = "out", suffix: str = ".mkv", root: str = "in") -> list[str]:
    inputs = [Input(Path(root, name), PurePath(name)) for name in below]
    return [str(path) for path in name_outputs(inputs, Path(folder), [suffix] * len(inputs))]


def test_one_input_goes_to_the_file_named(tmp_path: Path) -> None:
    assert output_for(Path("a.mp4"), tmp_path / "b.mkv") == tmp_path / "b.mkv"
    assert output_for(Path("a.mp4"), tmp_path / "b.mov", "mov") == tmp_path / "b.mov"
    assert output_for(Path("x/b.c.avi"), tmp_path) == tmp_path / "b.c.mkv"
    assert output_for(Path("x/b.c.avi"), tmp_path, "mp4") == tmp_path / "b.c.mp4"
    with pytest.raises(UsageError, match=r"output b.mkv is to be mov"):
        output_for(Path("a.mp4"), tmp_path / "b.mkv", "mov")


def test_containers() -> None:
    assert [suffix_of(name) for name in ("mkv", "mp4", "mov")] == [".mkv", ".mp4", ".mov"]
    with pytest.raises(UsageError, match="unknown container `avi`"):
        suffix_of("avi")


def test_the_tree_is_kept() -> None:
    assert named("a.mp4", "sub/b.c.avi", "sub/deep/a.mov") == ["out/a.mkv", "out/sub/b.c.mkv", "out/sub/deep/a.mkv"]


def test_where_two_would_get_one_name_both_keep_their_suffix() -> None:
    assert named("a.mp4", "a.mov", "b.mov") == ["out/a.mp4.mkv", "out/a.mov.mkv", "out/b.mkv"]
    # What they get then may clash in turn.
    assert named("a.mp4", "a.mov", "a.mp4.avi") == ["out/a.mp4.mkv", "out/a.mov.mkv", "out/a.mp4.avi.mkv"]
    assert named("a.mp4", "sub/a.mp4") == ["out/a.mkv", "out/sub/a.mkv"]


def test_no_output_takes_the_name_of_an_input() -> None:
    assert named("a.mp4", "b.mkv", folder="in") == ["in/a.mkv", "in/b.mkv.mkv"]
    assert named("a.mp4", "a.mkv", folder="in") == ["in/a.mp4.mkv", "in/a.mkv.mkv"]
    assert named("a.mp4", "b.mkv", folder="in", suffix=".mp4") == ["in/a.mp4.mp4", "in/b.mp4"]


def test_names_do_not_depend_on_what_is_there(tmp_path: Path) -> None:
    before = named("a.mp4", "b.mov", folder=str(tmp_path))
    for path in before:
        Path(path).touch()
    assert named("a.mp4", "b.mov", folder=str(tmp_path)) == before


def test_names_that_stay_the_same_are_refused() -> None:
    inputs = [Input(Path("x/a.mp4"), PurePath("a.mp4")), Input(Path("y/a.mp4"), PurePath("a.mp4"))]
    with pytest.raises(UsageError, match=r"two inputs would get the same output name: a.mp4.mkv"):
        name_outputs(inputs, Path("out"), [".mkv"] * 2)


def test_the_folder_of_outputs(tmp_path: Path) -> None:
    check_folder(tmp_path / "new" / "one", make=False)
    assert not (tmp_path / "new").exists()
    check_folder(tmp_path / "new" / "one", make=True)
    assert (tmp_path / "new" / "one").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is a file"):
        check_folder(tmp_path / "file", make=True)
    with pytest.raises(UsageError, match="looks like a file"):
        check_folder(tmp_path / "out.mp4", make=True)
    with pytest.raises(EncodeError, match="cannot write"):
        check_folder(tmp_path / "file" / "below", make=True)


def test_a_folder_that_may_not_be_written_to(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(EncodeError, match="cannot write"):
        check_folder(tmp_path / "new", make=False)


def test_reports_replace_no_film(tmp_path: Path) -> None:
    check_report(tmp_path / "r.json", [tmp_path / "a.mp4"])
    with pytest.raises(UsageError, match="one of the media files"):
        check_report(tmp_path / "a.mp4", [tmp_path / "x" / ".." / "a.mp4"])
    for path in (tmp_path, tmp_path / "none" / "r.json"):
        with pytest.raises(UsageError, match="cannot be written"):
            check_report(path, [])


def test_an_output_folder_by_another_name(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "a.mkv").touch()
    (tmp_path / "link").symlink_to("films")
    inputs = [Input(tmp_path / "films" / "a.mkv", PurePath("a.mkv"))]
    assert name_outputs(inputs, tmp_path / "link", [".mkv"]) == [tmp_path / "link" / "a.mkv.mkv"]
