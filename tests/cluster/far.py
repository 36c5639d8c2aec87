"""A worker whose node shares no storage with the coordinator."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fastrestore.runtime.fleet.ray_worker import RayWorker, Sight

_NOWHERE = Path("/nowhere")


class FarWorker(RayWorker):
    """Sees nothing of what the coordinator sees."""

    def look(self, source: Path, known: Mapping[str, int | str], probe: Path, nonce: str) -> Sight:
        """See `RayWorker.look`."""
        return super().look(_NOWHERE / source.name, known, _NOWHERE / probe.name, nonce)
