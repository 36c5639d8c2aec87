"""Memory lent by DLPack: where it lies is told exactly, and it is given back exactly once."""

from __future__ import annotations

import ctypes
import gc
from typing import Any

import numpy as np
import pytest
from av.video.frame import VideoFrame
from numpy.typing import NDArray
from tests.unit.runtime.on_device.played_decoder import Lent

from fastrestore.errors import DeviceError
from fastrestore.runtime.devices.dlpack import CAPSULE_NAME, USED_NAME, Place
from fastrestore.runtime.devices.imported import ImportedTensor, is_capsule


def seen(tensor: ImportedTensor) -> NDArray[Any]:
    """Return what lies in the host's memory where a tensor says that it lies."""
    rows, pitch = tensor.shape[0], tensor.strides[0]
    kind = {8: ctypes.c_uint8, 16: ctypes.c_uint16}[tensor.bits]
    flat = np.ctypeslib.as_array((kind * (rows * pitch)).from_address(tensor.address))
    width = int(np.prod(tensor.shape[1:]))
    return flat.reshape(rows, pitch)[:, :width].reshape(tensor.shape).copy()


@pytest.mark.parametrize(("name", "bits"), [("yuv420p", 8), ("nv12", 8), ("yuv420p10le", 16), ("p010le", 16)])
def test_planes_of_frames_are_where_they_are_said_to_be(name: str, bits: int) -> None:
    frame = VideoFrame(40, 28, name)
    for plane in frame.planes:
        plane.update(np.random.default_rng(plane.line_size).integers(0, 255, plane.buffer_size, np.uint8).tobytes())
    for index, plane in enumerate(frame.planes):
        wanted = np.frombuffer(memoryview(plane), f"<u{bits // 8}").reshape(plane.height, -1)
        with ImportedTensor(plane) as tensor:
            assert (tensor.place, tensor.ordinal, tensor.bits) == (int(Place.CPU), 0, bits)
            interleaved = index and name in ("nv12", "p010le")
            assert tensor.shape == ((14, 20, 2) if interleaved else (plane.height, plane.width))
            found = seen(tensor)
        np.testing.assert_array_equal(found.reshape(plane.height, -1), wanted[:, : found[0].size])


def test_a_frame_s_memory_outlives_the_frame_until_it_is_given_back() -> None:
    frame = VideoFrame(40, 28, "gray")
    frame.planes[0].update(bytes([7]) * frame.planes[0].buffer_size)
    with ImportedTensor(frame.planes[0]) as tensor:
        del frame
        gc.collect()
        assert (seen(tensor) == 7).all()


def test_it_is_given_back_once() -> None:
    lent = Lent(4096, (3, 5), (8, 1))
    tensor = ImportedTensor(lent)
    assert (tensor.address, tensor.shape, tensor.strides, lent.deleted) == (4096, (3, 5), (8, 1), 0)
    tensor.close()
    tensor.close()
    assert lent.deleted == 1


def test_strides_that_are_not_told_leave_no_gaps() -> None:
    with ImportedTensor(Lent(4096, (3, 5, 2))) as tensor:
        assert tensor.strides == (10, 2, 1)


def test_what_is_taken_belongs_to_who_took_it() -> None:
    lent = Lent(4096, (3, 5))
    capsule = lent.__dlpack__()

    class Again:
        def __dlpack__(self) -> object:
            return capsule

    with ImportedTensor(Again()):
        assert is_capsule(capsule, USED_NAME) and not is_capsule(capsule, CAPSULE_NAME)
        with pytest.raises(DeviceError, match="that nobody has taken"):
            ImportedTensor(Again())
    assert lent.deleted == 1


def test_other_elements_than_whole_numbers_are_refused_and_given_back() -> None:
    lent = Lent(4096, (3, 5), code=2)
    with pytest.raises(DeviceError, match="wanted whole numbers"):
        ImportedTensor(lent)
    assert lent.deleted == 1


def test_what_lends_nothing_is_refused() -> None:
    class Nothing:
        def __dlpack__(self) -> object:
            return None

    with pytest.raises(DeviceError, match="Nothing lends no memory"):
        ImportedTensor(Nothing())
