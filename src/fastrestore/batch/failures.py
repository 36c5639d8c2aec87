"""What a failed conversion means for the batch: whether it may pass, and whether the others would fail as well."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from fastrestore.errors import DecodeError, DeviceError, FastRestoreError, JobCancelledError, JobError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_PASSING = frozenset(
    {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ECONNRESET, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENOTCONN}
)
"""What a disk on the network answers for a while."""
_NOT_OF_A_FILE = frozenset({errno.EIO})
"""FFmpeg says this of broken files too."""


def may_pass(error: FastRestoreError) -> bool:
    """Return whether a conversion that failed so might succeed if it is tried again.

    A card that failed or was full, memory that was short, and a disk that did not answer may. Options that cannot be
    met, broken files, networks that do not compute what they should and locks held by others will not: whoever holds
    a lock is making that very output.
    """
    if isinstance(error, DeviceError) or is_memory(error):
        return True
    passing = _PASSING - _NOT_OF_A_FILE if isinstance(error, DecodeError) else _PASSING
    return any(number in passing for number in _numbers(error))


def is_memory(error: FastRestoreError) -> bool:
    """Return whether memory was short, so that the same run might succeed with nothing beside it."""
    return isinstance(error, DeviceError) or any(isinstance(cause, MemoryError) for cause in _causes(error))


def stops_all(error: FastRestoreError) -> bool:
    """Return whether every other conversion would fail as well: the disk is full."""
    return not isinstance(error, DecodeError) and any(number in _FULL for number in _numbers(error))


def translated(error: MemoryError | RuntimeError | SystemError) -> FastRestoreError:
    """Return our error for too little memory; raise what is anything else again."""
    # Python has no better names for a thread that cannot be made, and for an allocation that failed inside itself.
    words = ("new thread", "without exception set")
    if not isinstance(error, MemoryError) and not any(text in str(error) for text in words):
        raise error
    short = JobError("there is not enough memory", "use a smaller `--to`, or `--tile`")
    short.__cause__ = error if isinstance(error, MemoryError) else MemoryError(str(error))
    return short


def cancelled() -> JobCancelledError:
    """Return the error of a conversion that was stopped."""
    return JobCancelledError("stopped", "run the same command again: it goes on from what is finished")


def _numbers(error: BaseException) -> Iterator[int]:
    for cause in _causes(error):
        number = getattr(cause, "errno", None)
        if isinstance(number, int):
            yield number


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__
