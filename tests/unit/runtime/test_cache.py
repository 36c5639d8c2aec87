"""Engines are built once, found by their key, and used only if they are whole and the user's own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.runtime.engine_samples import (
    KEY,
    PLAN,
    body,
    built,
    key,
    names,
    never,
    open_cache,
    sidecar,
    write_sealed,
)

from fastrestore.errors import EngineError, UsageError
from fastrestore.runtime.cache.engines import EngineCache
from fastrestore.runtime.cache.entry import BuiltEngine, CachedEngine
from fastrestore.runtime.cache.store import EntryStore
from fastrestore.runtime.engine_key import EngineKey
from fastrestore.runtime.seal import Seal

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    return open_cache(tmp_path / "engines")


@pytest.fixture
def entry(cache: EngineCache) -> CachedEngine:
    return cache.obtain(KEY, built)


def test_found_again_without_building(cache: EngineCache, entry: CachedEngine) -> None:
    assert cache.find(KEY) == cache.obtain(KEY, never) == open_cache(cache.folder).find(KEY)
    assert cache.load(entry) == PLAN
    assert names(cache.folder) == [f"{KEY.stem}.engine", f"{KEY.stem}.json"]
    assert not cache.problems


def test_what_is_recorded(cache: EngineCache, entry: CachedEngine) -> None:
    found = cache.find(KEY)
    assert found is not None
    assert (found.key, found.bytes, found.path) == (KEY, len(PLAN), cache.folder / f"{KEY.stem}.engine")
    assert (found.inspector, found.log_tail, found.warnings) == ({"layers": 7}, ("first", "last"), ("a warning",))
    assert (found.build_s, found.proof, found.made) == (0.5, None, entry.made)
    assert found.as_dict()["digest"] == KEY.digest


def test_nothing_there(cache: EngineCache) -> None:
    assert cache.find(KEY) is None and cache.entries() == [] and not cache.problems
    assert not cache.folder.exists()


def test_another_key_is_another_engine(cache: EngineCache, entry: CachedEngine) -> None:
    assert cache.find(key(1)) is None
    other = cache.obtain(key(1), lambda: built(b"other"))
    assert (cache.load(other), cache.load(entry)) == (b"other", PLAN)


def test_a_build_that_fails_leaves_nothing(cache: EngineCache) -> None:
    def fail() -> BuiltEngine:
        raise FileNotFoundError("what the builder says")

    with pytest.raises(FileNotFoundError, match="what the builder says"):
        cache.obtain(KEY, fail)
    with pytest.raises(EngineError, match="made nothing"):
        cache.obtain(KEY, lambda: built(b""))
    assert not names(cache.folder)
    assert cache.load(cache.obtain(KEY, built)) == PLAN


def test_anew(cache: EngineCache, entry: CachedEngine) -> None:
    again = cache.obtain(KEY, lambda: built(b"again"), anew=True)
    assert cache.load(again) == b"again" == cache.load(entry)
    with pytest.raises(RuntimeError):
        cache.obtain(KEY, _stopped, anew=True)
    assert cache.load(again) == b"again"


def _stopped() -> BuiltEngine:
    raise RuntimeError


def test_a_long_log_is_cut(cache: EngineCache) -> None:
    lines = [f"{number} " + "x" * 5000 for number in range(1000)]
    entry = cache.obtain(KEY, lambda: BuiltEngine(memoryview(PLAN), {"layers": "x" * 2_000_000}, lines))
    assert entry.log_tail[-1].startswith("999 ") and len(entry.log_tail) == 200
    assert entry.inspector == {"left_out": "2000014 characters"}
    assert cache.find(KEY) == entry


def _flip(cache: EngineCache, entry: CachedEngine) -> None:
    plan = bytearray(entry.path.read_bytes())
    plan[len(plan) // 2] ^= 1
    entry.path.write_bytes(plan)


def _rename_over(cache: EngineCache, entry: CachedEngine) -> None:
    shutil.copy(cache.obtain(key(1), lambda: built(PLAN[::-1])).path, entry.path)


def _rename_pair(cache: EngineCache, entry: CachedEngine) -> None:
    other = cache.obtain(key(1), lambda: built(b"other"))
    sidecar(other).replace(sidecar(entry))
    other.path.replace(entry.path)


def _bring_in(cache: EngineCache, entry: CachedEngine) -> None:
    theirs = open_cache(cache.folder.with_name("theirs"), secret="their.key").obtain(KEY, lambda: built(b"theirs"))
    shutil.copy(theirs.path, entry.path)
    shutil.copy(sidecar(theirs), sidecar(entry))


def _edit(old: bytes, new: bytes) -> Callable[[EngineCache, CachedEngine], None]:
    def edit(cache: EngineCache, entry: CachedEngine) -> None:
        content = sidecar(entry).read_bytes()
        assert content.count(old) == 1
        sidecar(entry).write_bytes(content.replace(old, new))

    return edit


def _link(which: Callable[[CachedEngine], Path]) -> Callable[[EngineCache, CachedEngine], None]:
    def link(cache: EngineCache, entry: CachedEngine) -> None:
        elsewhere = cache.folder.with_name("elsewhere")
        which(entry).replace(elsewhere)
        which(entry).symlink_to(elsewhere)

    return link


def _pipe(which: Callable[[CachedEngine], Path]) -> Callable[[EngineCache, CachedEngine], None]:
    def pipe(cache: EngineCache, entry: CachedEngine) -> None:
        which(entry).unlink()
        os.mkfifo(which(entry))

    return pipe


def _folder(cache: EngineCache, entry: CachedEngine) -> None:
    entry.path.unlink()
    entry.path.mkdir()


def plan_of(entry: CachedEngine) -> Path:
    return entry.path


DAMAGES: dict[str, Callable[[EngineCache, CachedEngine], None]] = {
    "a flipped byte": _flip,
    "a truncated plan": lambda cache, entry: os.truncate(entry.path, len(PLAN) - 1),
    "an empty plan": lambda cache, entry: os.truncate(entry.path, 0),
    "a longer plan": lambda cache, entry: os.truncate(entry.path, len(PLAN) + 1),
    "no plan": lambda cache, entry: entry.path.unlink(),
    "the plan of another key": _rename_over,
    "the engine of another key": _rename_pair,
    "an engine from another machine": _bring_in,
    "a proof written by hand": _edit(b'"proof": null', b'"proof": {"a":1}'),
    "another key written by hand": _edit(b'"precision": "fp16"', b'"precision": "fp32"'),
    "a space more": _edit(b'"proof": null', b'"proof":  null'),
    "an empty sidecar": lambda cache, entry: os.truncate(sidecar(entry), 0),
    "half a sidecar": lambda cache, entry: os.truncate(sidecar(entry), 200),
    "a linked plan": _link(plan_of),
    "a linked sidecar": _link(sidecar),
    "a pipe for a plan": _pipe(plan_of),
    "a pipe for a sidecar": _pipe(sidecar),
    "a folder for a plan": _folder,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_must_not_be_used_is_put_aside_and_built_anew(
    cache: EngineCache, entry: CachedEngine, damage: str
) -> None:
    DAMAGES[damage](cache, entry)
    user = open_cache(cache.folder)
    with pytest.raises(EngineError) as caught:
        user.load(entry)
    assert KEY.stem in caught.value.message
    assert (
        caught.value.hint == "build it: `fastrestore build-engines film-x4-tiny --backend tensorrt-rtx --profile tile`"
    )
    assert len(user.problems) == 1 and "put aside" in user.problems[0], user.problems
    assert user.find(KEY) is None
    again = user.obtain(KEY, lambda: built(b"again"))
    assert user.load(again) == b"again" == open_cache(cache.folder).load(again)
    assert len(user.problems) == 1


@pytest.mark.parametrize(
    "damage", [name for name in DAMAGES if name not in ("a flipped byte", "the plan of another key")]
)
def test_obtaining_sees_all_but_a_changed_byte_of_the_plan(
    cache: EngineCache, entry: CachedEngine, damage: str
) -> None:
    """To find an engine costs no reading of it: a plan of the right size is looked into when it is loaded."""
    DAMAGES[damage](cache, entry)
    user = open_cache(cache.folder)
    again = user.obtain(KEY, lambda: built(b"again"))
    assert user.load(again) == b"again" and len(user.problems) == 1


def test_verify_reads_all_and_moves_nothing(cache: EngineCache, entry: CachedEngine) -> None:
    cache.verify(entry)
    _flip(cache, entry)
    before = names(cache.folder)
    with pytest.raises(EngineError, match="damaged or replaced"):
        cache.verify(entry)
    assert names(cache.folder) == before
    cache.remove(entry)
    with pytest.raises(EngineError, match="any more"):
        cache.verify(entry)


def test_removed_between_finding_and_loading(cache: EngineCache, entry: CachedEngine) -> None:
    assert cache.remove(entry)
    with pytest.raises(EngineError, match="any more"):
        cache.load(entry)


def test_built_anew_between_the_two_files(
    cache: EngineCache, entry: CachedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old sidecar was read, and then the new plan: the engine is good, and must not be put aside."""
    opened: list[str] = []
    original = os.open

    def watched(path: Any, *arguments: Any, **named: Any) -> int:
        if os.fspath(path) == os.fspath(entry.path) and not opened:
            opened.append(path)
            open_cache(cache.folder).obtain(KEY, lambda: built(PLAN[::-1]), anew=True)
        return original(path, *arguments, **named)

    monkeypatch.setattr(os, "open", watched)
    assert cache.load(entry) == PLAN[::-1]
    assert opened and not cache.problems


