"""Engines that somebody else made, or that lost their seal: what they claim to be, and whether they are that."""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path

from fastrestore.errors import EngineError, UsageError
from fastrestore.runtime.cache import entry as cache_entry
from fastrestore.runtime.cache.entry import CachedEngine, RefusedEntryError
from fastrestore.runtime.cache.folder import PLAN, SIDECAR
from fastrestore.runtime.state_files import open_regular, read_bounded


def read_foreign(path: Path) -> tuple[CachedEngine, bytes]:
    """Return what a sidecar says, and the plan that it says it of. Nothing shows who made them.

    Args:
        path: Of either; the other of the two lies beside it.

    Raises:
        UsageError: If there are no such files.
        EngineError: If the sidecar is none, or the plan is not the one it describes.
    """
    if path.suffix not in (PLAN, SIDECAR):
        raise UsageError(f"{path} is no engine", f"name a file that ends in `{PLAN}`; its `{SIDECAR}` lies beside it")
    plan, sidecar = path.with_suffix(PLAN).absolute(), path.with_suffix(SIDECAR).absolute()
    try:
        content = read_bounded(sidecar, cache_entry.MOST_BYTES)
        if content is None:
            raise RefusedEntryError(f"{sidecar} is no sidecar of an engine: too long, or no file")
        now = cache_entry.stamp(datetime.now(UTC), "microseconds")
        entry = cache_entry.decode(content, plan, now, seal=None)
        return entry, _matching(entry)
    except OSError as error:
        raise UsageError(
            f"cannot read {error.filename or path}: {error.strerror}",
            f"an engine is two files, `{PLAN}` and `{SIDECAR}`: both are needed",
        ) from error


def _matching(entry: CachedEngine) -> bytes:
    file = open_regular(entry.path)
    if file is None:
        raise EngineError(f"{entry.path} is no file", "name the engine itself")
    with file:
        size = os.fstat(file.fileno()).st_size
        plan = file.read(entry.bytes + 1) if size == entry.bytes else b""
    if len(plan) != entry.bytes or hashlib.sha256(plan).hexdigest() != entry.sha256:
        raise EngineError(
            f"{entry.path} is not the engine that its sidecar describes: {size} bytes, wanted {entry.bytes} with "
            f"sha256 {entry.sha256[:12]}...",
            "copy both files again, or build the engine here",
        )
    return plan
