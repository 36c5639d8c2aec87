"""A node's own copies of what is not on shared storage: sources that were sent, and parts on their way back.

Each copy is in use for as long as a process holds its lock, so that what killed processes left behind is known as
nobody's, and removed by the next one.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from fastrestore.errors import JobError
from fastrestore.files import digest, part_path

CHUNK_BYTES = 8 << 20
"""So much goes over the network at a time."""
_KEPT = 2
"""Sources kept that nobody uses: the next run may want the same one."""


class Spool:
    """The copies of this user on this machine, in the folder for temporary files (`TMPDIR`).

    Args:
        folder: Where they lie; None: the usual place.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or Path(tempfile.gettempdir()) / f"fastrestore-{os.getuid()}"
        self._folder.mkdir(mode=0o700, exist_ok=True)
        facts = self._folder.lstat()
        if facts.st_uid != os.getuid() or self._folder.is_symlink():
            raise JobError(f"{self._folder} belongs to somebody else", "set TMPDIR on the node to a folder of its own")
        self._locks: dict[Path, int] = {}

    def work(self) -> Path:
        """Return a new folder for the parts of this process, and remove those of processes that are gone."""
        for path in self._folder.glob("work-*"):
            self._remove(path)
        folder = self._folder / f"work-{os.getpid()}-{os.urandom(4).hex()}"
        self._hold(folder)
        return folder

    def source(self, name: str, key: str) -> Path:
        """Return where the copy of a source lies, or will lie once it is whole, and keep it from being removed.

        Args:
            name: Of the source: its ending says what it is.
            key: By what the source is known.
        """
        folder = self._folder / f"source-{hashlib.sha256(key.encode()).hexdigest()[:32]}"
        if folder not in self._locks:
            for held in [held for held in self._locks if held.name.startswith("source-")]:
                os.close(self._locks.pop(held))
            self._sweep(folder)
            self._hold(folder)
        return folder / f"film{Path(name).suffix}"

    def write(self, path: Path, offset: int, data: bytes) -> None:
        """Write a piece of a copy.

        Raises:
            OSError: If it cannot be written.
        """
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(part_path(path), os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            view = memoryview(data)
            while view:
                written = os.pwrite(descriptor, view, offset)
                view, offset = view[written:], offset + written
        finally:
            os.close(descriptor)

    def finish(self, path: Path, sha256: str, changed_ns: int) -> None:
        """Give a copy its name, once it is known to be whole, and the time of change of what it is a copy of.

        Raises:
            JobError: If it is not what was sent.
        """
        part = part_path(path)
        if path.is_file() and digest(path) == sha256:
            return  # another run has sent the very same
        if not part.is_file() or digest(part) != sha256:
            raise JobError(f"the copy of {path.name} is not what was sent", "check the node's disk and network")
        os.utime(part, ns=(changed_ns, changed_ns))
        part.replace(path)

    def close(self) -> None:
        """Let go of everything; parts go, sources stay for a while."""
        for folder, lock in self._locks.items():
            if folder.name.startswith("work-"):
                shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)
        self._locks.clear()

    def _hold(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_SH)
        os.utime(folder)
        self._locks[folder] = lock

    def _sweep(self, wanted: Path) -> None:
        """Remove the sources that were used least recently."""
        others = [path for path in self._folder.glob("source-*") if path != wanted]
        others.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        for path in others[_KEPT:]:
            self._remove(path)

    def _remove(self, folder: Path) -> None:
        """Remove a folder that nobody holds."""
        with suppress(OSError):  # in use, or gone already
            lock = os.open(folder / "lock", os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
            finally:
                os.close(lock)
