"""Small files that others may have put in our place: read with bounded memory, written whole or not at all."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from io import BufferedReader
from pathlib import Path

from fastrestore.files import part_path, sync_names


def open_regular(path: Path) -> BufferedReader | None:
    """Open a file for reading; None if it is something else: a link, a pipe whose opening would wait, a folder.

    Raises:
        OSError: If it cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    return open(descriptor, "rb")


def read_bounded(path: Path, most: int) -> bytes | None:
    """Return a file's content; None if it is no regular file, has more bytes than that, or grows at the moment.

    Raises:
        OSError: If it cannot be read.
    """
    file = open_regular(path)
    if file is None:
        return None
    with file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            return None
        content = file.read(size + 1)
    return content if len(content) == size else None  # else it changed while it was read


def write_synced(path: Path, content: bytes | memoryview, mode: int = 0o666) -> None:
    """Write a file: whole under its name and on the disk, or not there at all. Of several writers, the last one wins.

    Raises:
        OSError: If it cannot be written; nothing is left of it.
    """
    part = part_path(path.with_name(f"{path.name}.{secrets.token_hex(8)}"))
    try:
        write_part(part, content, mode)
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    sync_names(path.parent)


def write_part(part: Path, content: bytes | memoryview, mode: int = 0o666) -> None:
    """Write a new file and have it on the disk; what lay under its name is removed, links are not followed.

    Raises:
        OSError: If it cannot be written.
    """
    part.unlink(missing_ok=True)
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
