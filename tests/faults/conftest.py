"""How much is tried: seconds' worth, or as much as `FASTRESTORE_FAULT_RUNS` says."""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tests.faults.bench import Bench, Contents, make_film

DEFAULT_RUNS = 2


@dataclass(frozen=True)
class Wanted:
    """What an undisturbed run makes."""

    bytes: bytes
    contents: Contents
    segments: int
    calls: tuple[str, ...]
    """What changed the disk, call by call; see `child.CALLS`."""

    def call(self, text: str) -> int:
        """Return the number of the first call of that kind."""
        return self.calls.index(text) + 1


@pytest.fixture(scope="session")
def runs() -> int:
    """Tries of each kind: `FASTRESTORE_FAULT_RUNS`, or a few."""
    return int(os.environ.get("FASTRESTORE_FAULT_RUNS", DEFAULT_RUNS))


@pytest.fixture(scope="session")
def seed() -> int:
    """`FASTRESTORE_FAULT_SEED`, or 0."""
    return int(os.environ.get("FASTRESTORE_FAULT_SEED", 0))


@pytest.fixture
def sampled(runs: int, seed: int) -> Callable[[Sequence[Any]], list[Any]]:
    """Choose as many of several cases as are to be tried."""

    def sample(cases: Sequence[Any]) -> list[Any]:
        return list(cases) if runs >= len(cases) else random.Random(seed).sample(list(cases), runs)

    return sample


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seconds with six tracks."""
    return make_film(tmp_path_factory.mktemp("film") / "film.mkv")


@pytest.fixture
def bench(film: Path, tmp_path: Path) -> Bench:
    """The command, its output in a folder of the test's own."""
    return Bench(film, tmp_path / "runs").to(tmp_path / "runs" / "first")


@pytest.fixture(scope="session")
def wanted(film: Path, tmp_path_factory: pytest.TempPathFactory) -> Wanted:
    """What the command makes where nothing goes wrong."""
    folder = tmp_path_factory.mktemp("undisturbed")
    bench, log = Bench(film, folder), folder / "calls"
    ran = bench.under(log=str(log)).run()
    assert ran.code == 0, ran.err
    calls = tuple(log.read_text(encoding="utf-8").splitlines())
    return Wanted(bench.output.read_bytes(), Contents.of(bench.output), ran.events[-1]["segments"], calls)


@pytest.fixture(scope="session")
def killed(film: Path, wanted: Wanted, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A run that was killed after its third segment; not to be touched."""
    folder = tmp_path_factory.mktemp("killed")
    bench = Bench(Path(shutil.copy2(film, folder / "film.mkv")), folder).to(folder / "runs")
    assert bench.under(at=wanted.call("fsync 000003.nut.part"), act="kill").run().code == -signal.SIGKILL
    assert bench.segments() == 3
    return bench


@pytest.fixture
def halfway(killed: Bench, tmp_path: Path) -> Callable[[], Bench]:
    """Return copies of such a run, each with a source of its own."""

    def copy() -> Bench:
        number = len(list(tmp_path.iterdir()))
        folder = Path(shutil.copytree(killed.folder.parent, tmp_path / f"halfway {number}"))
        return replace(killed, source=folder / "film.mkv", folder=folder / "runs")

    return copy
