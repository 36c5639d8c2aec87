"""OpenCV's exceptions as ours."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fastrestore.errors import DeviceError
from fastrestore.kernels.translate import computing


def test_what_opencv_fails_with() -> None:
    with pytest.raises(DeviceError, match="OpenCV failed"), computing():
        cv2.resize(np.zeros((4, 4), np.uint8), (0, 0))


def test_what_it_cannot_allocate() -> None:
    with pytest.raises(DeviceError, match="not enough memory") as caught, computing():
        raise cv2.error("std::bad_alloc")
    assert "--to" in caught.value.hint
