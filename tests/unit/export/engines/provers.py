"""Stand-ins for a card: what runs in a building process after an engine is built. Handed over by name."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastrestore.errors import EngineError, EngineProofError
from fastrestore.export.engines.plan import PlannedEngine
from fastrestore.runtime.cache.engines import EngineCache
from fastrestore.runtime.cache.entry import CachedEngine

BAD = "film-x2-tiny"
"""The model that fails, in whatever way."""


@dataclass(frozen=True)
class Tried:
    entry: CachedEngine
    tuning: Mapping[str, Any] | None = None


def proves(planned: PlannedEngine, entry: CachedEngine, cache: EngineCache) -> Tried:
    seen = {"holds": True, "visible": os.environ.get("CUDA_VISIBLE_DEVICES", ""), "process": os.getpid()}
    return Tried(cache.record_proof(entry, seen), {"batch": 2})


def dies(planned: PlannedEngine, entry: CachedEngine, cache: EngineCache) -> Tried:
    if planned.spec.name == BAD:
        os.kill(os.getpid(), signal.SIGSEGV)
    return proves(planned, entry, cache)


def disagrees(planned: PlannedEngine, entry: CachedEngine, cache: EngineCache) -> Tried:
    if planned.spec.name == BAD:
        raise EngineProofError(0.5, 0.002, "everything", "use another")
    return proves(planned, entry, cache)


def breaks(planned: PlannedEngine, entry: CachedEngine, cache: EngineCache) -> Tried:
    raise EngineError("the card fell off the bus", "reboot")
