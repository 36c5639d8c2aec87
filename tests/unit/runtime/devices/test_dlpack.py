"""Memory given away by DLPack comes back once, whoever takes it, and whether or not somebody does."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable

import numpy as np
import pytest
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from fastrestore.runtime.devices import dlpack
from fastrestore.runtime.devices.dlpack import Exposed, Place, SharedPlane


class Memory:
    """A plane with a gap behind its rows, and what becomes of it."""

    def __init__(self, rows: int = 4, pitch: int = 8, dtype: type[np.unsignedinteger] = np.uint8) -> None:
        self.samples: NDArray[np.unsignedinteger] = np.arange(rows * pitch, dtype=dtype).reshape(rows, pitch)
        self.held = self.released = 0

    def hold(self) -> Callable[[], None]:
        self.held += 1
        return self.release

    def release(self) -> None:
        self.released += 1

    def plane(self, width: int = 6) -> SharedPlane:
        rows, pitch = self.samples.shape
        where = Exposed(Place.CPU, 0, self.samples.ctypes.data)
        return SharedPlane(where, (rows, width), pitch, 8 * self.samples.itemsize, self.hold)


@pytest.fixture(autouse=True)
def nothing_left() -> object:
    yield
    gc.collect()
    assert dlpack._given == {}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_another_library_sees_the_samples_and_gives_them_back(dtype: type[np.unsignedinteger]) -> None:
    memory = Memory(dtype=dtype)
    seen = np.from_dlpack(memory.plane())
    assert np.array_equal(seen, memory.samples[:, :6]) and np.shares_memory(seen, memory.samples)
    assert (memory.held, memory.released) == (1, 0)
    row = seen[1:]
    del seen
    assert memory.released == 0, "something still refers to it"
    del row
    assert memory.released == 1


def test_a_capsule_that_nobody_takes_gives_back() -> None:
    memory = Memory()
    capsule = memory.plane().__dlpack__()
    assert memory.held == 1 and len(dlpack._given) == 1
    del capsule
    assert memory.released == 1


def test_a_plane_that_nobody_asks_for_holds_nothing() -> None:
    memory = Memory()
    assert memory.plane().__dlpack_device__() == (1, 0)
    assert memory.held == 0


def test_a_second_call_of_the_deleter_does_nothing() -> None:
    memory = Memory()
    capsule = memory.plane().__dlpack__()
    (managed,) = dlpack._given
    dlpack._delete(managed)
    dlpack._delete(managed)
    del capsule
    assert memory.released == 1


def test_what_cannot_be_held_is_not_given_away() -> None:
    memory = Memory()

    def refuse() -> Callable[[], None]:
        raise MemoryError

    where = Exposed(Place.CPU, 0, memory.samples.ctypes.data)
    with pytest.raises(MemoryError):
        SharedPlane(where, (4, 6), 8, 8, refuse).__dlpack__()


def test_ffmpeg_sees_the_samples_and_gives_them_back() -> None:
    luma, chroma = Memory(4), Memory(2)
    frame = VideoFrame.from_dlpack((luma.plane(), chroma.plane()), "nv12", 6, 4)
    assert bytes(frame.planes[1])[:8] == chroma.samples[0].tobytes()
    assert luma.released == chroma.released == 0
    del frame
    assert luma.released == chroma.released == 1


def test_what_ffmpeg_refuses_comes_back() -> None:
    luma, chroma = Memory(4), Memory(2)
    with pytest.raises(ValueError, match="does not match"):
        VideoFrame.from_dlpack((luma.plane(), chroma.plane()), "nv12", 8, 4)
    assert (luma.held, luma.released, chroma.held, chroma.released) == (1, 1, 1, 1)


def test_threads_may_give_away_and_back() -> None:
    memory = Memory()

    def work() -> None:
        for _ in range(50):
            np.from_dlpack(memory.plane())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert memory.held == memory.released == 200
