"""Several worker processes: the same file as from one, whoever is killed, and nobody left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.e2e.command import Ran, command, environment, listen_to_signals, run
from tests.unit.runtime.fleet.samples import faulty_film, film

from fastrestore.runtime.workfolder import folder_for

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
SETTINGS = ("--to", "x2", "--fps", "12", "--preset", "ultrafast", "--progress", "json")
_PATIENCE_S = 60
_SECONDS = 24
"""Of film: five segments."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("film") / "film.mkv", _SECONDS)


@pytest.fixture(scope="module")
def alone(source: Path) -> bytes:
    """What one process makes, with a network that uses every core."""
    assert run("convert", source, "-o", "alone.mkv", *SETTINGS, folder=source.parent).code == 0
    return source.with_name("alone.mkv").read_bytes()


def children(process: int) -> list[int]:
    """Return the processes that a process has started."""
    return [int(number) for number in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def is_there(process: int) -> bool:
    """Whether a process exists and has not ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def wait_for(seen: Callable[[], object]) -> None:
    """Wait until something is seen."""
    until = time.monotonic() + _PATIENCE_S
    while not seen():
        assert time.monotonic() < until, "it was never seen"
        os.sched_yield()


class Begun:
    """A command that runs with two workers, and what it leaves on the disk."""

    def __init__(self, source: Path, folder: Path, *options: object) -> None:
        self.output = folder / "out.mkv"
        words = command("convert", source, "-o", self.output, *SETTINGS, "--workers", 2, *options)
        self.process = subprocess.Popen(
            words,
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=listen_to_signals,
        )

    def at_work(self) -> list[int]:
        """Wait until both workers write a segment, and return their processes."""
        wait_for(lambda: len(list(folder_for(self.output).glob("*.w*.part"))) == 2)
        return children(self.process.pid)

    def ended(self) -> Ran:
        out, err = self.process.communicate(timeout=_PATIENCE_S)
        assert b"Traceback" not in err, err.decode()
        return Ran(self.process.returncode, out.decode(), err.decode())


def test_the_same_bytes(tmp_path: Path, source: Path, alone: bytes) -> None:
    """The network too computes the same with half the threads."""
    ran = run("convert", source, "-o", "out.mkv", *SETTINGS, "--workers", "2", folder=tmp_path)
    assert ran.code == 0, ran.err
    assert (tmp_path / "out.mkv").read_bytes() == alone
    assert ran.events[-1]["warnings"] == []
    assert [path.name for path in tmp_path.iterdir()] == ["out.mkv"]


@LINUX
def test_a_worker_is_killed(tmp_path: Path, source: Path, alone: bytes) -> None:
    begun = Begun(source, tmp_path)
    os.kill(begun.at_work()[0], signal.SIGKILL)
    ran = begun.ended()
    assert ran.code == 0, ran.err
    assert begun.output.read_bytes() == alone
    assert "ended by signal 9" in ran.events[-1]["warnings"][0]


@LINUX
def test_the_coordinator_is_killed(tmp_path: Path, source: Path, alone: bytes) -> None:
    """Its workers go with it, and the next run goes on with as many as it likes."""
    begun = Begun(source, tmp_path)
    wait_for(lambda: len(list(folder_for(begun.output).glob("00000?.nut"))) == 2)  # and the first is on record
    workers_then = children(begun.process.pid)
    begun.process.kill()
    begun.process.communicate()
    wait_for(lambda: not any(map(is_there, workers_then)))
    ran = run("convert", source, "-o", begun.output, *SETTINGS, "--workers", 3, folder=tmp_path)
    assert ran.code == 0, ran.err
    assert 0 < ran.events[-1]["resumed_segments"] < ran.events[-1]["segments"]
    assert begun.output.read_bytes() == alone
    assert [path.name for path in tmp_path.iterdir()] == ["out.mkv"]


@LINUX
def test_interrupted_by_the_user(tmp_path: Path, source: Path) -> None:
    begun = Begun(source, tmp_path)
    workers = begun.at_work()
    begun.process.send_signal(signal.SIGINT)
    begun.ended().assert_failed(130, "stopped")
    assert not any(map(is_there, workers))
    assert not begun.output.exists()
    assert not list(tmp_path.rglob("*.w*.part"))


def test_a_fault_of_the_film_is_told_once(tmp_path: Path) -> None:
    source = faulty_film(tmp_path / "film.mkv")
    arguments = ("convert", source, "-o", "out.mkv", *SETTINGS, "--on-error", "fail")
    wanted = run(*arguments, folder=tmp_path)
    ran = run(*arguments, "--workers", "2", folder=tmp_path)
    ran.assert_failed(1, "is faulty")
    assert ran.err.splitlines()[-2:] == wanted.err.splitlines()[-2:]
    assert ran.err.count("error: ") == 1


@pytest.mark.parametrize("words", [("--workers", "0"), ("--workers", "many"), ("--workers", "1000")])
def test_numbers_that_make_no_sense(tmp_path: Path, source: Path, words: tuple[str, ...]) -> None:
    run("convert", source, "-o", "out.mkv", *words, folder=tmp_path).assert_failed(2, "--workers")
