"""Disks that are full, lose what is written, or can only be read: one clear error, and nothing half done."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.command import tree
from tests.unit.runtime.engine_samples import KEY, PLAN, built, key, names, never, open_cache

from fastrestore.errors import EngineError
from fastrestore.runtime.cache.engines import EngineCache
from fastrestore.runtime.cache.entry import CachedEngine


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    return open_cache(tmp_path / "engines")


@pytest.fixture
def entry(cache: EngineCache) -> CachedEngine:
    return cache.obtain(KEY, built)


def test_a_full_disk_while_writing(cache: EngineCache) -> None:
    """The system itself refuses: no file may grow beyond a size."""
    cache.obtain(key(1), built)
    before = tree(cache.folder)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(EngineError, match="cannot use the engine cache") as caught:
            cache.obtain(KEY, lambda: built(bytes(2 << 20)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "free space" in caught.value.hint
    assert {**tree(cache.folder)} == {**before, f"locks/{KEY.stem}.lock": b""}


@pytest.mark.parametrize("call", range(4))
@pytest.mark.parametrize("there", [False, True])
def test_a_full_disk_when_syncing(cache: EngineCache, monkeypatch: pytest.MonkeyPatch, call: int, there: bool) -> None:
    """Syncs: plan, names, sidecar, names. Where a file system cannot sync names, that is no error."""
    cache.obtain(KEY if there else key(1), lambda: built(b"older"))
    calls, original = iter(range(100)), os.fsync

    def refused(descriptor: int) -> None:
        if next(calls) == call:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(descriptor)

    monkeypatch.setattr(os, "fsync", refused)
    if call in (1, 3):
        assert cache.load(cache.obtain(KEY, built, anew=True)) == PLAN
        return
    with pytest.raises(EngineError, match="No space left on device") as caught:
        cache.obtain(KEY, built, anew=True)
    assert "free space" in caught.value.hint
    monkeypatch.undo()
    found = cache.find(KEY)
    assert (found is not None) == (there and call == 0)
    assert [name for name in names(cache.folder) if name.startswith(KEY.stem)] == (
        [f"{KEY.stem}.engine", f"{KEY.stem}.json"] if found else []
    )
    assert cache.load(cache.obtain(KEY, built)) == (b"older" if found else PLAN)


def test_a_disk_that_keeps_something_else(cache: EngineCache, monkeypatch: pytest.MonkeyPatch) -> None:
    original = os.fsync

    def lost(descriptor: int) -> None:
        os.pwrite(descriptor, b"\xff", 0)
        original(descriptor)

    monkeypatch.setattr(os, "fsync", lost)
    with pytest.raises(EngineError, match="not what was written"):
        cache.obtain(KEY, built)
    assert not names(cache.folder)


@pytest.fixture
def read_only(entry: CachedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder with the engine refuses every change, as a file system does that is mounted so."""
    original = os.open

    def refuse(*arguments: Any, **named: Any) -> Any:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    def opened(path: Any, flags: int, *arguments: Any, **named: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            refuse()
        return original(path, flags, *arguments, **named)

    monkeypatch.setattr(os, "open", opened)
    for name in ("mkdir", "replace", "rename", "unlink", "utime", "rmdir", "link"):
        monkeypatch.setattr(os, name, refuse)


@pytest.mark.usefixtures("read_only")
def test_a_folder_that_can_only_be_read(cache: EngineCache, entry: CachedEngine) -> None:
    found = cache.find(KEY)
    assert found == entry and cache.load(entry) == PLAN
    assert cache.obtain(KEY, never) == entry
    assert [each.name for each in cache.entries()] == [KEY.stem] and not cache.problems
    with pytest.raises(EngineError, match="Read-only file system"):
        cache.obtain(key(1), built)
    with pytest.raises(EngineError, match="Read-only file system"):
        cache.record_proof(entry, {})


def test_what_must_not_be_used_in_a_folder_that_can_only_be_read(
    cache: EngineCache, entry: CachedEngine, request: pytest.FixtureRequest
) -> None:
    os.truncate(entry.path, 5)
    request.getfixturevalue("read_only")
    assert cache.find(KEY) is None
    assert "cannot be moved out of the way" in cache.problems[0]
    with pytest.raises(EngineError, match="wanted 4096"):
        cache.load(entry)


def test_a_file_in_the_folders_place(tmp_path: Path) -> None:
    (tmp_path / "engines").write_text("mine")
    cache = open_cache(tmp_path / "engines")
    assert cache.find(KEY) is None
    with pytest.raises(EngineError, match="cannot use the engine cache"):
        cache.obtain(KEY, built)
    with pytest.raises(EngineError, match="cannot use the engine cache"):
        cache.entries()
    assert (tmp_path / "engines").read_text() == "mine"
