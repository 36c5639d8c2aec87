"""Builders check what they are given, count bytes, and know their addresses."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import closing

import numpy as np
import pytest
from tests.unit.kernels.executors import DeviceExecutor
from tests.unit.kernels.film_launched import every_film_launch
from tests.unit.kernels.host import host_kernels
from tests.unit.kernels.launched import LaunchedOps

from fastrestore.errors import DeviceError
from fastrestore.frames import FORMATS, Motion, Picture
from fastrestore.geometry import Size
from fastrestore.kernels import launches as k
from fastrestore.kernels.params import KERNELS, PlanesToTilesParams
from fastrestore.kernels.reference import ReferenceOps
from fastrestore.runtime.devices.counting import CountingDevice

SIZE = Size(64, 48)
BASE = 1 << 32
PLANAR = k.Layout(FORMATS["yuv420p"])


def picture(layout: k.Layout = k.NV12, size: Size = SIZE) -> k.DevicePlanes:
    return k.DevicePlanes.tight(BASE, size, layout)


def luma(size: Size = SIZE, bits: int = 8) -> k.PlaneView:
    return k.PlaneView(BASE, size.width * (4 if bits == 32 else 1), size, bits)


def taps(size: Size = SIZE, target: Size = SIZE) -> tuple[k.PlacedTaps, ...]:
    return k.TapTable(*k.resize_taps(size, target)).at(BASE)


def frame(target: k.DevicePlanes) -> tuple[k.PlacedTaps, ...]:
    spans = [k.TileSpan(0, 0, np.ones(128))], [k.TileSpan(0, 0, np.ones(96))]
    return k.frame_taps(*spans, Size(128, 96), target.size, target.layout.samples, target.colour).at(BASE)


STORE = k.TileStore(BASE, Size(128, 96), 1, half=True)
FIELD = k.FlowField.interleaved(BASE, BASE, SIZE)
PLACE = k.NetworkPlace(SIZE, Size(32, 24), 2, Size(32, 32))

REFUSED: dict[str, Callable[[], object]] = {
    "no tiles": lambda: k.planes_to_tiles(picture(), BASE, SIZE, [], half=True),
    "too many tiles": lambda: k.planes_to_tiles(picture(), BASE, SIZE, [(0, 0)] * 65, half=True),
    "tiles too large": lambda: k.planes_to_tiles(picture(), BASE, Size(40_000, 8), [(0, 0)], half=True),
    "weights of another size": lambda: k.tiles_to_planes(STORE, frame(picture()), picture(size=Size(32, 24))),
    "elements past 32 bits": lambda: k.tiles_to_planes(
        k.TileStore(BASE, Size(30_000, 30_000), 1, half=True), frame(picture()), picture()
    ),
    "resize by other weights": lambda: k.resize(luma(), taps(), luma(Size(32, 24))),
    "weights of a wider plane": lambda: k.resize(luma(Size(63, 48)), taps(), luma()),
    "weights of more tiles": lambda: k.tiles_to_planes(
        k.TileStore(BASE, Size(128, 95), 1, half=True), frame(picture()), picture()
    ),
    "another size": lambda: k.requantize(picture(), picture(k.P010, Size(32, 24))),
    "another subsampling": lambda: k.requantize(picture(), picture(k.Layout(FORMATS["yuv444p"]))),
    "clear in bytes": lambda: k.clear(BASE, 24),
    "clear nothing": lambda: k.clear(BASE, 0),
    "packed motion that is not aligned": lambda: k.pack_motion(FIELD, BASE + 4),
    "a grid that leaves pixels out": lambda: k.planes_to_reduced(
        picture(), BASE, k.NetworkPlace(SIZE, Size(31, 24), 2, Size(32, 32)), half=True
    ),
    "a tensor smaller than the grid": lambda: k.place_motion(
        k.NetworkOutput(BASE, BASE, (False, False)), k.NetworkPlace(SIZE, Size(32, 24), 2, Size(32, 16)), BASE, BASE
    ),
    "a picture not reduced": lambda: k.planes_to_reduced(
        picture(), BASE, k.NetworkPlace(SIZE, SIZE, 1, SIZE), half=True
    ),
    "nothing to fill": lambda: k.fill(BASE, 0, 0.5, half=True),
    "a mask of bytes": lambda: k.synthesize((picture(), picture()), BASE, luma(), picture()),
    "a neighbour of another size": lambda: k.synthesize(
        (picture(), picture(size=Size(32, 24))), BASE, luma(bits=32), picture()
    ),
    "a target of another depth": lambda: k.synthesize((picture(), picture()), BASE, luma(bits=32), picture(k.P010)),
    "a disagreement of another size": lambda: k.guard(
        (picture(), picture()), BASE, (luma(bits=32), luma(Size(32, 24), 32)), taps(), BASE, 0.5
    ),
    "luma of two sizes": lambda: k.statistics(luma(), luma(Size(32, 24)), BASE),
    "luma of 16 bits": lambda: k.disagreement(luma(bits=16), luma(bits=16), BASE, BASE),
    "two layouts": lambda: k.unequal(picture(), picture(PLANAR), BASE),
    "one plane of two": lambda: k.DevicePlanes((BASE,), (64,), SIZE, k.NV12),
    "a pitch below the row": lambda: k.DevicePlanes((BASE, BASE), (64, 63), SIZE, k.NV12),
    "half a sample": lambda: k.DevicePlanes((BASE + 1, BASE), (128, 128), SIZE, k.P010),
    "a picture too large": lambda: k.DevicePlanes((BASE, BASE), (65536, 65536), Size(65536, 2), k.NV12),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused(case: str) -> None:
    with pytest.raises(DeviceError):
        REFUSED[case]()


def every_launch() -> dict[str, k.Launch]:
    pair = picture(), picture()
    mask = luma(bits=32)
    made = [
        k.planes_to_tiles(picture(), BASE, Size(40, 30), [(0, 0), (24, 18)], half=True),
        k.tiles_to_planes(STORE, frame(picture()), picture()),
        k.pack_motion(FIELD, BASE),
        k.planes_to_reduced(picture(), BASE, PLACE, half=True),
        k.fill(BASE, 4096, 0.5, half=False),
        k.place_motion(k.NetworkOutput(BASE, BASE, (False, True)), PLACE, BASE, BASE),
        k.guard(pair, BASE, (mask, mask), taps(), BASE, 0.5),
        k.disagreement(luma(), luma(), BASE, BASE),
        k.synthesize(pair, BASE, mask, picture()),
        k.statistics(luma(), luma(), BASE),
        k.thumbnail(luma(), BASE),
        *k.unequal(*pair, BASE),
        k.clear(BASE, 4096),
        k.resize(luma(), taps(SIZE, Size(32, 24)), luma(Size(32, 24))),
        k.luma8(picture(k.P010), BASE, 64),
        k.requantize(picture(), picture(k.P010)),
        *every_film_launch(),
    ]
    return {launch.kernel: launch for launch in made}


def test_every_kernel_has_a_builder() -> None:
    assert set(every_launch()) == set(KERNELS)


@pytest.mark.parametrize("kernel", KERNELS)
def test_launches_are_within_what_every_card_takes(kernel: str) -> None:
    launch = every_launch()[kernel]
    assert 1 <= int(np.prod(launch.block)) <= 256
    assert launch.grid[0] < 1 << 31 and max(launch.grid[1:]) < 1 << 16
    assert len(launch.params) == ctypes.sizeof(KERNELS[kernel])
    assert launch.traffic.moved >= launch.traffic.ideal > 0


def test_the_largest_picture_is_within_the_grid() -> None:
    large = Size(32_767, 32_767)
    launch = k.requantize(picture(PLANAR, large), picture(k.P010, large))
    assert max(launch.grid[1:]) < 1 << 16


def test_bytes_of_a_4k_frame() -> None:
    """NV12 to halves at half the size: 1.5 bytes a pixel in, six out; and back from twice the size."""
    source = picture(size=Size(1920, 1080))
    launch = k.planes_to_tiles(source, BASE, Size(1920, 1080), [(0, 0)], half=True)
    assert k.bytes_moved(launch) == (1920 * 1080 * 15 // 2,) * 2
    overlapping = k.planes_to_tiles(source, BASE, Size(1000, 1080), [(0, 0), (920, 0)], half=True)
    moved, ideal = k.bytes_moved(overlapping)
    assert ideal < moved == 2000 * 1080 * 15 // 2
    pair = picture(size=Size(3840, 2160)), picture(size=Size(3840, 2160))
    cells = luma(Size(960, 540), 32)
    moved, ideal = k.bytes_moved(k.synthesize(pair, BASE, cells, pair[0]))
    assert ideal == 3 * 3840 * 2160 * 3 // 2
    assert moved - ideal == 20 * 960 * 540


def test_addresses_are_known_and_can_be_put_elsewhere() -> None:
    launch = k.tiles_to_planes(STORE, frame(picture()), picture())
    assert 0 in launch.addresses, "nobody asked whether it is broken"
    assert {a for a in launch.addresses if a} >= {BASE, BASE + SIZE.pixels, BASE + SIZE.pixels + 1}
    moved = launch.relocated(lambda address: address + 4096)
    assert moved.addresses == tuple(a + 4096 if a else 0 for a in launch.addresses)
    assert moved.relocated(lambda address: address - 4096) == launch


def test_origins_are_passed_on() -> None:
    launch = k.planes_to_tiles(picture(), BASE, Size(8, 8), [(1, -2), (3, 4)], half=False)
    params = PlanesToTilesParams.from_buffer_copy(launch.params)
    assert list(params.origin[:5]) == [1, -2, 3, 4, 0]
    assert launch.grid[2] == 2


def test_a_device_executes_launches(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The device that counts, running the host build on its own memory: the way that a card goes."""
    rng = np.random.default_rng(0)
    shapes = (21, 33), (11, 17), (11, 17)
    left, right = (
        Picture(tuple(rng.integers(0, 256, shape).astype(np.uint8) for shape in shapes), FORMATS["yuv420p"])
        for _ in range(2)
    )
    to_left, to_right = (rng.uniform(-2, 2, (7, 11, 2)).astype(np.float32) for _ in range(2))
    motion = Motion(to_left, to_right, np.full((7, 11), 0.4, np.float32), np.zeros((7, 11), np.float32))
    with CountingDevice(execute=host_kernels(tmp_path_factory).run) as device:
        with closing(DeviceExecutor(device)) as executor:
            got = LaunchedOps(executor).synthesize(left, right, motion, 0.4, (k.NV12, k.NV12))
        assert device.counts.launches == 4, "packed twice, guarded, blended"
        assert not device.leaks
    want = ReferenceOps().synthesize(left, right, motion, 0.4)
    assert max(int(np.abs(a.astype(int) - b).max()) for a, b in zip(got.planes, want.planes, strict=True)) <= 1
