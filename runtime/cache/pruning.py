"""What leaves the engine cache, and in which order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fastrestore.runtime.cache.entry import CachedEngine, stamp
from fastrestore.runtime.cache.folder import CacheFolder


@dataclass(frozen=True, slots=True)
class Pruned:
    """What pruning removed, or would remove."""

    removed: tuple[CachedEngine, ...]
    in_use: tuple[CachedEngine, ...]
    """Meant to go, and kept: a process has them loaded, or is at work on them."""
    leftovers: tuple[Path, ...]
    """Files of no use that went: of interrupted builds, of refused entries, timing caches."""
    freed_bytes: int
    kept_bytes: int
    """Of all engines that are left."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to leave."""

    limit_bytes: int
    """The least recently used, until no more than this is left."""
    older_than: timedelta | None = None
    """What was not used for so long."""
    everything: bool = False
    """All engines, and the timing caches too."""
    spared: frozenset[str] = frozenset()
    """Names of engines that stay whatever the limit."""
    dry_run: bool = False
    """Say what would leave, and remove nothing."""

    def concerns(self, entry: CachedEngine, total_bytes: int) -> bool:
        """Return whether an engine is to leave, where there are so many bytes of engines."""
        if self.everything:
            return True
        age = self.older_than
        if age is not None and entry.used < stamp(datetime.now(UTC) - age, "microseconds"):
            return True
        return total_bytes > self.limit_bytes and entry.name not in self.spared


def prune(folder: CacheFolder, entries: Iterable[CachedEngine], wish: Wish, refused: Iterable[str] = ()) -> Pruned:
    """Remove what is of no use, and then engines.

    Args:
        folder: The cache's folder.
        entries: The engines in it.
        wish: What is to leave.
        refused: Names in the folder that must not be used. For a dry run: else they were put aside before.

    Raises:
        OSError: If the folder cannot be read or something cannot be removed.
    """
    leftovers = dict(_clear(folder, wish, refused))
    oldest_first = sorted(entries, key=lambda entry: entry.used)
    total = sum(entry.bytes for entry in oldest_first)
    removed: list[CachedEngine] = []
    in_use: list[CachedEngine] = []
    for entry in oldest_first:
        if not wish.concerns(entry, total):
            continue
        if folder.in_use(entry.name) if wish.dry_run else not take_out(folder, entry.name):
            in_use.append(entry)
            continue
        removed.append(entry)
        total -= entry.bytes
    freed = sum(leftovers.values()) + sum(entry.bytes for entry in removed)
    return Pruned(tuple(removed), tuple(in_use), tuple(leftovers), freed, total)


def take_out(folder: CacheFolder, name: str) -> bool:
    """Remove an engine, unless a process has it loaded or is at work on it; say whether it is gone.

    Raises:
        OSError: If it cannot be removed.
    """
    with folder.lock_if_free(name) as free:
        if not free or folder.in_use(name):
            return False
        folder.remove(name)
    return True


def _clear(folder: CacheFolder, wish: Wish, refused: Iterable[str]) -> Iterator[tuple[Path, int]]:
    """Remove what is of no use; yield each file and the bytes that it had."""
    for stem, path in folder.leftovers():
        size = path.lstat().st_size
        if wish.dry_run or folder.remove_leftover(stem, path):
            yield path, size
    for stem in refused if wish.dry_run else ():
        for path in (folder.sidecar(stem), folder.plan(stem)):
            if path.is_file():
                yield path, path.lstat().st_size
    for path in folder.timing_caches() if wish.everything else ():
        size = path.lstat().st_size
        if not wish.dry_run:
            path.unlink(missing_ok=True)
        yield path, size
