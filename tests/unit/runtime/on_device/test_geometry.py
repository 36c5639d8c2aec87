"""How pictures go through engines on a card: aligned, in runs of one shape, put together as the host does it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from numpy.typing import NDArray

from fastrestore.errors import UsageError
from fastrestore.frames import FORMATS, Colour
from fastrestore.geometry import Size
from fastrestore.kernels.launches import DevicePlanes
from fastrestore.kernels.taps import tile_taps
from fastrestore.models.catalog import find
from fastrestore.runtime.engine_key import Profile, Shape
from fastrestore.runtime.memory import ALIGNMENT_BYTES
from fastrestore.runtime.on_device.geometry import Cut, _spans, cut, smaller
from fastrestore.runtime.on_device.picture import PITCH_BYTES, Form
from fastrestore.runtime.restorer import network_tiles

SPEC = find("clean-x2-tiny")
FULL = (False, False)


def profile(most: int, batch: int = 4) -> Profile:
    return Profile("tile", Shape(1, 32, 32), Shape(1, 64, 64), Shape(batch, most, most))


@settings(max_examples=60, deadline=None)
@given(
    size=some.builds(Size, some.integers(1, 700), some.integers(1, 700)),
    most=some.sampled_from([64, 96, 200, 512]),
    batch=some.integers(1, 4),
    half=some.booleans(),
)
def test_every_run_is_within_the_range_and_aligned(size: Size, most: int, batch: int, half: bool) -> None:
    span = profile(most, batch)
    made = cut(SPEC, size, span, (half, half))
    assert all(offset % ALIGNMENT_BYTES == 0 for run in made.runs for offset in run)
    assert made.plan == network_tiles(SPEC, size, None, largest=Size(most, most)), "the host's tiles"
    assert span.takes(Shape(made.batch, made.tile.height, made.tile.width))
    assert len(made.plan) % made.batch == 0
    assert len(made.runs) * made.batch == len(made.plan) == len(made.origins)
    assert sum(len(origins) for _, origins in made.gathers) == len(made.plan)


def test_a_whole_picture_is_given_as_it_is() -> None:
    made = cut(SPEC, Size(427, 241), profile(512), FULL)
    assert made.tile == Size(427, 241) and len(made.plan) == 1


def test_fewer_tiles_a_run_where_that_is_asked_for() -> None:
    size, span = Size(200, 160), profile(64)
    whole = cut(SPEC, size, span, FULL)
    assert whole.batch > 1
    assert cut(SPEC, size, span, FULL, batch=1).batch == 1
    assert cut(SPEC, size, span, FULL, batch=64) == whole


def test_without_a_range_memory_decides() -> None:
    made = cut(SPEC, Size(64, 48), None, FULL, side=40)
    assert len(made.plan) > 1 and made.batch == 1


def test_less_is_half_the_tiles_then_half_the_side_then_nothing() -> None:
    span, size = profile(64), Size(200, 160)
    made: Cut | None = cut(SPEC, size, span, FULL)
    assert made is not None and made.batch > 1
    seen = []
    while made is not None:
        seen.append(made.batch * made.tile.pixels)
        made = smaller(made, span, size)
    assert seen == sorted(seen, reverse=True) and len(seen) == len(set(seen)) > 2


def test_a_tile_too_small_for_the_network_is_refused() -> None:
    with pytest.raises(UsageError, match="too small"):
        cut(SPEC, Size(200, 160), profile(64), FULL, side=16)


@pytest.mark.parametrize("halo_px", [7, 100], ids=["pasted", "blended"])
def test_tiles_are_put_together_as_on_the_host(halo_px: int) -> None:
    """Column by column and row by row; weights of both ways multiplied are those of `TilePlan.ramp`, normalised."""
    spec = replace(SPEC, halo_px=halo_px)
    made = cut(spec, Size(420, 300), profile(224), FULL)
    plan, scale = made.plan, spec.scale
    assert plan.blended == (halo_px > 64) and len(plan) > 1
    tiles = np.random.default_rng(0).random((len(plan), made.made.height, made.made.width))
    assert made.strides[1] == 4 * 3 * made.made.pixels, "without gaps"
    wanted, weights = (np.zeros((300 * scale, 420 * scale)) for _ in range(2))
    for tile, values in zip(plan, tiles, strict=True):
        rows, columns = tile.keep.times(scale).slices
        share = plan.ramp(tile, scale) if plan.blended else np.ones_like(wanted[rows, columns])
        wanted[rows, columns] += values[tile.crop.times(scale).slices] * share
        weights[rows, columns] += share
    assert np.abs(put_together(made, tiles) - wanted / weights).max() < 1e-6


def put_together(made: Cut, tiles: NDArray[np.float64]) -> NDArray[np.float64]:
    columns, rows = _spans(made.plan, made.spec.scale)
    stride = made.made.pixels
    across = tile_taps(columns, stride, 1)
    down = tile_taps(rows, stride * len(columns), made.made.width)
    flat, found = tiles.reshape(-1), np.zeros((len(down), len(across)))
    column_of = np.repeat(np.arange(len(across)), np.diff(across.begin))
    for y in range(len(down)):
        for k in range(down.begin[y], down.begin[y + 1]):
            values = flat[down.offsets[k] + across.offsets] * across.weights
            found[y] += down.weights[k] * np.bincount(column_of, values, len(across))
    return found


@pytest.mark.parametrize("name", ["yuv420p", "yuv422p10le", "gray16le", "gbrp12le"])
@pytest.mark.parametrize("size", [Size(1, 1), Size(17, 9), Size(64, 48)], ids=str)
def test_planes_lie_where_kernels_look_for_them(name: str, size: Size) -> None:
    form = Form(size, FORMATS[name], Colour())
    memory = np.zeros(form.nbytes, np.uint8)
    on_device: DevicePlanes = form.on_device(1 << 20)
    for plane, address, pitch in zip(form.planes(memory), on_device.addresses, on_device.pitches, strict=True):
        assert address % PITCH_BYTES == pitch % PITCH_BYTES == 0
        assert plane.ctypes.data - memory.ctypes.data == address - (1 << 20)
        assert plane.strides[0] == pitch
        plane[:] = 1
    tight = sum(form.format.plane_size(size, i).pixels for i in range(form.format.planes))
    assert int(memory.view(form.format.dtype).sum()) == tight, "planes do not overlap"
