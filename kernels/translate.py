"""Turns OpenCV's exceptions into ours, in one place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import cv2

from fastrestore.errors import DeviceError


@contextmanager
def computing() -> Iterator[None]:
    """Raise `DeviceError` for whatever goes wrong in OpenCV."""
    try:
        yield
    except cv2.error as error:
        reason = next(iter(str(error).splitlines()), "")
        if "bad_alloc" in reason or "nsufficient memory" in reason:
            raise DeviceError("there is not enough memory", "use a smaller `--to`, or `--tile`") from error
        raise DeviceError(f"OpenCV failed: {reason}", "this is a fault of fastrestore: please report it") from error
