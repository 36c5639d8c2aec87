"""How many pictures are restored side by side, by what memory there is."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from tests.unit.kernels.host import host_kernels
from tests.unit.runtime.on_device.device_bench import COLOUR, SOURCE, DeviceBench, device_stages, film

from fastrestore.errors import OutOfDeviceMemoryError
from fastrestore.frames import FORMATS
from fastrestore.geometry import Size
from fastrestore.kernels.host_build import HostKernels
from fastrestore.models.catalog import find
from fastrestore.runtime import pipeline as pipelines
from fastrestore.runtime.on_device.budget import fitting_slots, slot_bytes
from fastrestore.runtime.on_device.geometry import cut
from fastrestore.runtime.on_device.picture import Form
from fastrestore.runtime.pipeline import FramePipeline
from fastrestore.runtime.restorer import Output

OUTPUT = Output(SOURCE.times(2), FORMATS["yuv420p"], COLOUR)


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> HostKernels:
    return host_kernels(tmp_path_factory)


@pytest.mark.parametrize(
    ("free", "beside", "each", "slots"),
    [
        (8000, 4000, 1000, 3),
        (8000, 4001, 1000, 2),
        (8000, 5001, 1000, 1),
        (8000, 9000, 1000, 1),
        (80_000, 0, 1000, 3),
        (8000, 0, 0, 3),
    ],
)
def test_what_else_is_kept_comes_first(free: int, beside: int, each: int, slots: int) -> None:
    """An eighth of what is free is left alone; there is always one, and never more than three."""
    assert fitting_slots(free, beside, each) == slots


def test_a_slot_has_its_own_tiles_and_layers_of_every_network() -> None:
    spec, size = find("clean-x2-tiny"), Size(64, 48)
    way = cut(spec, size, None, (True, True))
    between = Form(size.times(2), FORMATS["yuv444p16le"], COLOUR)
    tiles = 6 * (way.tile.pixels + way.made.pixels)
    layers = way.tile.pixels * spec.working_bytes_per_px // 2
    assert slot_bytes([way], []) >= tiles + layers > 0
    assert slot_bytes([way, way], [between]) == 2 * slot_bytes([way], []) + between.nbytes


@pytest.mark.parametrize(("memory_bytes", "slots"), [(1 << 30, 3), (1_700_000, 2), (1_200_000, 1), (250_000, 0)])
def test_slots_are_chosen_from_free_memory(
    tmp_path: Path, kernels: HostKernels, monkeypatch: pytest.MonkeyPatch, memory_bytes: int, slots: int
) -> None:
    monkeypatch.setattr(pipelines, "cpu_count", lambda: 2)  # so that as much is on its way on every machine
    source, bench = film(5), DeviceBench(tmp_path, kernels, memory_bytes=memory_bytes)
    try:
        with device_stages([bench.engine()], source[0].picture, OUTPUT, slots=None) as (stages, steps):
            assert len(list(FramePipeline(stages, source, Fraction(60)))) > 5
            assert len(steps.pool._lanes.compute) == slots
            assert steps.warnings == ()
    except OutOfDeviceMemoryError:
        assert slots == 0
    finally:
        bench.close()
    assert bench.left_behind == []
