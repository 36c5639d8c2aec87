"""One process at a time works on an output, however the last one ended, and nothing but our own files is touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.e2e.command import REPOSITORY, environment

from fastrestore.errors import EncodeError, JobError
from fastrestore.files import sync_names
from fastrestore.runtime.journal import Header
from fastrestore.runtime.workfolder import WorkFolder, file_sha256, folder_for

_HOLDER = """
import sys
from pathlib import Path
from fastrestore.runtime.workfolder import WorkFolder
with WorkFolder(Path(sys.argv[1])).held():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """An output in a folder of its own."""
    folder = tmp_path / "folder"
    folder.mkdir()
    return folder / "out.mkv"


def holder(output: Path) -> subprocess.Popen[str]:
    """Start a process that holds the lock until its standard input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(output)],
        env=environment(PYTHONPATH=str(REPOSITORY / "src")),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_two_processes(output: Path) -> None:
    with holder(output) as process:
        with pytest.raises(JobError, match="another process"), WorkFolder(output).held():
            pass
        process.communicate("")
    with WorkFolder(output).held():
        pass


def test_a_killed_process_holds_nothing(output: Path) -> None:
    with holder(output) as process:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert (folder_for(output) / "lock").exists()
    with WorkFolder(output).held():
        pass


def test_two_threads(output: Path) -> None:
    """A lock is the opened file's, not the process's: two runs in one process exclude each other too."""
    with WorkFolder(output).held(), pytest.raises(JobError, match="another process"), WorkFolder(output).held():
        pass


def test_many_at_once(output: Path) -> None:
    """Each makes, holds and removes the folder, over and over; never do two hold it."""
    holding, most, lock = 0, 0, threading.Lock()

    def once(_: int) -> bool:
        nonlocal holding, most
        work = WorkFolder(output)
        try:
            with work.held():
                with lock:
                    holding += 1
                    most = max(most, holding)
                work.journal.begin(Header({}, {}))
                with lock:
                    holding -= 1
                work.remove()
        except JobError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert any(pool.map(once, range(200)))
    assert most == 1
    assert not folder_for(output).exists()


@pytest.mark.parametrize("when", ["before the lock", "after it"])
def test_a_folder_removed_while_waiting(output: Path, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    """The run before finishes between two steps of ours: what we hold then must be the new folder's lock."""
    opened, times = os.open, 0

    def watched(path: Path, flags: int, mode: int = 0o777) -> int:
        nonlocal times
        if os.fspath(path).endswith("lock"):
            times += 1
            if times == 1 and when == "before the lock":
                os.rmdir(folder_for(output))
            descriptor = opened(path, flags, mode)
            if times == 1:
                os.unlink(path)
                os.rmdir(folder_for(output))
            return descriptor
        return opened(path, flags, mode)

    monkeypatch.setattr(os, "open", watched)
    with WorkFolder(output).held():
        assert times == 2
        monkeypatch.undo()
        with pytest.raises(JobError, match="another process"), WorkFolder(output).held():
            pass


@pytest.mark.parametrize("kind", ["folder", "file", "nothing"])
def test_a_linked_folder(output: Path, tmp_path: Path, kind: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    if kind == "folder":
        elsewhere.mkdir()
    elif kind == "file":
        elsewhere.write_text("mine")
    folder_for(output).symlink_to(elsewhere)
    with pytest.raises((JobError, EncodeError)), WorkFolder(output).held():
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == (
        ["folder"] if kind == "nothing" else ["elsewhere", "folder"]
    )
    assert kind != "folder" or not list(elsewhere.iterdir())


def test_a_linked_lock(output: Path, tmp_path: Path) -> None:
    folder_for(output).mkdir()
    (folder_for(output) / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(EncodeError), WorkFolder(output).held():
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_something_else_under_its_name(output: Path) -> None:
    folder_for(output).write_text("mine")
    with pytest.raises(EncodeError), WorkFolder(output).held():
        pass
    assert folder_for(output).read_text() == "mine"


OURS = ("000000.nut", "000001.nut.part", "output.part", "journal", "journal.part", "lock")
FOREIGN = ("notes.txt", "0.nut", "000000.nut.bak", "output", "Journal", "000000.nut.part.part")


@pytest.mark.parametrize("foreign", [(), FOREIGN])
def test_remove(output: Path, tmp_path: Path, foreign: tuple[str, ...]) -> None:
    work, mine = WorkFolder(output), tmp_path / "mine"
    mine.write_text("mine")
    with work.held():
        for name in (*OURS, *foreign):
            (work.path / name).write_text(name)
        if foreign:
            (work.path / "000002.nut").mkdir()
            (work.path / "000003.nut").symlink_to(mine)
        work.remove()
    left = sorted(path.name for path in work.path.iterdir()) if work.path.exists() else None
    assert left == (sorted((*foreign, "000002.nut")) if foreign else None)
    assert mine.read_text() == "mine"


def test_the_journal_outlives_the_segments_and_the_lock_outlives_the_journal(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[str] = []
    unlink = os.unlink
    work = WorkFolder(output)
    with work.held():
        for name in OURS:
            (work.path / name).write_text(name)

        def watched(path: Path) -> None:
            removed.append(Path(path).name)
            unlink(path)

        monkeypatch.setattr(os, "unlink", watched)
        work.remove()
    assert removed[-2:] == ["journal", "lock"]


def test_clear_keeps_the_lock(output: Path) -> None:
    work = WorkFolder(output)
    with work.held():
        for name in (*OURS, *FOREIGN):
            (work.path / name).touch()
        work.clear()
        assert sorted(path.name for path in work.path.iterdir()) == sorted((*FOREIGN, "lock"))
        with pytest.raises(JobError, match="another process"), WorkFolder(output).held():
            pass


def test_file_sha256(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    assert file_sha256(path).startswith("ba7816bf")
    with pytest.raises(EncodeError):
        file_sha256(tmp_path / "none")


def test_a_folder_that_cannot_be_synced_is_no_error(tmp_path: Path) -> None:
    sync_names(tmp_path / "none")
