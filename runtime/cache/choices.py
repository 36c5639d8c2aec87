"""What was measured to be best on this machine, by the facts that it was measured for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastrestore.errors import EngineError
from fastrestore.runtime.state_files import read_bounded, write_synced

SCHEMA = "fastrestore.choice/1"
MOST_BYTES = 1 << 20


class Choices:
    """Measured choices, one file for each kind and set of facts.

    They are plain values, and whoever reads one checks it as it would an option that a user typed.

    Args:
        folder: Where; made if need be.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, kind: str, facts: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the choice for exactly these facts, or None if none is known that can be read.

        Args:
            kind: What is chosen, such as `tuning`; letters, digits, `-`.
            facts: As JSON holds them.
        """
        try:
            content = read_bounded(self._path(kind, facts), MOST_BYTES)
            found = json.loads(content) if content is not None else None
        except (OSError, ValueError, RecursionError):  # it is measured again then
            return None
        if not isinstance(found, dict) or {key: found.get(key) for key in ("schema", "kind", "facts")} != _head(
            kind, facts
        ):
            return None
        choice = found.get("choice")
        return choice if isinstance(choice, dict) else None

    def put(self, kind: str, facts: Mapping[str, Any], choice: Mapping[str, Any]) -> None:
        """Keep a choice in place of the one for these facts. Of two processes that do, the later one's is kept.

        Raises:
            EngineError: If it cannot be written.
        """
        path = self._path(kind, facts)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            text = json.dumps({**_head(kind, facts), "choice": dict(choice)}, indent=1)
            write_synced(path, text.encode())
        except OSError as error:
            raise EngineError(
                f"cannot store what was measured in {path}: {error.strerror}", "check the folder and its free space"
            ) from error

    def _path(self, kind: str, facts: Mapping[str, Any]) -> Path:
        text = json.dumps(_head(kind, facts), sort_keys=True, separators=(",", ":"))
        return self.folder / f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:24]}.json"


def _head(kind: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    return {"schema": SCHEMA, "kind": kind, "facts": json.loads(json.dumps(dict(facts)))}
