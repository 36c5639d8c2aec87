"""A timing cache is loaded only if it is whole, ours, and of the same facts; choices likewise, without a seal."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.unit.runtime.engine_samples import open_cache

from fastrestore.errors import EngineError
from fastrestore.runtime.cache.choices import MOST_BYTES, Choices
from fastrestore.runtime.cache.engines import EngineCache

FACTS = {"card": "NVIDIA H200", "library": "11.4.0"}


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    return open_cache(tmp_path / "engines")


def test_timing(cache: EngineCache) -> None:
    timing = cache.timing("NVIDIA H200 / PCIe", FACTS)
    assert timing.load() == b"" and not cache.folder.exists()
    timing.store(memoryview(b"measured"))
    assert timing.path.parent == cache.folder / "timing" and timing.path.name.startswith("NVIDIA-H200-PCIe-")
    assert open_cache(cache.folder).timing("NVIDIA H200 / PCIe", dict(reversed(FACTS.items()))).load() == b"measured"
    timing.store(b"measured again")
    assert timing.load() == b"measured again"
    assert len(list(timing.path.parent.iterdir())) == 1


def test_timing_of_other_facts(cache: EngineCache) -> None:
    timing = cache.timing("card", FACTS)
    timing.store(b"measured")
    other = cache.timing("card", {**FACTS, "library": "11.5.0"})
    assert other.path != timing.path and other.load() == b""
    timing.path.replace(other.path)
    assert other.load() == b""


def test_damaged_timing(cache: EngineCache) -> None:
    timing = cache.timing("card", FACTS)
    timing.store(b"measured")
    content = timing.path.read_bytes()
    for number in range(len(content)):
        timing.path.write_bytes(content[:number] + bytes([content[number] ^ 1]) + content[number + 1 :])
        assert timing.load() == b""
        timing.path.write_bytes(content[:number])
        assert timing.load() == b""
    timing.path.write_bytes(content + b"\0")
    assert timing.load() == b""
    timing.path.unlink()
    timing.path.mkdir()
    assert timing.load() == b""


def test_timing_of_somebody_else(cache: EngineCache) -> None:
    open_cache(cache.folder, secret="their.key").timing("card", FACTS).store(b"measured")
    assert cache.timing("card", FACTS).load() == b""


def full(*arguments: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk(cache: EngineCache, monkeypatch: pytest.MonkeyPatch) -> None:
    timing = cache.timing("card", FACTS)
    timing.store(b"older")
    cache.choices.put("tuning", FACTS, {"batch": 1})
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EngineError, match="No space left"):
        timing.store(b"newer")
    with pytest.raises(EngineError, match="No space left"):
        cache.choices.put("tuning", FACTS, {"batch": 2})
    assert timing.load() == b"older" and cache.choices.get("tuning", FACTS) == {"batch": 1}
    assert len([path for path in cache.folder.rglob("*") if path.is_file()]) == 2


def test_choices(tmp_path: Path) -> None:
    choices = Choices(tmp_path / "choices")
    facts = {"card": "a", "sizes": (1, 2), "deep": {"b": None}}
    assert choices.get("tuning", facts) is None
    choices.put("tuning", facts, {"batch": 4, "streams": 2})
    assert Choices(tmp_path / "choices").get("tuning", dict(reversed(facts.items()))) == {"batch": 4, "streams": 2}
    choices.put("tuning", facts, {"batch": 1})
    assert choices.get("tuning", facts) == {"batch": 1}
    assert choices.get("bench", facts) is None
    assert choices.get("tuning", {**facts, "card": "b"}) is None
    assert len(list(choices.folder.iterdir())) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        b"null",
        b"[" * 100_000,
        b"{}",
        b'{"schema": "fastrestore.choice/0"}',
        b" " * (MOST_BYTES + 1),
    ],
)
def test_a_choice_that_cannot_be_read(tmp_path: Path, content: bytes) -> None:
    choices = Choices(tmp_path)
    choices.put("tuning", FACTS, {"batch": 4})
    (path,) = tmp_path.iterdir()
    path.write_bytes(content)
    assert choices.get("tuning", FACTS) is None


def test_a_choice_of_other_facts_under_this_name(tmp_path: Path) -> None:
    choices = Choices(tmp_path)
    choices.put("tuning", FACTS, {"batch": 4})
    (path,) = tmp_path.iterdir()
    said = json.loads(path.read_text())
    changes: list[dict[str, Any]] = [
        {"facts": {}},
        {"schema": "fastrestore.choice/2"},
        {"kind": "bench"},
        {"choice": [1]},
    ]
    for change in changes:
        path.write_text(json.dumps({**said, **change}))
        assert choices.get("tuning", FACTS) is None
