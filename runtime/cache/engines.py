"""The engine cache: built once, found by all that an engine depends on, never stale, never somebody else's.

An engine is two files: the plan, and a sidecar that says what it is. The sidecar is written last and bears the user's
seal over its content, which holds the plan's hash: what is interrupted, damaged, renamed or brought in from elsewhere
is known as such before anybody deserialises it.
"""

from __future__ import annotations

import hashlib
import os
import re
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from fastrestore.errors import EngineError
from fastrestore.runtime.cache import entry as cache_entry
from fastrestore.runtime.cache.choices import Choices
from fastrestore.runtime.cache.entry import BuiltEngine, CachedEngine, RefusedEntryError
from fastrestore.runtime.cache.folder import CacheFolder, default_folder, default_limit_bytes
from fastrestore.runtime.cache.foreign import read_foreign
from fastrestore.runtime.cache.pruning import Pruned, Wish, prune, take_out
from fastrestore.runtime.cache.store import EntryStore
from fastrestore.runtime.cache.timing import TimingCache
from fastrestore.runtime.engine_key import EngineKey
from fastrestore.runtime.seal import Seal


class EngineCache:
    """A folder of engines, shared by any number of processes.

    Finding and loading need no more than to read the folder. Whatever must not be used is put aside, so that it is
    built anew, and told in `problems`.

    Args:
        folder: Where; None takes `FASTRESTORE_ENGINES`, or the platform's place for caches.
        limit_bytes: Of all plans together: after a build those go that were used least recently. None takes
            `FASTRESTORE_ENGINES_LIMIT`, or 20 GiB.
        seal: What marks engines as this user's own; None takes the one in the platform's place for data.

    Raises:
        UsageError: If `FASTRESTORE_ENGINES_LIMIT` is not understood.
    """

    def __init__(self, folder: Path | None = None, limit_bytes: int | None = None, seal: Seal | None = None) -> None:
        self._disk = CacheFolder(folder or default_folder())
        self._limit_bytes = default_limit_bytes() if limit_bytes is None else limit_bytes
        self._seal = seal or Seal()
        self._store = EntryStore(self._disk, self._seal)
        self._obtained: set[str] = set()
        self._loaded: dict[str, list[int]] = {}
        """Descriptors that hold the shared locks of what is loaded."""
        weakref.finalize(self, _close_all, self._loaded)
        self.problems: list[str] = []
        """What was found and not used, what became of it, and what was evicted: in words, for the user."""
        self.choices = Choices(self.folder / "choices")
        """What was measured to be best, by `build-engines --tune` and `bench`."""

    @property
    def folder(self) -> Path:
        """Where the engines are."""
        return self._disk.path

    def find(self, key: EngineKey) -> CachedEngine | None:
        """Return the engine of exactly this key, or None. Reads the sidecar and looks at the plan's size, no more.

        Raises:
            EngineError: If the user's secret cannot be used.
        """
        while True:
            try:
                return self._store.find(key)
            except RefusedEntryError as error:
                if self._put_aside(key, error):
                    return None

    def obtain(
        self,
        key: EngineKey,
        make: Callable[[], BuiltEngine],
        *,
        anew: bool = False,
        on_wait: Callable[[], None] | None = None,
    ) -> CachedEngine:
        """Return the engine of this key; build it if it is not there. However many ask at once, one builds.

        Args:
            key: All that the engine depends on.
            make: Builds it. Whatever it raises is passed on, and leaves nothing.
            anew: Build it even if it is there.
            on_wait: Called once, if another process is building it.

        Raises:
            EngineError: If it cannot be stored, or the user's secret cannot be used.
        """
        self._obtained.add(key.stem)
        if not anew and (entry := self.find(key)) is not None:
            self._store.touch(entry)
            return entry
        with self._locked(key.stem, on_wait):
            entry = None if anew else self._find_locked(key)
            if entry is not None:
                return entry
            entry = self._write(key, make())
        self._keep_within_limit()
        return entry

    def load(self, entry: CachedEngine) -> bytes:
        """Return a plan whose seal and hash were checked. From now on it is in use: no process evicts it.

        It stays so until `release` or `close`, or until this object or the process ends.

        Raises:
            EngineError: If it is gone, damaged or foreign. It is put aside then, and building makes it anew.
        """
        while True:
            try:
                found = self._store.load(entry.key)
            except RefusedEntryError as error:
                if not self._put_aside(entry.key, error):
                    continue  # it was built anew between the look at its sidecar and the look at the plan
                raise EngineError(error.message, _how_to_build(entry.key)) from error
            if found is None:
                raise _gone(entry.key)
            plan, descriptor = found
            self._loaded.setdefault(entry.name, []).append(descriptor)
            self._store.touch(entry)
            return plan

    def release(self, entry: CachedEngine) -> None:
        """Say that an engine is no longer in use; once for each `load`."""
        if descriptors := self._loaded.get(entry.name):
            os.close(descriptors.pop())

    def close(self) -> None:
        """Release everything loaded. Twice is fine, and so is going on afterwards."""
        _close_all(self._loaded)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def verify(self, entry: CachedEngine) -> None:
        """Check all of a plan as it is now on the disk. Nothing is put aside.

        Raises:
            EngineError: If it is gone, damaged or foreign.
        """
        try:
            if self._store.verify(entry.key) is None:
                raise _gone(entry.key)
        except RefusedEntryError as error:
            raise EngineError(error.message, _how_to_build(entry.key)) from error

    def record_proof(self, entry: CachedEngine, proof: Mapping[str, Any] | None) -> CachedEngine:
        """Note beside an engine how it agreed with the reference; None takes back what was noted.

        Raises:
            EngineError: If the engine is another one by now, or the folder cannot be written to.
        """
        with self._locked(entry.name):
            now = self._find_locked(entry.key)
            if now is None or now.sha256 != entry.sha256:
                raise EngineError(
                    f"engine {entry.name} was removed or built anew while it was being proved", "run the command again"
                )
            proved = replace(now, proof=proof)
            with self._disk.usable():
                self._store.rewrite(proved)
        return proved

    def entries(self) -> list[CachedEngine]:
        """Return all engines that can be used, by name; the others are told in `problems` and left where they are.

        Raises:
            EngineError: If the folder cannot be read, or the user's secret cannot be used.
        """
        entries, refused = self._survey()
        for error in refused.values():
            self._tell(f"{error.message}; it will not be used")
        return entries

    def remove(self, entry: CachedEngine) -> bool:
        """Remove an engine, unless a process has it loaded or is at work on it; say whether it is gone.

        Raises:
            EngineError: If it cannot be removed.
        """
        with self._disk.usable():
            return take_out(self._disk, entry.name)

    def prune(
        self,
        *,
        older_than: timedelta | None = None,
        limit_bytes: int | None = None,
        everything: bool = False,
        dry_run: bool = False,
    ) -> Pruned:
        """Remove what is of no use, engines that were not used for so long, and then the least recently used.

        Args:
            older_than: Remove what was not used for so long.
            limit_bytes: Remove until no more is left than this; None takes the cache's limit.
            everything: Remove all engines and timing caches; choices and proofs stay.
            dry_run: Remove nothing.

        Raises:
            EngineError: If the folder cannot be read or something cannot be removed.
        """
        limit = self._limit_bytes if limit_bytes is None else limit_bytes
        wish = Wish(limit, older_than, everything=everything, dry_run=dry_run)
        entries, refused = self._survey()
        with self._disk.usable():
            for stem in () if dry_run else refused:
                with self._disk.lock_if_free(stem) as free:
                    if free and stem in self._survey((stem,))[1]:
                        self._disk.put_aside(stem)
            return prune(self._disk, entries, wish, refused)

    def trust(self, path: Path) -> CachedEngine:
        """Take over an engine that was made elsewhere: seal it as one's own. Only its hash and size are checked.

        Whoever made it decides what runs when it is loaded. What it says of its proof is not taken over: the first run
        on a device proves it.

        Args:
            path: Its plan or its sidecar, in the cache, put aside there, or anywhere else; the other of the two lies
                beside it.

        Raises:
            UsageError: If there are no such files.
            EngineError: If the sidecar is none, the plan is not the one that it describes, or it cannot be stored.
        """
        theirs, plan = read_foreign(path)
        key = theirs.key
        with self._locked(key.stem), self._disk.usable():
            ours = self._unless_refused(key)
            if ours is None or ours.sha256 != theirs.sha256:
                ours = replace(theirs, path=self._disk.plan(key.stem), proof=None)
                self._store.write(ours, plan)
            self._disk.forget(theirs.path)
        return ours

    def timing(self, name: str, facts: Mapping[str, str]) -> TimingCache:
        """Return the timing cache for these facts, which need not exist.

        Args:
            name: For people to read, such as the card's.
            facts: All that the measurements depend on: card, library, their versions.
        """
        return TimingCache(self._disk.timing, name, facts, self._seal)

    @contextmanager
    def _locked(self, stem: str, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
        """Hold a name, and translate what the disk refuses; what a builder raises in between is not ours."""
        with ExitStack() as stack:
            with self._disk.usable():
                stack.enter_context(self._disk.lock(stem, on_wait))
            yield

    def _survey(self, stems: Iterable[str] | None = None) -> tuple[list[CachedEngine], dict[str, RefusedEntryError]]:
        """Return what can be used of the engines of these names, or of all, and what must not be used, and why."""
        entries: list[CachedEngine] = []
        refused: dict[str, RefusedEntryError] = {}
        with self._disk.usable():
            for stem in self._disk.stems() if stems is None else stems:
                try:
                    entry = self._store.read(stem)
                except RefusedEntryError as error:
                    refused[stem] = error
                else:
                    entries += [] if entry is None else [entry]
        return entries, refused

    def _find_locked(self, key: EngineKey) -> CachedEngine | None:
        """Find an engine whose name is held; what must not be used is put aside."""
        try:
            return self._store.find(key)
        except RefusedEntryError as error:
            with self._disk.usable():
                self._tell_refused(error, self._disk.put_aside(key.stem))
            return None

    def _unless_refused(self, key: EngineKey) -> CachedEngine | None:
        try:
            return self._store.verify(key)
        except RefusedEntryError:
            return None

    def _put_aside(self, key: EngineKey, error: RefusedEntryError) -> bool:
        """Take an entry out of use. Return False if there is a good one in its place by now: look again then."""
        try:
            with self._disk.lock_if_free(key.stem) as free:
                if not free:
                    return True  # it is being built anew
                if self._unless_refused(key) is not None:
                    return False
                if os.path.lexists(self._disk.sidecar(key.stem)):  # else somebody was faster
                    self._tell_refused(error, self._disk.put_aside(key.stem))
        except OSError:
            self._tell(f"{error.message}; it is not used, and cannot be moved out of the way")
        return True

    def _write(self, key: EngineKey, built: BuiltEngine) -> CachedEngine:
        plan = memoryview(built.plan).cast("B")
        if not plan:
            raise EngineError(f"the builder made nothing of {key.stem}", "this is a mistake in fastrestore: report it")
        sha256 = hashlib.sha256(plan).hexdigest()
        entry = cache_entry.fresh(key, self._disk.plan(key.stem), built, len(plan), sha256)
        with self._disk.usable():
            self._store.write(entry, plan)
        return entry

    def _keep_within_limit(self) -> None:
        """Let go of what was used least recently, but of nothing that was obtained through this object."""
        entries, _ = self._survey()
        if sum(entry.bytes for entry in entries) <= self._limit_bytes:
            return
        with self._disk.usable():
            pruned = prune(self._disk, entries, Wish(self._limit_bytes, spared=frozenset(self._obtained)))
        for entry in pruned.removed:
            self._tell(f"engine {entry.name} was removed to keep to {self._limit_bytes} bytes")
        if pruned.kept_bytes > self._limit_bytes:
            self._tell(f"the engines in use have {pruned.kept_bytes} bytes, more than the limit {self._limit_bytes}")

    def _tell_refused(self, error: RefusedEntryError, where: Path) -> None:
        self._tell(f"{error.message}; put aside as {where}, to be built anew")

    def _tell(self, text: str) -> None:
        if text not in self.problems:
            self.problems.append(text)


def _close_all(loaded: dict[str, list[int]]) -> None:
    while loaded:
        for descriptor in loaded.popitem()[1]:
            os.close(descriptor)


def _gone(key: EngineKey) -> EngineError:
    return EngineError(f"there is no engine {key.stem} any more", _how_to_build(key))


def _how_to_build(key: EngineKey) -> str:
    name = key.profile.name
    option = f"--size {name}" if re.fullmatch("[0-9]+x[0-9]+", name) else f"--profile {name}"
    return f"build it: `fastrestore build-engines {key.model} --backend {key.backend} {option}`"
