"""`fastrestore engines` as a user meets it, in this process."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.unit.runtime.engine_samples import KEY, PLAN, built, key, open_cache, sidecar

from fastrestore.cli import engines
from fastrestore.errors import EngineError, UsageError
from fastrestore.runtime.cache.engines import EngineCache
from fastrestore.runtime.cache.entry import BuiltEngine, CachedEngine


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineCache:
    monkeypatch.setenv("FASTRESTORE_ENGINES", str(tmp_path / "engines"))
    monkeypatch.setenv("FASTRESTORE_SEAL", str(tmp_path / "seal.key"))
    monkeypatch.delenv("FASTRESTORE_ENGINES_LIMIT", raising=False)
    return EngineCache()


@pytest.fixture
def entry(cache: EngineCache) -> CachedEngine:
    return cache.obtain(KEY, built)


def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_list(cache: EngineCache, entry: CachedEngine, capsys: pytest.CaptureFixture[str]) -> None:
    cache.record_proof(entry, {"psnr_db": 60})
    cache.obtain(key(1), built)
    engines.engines_list(as_json=True)
    rows = {row["name"]: row for row in printed(capsys)}
    assert rows[KEY.stem]["key"]["precision"] == "fp16" and rows[KEY.stem]["bytes"] == len(PLAN)
    assert rows[KEY.stem]["proof"] == {"psnr_db": 60} and rows[key(1).stem]["proof"] is None
    os.truncate(cache.obtain(key(2), built).path, 0)
    engines.engines_list()
    shown = capsys.readouterr()
    states = {line.split()[0]: line.split("  ")[-1] for line in shown.out.splitlines()}
    assert states == {KEY.stem: "proved", key(1).stem: "built, not proved"}
    assert "2 engines" in shown.err and f"warning: engine {key(2).stem} has 0 bytes" in shown.err


def test_list_of_nothing(cache: EngineCache, capsys: pytest.CaptureFixture[str]) -> None:
    engines.engines_list(as_json=True)
    assert printed(capsys) == []
    engines.engines_list()
    assert capsys.readouterr().out == ""


def test_show(cache: EngineCache, capsys: pytest.CaptureFixture[str]) -> None:
    cache.obtain(KEY, lambda: BuiltEngine(PLAN, {"layers": 7}, ["a line \x1b[31m in red"]))
    cache.obtain(key(1), built)
    engines.engines_show(KEY.stem, as_json=True)
    assert printed(capsys)["inspector"] == {"layers": 7}
    engines.engines_show(KEY.stem[:-2])
    lines = capsys.readouterr().out.splitlines()
    rows = dict(line.split(maxsplit=1) for line in lines[:-1])
    assert rows["key.profile.best.height"] == "512" and (rows["inspector.layers"], rows["key.device"]) == ("7", "-")
    assert (rows["proof"], rows["digest"]) == ("not proved", KEY.digest)
    assert lines[-1] == "log: a line \ufffd[31m in red"
    for name, message in (("film", "2 engines begin with"), ("nothing", "no engine `nothing`")):
        with pytest.raises(UsageError, match=message):
            engines.engines_show(name)


def test_verify(cache: EngineCache, entry: CachedEngine, capsys: pytest.CaptureFixture[str]) -> None:
    other = cache.obtain(key(1), built)
    engines.engines_verify()
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["ok", "ok"]
    other.path.write_bytes(PLAN[::-1])
    with pytest.raises(typer.Exit) as stopped:
        engines.engines_verify(as_json=True)
    results = {row["name"]: row for row in printed(capsys)}
    assert stopped.value.exit_code == 1
    assert results[KEY.stem]["ok"] and "damaged or replaced" in results[other.name]["problem"]
    engines.engines_verify([KEY.stem])
    assert capsys.readouterr().out == f"ok  {KEY.stem}\n"
    os.truncate(other.path, 0)
    with pytest.raises(typer.Exit):
        engines.engines_verify()


def test_prune(cache: EngineCache, entry: CachedEngine, capsys: pytest.CaptureFixture[str]) -> None:
    (cache.folder / f"{key(1).stem}.engine.part").write_bytes(b"123")
    os.utime(sidecar(entry), (0, 0))
    engines.engines_prune(older_than="30d", dry_run=True, as_json=True)
    told = printed(capsys)
    assert (told["removed"], told["freed_bytes"], told["dry_run"]) == ([KEY.stem], len(PLAN) + 3, True)
    assert Path(told["leftovers"][0]).exists() and cache.find(KEY) is not None
    engines.engines_prune()
    assert capsys.readouterr().out == f"removed: {cache.folder / f'{key(1).stem}.engine.part'}\n"
    cache.load(entry)
    engines.engines_prune(limit="1")
    assert capsys.readouterr().out == f"in use, kept: {KEY.stem}\n"
    cache.release(entry)
    engines.engines_prune(everything=True)
    shown = capsys.readouterr()
    assert shown.out == f"removed: {KEY.stem}\n" and "0.0 MB freed, 0.0 MB kept" in shown.err


@pytest.mark.parametrize("text", ["", "30", "d", "30 years", "-1d", "\u0663d", "1000000d"])
def test_an_age_that_is_none(cache: EngineCache, text: str) -> None:
    with pytest.raises(UsageError, match="--older-than"):
        engines.engines_prune(older_than=text)


def test_a_limit_that_is_none(cache: EngineCache) -> None:
    with pytest.raises(UsageError, match="--limit much"):
        engines.engines_prune(limit="much")


def test_trust(cache: EngineCache, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = open_cache(tmp_path / "theirs", secret="their.key")
    files = [theirs.obtain(key(number), built).path for number in range(2)]
    engines.engines_trust(files)
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [str(cache.folder / path.name) for path in files]
    assert "decided by who made it" in shown.err
    assert [entry.name for entry in cache.entries()] == sorted(path.stem for path in files)
    files[0].write_bytes(b"something else")
    with pytest.raises(EngineError, match="is not the engine"):
        engines.engines_trust(files)
    engines.engines_trust(files[1:], as_json=True)
    assert printed(capsys)[0]["name"] == files[1].stem
