"""Laws of the pipeline on a card: the frames of the pipeline on the host, no waiting, no allocating, nothing left."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.kernels.host import host_kernels
from tests.unit.runtime.on_device.device_bench import (
    COLOUR,
    SOURCE,
    DeviceBench,
    assert_alike,
    device_stages,
    film,
    held,
    host_stages,
)

from fastrestore.config import Plan
from fastrestore.errors import DeviceError, EngineError, OutOfDeviceMemoryError
from fastrestore.frames import FORMATS, Frame, Picture
from fastrestore.geometry import Size
from fastrestore.kernels.host_build import HostKernels
from fastrestore.models.catalog import find
from fastrestore.runtime import pipeline as pipelines
from fastrestore.runtime.backends.tensorrt_engine import OwnedSlot
from fastrestore.runtime.devices.counting_work import CountingStream
from fastrestore.runtime.engine import Engine
from fastrestore.runtime.engine_key import Profile, Shape
from fastrestore.runtime.gate import reference
from fastrestore.runtime.memory import Stream
from fastrestore.runtime.on_device import opening
from fastrestore.runtime.parts import Stages
from fastrestore.runtime.pipeline import FramePipeline
from fastrestore.runtime.restorer import Output

MODEL = "clean-x2-tiny"
OUTPUT = Output(SOURCE.times(2), FORMATS["yuv420p"], COLOUR)
FPS = Fraction(60)


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> HostKernels:
    return host_kernels(tmp_path_factory)


@pytest.fixture(scope="module")
def on_host() -> Iterator[Engine]:
    with reference(find(MODEL), 1) as engine:
        yield engine


@pytest.fixture
def bench(tmp_path: Path, kernels: HostKernels, monkeypatch: pytest.MonkeyPatch) -> Iterator[DeviceBench]:
    monkeypatch.setattr(pipelines, "cpu_count", lambda: 2)  # so that as much is on its way on every machine
    made = DeviceBench(tmp_path, kernels)
    yield made
    made.close()
    assert made.left_behind == []
    assert [t.name for t in threading.enumerate() if t.name.startswith("fastrestore-")] == []


def same_bytes(one: list[Frame], other: list[Frame]) -> bool:
    return all(a.picture.same_samples(b.picture) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    ("name", "grey", "size", "target"),
    [
        ("yuv420p", False, SOURCE, SOURCE.times(2)),
        ("yuv420p", True, SOURCE, SOURCE.times(2)),
        ("yuv420p10le", False, Size(41, 27), Size(75, 50)),
        ("gray", True, Size(33, 31), Size(66, 62)),
        ("yuv420p", False, Size(41, 27), Size(100, 64)),
    ],
    ids=["8-bit", "grey-in-yuv", "10-bit-odd-shrunk", "grey-odd", "odd-grown"],
)
def test_guided_frames_are_those_of_the_host(
    bench: DeviceBench, on_host: Engine, name: str, grey: bool, size: Size, target: Size
) -> None:
    source, output = film(9, size, name, grey=grey), Output(target, FORMATS[name], COLOUR)
    wanted = list(FramePipeline(host_stages([on_host], output), source, FPS))
    with device_stages([bench.engine()], source[0].picture, output) as (stages, steps):
        found = list(FramePipeline(stages, source, FPS))
        assert held(steps) == 0
        assert steps.runs == len(source) - 1, "the exact repeat is not restored again"
        assert steps.warnings == ()
    assert_alike(found, wanted)
    if grey:
        assert all(frame.picture.neutral_chroma for frame in found)


@pytest.mark.parametrize("plan", [Plan.UPSCALE_FIRST, Plan.INTERPOLATE_FIRST])
def test_the_other_plans_make_the_frames_of_the_host(bench: DeviceBench, on_host: Engine, plan: Plan) -> None:
    source = film(7)
    wanted = list(FramePipeline(host_stages([on_host], OUTPUT, plan), source, FPS))
    with device_stages([bench.engine()], source[0].picture, OUTPUT, plan) as (stages, steps):
        found = list(FramePipeline(stages, source, FPS))
        assert held(steps) == 0
    assert_alike(found, wanted)


def test_source_rate_is_restored_to_the_rounding(bench: DeviceBench, on_host: Engine) -> None:
    source = film(6)
    wanted = list(FramePipeline(host_stages([on_host], OUTPUT), source, None))
    with device_stages([bench.engine()], source[0].picture, OUTPUT) as (stages, _):
        found = list(FramePipeline(stages, source, None))
    for one, other in zip(found, wanted, strict=True):
        for plane, like in zip(one.picture.planes, other.picture.planes, strict=True):
            assert np.abs(plane.astype(int) - like).max() <= 1


def test_a_chain_of_networks(bench: DeviceBench, on_host: Engine) -> None:
    """Between the two a picture is stored: what lies far beyond white is cut off, but not of mild pictures."""
    source = film(3, Size(24, 16), contrast=0.15, saturation=0.05)
    output = Output(Size(96, 64), FORMATS["yuv420p"], COLOUR)
    wanted = list(FramePipeline(host_stages([on_host, on_host], output), source, None))
    engine = bench.engine()
    with device_stages([engine, engine], source[0].picture, output) as (stages, steps):
        found = list(FramePipeline(stages, source, None))
        assert steps.runs == len(source)
    for one, other in zip(found, wanted, strict=True):
        for plane, like in zip(one.picture.planes, other.picture.planes, strict=True):
            assert np.abs(plane.astype(int) - like).max() <= 1


@pytest.mark.parametrize(("tile", "batch"), [(None, 2), (45, 1)], ids=["batches", "gaps"])
def test_tiles_are_the_whole_picture(bench: DeviceBench, on_host: Engine, tile: int | None, batch: int) -> None:
    """Runs of several tiles; and tiles of a size at which there must be gaps between them."""
    size = Size(108, 80)
    source, output = film(2, size), Output(size.times(2), FORMATS["yuv420p"], COLOUR)
    wanted = list(FramePipeline(host_stages([on_host], output), source, None))
    with device_stages([bench.engine()], source[0].picture, output, tile=tile) as (stages, steps):
        cut = steps.restorer._networks[0].cut
        assert len(cut.plan) > 1 and cut.batch == batch
        found = list(FramePipeline(stages, source, None))
    for one, other in zip(found, wanted, strict=True):
        for plane, like in zip(one.picture.planes, other.picture.planes, strict=True):
            assert np.abs(plane.astype(int) - like).max() <= 1


def test_slots_make_the_same_bytes(bench: DeviceBench) -> None:
    source, engine, results = film(6), bench.engine(), []
    for slots in (1, 2, 3):
        with device_stages([engine], source[0].picture, OUTPUT, slots=slots) as (stages, steps):
            results.append(list(FramePipeline(stages, source, FPS)))
            assert len(steps.pool._lanes.compute) == slots
            assert steps.restorer.ways == ["as a graph"]
    assert same_bytes(results[0], results[1]) and same_bytes(results[0], results[2])


def test_graphs_make_the_same_bytes_as_launches(bench: DeviceBench, monkeypatch: pytest.MonkeyPatch) -> None:
    source, engine, results = film(6), bench.engine(), []
    for recordable in (True, False):
        monkeypatch.setattr(OwnedSlot, "capturable", recordable)
        with device_stages([engine], source[0].picture, OUTPUT) as (stages, steps):
            results.append(list(FramePipeline(stages, source, FPS)))
            ways = steps.restorer.ways
        assert ways == ["as a graph" if recordable else "launch by launch: the engine cannot be recorded"]
    assert same_bytes(*results)


def test_what_cannot_be_recorded_is_launched_and_said(bench: DeviceBench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: CountingStream, work: Callable[[], None]) -> None:
        raise DeviceError("operation not permitted when stream is capturing")

    monkeypatch.setattr(CountingStream, "capture", refuse)
    source = film(4)
    with device_stages([bench.engine()], source[0].picture, OUTPUT) as (stages, steps):
        assert len(list(FramePipeline(stages, source, None))) == 4
        assert steps.restorer.ways == ["launch by launch: operation not permitted when stream is capturing"]
        assert steps.warnings == (f"`{MODEL}` runs launch by launch: operation not permitted when stream is capturing",)


@pytest.mark.parametrize("plan", [Plan.GUIDED, Plan.INTERPOLATE_FIRST])
def test_steady_state_allocates_nothing_and_waits_once_a_frame(bench: DeviceBench, plan: Plan) -> None:
    source = film(40)
    with device_stages([bench.engine()], source[0].picture, OUTPUT, plan) as (stages, steps):
        with closing(FramePipeline(stages, source, FPS).marked()) as frames:
            for _ in range(30):
                next(frames)
            before, waits = copy.copy(bench.device.counts), steps.intake.waits
            for _ in range(40):
                next(frames)
            since = bench.device.counts.since(before)
        assert since.allocations == 0
        assert since.host_waits == 40
        assert steps.intake.waits == waits == 0
        assert abs(since.downloads - 2 * 40) <= 2 * steps.frames_ahead, "a frame, and the flag behind it"
        assert held(steps) == 0


def test_later_frames_are_enqueued_before_one_is_waited_for(bench: DeviceBench) -> None:
    """What is asked of the card, in that order: copies of later frames come before the wait for an earlier one."""
    source = film(30)
    with device_stages([bench.engine()], source[0].picture, OUTPUT) as (stages, steps):
        begun = len(bench.device.log)
        list(FramePipeline(stages, source, None))
        log = bench.device.log[begun:]
        into, out = (stream.handle for stream in (steps.pool._lanes.copy_in, steps.pool._lanes.copy_out))
    waits = [at for at, asked in enumerate(log) if asked.what == "host wait"]
    assert {log[at].stream for at in waits} == {out}, "the host waits for downloads and for nothing else"
    assert len(waits) == 30
    for number, at in enumerate(waits):
        uploads = sum(asked == ("upload", into) for asked in log[:at])
        restored = sum(asked.what == "fr_tiles_to_planes" for asked in log[:at])
        downloads = sum(asked == ("download", out) for asked in log[:at]) // 2
        following = min(number + 2, 30)  # frames up to the one after it
        assert downloads >= following
        assert min(uploads, restored) >= following - (number >= 2), "the fourth is an exact repeat"


def test_bytes_that_cross_the_bus(bench: DeviceBench) -> None:
    """An output frame takes 1.5 bytes a pixel and the flag; a source frame the same; nothing else at source rate."""
    source = film(12)
    with device_stages([bench.engine()], source[0].picture, OUTPUT) as (stages, _):
        before = copy.copy(bench.device.counts)
        list(FramePipeline(stages, source, None))
        since = bench.device.counts.since(before)
    rows, pitch, chroma = 56, 80, 48  # rows of chroma are 40 bytes, and begin at multiples of 16
    assert since.downloaded_bytes == 12 * (rows * pitch + 2 * (rows // 2) * chroma + 16)
    assert since.uploaded_bytes == 11 * (28 * 48 + 2 * 14 * 32)


STOPS = ["upload", "launch", "engine", "download", "motion"]


@pytest.mark.parametrize("at", [1, 6])
@pytest.mark.parametrize("stage", STOPS)
@pytest.mark.parametrize("plan", list(Plan))
def test_an_error_in_a_stage_gives_everything_back(
    bench: DeviceBench, monkeypatch: pytest.MonkeyPatch, stage: str, at: int, plan: Plan
) -> None:
    source = film(16)
    with device_stages([bench.engine()], source[0].picture, OUTPUT, plan) as (stages, steps):
        plant(monkeypatch, stages, stage, at)
        with pytest.raises(DeviceError, match="planted failure"):
            list(FramePipeline(stages, source, FPS))
        monkeypatch.undo()
        assert held(steps) == 0
        assert_no_threads()
        assert len(list(FramePipeline(stages, film(3), None))) == 3, "and what was given back can be used again"


def plant(monkeypatch: pytest.MonkeyPatch, stages: Stages, stage: str, at: int) -> None:
    """Have the `at`th piece of work of a stage fail."""
    owner, name = {
        "upload": (CountingStream, "upload"),
        "launch": (CountingStream, "launch"),
        "engine": (OwnedSlot, "enqueue"),
        "download": (CountingStream, "download"),
        "motion": (type(stages.estimator), "pair"),
    }[stage]
    real, done = getattr(owner, name), 0

    def failing(*arguments: Any, **named: Any) -> Any:
        nonlocal done
        done += 1
        if done == (1 if stage == "engine" else at):  # later runs are replayed
            raise DeviceError("planted failure")
        return real(*arguments, **named)

    monkeypatch.setattr(owner, name, failing)


def assert_no_threads() -> None:
    assert [t.name for t in threading.enumerate() if t.name.startswith("fastrestore-")] == []


@pytest.mark.parametrize("plan", list(Plan))
@pytest.mark.parametrize("shown", [0, 1, 9])
def test_a_consumer_that_stops_or_fails_leaves_nothing(bench: DeviceBench, plan: Plan, shown: int) -> None:
    source = film(30)
    with device_stages([bench.engine()], source[0].picture, OUTPUT, plan) as (stages, steps):
        with closing(FramePipeline(stages, source, FPS).marked()) as frames:
            for _ in range(shown):
                next(frames)
        assert held(steps) == 0
        with pytest.raises(ValueError, match="the encoder"):
            encode(FramePipeline(stages, source, FPS))
        assert held(steps) == 0
        assert_no_threads()


def encode(pipeline: FramePipeline) -> None:
    with closing(pipeline.marked()) as frames:
        for number, _ in enumerate(frames):
            if number == 5:
                raise ValueError("the encoder failed")


def test_frames_that_are_kept_stay_as_they_are(bench: DeviceBench) -> None:
    """`marked` lends pictures until the next one; iterating gives them away."""
    source = film(30)
    with device_stages([bench.engine()], source[0].picture, OUTPUT) as (stages, _):
        kept = list(FramePipeline(stages, source, FPS))
        with closing(FramePipeline(stages, source, FPS).marked()) as frames:
            for frame, (lent, _) in zip(kept, frames, strict=True):
                assert isinstance(lent, Frame)
                assert frame.picture.same_samples(lent.picture)


def test_a_network_that_yields_no_numbers_ends_the_run(bench: DeviceBench) -> None:
    source = film(4)
    with device_stages([bench.engine(fault="nan")], source[0].picture, OUTPUT) as (stages, steps):
        with pytest.raises(EngineError, match="not finite"):
            list(FramePipeline(stages, source, FPS))
        assert held(steps) == 0


def cramp(monkeypatch: pytest.MonkeyPatch, most_px: int) -> None:
    """Have memory suffice for networks only up to so many pixels at a time."""
    real = OwnedSlot.enqueue

    def enqueue(slot: OwnedSlot, addresses: dict[str, int], shapes: dict[str, tuple[int, ...]], stream: Stream) -> None:
        batch, _, height, width = next(iter(shapes.values()))
        if (wanted := batch * height * width) > most_px:
            raise OutOfDeviceMemoryError(wanted, most_px, "Fake Card")
        real(slot, addresses, shapes, stream)

    monkeypatch.setattr(OwnedSlot, "enqueue", enqueue)


@pytest.mark.parametrize(("most_px", "times"), [(64 * 64, 1), (40 * 40, 2)])
def test_out_of_memory_it_goes_on_with_less_and_says_so(
    bench: DeviceBench, on_host: Engine, monkeypatch: pytest.MonkeyPatch, most_px: int, times: int
) -> None:
    """Half the tiles of a run first, then tiles half as long; every frame is there."""
    cramp(monkeypatch, most_px)
    source, output = film(5, Size(100, 70)), Output(Size(200, 140), FORMATS["yuv420p"], COLOUR)
    wanted = list(FramePipeline(host_stages([on_host], output), source, FPS))
    with device_stages([bench.engine()], source[0].picture, output) as (stages, steps):
        found = list(FramePipeline(stages, source, FPS))
        assert held(steps) == 0
        said = list(steps.warnings)
        cut = steps.restorer._networks[0].cut
    assert_alike(found, wanted)
    assert len(said) == times and cut.batch == 1 and cut.tile.pixels <= most_px
    for text in said:
        assert text.startswith("not enough memory on Fake Card") and f"`{MODEL}` goes on with 1 tiles of " in text


def test_where_even_the_smallest_tiles_are_too_large_it_ends(
    bench: DeviceBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    cramp(monkeypatch, 10)
    source = film(3)
    with device_stages([bench.engine()], source[0].picture, OUTPUT) as (stages, steps):
        with pytest.raises(OutOfDeviceMemoryError):
            list(FramePipeline(stages, source, FPS))
        assert held(steps) == 0


@pytest.mark.parametrize("fps", [None, Fraction(30), Fraction(10)], ids=["source", "30", "10"])
@pytest.mark.parametrize("plan", list(Plan))
def test_the_fewest_pictures_are_enough(
    bench: DeviceBench, monkeypatch: pytest.MonkeyPatch, plan: Plan, fps: Fraction | None
) -> None:
    """With room for no more restored pictures than it needs, the pipeline makes the same frames, and does not stop."""
    source, engine, results = film(16), bench.engine(), []
    for fewest in (False, True):
        if fewest:
            monkeypatch.setattr(opening, "_restored", lambda _, task, *__: task.fewest_restored)
        with device_stages([engine], source[0].picture, OUTPUT, plan) as (stages, _):
            results.append(list(FramePipeline(stages, source, fps)))
    assert same_bytes(*results)


def test_a_small_card_has_fewer_slots_and_a_smaller_one_none(tmp_path: Path, kernels: HostKernels) -> None:
    source = film(5)
    outcomes = []
    for number, memory_bytes in enumerate((3_000_000, 1_000_000, 250_000)):
        bench = DeviceBench(tmp_path / str(number), kernels, memory_bytes=memory_bytes)
        try:
            with device_stages([bench.engine()], source[0].picture, OUTPUT, slots=3) as (stages, steps):
                list(FramePipeline(stages, source, FPS))
                outcomes.append(list(steps.warnings))
        except OutOfDeviceMemoryError:
            outcomes.append(["too small"])
        finally:
            bench.close()
        assert bench.left_behind == []
    assert outcomes[0] == [] and outcomes[2] == ["too small"]
    assert outcomes[1][0].startswith("memory suffices for ")


def test_without_batches_or_tiles_that_fit_it_says_what_it_wants(tmp_path: Path, kernels: HostKernels) -> None:
    """An engine for one exact size takes no other."""
    exact = Profile("40x28", *(Shape(1, 28, 40),) * 3)
    bench = DeviceBench(tmp_path, kernels, exact)
    source = film(2)
    with device_stages([bench.engine()], source[0].picture, OUTPUT) as (stages, _):
        assert len(list(FramePipeline(stages, source, None))) == 2
    bench.close()
    assert bench.left_behind == []


def test_the_picture_given_is_not_written_to(bench: DeviceBench) -> None:
    source = film(3)
    before = [Picture(tuple(p.copy() for p in f.picture.planes), f.picture.format, f.picture.colour) for f in source]
    with device_stages([bench.engine()], source[0].picture, OUTPUT) as (stages, _):
        list(FramePipeline(stages, source, FPS))
    assert all(frame.picture.same_samples(picture) for frame, picture in zip(source, before, strict=True))
