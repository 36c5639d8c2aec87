"""The error tree. Every error that a user can meet is one of these.

```
FastRestoreError            exit code 1
  UsageError                exit code 2: an option or argument that cannot be used
  ModelError                a model that is unknown, missing or damaged
  ExportError               a checkpoint or network that cannot be made into a model
    ParityError             an export that does not compute what its original computes
  EngineError               a backend or an engine that cannot run
    EngineIncompatibleError an engine that does not fit this machine, model or input
    EngineBuildError        an engine that its library refused to build
    EngineProofError        an engine that does not compute what the fp32 reference computes
  DeviceError               a device that is missing or failed
    OutOfDeviceMemoryError  a device that has less memory than was asked for
  MediaError                a file that cannot be read or written
    DecodeError
    EncodeError
  JobError                  a run that could not be finished
    JobCancelledError       exit code 130: stopped by the user
```
A message says what was seen and what was wanted; `hint` says what to do about it.
"""

from __future__ import annotations


class FastRestoreError(Exception):
    """Base of every error raised on purpose by this package.

    Args:
        message: What was seen and what was wanted, without a final period.
        hint: What the user can do about it, or an empty string.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(FastRestoreError):
    """An option or argument that cannot be used."""

    exit_code = 2


class ModelError(FastRestoreError):
    """A model that is unknown, missing or damaged."""


class ExportError(FastRestoreError):
    """A checkpoint or network that cannot be made into a model."""


class ParityError(ExportError):
    """An export that does not compute what its original computes.

    Args:
        max_abs: Largest difference seen, in units of the output; infinity where there was nothing to compare.
        tolerance: Largest difference allowed.
        where: On which input, and where in the network the two part.
        hint: What the user can do about it.
    """

    def __init__(self, max_abs: float, tolerance: float, where: str, hint: str = "") -> None:
        super().__init__(
            f"the export differs from its original by {max_abs:.2e}, wanted {tolerance:.2e}: {where}", hint
        )
        self.max_abs = max_abs
        self.tolerance = tolerance
        self.where = where


class EngineError(FastRestoreError):
    """A backend or an engine that cannot run."""


class EngineIncompatibleError(EngineError):
    """An engine that does not fit what it is asked to run.

    Args:
        found: What the engine is.
        wanted: What was needed.
        hint: What the user can do about it.
    """

    def __init__(self, found: str, wanted: str, hint: str = "") -> None:
        super().__init__(f"engine does not fit: found {found}, wanted {wanted}", hint)
        self.found = found
        self.wanted = wanted


class EngineBuildError(EngineError):
    """An engine that its library refused to build; the message holds the parser's or builder's own words."""


class EngineProofError(EngineError):
    """An engine that does not compute what the fp32 reference computes, and is therefore not used.

    Args:
        measured: The difference seen, as a share of the output's range; infinity where there was nothing to compare.
        allowed: The difference allowed.
        where: What differs, of which model, at which input.
        hint: What the user can do about it.
    """

    def __init__(self, measured: float, allowed: float, where: str, hint: str = "") -> None:
        super().__init__(
            f"the engine differs from the fp32 reference by {measured:.2e}, allowed is {allowed:.2e}: {where}", hint
        )
        self.measured = measured
        self.allowed = allowed
        self.where = where


class DeviceError(FastRestoreError):
    """A device that is missing or failed."""


class OutOfDeviceMemoryError(DeviceError):
    """A device that has less memory than was asked for.

    Args:
        requested_bytes: What was asked for.
        free_bytes: What there was.
        where: Whose memory it is: the card's name, or the host.
    """

    def __init__(self, requested_bytes: int, free_bytes: int, where: str) -> None:
        super().__init__(
            f"not enough memory on {where}: {requested_bytes / 2**20:.0f} MiB were wanted, "
            f"{free_bytes / 2**20:.0f} MiB are free",
            "close other programs that use the card, or use a smaller `--tile` or `--to`",
        )
        self.requested_bytes = requested_bytes
        self.free_bytes = free_bytes


class MediaError(FastRestoreError):
    """A file that cannot be read or written."""


class DecodeError(MediaError):
    """A file that cannot be read as video."""


class EncodeError(MediaError):
    """A file that cannot be written."""


class JobError(FastRestoreError):
    """A run that could not be finished."""


class JobCancelledError(JobError):
    """A run that the user stopped."""

    exit_code = 130
