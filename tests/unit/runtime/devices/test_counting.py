"""The counting device forgives nothing: what would go wrong once a week on a card goes wrong here every time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from fastrestore.errors import DeviceError
from fastrestore.runtime.devices.counting import CountingBuffer, CountingDevice, CountingHostBuffer
from fastrestore.runtime.devices.counting_work import CountingStream
from fastrestore.runtime.devices.scratch import Scratch

SIZE = 64


@pytest.fixture
def device() -> Iterator[CountingDevice]:
    with CountingDevice() as made:
        yield made
    assert made.leaks == []


class Set:
    def __init__(self, device: CountingDevice) -> None:
        self.device = device
        self.up, self.down = device.pinned(SIZE), device.pinned(SIZE)
        self.there = device.buffer(SIZE)
        self.stream, self.other = device.stream(), device.stream()

    @property
    def given(self) -> np.ndarray:
        return self.up.array((SIZE,), np.uint8)

    @property
    def found(self) -> np.ndarray:
        return self.down.array((SIZE,), np.uint8)

    @property
    def owned(self) -> tuple[CountingStream | CountingHostBuffer | CountingBuffer, ...]:
        return self.stream, self.other, self.up, self.down, self.there


@pytest.fixture
def parts(device: CountingDevice) -> Iterator[Set]:
    made = Set(device)
    yield made
    for owned in made.owned:
        owned.close()


def test_fresh_memory_is_nan(device: CountingDevice) -> None:
    with device.buffer(8) as there, device.pinned(8) as host:
        assert np.isnan(device.at(there.address, 8).view(np.float32)).all()
        assert np.isnan(host.array((4,), np.float16)).all()


def test_nothing_is_visible_before_the_host_waits(parts: Set) -> None:
    parts.given[:] = 1
    parts.stream.upload(parts.given, parts.there)
    parts.stream.download(parts.there, parts.found)
    assert (parts.found == 0xFF).all()
    parts.stream.synchronize()
    assert (parts.found == 1).all()


def test_a_staging_buffer_filled_again_too_early_is_what_arrives(parts: Set) -> None:
    parts.given[:] = 1
    parts.stream.upload(parts.given, parts.there)
    parts.given[:] = 2
    parts.stream.download(parts.there, parts.found)
    parts.stream.synchronize()
    assert (parts.found == 2).all()


def test_streams_without_an_event_have_no_order(parts: Set) -> None:
    parts.given[:] = 1
    parts.stream.upload(parts.given, parts.there)
    parts.other.download(parts.there, parts.found)
    parts.other.synchronize()
    assert (parts.found == 0xFF).all()


def test_an_event_stands_for_what_came_before_it(parts: Set, device: CountingDevice) -> None:
    with device.event() as event:
        parts.given[:] = 1
        parts.stream.upload(parts.given, parts.there)
        parts.stream.record(event)
        assert not event.reached()
        parts.other.wait(event)
        parts.stream.record(event)  # what waits, waits for the point before
        parts.other.download(parts.there, parts.found)
        parts.other.synchronize()
        assert (parts.found == 1).all()
        assert not event.reached()
        event.synchronize()
        assert event.reached()


def test_the_device_waits_for_all_streams(parts: Set, device: CountingDevice) -> None:
    parts.given[:] = 1
    parts.stream.upload(parts.given, parts.there)
    device.synchronize()
    assert (device.at(parts.there.address, SIZE) == 1).all()


def test_memory_that_is_not_pinned_is_refused(parts: Set) -> None:
    with pytest.raises(DeviceError, match="not pinned"):
        parts.stream.upload(np.zeros(SIZE, np.uint8), parts.there)
    with pytest.raises(DeviceError, match="not pinned"):
        parts.stream.download(parts.there, np.zeros(SIZE, np.uint8))


def test_what_is_in_use_cannot_be_closed(device: CountingDevice, parts: Set) -> None:
    there, host = device.buffer(SIZE), device.pinned(SIZE)
    parts.stream.upload(host.array((SIZE,), np.uint8), there)
    with pytest.raises(DeviceError, match="before the work that uses it was done"):
        device.forget(there)
    with pytest.raises(DeviceError, match="before the copies that use it were done"):
        device.forget(host)
    parts.stream.synchronize()
    there.close()
    host.close()


def test_addresses_are_looked_at(device: CountingDevice) -> None:
    there = device.buffer(SIZE)
    address = there.address
    assert device.at(address + 10, SIZE - 10).nbytes == SIZE - 10
    for wrong, size in ((address, SIZE + 1), (address - 1, 1), (address + SIZE, 1)):
        with pytest.raises(DeviceError, match="illegal address"):
            device.at(wrong, size)
    there.close()
    with pytest.raises(DeviceError, match="illegal address"):
        device.at(address, 1)
    with pytest.raises(DeviceError, match="no open stream"):
        device.stream_of(12345)


def test_counts_what_is_asked(device: CountingDevice, parts: Set) -> None:
    before = device.counts.since(device.counts)
    assert before.allocations == 0
    start = device.counts.since(before)
    parts.stream.upload(parts.given, parts.there)
    parts.stream.synchronize()
    parts.stream.download(parts.there, parts.found[:10])
    parts.stream.synchronize()
    since = device.counts.since(start)
    assert (since.uploads, since.uploaded_bytes, since.downloads, since.downloaded_bytes) == (1, SIZE, 1, 10)
    assert (since.host_waits, since.allocations, since.launches) == (2, 0, 0)


def test_tells_what_is_left(device: CountingDevice) -> None:
    owned = [device.buffer(1), device.buffer(1), device.stream()]
    assert device.leaks == ["2 device buffers", "1 stream"]
    for each in owned:
        each.close()


def test_is_current_only_inside_the_with(device: CountingDevice) -> None:
    assert not device.is_current
    with device.current():
        with device.current():
            assert device.is_current
        assert device.is_current
    assert not device.is_current


def test_scratch_puts_its_users_in_order(device: CountingDevice) -> None:
    """On two streams, enqueued before anything is done: the second user begins after the first has ended."""
    log: list[str] = []
    with Scratch(device) as scratch, device.stream() as first, device.stream() as second:
        for stream, name in ((first, "first"), (second, "second")):
            with scratch.lent(100, stream) as memory:
                stream.perform(lambda name=name: log.append(name), [memory.address])  # type: ignore[misc]
        assert log == []
        second.synchronize()
        assert log == ["first", "second"]


def test_scratch_grows_after_its_user_has_ended(device: CountingDevice) -> None:
    """What is enqueued still uses the smaller piece, which may not be given back before."""
    log: list[str] = []
    with Scratch(device) as scratch, device.stream() as first, device.stream() as second:
        with scratch.lent(100, first) as memory:
            first.perform(lambda: log.append("first"), [memory.address])
        with scratch.lent(1000, second) as memory:
            assert log == ["first"]
            assert memory.size_bytes == 1000
