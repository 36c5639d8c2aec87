"""What a builder measured of single layers, kept so that the next build need not: one file for each set of facts."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

from fastrestore.errors import EngineError
from fastrestore.runtime.seal import TAG_LENGTH, Seal
from fastrestore.runtime.state_files import read_bounded, write_synced

SUFFIX = ".timing"
MOST_BYTES = 1 << 30
_PURPOSE = "timing"
_ODD = r"[^A-Za-z0-9._-]+"


class TimingCache:
    """A timing cache on the disk. A damaged one can end the process that opens it: it is checked first, and sealed.

    Args:
        folder: Where timing caches are; made if need be.
        name: For people to read, such as the card's.
        facts: All that the measurements depend on: card, library, their versions.
        seal: The user's.
    """

    def __init__(self, folder: Path, name: str, facts: Mapping[str, str], seal: Seal) -> None:
        self._facts = json.dumps(dict(facts), sort_keys=True).encode()
        self._seal = seal
        self.path = folder / f"{re.sub(_ODD, '-', name)}-{hashlib.sha256(self._facts).hexdigest()[:24]}{SUFFIX}"

    def load(self) -> bytes:
        """Return what was stored, or nothing if there is nothing that can be used.

        Raises:
            EngineError: If the user's secret cannot be used.
        """
        try:
            content = read_bounded(self.path, MOST_BYTES)
        except OSError:  # it only saves time
            return b""
        if content is None or len(content) < TAG_LENGTH:
            return b""
        tag, payload = content[:TAG_LENGTH].decode("latin-1"), content[TAG_LENGTH:]
        return payload if self._seal.holds(_PURPOSE, self._signed(payload), tag) else b""

    def store(self, payload: bytes | memoryview) -> None:
        """Keep it for the next build. Of two processes that store, the later one's is kept.

        Raises:
            EngineError: If it cannot be written, or the user's secret cannot be used.
        """
        content = bytes(payload)
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            tag = self._seal.sign(_PURPOSE, self._signed(content)).encode()
            write_synced(self.path, tag + content)
        except OSError as error:
            raise EngineError(
                f"cannot store the timing cache {self.path}: {error.strerror}", "check the folder and its free space"
            ) from error

    def _signed(self, payload: bytes) -> bytes:
        return hashlib.sha256(self._facts).digest() + payload
