"""Turns PyAV's exceptions into ours, in one place."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av

from fastrestore.errors import DecodeError, EncodeError, MediaError

_READ_HINTS: tuple[tuple[type[Exception], str], ...] = (
    (FileNotFoundError, "check the path"),
    (IsADirectoryError, "give a video file, not a folder"),
    (PermissionError, "check the file's permissions"),
    (OverflowError, "check `--start` and `--end`"),
    (av.error.EOFError, "the file is empty or was cut off; try to play it"),
    (
        av.error.InvalidDataError,
        "the file is not a video, is damaged, or was cut off while being copied; try to play it",
    ),
)


@contextmanager
def reading(path: Path, where: str = "") -> Iterator[None]:
    """Raise `DecodeError` for whatever goes wrong while a file is read.

    Args:
        path: The file, for the message.
        where: What was being done, such as ` at 12.5 s`.
    """
    try:
        yield
    except (av.error.FFmpegError, OSError, OverflowError) as error:
        hint = next((text for kind, text in _READ_HINTS if isinstance(error, kind)), "try to play the file")
        raise DecodeError(f"cannot read {path}{where}: {_reason(error)}", hint) from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise `EncodeError` for whatever goes wrong while a file is written."""
    try:
        yield
    except (av.error.FFmpegError, OSError) as error:
        raise EncodeError(f"cannot write {path}: {_reason(error)}", _write_hint(error)) from error


def no_video(path: Path, kinds: list[str]) -> MediaError:
    """Return the error for a file without video."""
    found = ", ".join(kinds) or "nothing"
    return DecodeError(f"cannot read {path}: it holds no video (found: {found})", "give a file with a video track")


def _write_hint(error: Exception) -> str:
    code = getattr(error, "errno", None)
    if code == errno.ENOSPC:
        return "free some space, or write to another disk"
    if code in (errno.EIO, errno.EFBIG):
        return "check the disk and the limits on file sizes, or write to another one"
    if code == errno.ENAMETOOLONG:
        return "choose a shorter name"
    if isinstance(error, (PermissionError, FileNotFoundError, NotADirectoryError, IsADirectoryError)) or (
        code == errno.EROFS
    ):
        return "choose an output folder that exists and that you may write to"
    return "try another `--codec` or container (`.mkv` holds nearly everything)"


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
