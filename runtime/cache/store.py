"""Entries of the engine cache on the disk: read with suspicion, written so that none is ever half there."""

from __future__ import annotations

import fcntl
import hashlib
import os
from contextlib import suppress
from datetime import UTC, datetime
from io import BufferedReader

from fastrestore.errors import EngineError
from fastrestore.files import digest, part_path, sync_names
from fastrestore.runtime.cache import entry as cache_entry
from fastrestore.runtime.cache.entry import CachedEngine, RefusedEntryError
from fastrestore.runtime.cache.folder import CacheFolder
from fastrestore.runtime.engine_key import EngineKey
from fastrestore.runtime.seal import Seal
from fastrestore.runtime.state_files import open_regular, read_bounded, write_part, write_synced

_LAST_SECOND = 253_402_300_799.0
"""Of the year 9999."""


class EntryStore:
    """Reads and writes entries. Whoever writes holds the entry's lock.

    Args:
        folder: The cache's folder.
        seal: What marks entries as the user's own.
    """

    def __init__(self, folder: CacheFolder, seal: Seal) -> None:
        self._folder = folder
        self._seal = seal

    def read(self, stem: str) -> CachedEngine | None:
        """Return an entry by its name, or None if it has no sidecar; the plan is looked at, not read.

        Raises:
            RefusedEntryError: If it must not be used.
            EngineError: If the user's secret cannot be used.
        """
        plan, sidecar = self._folder.plan(stem), self._folder.sidecar(stem)
        try:
            used = _moment(sidecar.lstat().st_mtime)
            content = read_bounded(sidecar, cache_entry.MOST_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise RefusedEntryError(f"the sidecar of engine {stem} cannot be read: {error.strerror}") from error
        if content is None:
            raise RefusedEntryError(f"the sidecar of engine {stem} is none: too long, or no file")
        entry = cache_entry.decode(content, plan, used, self._seal)
        if entry.key.stem != stem:
            raise RefusedEntryError(f"engine {stem} is {entry.key.stem} under another name")
        self._open(entry).close()
        return entry

    def find(self, key: EngineKey) -> CachedEngine | None:
        """Return the entry of a key, or None if there is none; the plan is looked at, not read.

        Raises:
            RefusedEntryError: If it must not be used.
            EngineError: If the user's secret cannot be used.
        """
        entry = self.read(key.stem)
        if entry is not None and entry.key != key:
            raise RefusedEntryError(f"engine {key.stem} was built for something else that has the same name")
        return entry

    def verify(self, key: EngineKey) -> CachedEngine | None:
        """Return the entry of a key, or None if there is none; all of the plan is checked.

        Raises:
            RefusedEntryError: If it must not be used.
            EngineError: If the user's secret cannot be used.
        """
        entry = self.find(key)
        if entry is not None:
            with self._open(entry) as file:
                _check(entry, hashlib.file_digest(file, "sha256").hexdigest())
        return entry

    def load(self, key: EngineKey) -> tuple[bytes, int] | None:
        """Return a plan, and a descriptor that marks it as in use until it is closed; None if there is no entry.

        Raises:
            RefusedEntryError: If it must not be used.
            EngineError: If the user's secret cannot be used.
        """
        entry = self.find(key)
        if entry is None:
            return None
        with self._open(entry) as file:
            with suppress(OSError):  # some network file systems have no locks: then it may be evicted while in use
                fcntl.flock(file.fileno(), fcntl.LOCK_SH)
            try:
                plan = file.read(entry.bytes + 1)
            except OSError as error:
                raise RefusedEntryError(f"engine {entry.name} cannot be read: {error.strerror}") from error
            _check(entry, hashlib.sha256(plan).hexdigest())
            return plan, os.dup(file.fileno())

    def write(self, entry: CachedEngine, plan: bytes | memoryview) -> None:
        """Write an entry and its plan: both are there as a whole, or there is nothing that would be used.

        Raises:
            OSError: If they cannot be written; nothing is left of them.
            EngineError: If the plan on the disk is not what was written, or the sidecar cannot be sealed.
        """
        content = cache_entry.encode(entry, self._seal)
        part, sidecar = part_path(entry.path), self._folder.sidecar(entry.name)
        try:
            write_part(part, plan)
            if digest(part) != entry.sha256:
                raise EngineError(f"engine {entry.name} is not what was written to the disk", "check the disk")
            sidecar.unlink(missing_ok=True)  # of an older one; from here on there is no entry
            part.replace(entry.path)
            sync_names(entry.path.parent)  # never the sidecar without the plan, not after a power failure either
            write_synced(sidecar, content)
        except BaseException:
            with suppress(OSError):
                part.unlink(missing_ok=True)
                if not sidecar.exists():
                    entry.path.unlink(missing_ok=True)
            raise

    def rewrite(self, entry: CachedEngine) -> None:
        """Write the sidecar of an entry that is there.

        Raises:
            OSError: If it cannot be written; the old one is left.
            EngineError: If it cannot be sealed.
        """
        write_synced(self._folder.sidecar(entry.name), cache_entry.encode(entry, self._seal))

    def touch(self, entry: CachedEngine) -> None:
        """Note that an entry is used now, where the folder can be written to."""
        with suppress(OSError):
            os.utime(self._folder.sidecar(entry.name))

    def _open(self, entry: CachedEngine) -> BufferedReader:
        """Open a plan that has the right size.

        Raises:
            RefusedEntryError: If there is none.
        """
        try:
            file = open_regular(entry.path)
        except OSError as error:
            raise RefusedEntryError(f"engine {entry.name} cannot be read: {error.strerror}") from error
        if file is None:
            raise RefusedEntryError(f"engine {entry.name} is no file")
        size = os.fstat(file.fileno()).st_size
        if size != entry.bytes:
            file.close()
            raise RefusedEntryError(
                f"engine {entry.name} has {size} bytes, wanted {entry.bytes}: it was cut or replaced"
            )
        return file


def _check(entry: CachedEngine, found: str) -> None:
    if found != entry.sha256:
        raise RefusedEntryError(
            f"engine {entry.name} is damaged or replaced: sha256 {found[:12]}..., wanted {entry.sha256[:12]}..."
        )


def _moment(seconds: float) -> str:
    """Return a file's time in words; nobody says that it lies in a year that has four digits."""
    return cache_entry.stamp(datetime.fromtimestamp(min(max(seconds, 0.0), _LAST_SECOND), UTC), "microseconds")
