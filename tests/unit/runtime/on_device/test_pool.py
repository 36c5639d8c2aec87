"""The pool: lent again in the stream's own time, waited for only when all is on loan, given back whatever happens."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fastrestore.errors import DeviceError, OutOfDeviceMemoryError
from fastrestore.runtime.devices.counting import CountingDevice
from fastrestore.runtime.memory import Stream
from fastrestore.runtime.on_device.lanes import Lanes
from fastrestore.runtime.on_device.pool import Lease, Pool

SIZE = 64


@pytest.fixture
def device() -> Iterator[CountingDevice]:
    made = CountingDevice(total_bytes=1 << 16)
    yield made
    assert made.leaks == []
    made.close()


@pytest.fixture
def lanes(device: CountingDevice) -> Iterator[Lanes]:
    with Lanes(device, b"kernels", 2) as made:
        yield made


@pytest.fixture
def pool(lanes: Lanes) -> Iterator[Pool]:
    with Pool(lanes) as made:
        made.reserve("picture", SIZE, 2)
        yield made


def fill(device: CountingDevice, lease: Lease, stream: Stream, value: int) -> None:
    """Enqueue a kernel that fills a block."""
    with lease.writing(stream) as address:
        device.stream_of(stream.handle).perform(lambda: device.at(address, SIZE).fill(value), [address])


def test_what_is_read_later_is_not_written_over(device: CountingDevice, lanes: Lanes, pool: Pool) -> None:
    """A block is given back with its reader still to run; who borrows it next writes after that reader."""
    seen: list[int] = []
    with pool.lend("picture") as other:
        with pool.lend("picture") as lease:
            fill(device, lease, lanes.compute[0], 1)
            with lease.reading(lanes.synthesis) as address:
                stream = device.stream_of(lanes.synthesis.handle)
                stream.perform(lambda: seen.append(int(device.at(address, SIZE)[0])), [address])
        waits = device.counts.host_waits
        with pool.lend("picture") as again:
            assert again.address == address, "the only one that is free"
            fill(device, again, lanes.compute[1], 2)
            assert device.counts.host_waits == waits, "the host waited for nothing"
            lanes.compute[1].synchronize()  # only the writer is waited for, so it has to wait for the reader
            assert seen == [1]
            assert device.at(again.address, SIZE)[0] == 2
        assert other.address != address


def test_a_reader_on_another_stream_waits_for_the_writer(device: CountingDevice, lanes: Lanes, pool: Pool) -> None:
    with pool.lend("picture") as lease, device.pinned(SIZE) as pinned:
        fill(device, lease, lanes.compute[0], 7)
        found = pinned.array((SIZE,), np.uint8)
        with lease.reading(lanes.copy_out):
            lanes.copy_out.download(lease.buffer, found)
        lanes.copy_out.synchronize()
        assert (found == 7).all()


def test_where_all_is_on_loan_the_borrower_waits_for_one_to_come_back(pool: Pool) -> None:
    first, second = pool.lend("picture"), pool.lend("picture")
    assert pool.on_loan == 2
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(pool.lend, "picture")
        assert not waiting.done()
        address = second.address
        second.close()
        with waiting.result(10) as third:
            assert third.address == address
    first.close()
    assert pool.on_loan == 0


def test_closing_wakes_who_waits(lanes: Lanes) -> None:
    pool = Pool(lanes)
    pool.reserve("picture", SIZE, 1)
    lease = pool.lend("picture")
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(pool.lend, "picture")
        pool.close()
        with pytest.raises(DeviceError, match="after it was closed"):
            waiting.result(10)
    lease.close()  # late, and no longer anybody's business
    pool.close()


def test_used_after_it_was_given_back(lanes: Lanes, pool: Pool) -> None:
    lease = pool.lend("picture")
    lease.close()
    lease.close()
    assert pool.on_loan == 0
    for use in (lambda: lease.address, lambda: lease.buffer, lambda: lease.reading(lanes.copy_out).__enter__()):
        with pytest.raises(DeviceError, match="after it was closed"):
            use()


def test_an_error_while_work_is_enqueued_gives_the_block_back(lanes: Lanes, pool: Pool) -> None:
    with pytest.raises(ValueError, match="planted"), pool.lend("picture") as lease, lease.writing(lanes.copy_in):
        raise ValueError("planted")
    assert pool.on_loan == 0
    with pool.lend("picture"), pool.lend("picture"):
        pass


def test_all_or_nothing(device: CountingDevice, pool: Pool) -> None:
    free = device.memory().free_bytes
    with pytest.raises(OutOfDeviceMemoryError):
        pool.reserve("large", 1 << 14, 5)
    assert device.memory().free_bytes == free
    with pytest.raises(DeviceError, match="no device memory was set aside for `large`"):
        pool.lend("large")


def test_what_is_on_loan_cannot_be_discarded(device: CountingDevice, pool: Pool) -> None:
    made = device.counts.buffers
    with pool.lend("picture"), pytest.raises(DeviceError, match="while on loan"):
        pool.reserve("picture", SIZE, 3)
    assert device.counts.buffers == made
    pool.reserve("picture", SIZE, 3)
    assert device.counts.buffers == made + 3
    pool.discard("picture")
    assert device.memory().free_bytes == device.memory().total_bytes


def test_lending_makes_nothing(device: CountingDevice, lanes: Lanes, pool: Pool) -> None:
    before = device.counts.allocations
    for value in range(20):
        with pool.lend("picture") as lease:
            fill(device, lease, lanes.streams[value % len(lanes.streams)], value)
            with lease.reading(lanes.copy_out):
                pass
    assert device.counts.allocations == before


def test_who_must_not_wait_is_lent_one_more(device: CountingDevice, pool: Pool) -> None:
    leases = [pool.lend_now("picture") for _ in range(3)]
    assert len({lease.address for lease in leases}) == 3
    made = device.counts.buffers
    for lease in leases:
        lease.close()
    for lease in [pool.lend_now("picture") for _ in range(3)]:
        lease.close()
    assert (device.counts.buffers, pool.on_loan) == (made, 0), "what was made once is there from then on"
    with pytest.raises(DeviceError, match="set aside"):
        pool.lend_now("something else")
