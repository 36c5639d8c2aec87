"""Several processes at one cache, and processes that are killed: one builds, and nothing half done is ever used."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.runtime.engine_samples import KEY, PLAN, built, key, never, open_cache

from fastrestore.errors import EngineError

REPOSITORY = Path(__file__).resolve().parents[3]
MANY = 20

# `-S`: no site packages, for a quick start; the cache needs none.
_PYTHON = (sys.executable, "-S", "-c")

_ASKING = """
import os, sys
from pathlib import Path
from tests.unit.runtime.engine_samples import KEY, built, open_cache
folder, start, waiting, many = Path(sys.argv[1]), *map(int, sys.argv[2:])

def make():
    seen = 0
    while seen < many - 1:  # until all the others wait for this one
        seen += len(os.read(waiting, many))
    print("made", flush=True)
    return built()

cache = open_cache(folder)
os.read(start, 1)  # ends when the test closes the other end, for all at once
entry = cache.obtain(KEY, make, on_wait=lambda: os.write(waiting, b"."))
print(entry.sha256, len(cache.load(entry)), *cache.problems)
"""

_HOLDING = """
import sys
from pathlib import Path
from tests.unit.runtime.engine_samples import KEY, open_cache
cache = open_cache(Path(sys.argv[1]))
entry = cache.find(KEY)
cache.load(entry)
print("loaded", flush=True)
sys.stdin.readline()
cache.release(entry)
print("released", flush=True)
sys.stdin.readline()
"""

_BUILDING = """
import sys
from pathlib import Path
from tests.unit.runtime.engine_samples import KEY, built, open_cache

def make():
    print("building", flush=True)
    sys.stdin.readline()
    return built()

open_cache(Path(sys.argv[1])).obtain(KEY, make)
print("built", flush=True)
"""


def start(script: str, *arguments: object, pass_fds: tuple[int, ...] = ()) -> subprocess.Popen[str]:
    """Start a process that works on a cache."""
    return subprocess.Popen(
        [*_PYTHON, script, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY / "src"), str(REPOSITORY)])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=pass_fds,
    )


def says(process: subprocess.Popen[str], word: str) -> None:
    """Wait for a process to say something."""
    assert process.stdout is not None
    assert process.stdout.readline() == f"{word}\n"


def tell(process: subprocess.Popen[str], text: str = "") -> None:
    """Let a process go on."""
    assert process.stdin is not None
    process.stdin.write(f"{text}\n")
    process.stdin.flush()


def test_many_processes_build_once(tmp_path: Path) -> None:
    """All ask at once: one builds, and it goes on only when all others wait for it."""
    begin_read, begin_write = os.pipe()
    fifo = tmp_path / "waiting"
    os.mkfifo(fifo)
    waiting = os.open(fifo, os.O_RDWR)
    processes = [
        start(_ASKING, tmp_path / "engines", begin_read, waiting, MANY, pass_fds=(begin_read, waiting))
        for _ in range(MANY)
    ]
    os.close(begin_read)
    os.close(begin_write)
    try:
        told = [process.communicate(timeout=60)[0].splitlines() for process in processes]
    finally:
        os.close(waiting)
        for process in processes:  # one that failed would leave the others waiting
            process.kill()
    assert [process.returncode for process in processes] == [0] * MANY
    assert sum(lines.count("made") for lines in told) == 1
    entry = open_cache(tmp_path / "engines").find(KEY)
    assert entry is not None
    assert {lines[-1] for lines in told} == {f"{entry.sha256} {len(PLAN)}"}


def test_killed_while_building(tmp_path: Path) -> None:
    cache = open_cache(tmp_path / "engines")
    with start(_BUILDING, cache.folder) as process:
        says(process, "building")
        assert cache.find(KEY) is None
        part = cache.folder / f"{KEY.stem}.engine.part"
        part.write_bytes(b"the beginning")
        pruned = cache.prune(everything=True)  # what is being built is nobody's leftover
        assert not pruned.leftovers and part.exists()
        process.send_signal(signal.SIGKILL)
    assert cache.find(KEY) is None
    assert cache.load(cache.obtain(KEY, built)) == PLAN
    assert not part.exists()


def test_one_waits_for_another(tmp_path: Path) -> None:
    cache = open_cache(tmp_path / "engines")
    waited: list[str] = []
    with start(_BUILDING, cache.folder) as process:
        says(process, "building")

        def on_wait() -> None:
            waited.append("waited")
            tell(process)

        entry = cache.obtain(KEY, never, on_wait=on_wait)
        says(process, "built")
        process.communicate()
    assert waited == ["waited"] and cache.load(entry) == PLAN


@pytest.fixture(scope="module")
def killing() -> Iterator[subprocess.Popen[str]]:
    """A process that has others killed while they build."""
    with start("from tests.unit.runtime.cache_child import serve; serve()") as process:
        yield process
        process.communicate()


@pytest.mark.parametrize("there", [False, True])
def test_killed_before_each_change_of_the_disk(tmp_path: Path, killing: subprocess.Popen[str], there: bool) -> None:
    """Wherever it ends: what is found is whole, old or new, and building again works and cleans up."""
    seen: list[bytes | None] = []
    for number in range(100):
        folder = tmp_path / str(number) / "engines"
        folder.parent.mkdir()
        if there:
            open_cache(folder).obtain(KEY, built)
        tell(killing, f"{number} {int(there)} {folder}")
        assert killing.stdout is not None
        code = int(killing.stdout.readline())
        cache = open_cache(folder)
        entry = cache.find(KEY)
        seen.append(None if entry is None else cache.load(entry))
        assert not cache.problems
        again = cache.obtain(KEY, lambda: built(b"again"))
        assert cache.load(again) == (seen[-1] or b"again")
        cache.prune()
        assert sorted(path.name for path in folder.iterdir() if path.is_file()) == [
            f"{KEY.stem}.engine",
            f"{KEY.stem}.json",
        ]
        if not code:
            break
        assert code == -signal.SIGKILL
    assert not code and number > 10
    assert seen[0] == (PLAN if there else None) and seen[-1] == PLAN[::-1]
    assert seen == sorted(seen, key=[PLAN if there else None, None, PLAN[::-1]].index)
    assert None in seen  # between plan and sidecar


def test_what_is_loaded_is_not_evicted(tmp_path: Path) -> None:
    cache = open_cache(tmp_path / "engines")
    entry, other = cache.obtain(KEY, built), cache.obtain(key(1), built)
    user = open_cache(cache.folder)
    with start(_HOLDING, cache.folder) as process:
        says(process, "loaded")
        for dry_run in (True, False):
            pruned = user.prune(everything=True, dry_run=dry_run)
            assert (pruned.in_use, pruned.removed) == ((entry,), (other,))
            assert pruned.kept_bytes == len(PLAN) == pruned.freed_bytes
        assert not user.remove(entry)
        assert user.prune(older_than=timedelta(days=-1)).in_use == (entry,)
        assert user.load(entry) == PLAN
        user.release(entry)
        tell(process)
        says(process, "released")
        assert user.prune(everything=True, dry_run=True).removed == (entry,)
        process.communicate()
    with start(_HOLDING, cache.folder) as process:
        says(process, "loaded")
        process.send_signal(signal.SIGKILL)
    assert user.remove(entry)
    with pytest.raises(EngineError):
        user.load(entry)
