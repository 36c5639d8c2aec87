"""The ways in and out: pinned slots used over and over, and never while a copy still reads or writes them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from fastrestore.errors import DeviceError, EngineError
from fastrestore.frames import FORMATS, Colour
from fastrestore.geometry import Size
from fastrestore.runtime.devices.counting import CountingDevice
from fastrestore.runtime.memory import DeviceBuffer
from fastrestore.runtime.on_device.lanes import Lanes
from fastrestore.runtime.on_device.picture import DevicePicture, Form
from fastrestore.runtime.on_device.pool import Pool
from fastrestore.runtime.on_device.transfers import FLAG_BYTES, Intake, Outbox

FORM = Form(Size(10, 6), FORMATS["yuv420p"], Colour())


@pytest.fixture
def device() -> Iterator[CountingDevice]:
    made = CountingDevice()
    yield made
    assert made.leaks == []
    made.close()


@pytest.fixture
def lanes(device: CountingDevice) -> Iterator[Lanes]:
    with Lanes(device, b"kernels", 1) as made:
        yield made


@pytest.fixture
def pool(lanes: Lanes) -> Iterator[Pool]:
    with Pool(lanes) as made:
        made.reserve("picture", FORM.nbytes, 6)
        yield made


@pytest.fixture
def flag(lanes: Lanes) -> Iterator[DeviceBuffer]:
    with lanes.device.buffer(FLAG_BYTES) as made:
        set_flag(lanes, made, 0)
        yield made


def set_flag(lanes: Lanes, flag: DeviceBuffer, value: int) -> None:
    with lanes.device.pinned(FLAG_BYTES) as pinned:
        pinned.array((FLAG_BYTES,), np.uint8)[:] = value
        lanes.copy_in.upload(pinned.array((FLAG_BYTES,), np.uint8), flag)
        lanes.copy_in.synchronize()


def uploaded(pool: Pool, intake: Intake, value: int) -> DevicePicture:
    picture = DevicePicture(FORM, pool.lend("picture"), neutral=False)

    def fill(memory: NDArray[np.uint8]) -> None:
        memory[:] = value

    intake.upload(picture.lease, FORM.nbytes, fill)
    return picture


@pytest.mark.parametrize(("slots", "waits"), [(1, 4), (2, 3), (5, 0)])
def test_a_slot_is_filled_again_only_once_it_was_copied(
    lanes: Lanes, pool: Pool, flag: DeviceBuffer, slots: int, waits: int
) -> None:
    with Intake(lanes, FORM.nbytes, slots) as intake, Outbox(lanes, FORM, 5, flag) as outbox:
        parcels = []
        for value in range(5):
            with uploaded(pool, intake, value) as picture:
                parcels.append(outbox.send(picture))
        assert intake.waits == waits
        for value, parcel in enumerate(parcels):
            with parcel:
                assert all((plane == value).all() for plane in parcel.picture().planes)
        assert outbox.on_loan == 0


def test_an_error_while_a_slot_is_filled_gives_it_back(lanes: Lanes, pool: Pool) -> None:
    with Intake(lanes, FORM.nbytes, 1) as intake, pool.lend("picture") as lease:

        def failing(memory: NDArray[np.uint8]) -> None:
            raise KeyError

        for _ in range(2):
            with pytest.raises(KeyError):
                intake.upload(lease, FORM.nbytes, failing)
    assert pool.on_loan == 0


def test_a_parcel_that_nobody_opened_gives_its_slot_back(lanes: Lanes, pool: Pool, flag: DeviceBuffer) -> None:
    with Intake(lanes, FORM.nbytes, 2) as intake, Outbox(lanes, FORM, 1, flag) as outbox:
        for value in (3, 4):
            with uploaded(pool, intake, value) as picture:
                parcel = outbox.send(picture)
                assert outbox.on_loan == 1
                parcel.close()
                parcel.close()
        assert outbox.on_loan == 0
        with pytest.raises(DeviceError, match="after it was closed"):
            parcel.picture()


def test_what_is_no_number_is_told_with_the_frame(lanes: Lanes, pool: Pool, flag: DeviceBuffer) -> None:
    with Intake(lanes, FORM.nbytes, 1) as intake, Outbox(lanes, FORM, 1, flag) as outbox:
        set_flag(lanes, flag, 1)
        with (
            uploaded(pool, intake, 0) as picture,
            outbox.send(picture) as parcel,
            pytest.raises(EngineError, match="not finite"),
        ):
            parcel.picture()
