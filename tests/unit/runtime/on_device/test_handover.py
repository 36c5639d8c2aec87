"""The way to an encoder on the card: what it sees, and what the host sees of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
from av.video.frame import VideoFrame
from numpy.typing import NDArray
from tests.unit.kernels.host import host_kernels

from fastrestore.errors import DeviceError, EngineError
from fastrestore.frames import FORMATS, Colour
from fastrestore.geometry import Size
from fastrestore.kernels.host_build import HostKernels
from fastrestore.runtime.devices.counting import CountingDevice
from fastrestore.runtime.media.thumbnails import sampled_every, thumbnail
from fastrestore.runtime.on_device.handover import Handover
from fastrestore.runtime.on_device.lanes import Lanes
from fastrestore.runtime.on_device.picture import DevicePicture, Form, encoder_takes
from fastrestore.runtime.on_device.pool import Pool
from fastrestore.runtime.on_device.transfers import FLAG_BYTES, Intake

SIZES = [Size(16, 2), Size(80, 56), Size(500, 230), Size(1930, 434)]


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> HostKernels:
    return host_kernels(tmp_path_factory)


class Place:
    """A card with one picture on it, of random bytes that a picture of its depth can have."""

    def __init__(self, held: ExitStack, kernels: HostKernels, form: Form) -> None:
        self.form = form
        self.device = held.enter_context(CountingDevice(execute=kernels.run))
        self.lanes = held.enter_context(Lanes(self.device, b"kernels", 1))
        self.flag = held.enter_context(self.device.buffer(FLAG_BYTES))
        self.pool = held.enter_context(Pool(self.lanes))
        self.pool.reserve("picture", form.nbytes, 3)
        self.handover = held.enter_context(Handover(self.lanes, self.pool, form, 2, self.flag))
        self.intake = held.enter_context(Intake(self.lanes, form.nbytes, 1))
        held.callback(self.lanes.quiet)
        rng = np.random.default_rng(form.size.width)
        samples = rng.integers(0, 1 << form.format.bits, form.nbytes // form.layout.sample_bytes)
        self.memory: NDArray[np.uint8] = (samples << form.layout.shift).astype(form.format.dtype).view(np.uint8)
        self.set_flag(0)

    def set_flag(self, value: int) -> None:
        with self.device.pinned(FLAG_BYTES) as pinned:
            pinned.array((FLAG_BYTES,), np.uint8)[:] = value
            self.lanes.copy_in.upload(pinned.array((FLAG_BYTES,), np.uint8), self.flag)
            self.lanes.copy_in.synchronize()

    def picture(self) -> DevicePicture:
        made = DevicePicture(self.form, self.pool.lend("picture"), neutral=False)

        def fill(memory: NDArray[np.uint8]) -> None:
            memory[:] = self.memory

        self.intake.upload(made.lease, self.form.nbytes, fill)
        return made


@pytest.fixture
def held() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def form(size: Size, name: str) -> Form:
    return Form(size, FORMATS[name], Colour(), for_encoder=True)


@pytest.mark.parametrize("name", ["yuv420p", "yuv420p10le"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_look_makes_the_thumbnail_of_the_whole(
    held: ExitStack, kernels: HostKernels, size: Size, name: str
) -> None:
    place = Place(held, kernels, form(size, name))
    luma = place.form.planes(place.memory)[0]
    down, across = sampled_every(size.height, size.width)
    with place.picture() as picture, place.handover.send(picture) as parcel:
        look = parcel.picture().look
    assert np.array_equal(look, luma[::down, ::across])
    bits = place.form.format.bits
    assert np.array_equal(thumbnail(look, bits), thumbnail(luma, bits))


@pytest.mark.parametrize("side", [*range(2, 400, 6), 540, 1080, 2160, 4320])
def test_of_samples_that_are_looked_at_all_are_read(side: int) -> None:
    down, across = sampled_every(side, side)
    assert sampled_every(-(-side // down), -(-side // across)) == (1, 1)


@pytest.mark.parametrize(("name", "layout"), [("yuv420p", "nv12"), ("yuv420p10le", "p010le")])
def test_an_encoder_sees_the_planes_one_behind_the_other(
    held: ExitStack, kernels: HostKernels, name: str, layout: str
) -> None:
    size = Size(80, 56)
    place = Place(held, kernels, form(size, name))
    with place.picture() as picture, place.handover.send(picture) as parcel:
        shown = parcel.picture()
        assert (shown.size, shown.format, shown.colour) == (size, FORMATS[name], Colour())
        luma, chroma = shown.planes()
        assert luma.memory.address + luma.shape[0] * luma.pitch * luma.bits // 8 == chroma.memory.address
        assert luma.pitch == chroma.pitch and luma.pitch * luma.bits // 8 % 256 == 0
        frame = VideoFrame.from_dlpack((luma, chroma), layout, size.width, size.height)
    assert b"".join(bytes(plane) for plane in frame.planes) == place.memory.tobytes()
    assert place.pool.on_loan == 1, "the picture and its parcel are closed: the encoder has it"
    del frame
    assert place.pool.on_loan == place.handover.kept == 0


def test_a_parcel_that_nobody_opened_gives_everything_back(held: ExitStack, kernels: HostKernels) -> None:
    place = Place(held, kernels, form(Size(80, 56), "yuv420p"))
    for _ in range(4):
        with place.picture() as picture:
            parcel = place.handover.send(picture)
        assert (place.handover.on_loan, place.pool.on_loan) == (1, 1)
        parcel.close()
        parcel.close()
        assert (place.handover.on_loan, place.pool.on_loan) == (0, 0)
    with pytest.raises(DeviceError, match="after it was closed"):
        parcel.picture()


def test_what_is_no_number_is_told_with_the_frame(held: ExitStack, kernels: HostKernels) -> None:
    place = Place(held, kernels, form(Size(80, 56), "yuv420p"))
    place.set_flag(1)
    with (
        place.picture() as picture,
        place.handover.send(picture) as parcel,
        pytest.raises(EngineError, match="not finite"),
    ):
        parcel.picture()


def test_one_more_block_for_each_that_is_kept_and_no_more(held: ExitStack, kernels: HostKernels) -> None:
    place = Place(held, kernels, form(Size(80, 56), "yuv420p"))

    def kept() -> VideoFrame:
        with place.picture() as picture, place.handover.send(picture) as parcel:
            return VideoFrame.from_dlpack(parcel.picture().planes(), "nv12", 80, 56)

    frames = [kept() for _ in range(5)]
    lent = [place.pool.lend("picture") for _ in range(3)]  # as many as there were: this would wait otherwise
    buffers = place.device.counts.buffers
    for lease in lent:
        lease.close()
    for number in range(5):
        frames[number] = kept()
    # While the sixth is taken, the encoder has not let go of one of the five yet.
    assert place.device.counts.buffers == buffers + 1
    frames.clear()
    assert place.pool.on_loan == 0


def test_what_encoders_of_cards_take() -> None:
    assert encoder_takes(Size(80, 56), FORMATS["yuv420p"]) and encoder_takes(Size(80, 56), FORMATS["yuv420p10le"])
    assert not encoder_takes(Size(81, 56), FORMATS["yuv420p"]) and not encoder_takes(Size(80, 57), FORMATS["yuv420p"])
    assert not encoder_takes(Size(80, 56), FORMATS["yuv444p"]) and not encoder_takes(
        Size(80, 56), FORMATS["yuv420p12le"]
    )


def test_planes_of_either_form_are_the_same_picture() -> None:
    """What is brought to the host from a picture that lies as encoders take it: the same planes."""
    size = Size(80, 56)
    for name in ("yuv420p", "yuv420p10le"):
        there = form(size, name)
        memory = np.random.default_rng(1).integers(0, 256, there.nbytes).astype(np.uint8)
        luma, cb, cr = there.planes(memory)
        assert (luma.shape, cb.shape, cr.shape) == ((56, 80), (28, 40), (28, 40))
        stored: NDArray[Any] = memory.view(there.format.dtype)
        stored = stored >> there.layout.shift
        pitch = 256 // there.layout.sample_bytes
        assert np.array_equal(luma[3], stored[3 * pitch :][:80])
        assert np.array_equal(cr[0], stored[56 * pitch + 1 :][:80:2])
