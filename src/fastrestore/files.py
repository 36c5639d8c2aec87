"""Files that are complete under their name, or not there at all; what is in them, and that it is on the disk."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from fastrestore.errors import EncodeError


def part_path(path: Path) -> Path:
    """Return the name under which a file is written until it is complete."""
    return path.with_name(path.name + ".part")


def write_whole(path: Path, text: str) -> None:
    """Write a text file: complete under its name, or not there at all.

    Raises:
        EncodeError: If it cannot be written.
    """
    part = part_path(path)
    try:
        try:
            part.write_text(text, encoding="utf-8", errors="backslashreplace")  # names need not be text
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise EncodeError(
            f"cannot write {path}: {error.strerror}", "choose another file, or free some space"
        ) from error


def digest(path: Path) -> str:
    """Return the sha256 of a file's content, in lower-case hexadecimal.

    Raises:
        OSError: If it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Have the system write a file, or the names in a folder, to the disk: what is renamed next is then whole.

    Raises:
        OSError: If it cannot.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_names(folder: Path) -> None:
    """Put the names in a folder on the disk. Some file systems cannot: then they do it when they see fit."""
    with suppress(OSError):
        sync(folder)
