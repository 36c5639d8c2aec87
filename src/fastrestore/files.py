"""Files that are complete under their name, or not there at all."""

from __future__ import annotations

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
