"""A record never lies beside a film that it is not of, wherever the giving of names is interrupted."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastrestore.errors import EncodeError
from fastrestore.runtime.naming import give_names
from fastrestore.runtime.provenance import record_path
from fastrestore.runtime.workfolder import WorkFolder


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """An output with its record, and a new film with its own in the work folder."""
    output = tmp_path / "film.mkv"
    output.write_text("old film")
    record_path(output).write_text("old record")
    work = WorkFolder(output)
    work.path.mkdir()
    work.joined.write_text("new film")
    work.record.write_text("new record")
    return output


def told(output: Path) -> tuple[str, str | None]:
    """Return which film and which record are there."""
    record = record_path(output)
    return output.read_text(), record.read_text() if record.exists() else None


def test_both_get_their_names(output: Path) -> None:
    give_names(WorkFolder(output), output)
    assert told(output) == ("new film", "new record")
    give_names(WorkFolder(output), output)
    assert told(output) == ("new film", "new record")


@pytest.mark.parametrize("name", ["output.part", "record"])
def test_interrupted_anywhere(output: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.replace

    def interrupted(path: Path, target: Path) -> Path:
        if path.name == name:
            raise OSError(5, "the disk is gone")
        return rename(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", interrupted)
        with pytest.raises(EncodeError):
            give_names(WorkFolder(output), output)
    assert told(output) in [("old film", None), ("new film", None)]
    give_names(WorkFolder(output), output)
    assert told(output) == ("new film", "new record")


def test_a_film_without_a_record_takes_the_old_one_away(output: Path) -> None:
    WorkFolder(output).record.unlink()
    give_names(WorkFolder(output), output)
    assert told(output) == ("new film", None)
