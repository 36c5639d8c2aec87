"""The folder of the engine cache: names, locks, and what an interrupted build leaves behind."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from fastrestore.config import parse_bytes
from fastrestore.errors import EngineError
from fastrestore.files import sync_names
from fastrestore.runtime.locks import exclusive, exclusive_if_free, is_shared

FOLDER_VARIABLE = "FASTRESTORE_ENGINES"
LIMIT_VARIABLE = "FASTRESTORE_ENGINES_LIMIT"
PLAN, SIDECAR = ".engine", ".json"
_STEM = r"[A-Za-z0-9][A-Za-z0-9._-]{0,190}-[0-9a-f]{24}"
_NAME = re.compile(rf"({_STEM})(\.engine|\.json)((?:\.[0-9a-f]{{16}})?\.part)?")
_TIMING = re.compile(r"[A-Za-z0-9._-]+-[0-9a-f]{24}\.timing(\.[0-9a-f]{16}\.part)?")


def default_folder() -> Path:
    """Return where engines are kept, which need not exist: `FASTRESTORE_ENGINES`, or the platform's cache folder."""
    if chosen := os.environ.get(FOLDER_VARIABLE):
        return Path(chosen).absolute()
    import platformdirs

    return platformdirs.user_cache_path("fastrestore", appauthor=False) / "engines"


def default_limit_bytes() -> int:
    """Return how many bytes of engines are kept: `FASTRESTORE_ENGINES_LIMIT`, or 20 GiB.

    Raises:
        UsageError: If the variable is not understood.
    """
    chosen = os.environ.get(LIMIT_VARIABLE)
    return parse_bytes(chosen) if chosen else 20 << 30


class CacheFolder:
    """Paths in the cache's folder. Only files of our own names are ever removed in it; links are not followed.

    Args:
        path: The folder; made by the first lock.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.refused = path / "refused"
        """Where entries are put that must not be used."""
        self.timing = path / "timing"
        self._locks = path / "locks"

    def plan(self, stem: str) -> Path:
        """Return the path of an engine.

        Raises:
            EngineError: If the name could lead out of the folder.
        """
        if not re.fullmatch(_STEM, stem):
            raise EngineError(f"{stem!a} cannot be the name of an engine", "check the names of its model and profile")
        return self.path / (stem + PLAN)

    def sidecar(self, stem: str) -> Path:
        """Return the path of what describes an engine.

        Raises:
            EngineError: If the name could lead out of the folder.
        """
        return self.plan(stem).with_suffix(SIDECAR)

    def lock(self, stem: str, on_wait: Callable[[], None] | None = None) -> AbstractContextManager[None]:
        """Hold an engine's name against all others that would build, change or remove it; wait if need be.

        Raises:
            OSError: If the folder cannot be used.
        """
        return exclusive(self._lock_path(stem), on_wait)

    def lock_if_free(self, stem: str) -> AbstractContextManager[bool]:
        """Hold an engine's name, unless somebody else does; say whether it is held now.

        Raises:
            OSError: If the folder cannot be used.
        """
        return exclusive_if_free(self._lock_path(stem))

    def stems(self) -> list[str]:
        """Return the names of all engines that have a sidecar, whatever it says; none if there is no folder.

        Raises:
            OSError: If the folder cannot be read.
        """
        return sorted(stem for stem, suffix, part in self._ours() if suffix == SIDECAR and not part)

    def leftovers(self) -> list[tuple[str, Path]]:
        """Return what is of no use, with the engine's name: refused entries, unfinished files, plans without sidecar.

        Of an engine that is being built now, they are of use: ask for its lock.

        Raises:
            OSError: If a folder cannot be read.
        """
        whole = set(self.stems())
        found = [
            (stem, self.path / (stem + suffix + part))
            for stem, suffix, part in self._ours()
            if part or (suffix == PLAN and stem not in whole)
        ]
        found += [(m[1], self.refused / m[0]) for m in map(_NAME.fullmatch, _names(self.refused)) if m]
        return [(stem, path) for stem, path in found if path.is_symlink() or not path.is_dir()]

    def remove_leftover(self, stem: str, path: Path) -> bool:
        """Remove what `leftovers` told of, unless it is of use by now; say whether it is gone.

        Raises:
            OSError: If it cannot be removed.
        """
        with self.lock_if_free(stem) as free:
            if not free or (path == self.plan(stem) and self.sidecar(stem).exists()):
                return False
            path.unlink(missing_ok=True)
        return True

    def timing_caches(self) -> list[Path]:
        """Return the files in the folder of timing caches.

        Raises:
            OSError: If it cannot be read.
        """
        return [self.timing / name for name in _names(self.timing) if _TIMING.fullmatch(name)]

    def put_aside(self, stem: str) -> Path:
        """Take an entry out of use, to be looked at, trusted or removed; return where its plan is. Hold its lock.

        Raises:
            OSError: If it cannot be moved.
        """
        self.refused.mkdir(mode=0o700, exist_ok=True)
        for suffix in (SIDECAR, PLAN):  # without a sidecar no plan is used
            target = self.refused / (stem + suffix)
            try:
                (self.path / (stem + suffix)).replace(target)
            except FileNotFoundError:
                target.unlink(missing_ok=True)  # of an earlier one, which would not belong to the other half
        sync_names(self.path)
        return self.refused / (stem + PLAN)

    def forget(self, path: Path) -> None:
        """Remove an entry that was put aside, by the path of its plan; nothing, if that lies elsewhere.

        Raises:
            OSError: If it cannot be removed.
        """
        if path.parent.resolve() == self.refused.resolve():
            for suffix in (SIDECAR, PLAN):
                path.with_suffix(suffix).unlink(missing_ok=True)

    def in_use(self, stem: str) -> bool:
        """Return whether a process has an engine loaded.

        Raises:
            OSError: If its plan cannot be opened.
        """
        plan = self.plan(stem)
        return plan.is_file() and is_shared(plan)

    def remove(self, stem: str) -> None:
        """Remove an entry. Hold its lock.

        Raises:
            OSError: If it cannot be removed.
        """
        self.sidecar(stem).unlink(missing_ok=True)  # without it no plan is used
        self.plan(stem).unlink(missing_ok=True)

    @contextmanager
    def usable(self) -> Iterator[None]:
        """Translate what goes wrong with the folder or what is in it.

        Raises:
            EngineError: For every OSError.
        """
        try:
            yield
        except OSError as error:
            where = error.filename or self.path
            raise EngineError(
                f"cannot use the engine cache: {where}: {error.strerror or error}",
                f"check the folder and its free space, or set {FOLDER_VARIABLE}",
            ) from error

    def _lock_path(self, stem: str) -> Path:
        path = self._locks / f"{self.plan(stem).stem}.lock"
        if not self._locks.is_dir():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            for folder in (self.path, self._locks):
                folder.mkdir(mode=0o700, exist_ok=True)
        return path

    def _ours(self) -> Iterator[tuple[str, str, str]]:
        for name in _names(self.path):
            if match := _NAME.fullmatch(name):
                yield match[1], match[2], match[3] or ""


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
