"""What leaves the cache: the least recently used, what was unused for long, and what is of no use to anybody."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path

import pytest
from tests.e2e.command import tree
from tests.unit.runtime.engine_samples import KEY, PLAN, built, key, never, open_cache, sidecar

from fastrestore.runtime.cache.engines import EngineCache
from fastrestore.runtime.cache.entry import CachedEngine

DAY_S = 86_400
SIZE = len(PLAN)


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    return open_cache(tmp_path / "engines")


def unused_for(entry: CachedEngine, days: float) -> None:
    """Have an engine look as if it was last used that long ago."""
    then = time.time() - days * DAY_S
    os.utime(sidecar(entry), (then, then))


@pytest.fixture
def entries(cache: EngineCache) -> list[CachedEngine]:
    """Four engines; the first was not used for longest."""
    made = [cache.obtain(key(number), built) for number in range(4)]
    for number, entry in enumerate(made):
        unused_for(entry, 40 - 10 * number)
    return made


def test_the_least_recently_used_go_first(cache: EngineCache, entries: list[CachedEngine]) -> None:
    pruned = open_cache(cache.folder).prune(limit_bytes=2 * SIZE)
    assert pruned.removed == (entries[0], entries[1])
    assert (pruned.freed_bytes, pruned.kept_bytes) == (2 * SIZE, 2 * SIZE)
    assert [cache.find(entry.key) for entry in entries] == [None, None, entries[2], entries[3]]
    assert open_cache(cache.folder).prune(limit_bytes=2 * SIZE).removed == ()


def test_loading_and_obtaining_are_uses_and_finding_is_none(cache: EngineCache, entries: list[CachedEngine]) -> None:
    cache.load(entries[0])
    cache.obtain(key(1), never)
    cache.find(key(2))
    cache.entries()
    cache.close()
    assert open_cache(cache.folder).prune(limit_bytes=2 * SIZE).removed == (entries[2], entries[3])


def test_a_build_keeps_to_the_limit(cache: EngineCache, entries: list[CachedEngine]) -> None:
    user = open_cache(cache.folder, 3 * SIZE)
    entry = user.obtain(KEY, built)
    assert {each.key for each in user.entries()} == {entry.key, entries[2].key, entries[3].key}
    assert [problem.split()[1] for problem in user.problems] == [entries[0].name, entries[1].name]


def test_what_was_just_asked_for_stays(cache: EngineCache, entries: list[CachedEngine]) -> None:
    """However small the limit: what a run builds and finds for itself, it does not evict."""
    user = open_cache(cache.folder, 1)
    user.obtain(key(0), never)
    made = user.obtain(KEY, built)
    assert {each.key for each in user.entries()} == {KEY, key(0)}
    assert "more than the limit 1" in user.problems[-1]
    assert user.load(made) == PLAN
    again = open_cache(cache.folder, 1).obtain(key(7), built)
    assert {each.key for each in user.entries()} == {again.key, KEY}  # loaded by this process


def test_a_cache_object_that_is_gone_holds_nothing(cache: EngineCache, entries: list[CachedEngine]) -> None:
    user = open_cache(cache.folder)
    user.load(entries[0])
    user.load(entries[0])
    assert cache.prune(everything=True, dry_run=True).in_use == (entries[0],)
    user.release(entries[0])
    assert cache.prune(everything=True, dry_run=True).in_use == (entries[0],)
    user.release(entries[0])
    user.release(entries[0])
    assert cache.prune(everything=True, dry_run=True).in_use == ()
    user.load(entries[1])
    del user
    with open_cache(cache.folder) as user:
        user.load(entries[2])
    user.close()
    assert cache.prune(everything=True, dry_run=True).in_use == ()


def test_age(cache: EngineCache, entries: list[CachedEngine]) -> None:
    assert cache.prune(older_than=timedelta(days=25)).removed == (entries[0], entries[1])
    assert cache.prune(older_than=timedelta(days=25)).removed == ()


def test_a_time_from_another_world(cache: EngineCache, entries: list[CachedEngine]) -> None:
    for moment in (-1, 1 << 40):
        os.utime(sidecar(entries[0]), (moment, moment))
        found = cache.find(key(0))
        assert found is not None and (found.used < "1971" or found.used > "2400")


def test_a_dry_run_says_what_a_run_does(cache: EngineCache, entries: list[CachedEngine]) -> None:
    (cache.folder / f"{KEY.stem}.engine.part").write_bytes(b"123")
    os.truncate(entries[3].path, 1)
    before = tree(cache.folder)
    dry = open_cache(cache.folder).prune(older_than=timedelta(days=35), limit_bytes=SIZE, dry_run=True)
    assert tree(cache.folder) == before
    real = open_cache(cache.folder).prune(older_than=timedelta(days=35), limit_bytes=SIZE)
    assert (dry.removed, dry.freed_bytes, dry.kept_bytes) == (real.removed, real.freed_bytes, real.kept_bytes)
    assert {path.name for path in dry.leftovers} == {path.name for path in real.leftovers}
    assert len(real.leftovers) == 3 and real.removed == (entries[0], entries[1])


def test_everything(cache: EngineCache, entries: list[CachedEngine]) -> None:
    """All that can be made again by machine goes; what was measured or proved stays, and so does what is not ours."""
    timing = cache.timing("card", {"card": "a"})
    timing.store(b"timing")
    cache.choices.put("tuning", {"card": "a"}, {"batch": 2})
    foreign = {"notes.txt", "film.engine", f"{KEY.stem}.engine.bak", f"{KEY.stem}.onnx"}
    for name in foreign:
        (cache.folder / name).write_text("mine")
    (cache.folder / "proofs").mkdir()
    (cache.folder / "proofs" / "a.json").write_text("{}")
    elsewhere = cache.folder.with_name("elsewhere")
    elsewhere.write_text("mine")
    (cache.folder / f"{key(9).stem}.engine").symlink_to(elsewhere)
    pruned = cache.prune(everything=True)
    assert pruned.removed == tuple(entries) and pruned.kept_bytes == 0
    assert {path.name for path in pruned.leftovers} == {timing.path.name, f"{key(9).stem}.engine"}
    assert {path.name for path in cache.folder.iterdir() if path.is_file()} == foreign
    assert elsewhere.read_text() == "mine" and timing.load() == b""
    assert (cache.folder / "proofs" / "a.json").exists()
    assert cache.choices.get("tuning", {"card": "a"}) == {"batch": 2}


def test_leftovers(cache: EngineCache, entries: list[CachedEngine]) -> None:
    """What interrupted builds leave, and what must not be used; engines stay."""
    parts = [f"{KEY.stem}.engine.part", f"{KEY.stem}.json.0123456789abcdef.part", f"{key(8).stem}.engine"]
    for name in parts:
        (cache.folder / name).write_bytes(b"12345")
    entries[0].path.unlink()
    os.truncate(entries[1].path, 7)
    assert cache.find(key(1)) is None  # put aside
    pruned = cache.prune()
    assert {path.name for path in pruned.leftovers} == {
        *parts,
        sidecar(entries[0]).name,
        sidecar(entries[1]).name,
        entries[1].path.name,
    }
    assert pruned.removed == () and pruned.freed_bytes > 15 + 7
    assert {path.name for path in cache.folder.iterdir() if path.is_file()} == {
        name for entry in entries[2:] for name in (entry.path.name, sidecar(entry).name)
    }
    assert cache.prune().leftovers == ()


def test_nothing_there(cache: EngineCache) -> None:
    assert cache.prune(everything=True).freed_bytes == 0
    assert not cache.folder.exists()


def test_a_leftover_that_has_become_of_use(
    cache: EngineCache, entries: list[CachedEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan without a sidecar, which is written before its turn comes."""
    content = sidecar(entries[0]).read_bytes()
    sidecar(entries[0]).unlink()
    leftovers = type(cache._disk).leftovers

    def slow(disk: object) -> list[tuple[str, Path]]:
        found: list[tuple[str, Path]] = leftovers(cache._disk)
        sidecar(entries[0]).write_bytes(content)
        return found

    monkeypatch.setattr(type(cache._disk), "leftovers", slow)
    assert cache.prune().leftovers == ()
    assert cache.load(entries[0]) == PLAN
