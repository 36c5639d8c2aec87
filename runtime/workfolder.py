"""The folder of an unfinished run, beside its output: segments, the journal, and a lock."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fastrestore.errors import JobError
from fastrestore.files import digest, sync_names
from fastrestore.runtime.journal import Journal
from fastrestore.runtime.media.translate import writing

SEEN = ("film", "fields")
"""Files in a work folder that hold what was seen of a film."""
PREPARED = ("colour",)
"""Folders in a work folder that stages for old film may fill."""
_SUFFIX = ".fastrestore"
_OF_WORKERS = re.compile(r"\d{6}\.nut\.w\d+\.[0-9a-f]+\.\d+\.part")
_OURS = re.compile(
    rf"\d{{6}}\.nut(\.part)?|{_OF_WORKERS.pattern}|probe\.[0-9a-f]{{32}}\.part|output\.part(\.signing)?|record(\.[0-9a-f]{{16}}\.part)?|journal(\.part)?|lock"
    rf"|({'|'.join(SEEN)})(\.[0-9a-f]{{16}}\.part)?"
)


def folder_for(output: Path) -> Path:
    """Return where the unfinished work on an output lies."""
    return output.with_name(output.name + _SUFFIX)


class WorkFolder:
    """The work folder of one output, held by a lock that ends with the process, however that ends.

    Only files of our own names are written and removed in it; links are not followed.

    Args:
        output: The file that is being made.
    """

    def __init__(self, output: Path) -> None:
        self._output = output
        self.path = folder_for(output)
        self.journal = Journal(self.path / "journal")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder if need be and hold its lock.

        Raises:
            JobError: If another process holds it, or something else lies under its name.
            EncodeError: If it cannot be made.
        """
        descriptor = self._lock()
        try:
            sync_names(self.path.parent)
            yield
        finally:
            os.close(descriptor)

    def segment(self, number: int) -> Path:
        """Return the path of a segment."""
        return self.path / f"{number:06}.nut"

    @property
    def joined(self) -> Path:
        """Where the output is written until it gets its name."""
        return self.path / "output.part"

    @property
    def record(self) -> Path:
        """Where the record of what was done is written until it gets its name."""
        return self.path / "record"

    @property
    def has_seen(self) -> bool:
        """Whether a film was looked over here: that alone may have taken long."""
        return any((self.path / name).is_file() for name in SEEN)

    def clear(self, *, keep_seen: bool = False) -> None:
        """Remove what a run left behind, but for the lock.

        Args:
            keep_seen: Keep what was seen of the film and prepared for it: whoever reads it knows what it is of.

        Raises:
            EncodeError: If something cannot be removed.
        """
        with writing(self.path):
            if not keep_seen:
                self._remove_prepared()
            for path in self._ours():
                if path.name != "lock" and not (keep_seen and path.name in SEEN):
                    path.unlink()

    def clear_parts(self) -> None:
        """Remove what workers left behind that were ended.

        Raises:
            EncodeError: If something cannot be removed.
        """
        with writing(self.path):
            for path in self._ours():
                if _OF_WORKERS.fullmatch(path.name):
                    path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the folder with everything of ours in it. What is not ours stays, and then the folder does too.

        The output is in its place by now, so that nothing that fails here is worth failing for.
        """
        with suppress(OSError):
            self._remove_prepared()
            # The journal nearly last: by it the next run knows that the output is whole. The lock after it: nobody
            # else may have begun anew by then.
            for path in sorted(self._ours(), key=lambda path: (path.name == "lock", path.name == "journal")):
                path.unlink()
            self.path.rmdir()

    def _remove_prepared(self) -> None:
        """Remove what stages for old film have prepared. A link in its place is none of ours."""
        for name in PREPARED:
            folder = self.path / name
            if folder.is_dir() and not folder.is_symlink():
                shutil.rmtree(folder)

    def _ours(self) -> list[Path]:
        return [path for path in self.path.iterdir() if _OURS.fullmatch(path.name) and not path.is_dir()]

    def _lock(self) -> int:
        while True:
            with writing(self.path):
                self.path.mkdir(exist_ok=True)
                if not stat.S_ISDIR(self.path.lstat().st_mode):
                    raise JobError(f"{self.path} is a link, not a work folder", "remove it, or choose another output")
                lock = self.path / "lock"
                try:
                    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
                except FileNotFoundError:
                    continue  # the run before us has just finished and removed the folder
            self._take(descriptor)
            if _same_file(descriptor, lock):
                return descriptor
            os.close(descriptor)

    def _take(self, descriptor: int) -> None:
        try:
            with writing(self.path):
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    raise JobError(
                        f"{self._output} is being made by another process already", "wait for it, or stop it"
                    ) from error
        except BaseException:
            os.close(descriptor)
            raise


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file's content.

    Raises:
        EncodeError: If it cannot be read.
    """
    with writing(path):
        return digest(path)


def _same_file(descriptor: int, path: Path) -> bool:
    """Whether a path still names the file that was opened: else its folder was removed in between."""
    try:
        named = path.lstat()
    except FileNotFoundError:
        return False
    opened = os.fstat(descriptor)
    return (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)
