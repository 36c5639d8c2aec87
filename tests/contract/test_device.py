"""The device contract: what is promised of memory, streams and events, over every device that is here."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from tests.fake_cuda import compiler, make_driver, wanted_of_driver
from tests.unit.kernels.host import host_kernels

from fastrestore.errors import DeviceError, OutOfDeviceMemoryError
from fastrestore.kernels.fatbin import load_fatbin
from fastrestore.kernels.launches import Launch, clear
from fastrestore.runtime.devices import cuda_bindings
from fastrestore.runtime.devices.counting import CountingDevice
from fastrestore.runtime.devices.library import LIBRARIES
from fastrestore.runtime.devices.pycuda_device import PycudaDevice
from fastrestore.runtime.devices.scratch import Scratch
from fastrestore.runtime.devices.staging import StagedTensor
from fastrestore.runtime.memory import ALIGNMENT_BYTES, Device, Module, Stream, open_device, usable_cards

DEVICES: dict[str, Callable[[], Device]] = {
    "counting": CountingDevice,
    "cuda-bindings": partial(open_device, library="cuda-bindings"),
    "pycuda": partial(open_device, library="pycuda"),
}


@pytest.fixture(params=["counting", *(pytest.param(name, marks=pytest.mark.needs_cuda) for name in LIBRARIES)])
def device(request: pytest.FixtureRequest) -> Iterator[Device]:
    if request.param != "counting":
        if isinstance(reason := usable_cards(), str):
            pytest.fail(f"a card was asked for: {reason}")
        require_installed(request.param)
    made = DEVICES[request.param]()
    with made:
        yield made
    if isinstance(made, CountingDevice):
        assert made.leaks == []
    elif (driver := ctypes.CDLL("libcuda.so.1")) and hasattr(driver, "tests_live"):
        assert driver.tests_live() == 0, "the driver made for the tests counts what it has made"
        assert driver.tests_depth() == 0, "and how many contexts this thread has pushed"


def require_installed(library: str) -> None:
    if LIBRARIES[library].installed() is None:
        pytest.skip(f"package {library} is not installed")


def test_says_what_it_is(device: Device) -> None:
    assert device.name and device.driver
    assert device.capability.replace(".", "").isdecimal()
    memory = device.memory()
    assert 0 < memory.free_bytes <= memory.total_bytes


def test_what_goes_up_comes_down(device: Device) -> None:
    values = np.arange(3 * 17, dtype=np.float32).reshape(3, 17)
    with (
        device.pinned(values.nbytes) as up,
        device.pinned(values.nbytes) as down,
        device.buffer(values.nbytes) as there,
    ):
        given, found = up.array(values.shape, np.float32), down.array(values.shape, np.float32)
        given[:] = values
        with device.stream() as stream:
            stream.upload(given, there)
            stream.download(there, found)
            stream.synchronize()
        np.testing.assert_array_equal(found, values)


def test_events_order_two_streams(device: Device) -> None:
    size = 1 << 16
    with (
        device.pinned(size) as up,
        device.pinned(size) as down,
        device.buffer(size) as there,
        device.stream() as first,
        device.stream(urgent=True) as second,
        device.event() as uploaded,
        device.event() as downloaded,
    ):
        up.array((size,), np.uint8)[:] = 7
        first.upload(up.array((size,), np.uint8), there)
        first.record(uploaded)
        second.wait(uploaded)
        second.download(there, down.array((size,), np.uint8))
        second.record(downloaded)
        downloaded.synchronize()
        assert uploaded.reached() and downloaded.reached()
        assert (down.array((size,), np.uint8) == 7).all()


def test_an_event_that_was_never_recorded_is_reached(device: Device) -> None:
    with device.event() as event, device.stream() as stream:
        assert event.reached()
        event.synchronize()
        stream.wait(event)
        stream.synchronize()


def test_what_others_have_enqueued_can_be_waited_for(device: Device) -> None:
    with device.event() as event, device.stream() as stream:
        device.record_default(event)
        stream.wait(event)
        stream.synchronize()
        assert event.reached()


def test_time_between_events(device: Device) -> None:
    with (
        device.pinned(4096) as host,
        device.buffer(4096) as there,
        device.stream() as stream,
        device.event(timed=True) as begin,
        device.event(timed=True) as end,
        device.event() as untimed,
    ):
        stream.record(begin)
        stream.upload(host.array((4096,), np.uint8), there)
        for event in (end, untimed):
            stream.record(event)
        stream.synchronize()
        assert end.seconds_since(begin) > 0
        with pytest.raises(DeviceError):
            untimed.seconds_since(begin)


def test_buffers_are_aligned_and_apart(device: Device) -> None:
    with device.buffer(100) as first, device.buffer(100) as second:
        assert first.size_bytes == second.size_bytes == 100
        assert first.address % ALIGNMENT_BYTES == second.address % ALIGNMENT_BYTES == 0
        assert abs(first.address - second.address) >= 100


def test_too_much_is_an_error_that_says_how_much(device: Device) -> None:
    for take in (device.buffer, *([] if isinstance(device, CountingDevice) else [device.pinned])):
        with pytest.raises(OutOfDeviceMemoryError, match="not enough memory") as raised:
            take(1 << 50)
        assert raised.value.requested_bytes == 1 << 50
        assert raised.value.hint
    with device.buffer(1000), device.pinned(1000):
        device.synchronize()  # it goes on


def test_what_does_not_fit_is_refused(device: Device) -> None:
    with device.pinned(4096) as host, device.buffer(1024) as there, device.stream() as stream:
        with pytest.raises(DeviceError, match="4096 bytes, wanted a contiguous one of at most 1024"):
            stream.upload(host.array((4096,), np.uint8), there)
        with pytest.raises(DeviceError, match="4096 bytes, wanted"):
            stream.download(there, host.array((4096,), np.uint8))
        with pytest.raises(DeviceError, match="strided"):
            stream.upload(host.array((2048,), np.uint8)[::2], there)
        with pytest.raises(DeviceError, match="takes 8192 bytes, wanted at most 4096"):
            host.array((2048,), np.float32)


def test_closing_twice_is_fine_and_use_after_close_is_not(device: Device) -> None:
    there, host, stream, event = device.buffer(64), device.pinned(64), device.stream(), device.event()
    for owned in (there, host, stream, event):
        owned.close()
        owned.close()
    uses: tuple[Callable[[], object], ...] = (
        lambda: there.address,
        lambda: host.array((1,), np.uint8),
        lambda: stream.handle,
        stream.synchronize,
        event.synchronize,
        event.reached,
    )
    for use in uses:
        with pytest.raises(DeviceError, match="after it was closed"):
            use()


def test_any_thread_may_close(device: Device) -> None:
    made = device.buffer(64), device.pinned(64), device.stream(), device.event(), device.module(load_fatbin())

    def work() -> None:
        for owned in (*made, device):
            owned.close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    with pytest.raises(DeviceError, match="after it was closed"):
        device.memory()


def test_handles_are_those_of_other_libraries(device: Device) -> None:
    with device.stream() as first, device.stream() as second, device.event() as event:
        assert 0 not in (first.handle, second.handle) and first.handle != second.handle
        if isinstance(device, PycudaDevice):
            with pytest.raises(DeviceError, match="does not tell an event's handle"):
                _ = event.handle
        else:
            assert event.handle


def test_a_closed_device_makes_nothing(device: Device) -> None:
    device.close()
    device.close()
    for make in (lambda: device.buffer(1), lambda: device.pinned(1), device.stream, device.event, device.memory):
        with pytest.raises(DeviceError, match="after it was closed"):
            make()


def cleared(device: Device, enqueue: Callable[[Stream, Module, Launch], None], tmp: pytest.TempPathFactory) -> bytes:
    """Return what 64 bytes of 7 are after something was done with a kernel that sets the first 48 to 0."""
    if isinstance(device, CountingDevice):
        device.execute = host_kernels(tmp).run
    with (
        device.module(load_fatbin()) as module,
        device.pinned(64) as pinned,
        device.buffer(64) as there,
        device.stream() as stream,
    ):
        memory = pinned.array((64,), np.uint8)
        memory[:] = 7
        stream.upload(memory, there)
        enqueue(stream, module, clear(there.address, 48))
        stream.download(there, memory)
        stream.synchronize()
        return memory.tobytes()


def test_kernels_run_in_the_order_of_their_stream(device: Device, tmp_path_factory: pytest.TempPathFactory) -> None:
    def launched(stream: Stream, module: Module, launch: Launch) -> None:
        stream.launch(module, launch)
        if not isinstance(device, CountingDevice):  # which knows no kernel's name before it is run
            with pytest.raises(DeviceError):
                stream.launch(module, replace(launch, kernel="fr_nothing"))

    assert cleared(device, launched, tmp_path_factory) == bytes(48) + b"\7" * 16


def test_a_graph_does_its_work_when_it_is_launched(device: Device, tmp_path_factory: pytest.TempPathFactory) -> None:
    require_graphs(device)

    def recorded(stream: Stream, module: Module, launch: Launch) -> None:
        with stream.capture(lambda: stream.launch(module, launch)):
            pass

    def replayed(stream: Stream, module: Module, launch: Launch) -> None:
        with stream.capture(lambda: stream.launch(module, launch)) as graph:
            graph.launch(stream)
            stream.synchronize()

    assert cleared(device, recorded, tmp_path_factory) == b"\7" * 64
    assert cleared(device, replayed, tmp_path_factory) == bytes(48) + b"\7" * 16


def test_what_fails_while_it_is_recorded_leaves_the_stream_as_it_was(
    device: Device, tmp_path_factory: pytest.TempPathFactory
) -> None:
    require_graphs(device)

    def failing(stream: Stream, module: Module, launch: Launch) -> None:
        def work() -> None:
            stream.launch(module, launch)
            raise KeyError

        with pytest.raises(KeyError):
            stream.capture(work)
        stream.launch(module, launch)

    assert cleared(device, failing, tmp_path_factory) == bytes(48) + b"\7" * 16


def require_graphs(device: Device) -> None:
    if isinstance(device, PycudaDevice):
        require_installed(cuda_bindings.PACKAGE)


def test_pycuda_alone_has_no_graphs(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_bindings, "installed", lambda: None)
    with device.stream() as stream:
        if isinstance(device, PycudaDevice):
            with pytest.raises(DeviceError, match="pycuda has no graphs, and cuda-bindings, which has, is not"):
                stream.capture(lambda: None)
        else:
            stream.capture(lambda: None).close()


def test_what_is_forgotten_is_told(device: Device) -> None:
    forgotten = device.buffer(64)
    with pytest.warns(ResourceWarning, match="was never closed"):
        forgotten.__del__()  # type: ignore[attr-defined]
    forgotten.close()


def test_is_current_in_the_thread_that_asks(device: Device) -> None:
    errors: list[BaseException] = []

    def work() -> None:
        try:
            with device.current(), device.stream() as stream:
                stream.synchronize()
        except DeviceError as error:
            errors.append(error)

    with device.current(), device.current():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert errors == []


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_staging_pads_converts_and_crops(device: Device, dtype: type) -> None:
    values = np.linspace(0, 1, 2 * 3 * 5 * 4, dtype=np.float32).reshape(2, 3, 5, 4)
    with StagedTensor(device, dtype) as staged, device.stream() as stream:
        staged.reserve((3, 3, 8, 6))
        staged.fill(values)
        staged.upload(stream)
        staged.download(stream)
        stream.synchronize()
        found = np.empty((3, 3, 8, 6), np.float32)
        staged.read(found)
        wanted = np.pad(values, ((0, 1), (0, 0), (0, 3), (0, 2)), mode="edge")
        np.testing.assert_array_equal(found, wanted.astype(dtype).astype(np.float32))
        address = staged.address
        staged.reserve((1, 3, 4, 4))
        assert staged.address == address, "a smaller shape allocates nothing"
        staged.trim()
        with pytest.raises(DeviceError, match="before a shape was reserved"):
            _ = staged.address


def test_scratch_grows_and_serves_one_after_the_other(device: Device) -> None:
    with Scratch(device) as scratch, device.stream() as first, device.stream() as second:
        with scratch.lent(1000, first) as memory:
            begin = memory.address
        with scratch.lent(500, second) as memory:
            assert memory.address == begin
        with scratch.lent(100_000, first) as memory:
            assert memory.size_bytes >= 100_000
        scratch.trim()
        with scratch.lent(10, second) as memory:
            assert memory.size_bytes < 1000
        for stream in (first, second):
            stream.synchronize()


def test_scratch_comes_back_after_an_error(device: Device) -> None:
    with Scratch(device) as scratch, device.stream() as stream:
        with pytest.raises(KeyError), scratch.lent(1000, stream):
            raise KeyError
        with scratch.lent(1000, stream):
            pass
        stream.synchronize()


@pytest.mark.skipif(compiler() is None, reason="no C compiler")
@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_keeps_it_on_a_driver_made_for_the_tests(library: str, tmp_path: Path) -> None:
    """All of the above through a library in a process of its own, for a loaded driver stays loaded."""
    require_installed(library)
    if not isinstance(usable_cards(), str):
        pytest.skip("there is a real card here: see the tests that need one")
    make_driver(tmp_path, unsupported=wanted_by_pycuda() if library == "pycuda" else ())
    environment = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path), "FASTRESTORE_REQUIRE_CUDA": "1"}

    def python(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)

    if library == "pycuda" and (loaded := python("-c", "import pycuda.driver")).returncode:
        pytest.skip(f"pycuda cannot be loaded here: {loaded.stderr.strip().splitlines()[-1]}")
    chosen = f"{library} and not made"
    run = python("-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "-p", "no:xdist", "-k", chosen, __file__)
    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout and "skipped" not in run.stdout
    assert "PyCUDA WARNING" not in run.stdout + run.stderr, "it writes what fails when something is given back"


def wanted_by_pycuda() -> list[str]:
    found = find_spec("pycuda")
    assert found is not None and found.submodule_search_locations
    (extension,) = Path(found.submodule_search_locations[0]).glob("_driver*.so")
    return wanted_of_driver(extension)
