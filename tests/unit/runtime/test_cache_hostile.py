"""Sidecars and plans from anybody: none is believed, none costs much memory, none raises anything but our errors."""

from __future__ import annotations

import json
import os
import random
import shutil
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.command import tree
from tests.unit.runtime.engine_samples import KEY, PLAN, body, built, key, open_cache, sidecar, write_sealed

from fastrestore.errors import EngineError, FastRestoreError, UsageError
from fastrestore.runtime.cache.engines import EngineCache
from fastrestore.runtime.cache.entry import CachedEngine
from fastrestore.runtime.seal import Seal

DEEP = 100_000
MUTATIONS = 400
MEMORY_BYTES = 16 << 20


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    return open_cache(tmp_path / "engines")


@pytest.fixture
def entry(cache: EngineCache) -> CachedEngine:
    return cache.obtain(KEY, built)


@contextmanager
def little_memory() -> Iterator[None]:
    """Check that what is done needs little memory."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MEMORY_BYTES
    finally:
        tracemalloc.stop()


CONTENTS: dict[str, bytes] = {
    "not JSON": b"\x00\xff not JSON",
    "JSON of something else": b'{"a": 1}',
    "no object": b"[]",
    "deep nesting": b'{"seal": "%s", "entry": {"a": %s}}\n' % (b"0" * 64, b"[" * DEEP + b"]" * DEEP),
    "no hexadecimal": b'{"seal": "%s", "entry": {}}\n' % ("\u0660" * 32).encode(),
    "an empty seal": b'{"seal": "", "entry": {}}\n',
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_a_sidecar_of_somebody_else(cache: EngineCache, entry: CachedEngine, kind: str) -> None:
    sidecar(entry).write_bytes(CONTENTS[kind])
    with little_memory():
        assert cache.find(KEY) is None
        assert cache.entries() == [] and len(cache.problems) == 1
    sidecar(entry).write_bytes(CONTENTS[kind])
    with little_memory(), pytest.raises(EngineError):
        cache.trust(sidecar(entry))
    assert cache.load(cache.obtain(KEY, built)) == PLAN


def test_a_sidecar_of_a_gigabyte(cache: EngineCache, entry: CachedEngine) -> None:
    os.truncate(sidecar(entry), 1 << 30)
    with little_memory():
        assert [each.name for each in cache.entries()] == []
        with pytest.raises(EngineError, match="too long"):
            cache.trust(sidecar(entry))
        assert cache.find(KEY) is None


def test_a_plan_that_is_said_to_be_large(cache: EngineCache, entry: CachedEngine) -> None:
    """What a trusted sidecar says of the size is not reserved before the plan was looked at."""
    write_sealed(
        sidecar(entry), json.dumps({**body(entry), "bytes": 1 << 60}).encode(), Seal(cache.folder.parent / "seal.key")
    )
    with little_memory(), pytest.raises(EngineError, match="4096 bytes, wanted 1152921504606846976"):
        cache.trust(entry.path)


WRONG: dict[str, Any] = {
    "schema": ("fastrestore.engine/99", None, 1),
    "key": (None, {}, [], "x", {**KEY.as_dict(), "profile": None}, {**KEY.as_dict(), "revision": "1"}),
    "bytes": (0, -1, "4096", None, True, 4096.0, 1e400),
    "sha256": ("", "x" * 64, None, 5, ["a"]),
    "made": ("yesterday", None, 5, "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"),
    "build_s": ("long", None, [], 10**400),
    "proof": (5, "proved", [], True),
    "warnings": (None, "x", [1], {}),
    "inspector": (None, [], "x"),
    "log_tail": (None, "x", [["x"]], {"a": "b"}),
}


@pytest.mark.parametrize("field", WRONG)
def test_sealed_and_of_wrong_types(cache: EngineCache, entry: CachedEngine, field: str) -> None:
    """As a mistake of ours would write it: refused just the same, with a reason."""
    good, seal = body(entry), Seal(cache.folder.parent / "seal.key")
    plan = entry.path.read_bytes()
    for value in WRONG[field]:
        cache.problems.clear()
        entry.path.write_bytes(plan)
        write_sealed(sidecar(entry), json.dumps({**good, field: value}).encode(), seal)
        assert cache.find(KEY) is None, value
        assert len(cache.problems) == 1
    entry.path.write_bytes(plan)
    write_sealed(sidecar(entry), json.dumps({name: good[name] for name in good if name != field}).encode(), seal)
    assert cache.find(KEY) is None


@pytest.mark.parametrize(
    "content", [b'{"a": %s}' % (b"[" * DEEP + b"]" * DEEP), b'{"a": %s}' % (b"9" * 10000), b"{\xff}"]
)
def test_sealed_and_no_entry(cache: EngineCache, entry: CachedEngine, content: bytes) -> None:
    write_sealed(sidecar(entry), content, Seal(cache.folder.parent / "seal.key"))
    assert cache.find(KEY) is None and "is not of the form" in cache.problems[0]


def _flipped(chance: random.Random, content: bytearray) -> None:
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)


def _cut(chance: random.Random, content: bytearray) -> None:
    del content[chance.randrange(len(content)) :]


def _without(chance: random.Random, content: bytearray) -> None:
    begin = chance.randrange(len(content))
    del content[begin : begin + chance.randrange(1, 40)]


def _with_more(chance: random.Random, content: bytearray) -> None:
    begin = chance.randrange(len(content) + 1)
    content[begin:begin] = chance.randbytes(chance.randrange(1, 40))


def _twice(chance: random.Random, content: bytearray) -> None:
    begin = chance.randrange(len(content))
    content[begin:begin] = content[begin : begin + chance.randrange(1, 200)]


def _another_digit(chance: random.Random, content: bytearray) -> None:
    digits = [place for place, byte in enumerate(content) if byte in b"0123456789"]
    content[chance.choice(digits)] = chance.choice(b"0123456789")


MUTATORS: tuple[Callable[[random.Random, bytearray], None], ...] = (
    _flipped,
    _cut,
    _without,
    _with_more,
    _twice,
    _another_digit,
)


def test_random_mutations_of_a_sidecar(cache: EngineCache, entry: CachedEngine) -> None:
    """Found, they are what they were; trusted, they describe the very plan, and nothing of their own is written."""
    chance, original = random.Random(4), sidecar(entry).read_bytes()
    trusting = open_cache(cache.folder.with_name("trusting"))
    refused = trusted = 0
    for number in range(MUTATIONS):
        content = bytearray(original)
        for _ in range(chance.randrange(1, 4)):
            if content:
                chance.choice(MUTATORS)(chance, content)
        sidecar(entry).write_bytes(content)
        found = cache.entries()
        assert found == ([entry] if content in (original, original[:-1]) else []), number
        refused += not found
        try:
            taken = trusting.trust(entry.path)
        except FastRestoreError:
            assert content != original
        else:
            trusted += 1
            assert (taken.sha256, taken.bytes, taken.proof) == (entry.sha256, entry.bytes, None)
            assert trusting.load(taken) == PLAN
    assert refused > MUTATIONS * 0.9 and trusted
    assert all(path.parent == trusting.folder for path in trusting.folder.rglob("*.engine"))


def test_mutations_are_put_aside_and_built_anew(cache: EngineCache, entry: CachedEngine) -> None:
    chance, original, plan = random.Random(5), sidecar(entry).read_bytes(), entry.path.read_bytes()
    for _ in range(12):
        content = bytearray(original)
        chance.choice(MUTATORS)(chance, content)
        entry.path.write_bytes(plan)
        sidecar(entry).write_bytes(content)
        again = cache.obtain(KEY, lambda: built(b"again"))
        assert cache.load(again) == (plan if content in (original, original[:-1]) else b"again")


def test_random_mutations_of_a_plan(cache: EngineCache, entry: CachedEngine) -> None:
    chance = random.Random(6)
    for _ in range(12):
        content = bytearray(PLAN)
        chance.choice(MUTATORS[:-1])(chance, content)
        entry.path.write_bytes(content)
        if content != PLAN:
            with pytest.raises(EngineError):
                open_cache(cache.folder).load(entry)
            assert cache.load(cache.obtain(KEY, built)) == PLAN


@pytest.fixture
def theirs(tmp_path: Path) -> CachedEngine:
    """An engine that was made and proved on another machine."""
    cache = open_cache(tmp_path / "theirs", secret="their.key")
    return cache.record_proof(cache.obtain(KEY, built), {"psnr_db": 99})


def test_trusted_from_elsewhere(cache: EngineCache, theirs: CachedEngine) -> None:
    before = tree(theirs.path.parent)
    for path in (theirs.path, sidecar(theirs)):
        entry = cache.trust(path)
        assert (entry.key, entry.made, entry.proof) == (KEY, theirs.made, None)
        assert entry.path.parent == cache.folder
        assert cache.find(KEY) == entry and cache.load(entry) == PLAN
    assert tree(theirs.path.parent) == before


def test_trusted_where_it_was_copied_to(cache: EngineCache, theirs: CachedEngine) -> None:
    cache.folder.mkdir()
    for path in (theirs.path, sidecar(theirs)):
        shutil.copy(path, cache.folder)
    assert cache.load(cache.trust(cache.folder / theirs.path.name)) == PLAN
    assert not cache.problems


def test_trusted_after_it_was_put_aside(cache: EngineCache, theirs: CachedEngine) -> None:
    cache.folder.mkdir()
    for path in (theirs.path, sidecar(theirs)):
        shutil.copy(path, cache.folder)
    assert cache.find(KEY) is None
    aside = cache.folder / "refused" / theirs.path.name
    assert str(aside) in cache.problems[0] and "does not bear your seal" in cache.problems[0]
    entry = cache.trust(aside)
    assert cache.load(entry) == PLAN and list(aside.parent.iterdir()) == []


def test_trusted_again_keeps_what_is_ours(cache: EngineCache, theirs: CachedEngine) -> None:
    proved = cache.record_proof(cache.trust(theirs.path), {"psnr_db": 60})
    assert cache.trust(theirs.path) == proved
    cache.obtain(KEY, lambda: built(b"another"), anew=True)
    assert cache.load(cache.trust(theirs.path)) == PLAN


def test_not_what_its_sidecar_says(cache: EngineCache, theirs: CachedEngine) -> None:
    for content in (PLAN[::-1], PLAN[1:], b""):
        theirs.path.write_bytes(content)
        with pytest.raises(EngineError, match="is not the engine that its sidecar describes"):
            cache.trust(theirs.path)
    assert cache.find(KEY) is None


def test_trust_needs_both_files(cache: EngineCache, theirs: CachedEngine, tmp_path: Path) -> None:
    for path in (tmp_path / "none.engine", tmp_path / "none.plan", theirs.path.with_suffix(".onnx")):
        with pytest.raises(UsageError):
            cache.trust(path)
    theirs.path.unlink()
    with pytest.raises(UsageError) as caught:
        cache.trust(sidecar(theirs))
    assert "both are needed" in caught.value.hint


@pytest.mark.parametrize("field", ["model", "profile"])
def test_trusted_names_do_not_lead_elsewhere(cache: EngineCache, theirs: CachedEngine, field: str) -> None:
    said = body(theirs)
    name = "../../elsewhere"
    said["key"][field] = {**said["key"]["profile"], "name": name} if field == "profile" else name
    write_sealed(sidecar(theirs), json.dumps(said).encode(), Seal(cache.folder.parent / "their.key"))
    with pytest.raises(EngineError, match="cannot be the name"):
        cache.trust(theirs.path)
    assert not cache.folder.exists()


def test_another_secret_means_another_user(cache: EngineCache, entry: CachedEngine) -> None:
    other = EngineCache(cache.folder, seal=Seal(cache.folder.parent / "other.key"))
    assert other.entries() == [] and "does not bear your seal" in other.problems[0]
    assert [each.key for each in cache.entries()] == [KEY]
    assert other.obtain(key(1), built).key == key(1)
    assert [each.key for each in cache.entries()] == [KEY]