def test_put_aside_once(cache: EngineCache, entry: CachedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two look at a damaged engine; one puts it aside before the other gets to it: it stays there."""
    os.truncate(entry.path, 5)
    slow, find = open_cache(cache.folder), EntryStore.find

    def seen(store: EntryStore, key: EngineKey) -> CachedEngine | None:
        monkeypatch.undo()
        try:
            return find(store, key)
        finally:
            assert cache.find(KEY) is None

    monkeypatch.setattr(EntryStore, "find", seen)
    assert slow.find(KEY) is None
    assert len(cache.problems) == 1 and not slow.problems
    assert names(cache.folder / "refused") == [f"{KEY.stem}.engine", f"{KEY.stem}.json"]


def test_the_wrong_engine_of_another_key_with_this_name(cache: EngineCache, entry: CachedEngine) -> None:
    """A sidecar with our own seal that says something else than its name does."""
    for change in ({"precision": "fp32"}, {"revision": 99}):
        said = body(entry)
        said["key"] |= change
        write_sealed(sidecar(entry), json.dumps(said).encode(), Seal(cache.folder.parent / "seal.key"))
        user = open_cache(cache.folder)
        assert user.find(KEY) is None and "under another name" in user.problems[0]
        cache.obtain(KEY, built)


def test_a_proof_is_kept_with_the_engine(cache: EngineCache, entry: CachedEngine) -> None:
    proved = cache.record_proof(entry, {"psnr_db": 61.5})
    assert proved.proof == {"psnr_db": 61.5} and cache.find(KEY) == proved
    assert cache.load(proved) == PLAN
    assert cache.record_proof(entry, None).proof is None
    cache.obtain(KEY, lambda: built(b"another"), anew=True)
    with pytest.raises(EngineError, match="built anew while"):
        cache.record_proof(entry, {})
    found = cache.find(KEY)
    assert found is not None and found.proof is None


def test_a_proof_too_long_to_keep(cache: EngineCache, entry: CachedEngine) -> None:
    with pytest.raises(EngineError, match="wanted at most"):
        cache.record_proof(entry, {"all": "x" * (1 << 20)})
    assert cache.find(KEY) == entry


def test_names_that_lead_elsewhere(cache: EngineCache) -> None:
    for name in ("../../up", "a/b", "", "-x", "a\0b", "x" * 200):
        with pytest.raises(EngineError, match="cannot be the name"):
            cache.obtain(replace(KEY, model=name), built)
    assert not cache.folder.exists()


def test_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTRESTORE_ENGINES", str(tmp_path / "a"))
    monkeypatch.setenv("FASTRESTORE_SEAL", str(tmp_path / "b"))
    monkeypatch.setenv("FASTRESTORE_ENGINES_LIMIT", "1K")
    cache = EngineCache()
    cache.obtain(KEY, built)
    assert cache.folder == tmp_path / "a" and (tmp_path / "b").stat().st_size == 32
    assert "more than the limit 1024" in cache.problems[0]
    monkeypatch.setenv("FASTRESTORE_ENGINES_LIMIT", "much")
    with pytest.raises(UsageError):
        EngineCache()
    for name in ("FASTRESTORE_ENGINES", "FASTRESTORE_SEAL", "FASTRESTORE_ENGINES_LIMIT"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "c"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "d"))
    assert EngineCache().folder == tmp_path / "c" / "fastrestore" / "engines"
    assert Seal().path == tmp_path / "d" / "fastrestore" / "seal.key"


def test_it_is_light() -> None:
    """A conversion that runs on the CPU pays for it too."""
    script = "import sys, fastrestore.runtime.cache.engines; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    heavy = {
        "numpy",
        "cv2",
        "av",
        "torch",
        "onnxruntime",
        "tensorrt",
        "tensorrt_rtx",
        "platformdirs",
        "filelock",
        "typer",
    }
    assert not heavy & set(done.stdout.split())
