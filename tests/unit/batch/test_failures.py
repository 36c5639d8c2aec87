"""Which failures may pass, and which every other film would meet as well."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from fastrestore.batch.failures import is_memory, may_pass, stops_all, translated
from fastrestore.errors import (
    DecodeError,
    DeviceError,
    EncodeError,
    EngineProofError,
    FastRestoreError,
    JobError,
    ModelError,
    OutOfDeviceMemoryError,
    UsageError,
)
from fastrestore.runtime.media.translate import reading, writing


def met(number: int, *, read: bool = False) -> FastRestoreError:
    """Return the error for what the system answers."""
    with pytest.raises(FastRestoreError) as caught, (reading if read else writing)(Path("film.mkv")):
        raise OSError(number, os.strerror(number))
    return caught.value


PASSING = [
    DeviceError("the card fell off the bus"),
    OutOfDeviceMemoryError(2, 1, "the card"),
    translated(MemoryError()),
    translated(RuntimeError("can't start new thread")),
    met(errno.EIO),
    met(errno.ESTALE),
    met(errno.ETIMEDOUT, read=True),
]
LASTING = [
    UsageError("an impossible size"),
    ModelError("a damaged model"),
    EngineProofError(1, 0, "black"),
    JobError("made by another process already"),
    EncodeError("the written file does not hold what it should"),
    DecodeError("no video"),
    met(errno.EIO, read=True),
    met(errno.EACCES),
    met(errno.ENOSPC),
]


@pytest.mark.parametrize("error", PASSING, ids=str)
def test_what_may_pass(error: FastRestoreError) -> None:
    assert may_pass(error) and not stops_all(error)


@pytest.mark.parametrize("error", LASTING, ids=str)
def test_what_lasts(error: FastRestoreError) -> None:
    assert not may_pass(error)


def test_a_full_disk_is_full_for_all() -> None:
    assert stops_all(met(errno.ENOSPC)) and stops_all(met(errno.EDQUOT))
    assert not stops_all(met(errno.EIO)) and not stops_all(met(errno.ENOSPC, read=True))


def test_memory() -> None:
    assert [error for error in PASSING if is_memory(error)] == PASSING[:4]


def test_other_faults_are_no_lack_of_memory() -> None:
    with pytest.raises(RuntimeError, match="a fault"):
        translated(RuntimeError("a fault"))
