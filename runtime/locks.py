"""Locks between processes. The system gives them back when a process ends, however it ends.

A lock is the opened file's, not the process's, so that threads exclude each other too.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def exclusive(path: Path, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold a lock; wait for it if need be.

    Args:
        path: A file that stands for the lock; made if need be, and never removed.
        on_wait: Called once, if somebody else holds it.

    Raises:
        OSError: If the file cannot be opened, or the file system has no locks.
    """
    descriptor = _open(path)
    try:
        if not _take(descriptor):
            if on_wait is not None:
                on_wait()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def exclusive_if_free(path: Path) -> Iterator[bool]:
    """Hold a lock, unless somebody else does; say whether it is held now.

    Raises:
        OSError: If the file cannot be opened, or the file system has no locks.
    """
    descriptor = _open(path)
    try:
        yield _take(descriptor)
    finally:
        os.close(descriptor)


def is_shared(path: Path) -> bool:
    """Return whether somebody holds a file with a shared lock; of two who ask at once, both may be told so.

    Raises:
        OSError: If it cannot be opened, or the file system has no locks.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return not _take(descriptor)
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
