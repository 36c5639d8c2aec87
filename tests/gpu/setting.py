"""What a run measures on: a card with a real backend, or with `--dry` a counting device with a played library."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from fastrestore.errors import EngineError
from fastrestore.geometry import Size
from fastrestore.kernels.fatbin import load_fatbin
from fastrestore.models.spec import ModelSpec
from fastrestore.runtime.devices.counting import CountingDevice
from fastrestore.runtime.engine import choose_backend
from fastrestore.runtime.memory import Device, DeviceBuffer, Stream
from fastrestore.runtime.on_device.engine import AddressEngine

__all__ = ["DRY_SIDE_PX", "Setting", "dry", "real"]
DRY_SIDE_PX = 64
"""Longest tile of the played engine: a dry run is about what is called with what, not about how fast."""


@dataclass(frozen=True)
class Setting:
    """A device and an engine on it."""

    engine: AddressEngine
    backend: str
    """In words: library, version, card."""
    code: bytes
    """The kernels."""
    copy: Callable[[Stream, DeviceBuffer, DeviceBuffer], None]
    """Enqueues the copy of a whole buffer to another: what bandwidth is held against."""
    also: Callable[[ModelSpec, Size], AbstractContextManager[AddressEngine]]
    """Opens another network on the same card, for pictures of a size."""

    @property
    def device(self) -> Device:
        return self.engine.device


@contextmanager
def real(spec: ModelSpec, size: Size, backend: str) -> Iterator[Setting]:
    """Open the first card.

    Raises:
        EngineError: If no backend runs the model there by addresses.
    """
    choice = choose_backend(backend, [(spec, size)])
    with choice.backend.open(spec, threads=0, size=size) as engine:
        if not isinstance(engine, AddressEngine):
            raise EngineError(
                f"backend `{choice.backend.name}` does not run on addresses of a card ({choice.reason})",
                "build an engine with `fastrestore build-engines`, or install onnxruntime-gpu and cuda-bindings",
            )
        device = engine.device

        def copy(stream: Stream, source: DeviceBuffer, target: DeviceBuffer) -> None:
            with device.current():
                cuda = device.cuda  # type: ignore[attr-defined]  # the copy of a card, which nobody else needs
                answer = cuda.cuMemcpyDtoDAsync(target.address, source.address, source.size_bytes, stream.handle)
                device.call(answer)  # type: ignore[attr-defined]

        @contextmanager
        def also(network: ModelSpec, pictures: Size) -> Iterator[AddressEngine]:
            with choice.backend.open(network, threads=0, size=pictures) as opened:
                assert isinstance(opened, AddressEngine) and opened.device is device
                yield opened

        yield Setting(engine, f"{choice.backend.describe()} ({choice.reason})", load_fatbin(), copy, also)


@contextmanager
def dry(spec: ModelSpec) -> Iterator[Setting]:
    """Play a card: kernels by their host build, the network by ONNX Runtime on the CPU, time by counting."""
    from tests.fake_tensorrt.bench import Bench

    from fastrestore.kernels.host_build import HostKernels, build_host_kernels
    from fastrestore.runtime.engine_key import Profile, Shape

    with tempfile.TemporaryDirectory() as folder:
        kernels = HostKernels(build_host_kernels(Path(folder)))
        bench = Bench(Path(folder), execute=kernels.run)
        most = Shape(2, DRY_SIDE_PX, DRY_SIDE_PX)
        entry = bench.build(spec, Profile("tile", Shape(1, 16, 16), Shape(1, 32, 32), most), "fp32")
        with bench.backend.open_entry(spec, entry) as engine:
            device = bench.device

            @contextmanager
            def also(network: ModelSpec, _: Size) -> Iterator[AddressEngine]:
                whole = Profile("motion", Shape(1, 16, 16), Shape(1, 128, 128), Shape(1, 256, 256))
                with bench.backend.open_entry(network, bench.build(network, whole, "fp32")) as opened:
                    yield opened

            yield Setting(engine, "dry run", load_fatbin(), _played_copy(device), also)
        if left := bench.left_behind:
            raise AssertionError(f"left behind: {left}")


def _played_copy(device: CountingDevice) -> Callable[[Stream, DeviceBuffer, DeviceBuffer], None]:
    def copy(stream: Stream, source: DeviceBuffer, target: DeviceBuffer) -> None:
        def work() -> None:
            device.at(target.address, source.size_bytes)[:] = device.at(source.address, source.size_bytes)

        device.stream_of(stream.handle).perform(work, [source.address, target.address])

    return copy
