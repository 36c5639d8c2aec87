"""Engines for tests of the cache: keys and plans that no library would run, told apart by their content."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastrestore.runtime.cache.engines import EngineCache
from fastrestore.runtime.cache.entry import PURPOSE, BuiltEngine, CachedEngine
from fastrestore.runtime.engine_key import EngineKey, Profile, Shape
from fastrestore.runtime.seal import Seal

KEY = EngineKey(
    model="film-x4-tiny",
    onnx_sha256="ab" * 32,
    backend="tensorrt-rtx",
    backend_version="1.7.1.2",
    device="",
    capability="8.9",
    driver_floor="",
    precision="fp16",
    profile=Profile("tile", Shape(1, 64, 64), Shape(1, 512, 512), Shape(4, 1088, 1088)),
)
PLAN = bytes(range(256)) * 16


def key(number: int) -> EngineKey:
    """Return one of many keys."""
    return replace(KEY, onnx_sha256=f"{number:064x}")


def built(plan: bytes = PLAN) -> BuiltEngine:
    """Return what a builder makes."""
    return BuiltEngine(plan, {"layers": 7}, ("first", "last"), 0.5, ("a warning",))


def never() -> BuiltEngine:
    """Stand for a builder that must not be called."""
    raise AssertionError("it was built, and should have been found")


def open_cache(folder: Path, limit_bytes: int | None = None, secret: str = "seal.key") -> EngineCache:
    """Return a cache in a folder, with its secret in the folder that holds it."""
    return EngineCache(folder, limit_bytes, Seal(folder.parent / secret))


def sidecar(entry: CachedEngine) -> Path:
    """Return the path of an entry's sidecar."""
    return entry.path.with_suffix(".json")


def write_sealed(path: Path, body: bytes, seal: Seal) -> None:
    """Write a sidecar that bears the right seal, whatever it says."""
    path.write_bytes(b'{"seal": "%s", "entry": %s}\n' % (seal.sign(PURPOSE, body).encode(), body))


def body(entry: CachedEngine) -> dict[str, Any]:
    """Return what an entry's sidecar says."""
    found: dict[str, Any] = json.loads(sidecar(entry).read_bytes())["entry"]
    return found


def names(folder: Path) -> list[str]:
    """Return the names of engines and sidecars in a folder."""
    return sorted(path.name for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
