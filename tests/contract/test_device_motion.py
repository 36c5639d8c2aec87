"""Laws of motion networks on a card: the frames of the host's way, nothing brought to the host, nothing left."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.motion_samples import broken, echo, in_half, shift_at_any_instant, shift_between_two
from tests.unit.kernels.host import host_kernels
from tests.unit.runtime.on_device.device_bench import (
    COLOUR,
    OPS,
    SOURCE,
    DeviceBench,
    assert_alike,
    device_stages,
    film,
    held,
    host_stages,
)
from tests.unit.runtime.on_device.played_decoder import PlayedDecoder, card_reading

from fastrestore.config import Plan
from fastrestore.errors import DeviceError, EngineError, OutOfDeviceMemoryError
from fastrestore.frames import FORMATS, Frame, Plane
from fastrestore.geometry import Size
from fastrestore.kernels.host_build import HostKernels
from fastrestore.models.catalog import find
from fastrestore.models.spec import ModelSpec
from fastrestore.runtime import motion_network
from fastrestore.runtime import pipeline as pipelines
from fastrestore.runtime.backends.tensorrt_engine import OwnedSlot
from fastrestore.runtime.devices.counting_work import CountingStream
from fastrestore.runtime.engine import Engine
from fastrestore.runtime.engine_key import Profile, Shape
from fastrestore.runtime.gate import reference
from fastrestore.runtime.motion import open_estimator
from fastrestore.runtime.on_device import opening
from fastrestore.runtime.on_device.decoded import DecodedIntake, DecodedPicture
from fastrestore.runtime.on_device.motion import DeviceMotion, MotionNetwork
from fastrestore.runtime.on_device.opening import Task, open_steps
from fastrestore.runtime.on_device.picture import Form
from fastrestore.runtime.parts import Stages
from fastrestore.runtime.pipeline import FramePipeline
from fastrestore.runtime.restorer import Output, Restorer

MODEL = "clean-x2-tiny"
OUTPUT = Output(SOURCE.times(2), FORMATS["yuv420p"], COLOUR)
FPS = Fraction(60)
MOTION_RANGE = Profile("motion", Shape(1, 16, 16), Shape(1, 32, 32), Shape(1, 256, 256))
NETWORKS = {"shift": lambda folder: shift_at_any_instant(folder, 4.5, -2.5), "echo": echo}


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
    monkeypatch.setattr(motion_network, "LEAST_PX", 16)  # so that networks are as small as the pictures
    made = DeviceBench(tmp_path, kernels)
    yield made
    made.close()
    assert made.left_behind == []
    assert [t.name for t in threading.enumerate() if t.name.startswith("fastrestore-")] == []


def network(bench: DeviceBench, spec: ModelSpec, span: Profile = MOTION_RANGE) -> MotionNetwork:
    engine = bench.engine_of(spec, span)
    return MotionNetwork(engine, open_estimator(spec, OPS, engine))


def shown_on_host(
    on_host: Engine, spec: ModelSpec, source: list[Frame], output: Output, plan: Plan = Plan.GUIDED
) -> list[Frame]:
    with reference(spec, 1) as engine:
        plain = host_stages([on_host], output, plan)
        stages = Stages(OPS, plain.restorer, open_estimator(spec, OPS, engine), plan)
        return list(FramePipeline(stages, source, FPS))


def same_bytes(one: list[Frame], other: list[Frame]) -> bool:
    return all(a.picture.same_samples(b.picture) for a, b in zip(one, other, strict=True))


CASES = [
    ("yuv420p", Plan.GUIDED, SOURCE, 2048),
    ("yuv420p", Plan.UPSCALE_FIRST, SOURCE, 2048),
    ("yuv420p", Plan.INTERPOLATE_FIRST, SOURCE, 2048),
    ("yuv420p10le", Plan.GUIDED, Size(41, 27), 2048),
    ("yuv420p10le", Plan.UPSCALE_FIRST, Size(41, 27), 32),
    ("yuv420p", Plan.GUIDED, Size(41, 27), 24),
    ("gbrp", Plan.GUIDED, Size(33, 31), 16),
    ("gray", Plan.INTERPOLATE_FIRST, Size(33, 31), 2048),
]
"""Every plan; luma that is a plane and luma that is made; whole pictures, halved, and reduced by four."""


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize(("name", "plan", "size", "longest"), CASES)
def test_frames_are_those_of_the_host(
    bench: DeviceBench,
    on_host: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    name: str,
    plan: Plan,
    size: Size,
    longest: int,
) -> None:
    monkeypatch.setattr(motion_network, "LONGEST_ANY_INSTANT_PX", longest)
    spec = NETWORKS[kind](tmp_path / "models")
    source, output = film(7, size, name), Output(size.times(2), FORMATS[name], COLOUR)
    wanted = shown_on_host(on_host, spec, source, output, plan)
    with device_stages([bench.engine()], source[0].picture, output, plan, motion=network(bench, spec)) as made:
        stages, steps = made
        found = list(FramePipeline(stages, source, FPS))
        assert held(steps) == 0 and steps.warnings == ()
        assert steps.motion is not None and steps.motion.way == "as a graph"
        place = steps.motion._place
        assert max(place.grid.width, place.grid.height) <= longest
    assert_alike(found, wanted)


def test_a_network_in_half_precision(bench: DeviceBench, on_host: Engine, tmp_path: Path) -> None:
    spec, source = in_half(echo(tmp_path / "models")), film(6)
    wanted = shown_on_host(on_host, spec, source, OUTPUT)
    engine = bench.engine_of(spec, MOTION_RANGE, precision="fp16")
    assert engine.dtypes["img0"] == engine.dtypes["flow"] == np.float16 and engine.dtypes["timestep"] == np.float32
    finder = MotionNetwork(engine, open_estimator(spec, OPS, engine))
    with device_stages([bench.engine()], source[0].picture, OUTPUT, motion=finder) as (stages, _):
        found = list(FramePipeline(stages, source, FPS))
    assert_alike(found, wanted)


def test_an_engine_for_larger_pictures_is_given_more_padding(
    bench: DeviceBench, on_host: Engine, tmp_path: Path
) -> None:
    spec, span = echo(tmp_path / "models"), Profile("large", *(Shape(1, 64, 96),) * 3)
    source = film(5)
    wanted = shown_on_host(on_host, spec, source, OUTPUT)
    with device_stages([bench.engine()], source[0].picture, OUTPUT, motion=network(bench, spec, span)) as made:
        found = list(FramePipeline(made[0], source, FPS))
    assert_alike(found, wanted)


@pytest.mark.parametrize("plan", list(Plan))
def test_steady_state_allocates_nothing_and_waits_once_a_frame(bench: DeviceBench, tmp_path: Path, plan: Plan) -> None:
    """Whatever the plan: finding motion does not wait on the host, and no restored picture is brought there for it."""
    source, spec = film(40), echo(tmp_path / "models")
    with device_stages([bench.engine()], source[0].picture, OUTPUT, plan, motion=network(bench, spec)) as (
        stages,
        steps,
    ):
        with closing(FramePipeline(stages, source, FPS).marked()) as frames:
            for _ in range(30):
                next(frames)
            before = copy.copy(bench.device.counts)
            for _ in range(40):
                next(frames)
            since = bench.device.counts.since(before)
        assert since.allocations == 0
        assert since.host_waits == 40
        assert steps.intake.waits == 0
        assert abs(since.downloads - 2 * 40) <= 2 * steps.frames_ahead, "a frame, and the flag behind it"
        assert held(steps) == 0


@pytest.mark.parametrize("plan", [Plan.GUIDED, Plan.UPSCALE_FIRST])
def test_bytes_that_cross_the_bus(bench: DeviceBench, tmp_path: Path, plan: Plan) -> None:
    """Source pictures up, once each, and finished frames down: no motion, no luma, no second upload."""
    source, spec = film(12), echo(tmp_path / "models")
    with device_stages([bench.engine()], source[0].picture, OUTPUT, plan, motion=network(bench, spec)) as (stages, _):
        before = copy.copy(bench.device.counts)
        shown = len(list(FramePipeline(stages, source, FPS)))
        since = bench.device.counts.since(before)
    assert since.uploaded_bytes == 11 * (28 * 48 + 2 * 14 * 32)
    assert since.downloaded_bytes == shown * (56 * 80 + 2 * 28 * 48 + 16)


def test_it_runs_on_a_stream_of_its_own(bench: DeviceBench, tmp_path: Path) -> None:
    source, spec = film(8), echo(tmp_path / "models")
    with device_stages([bench.engine()], source[0].picture, OUTPUT, motion=network(bench, spec)) as (stages, steps):
        begun = len(bench.device.log)
        list(FramePipeline(stages, source, FPS))
        lanes = steps.pool._lanes
        assert lanes.motion is not None and lanes.motion.urgent  # type: ignore[attr-defined]  # of the counting one
        motion, synthesis = lanes.motion.handle, lanes.synthesis.handle
    used = {asked.what: asked.stream for asked in bench.device.log[begun:]}
    assert {used["fr_fill"], used["fr_place_motion"], used["fr_disagreement"]} == {motion}
    assert {used["fr_guard"], used["fr_synthesize"]} == {synthesis}
    assert "fr_pack_motion" not in used, "nothing came from the host"


def test_graphs_make_the_same_bytes_as_launches(
    bench: DeviceBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, engine, spec, results = film(6), bench.engine(), echo(tmp_path / "models"), []
    finder = network(bench, spec)
    for recordable in (True, False):
        monkeypatch.setattr(OwnedSlot, "capturable", recordable)
        with device_stages([engine], source[0].picture, OUTPUT, motion=finder) as (stages, steps):
            results.append(list(FramePipeline(stages, source, FPS)))
            assert steps.motion is not None
            way = steps.motion.way
        assert way == ("as a graph" if recordable else "launch by launch: the engine cannot be recorded")
    assert same_bytes(*results)


STOPS = {
    "upload": (CountingStream, "upload"),
    "launch": (CountingStream, "launch"),
    "download": (CountingStream, "download"),
    "motion": (DeviceMotion, "_enqueue"),
    "pair": (DeviceMotion, "pair"),
}


@pytest.mark.parametrize("at", [1, 9])
@pytest.mark.parametrize("stage", STOPS)
@pytest.mark.parametrize("plan", list(Plan))
def test_an_error_in_a_stage_gives_everything_back(
    bench: DeviceBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str, at: int, plan: Plan
) -> None:
    source, finder = film(16), network(bench, echo(tmp_path / "models"))
    with device_stages([bench.engine()], source[0].picture, OUTPUT, plan, motion=finder) as (stages, steps):
        owner, name = STOPS[stage]
        real, done = getattr(owner, name), 0

        def failing(*arguments: Any, **named: Any) -> Any:
            nonlocal done
            done += 1
            if done == at:
                raise DeviceError("planted failure")
            return real(*arguments, **named)

        monkeypatch.setattr(owner, name, failing)
        with pytest.raises(DeviceError, match="planted failure"):
            list(FramePipeline(stages, source, FPS))
        monkeypatch.setattr(owner, name, real)
        assert held(steps) == 0
        assert len(list(FramePipeline(stages, film(3), None))) == 3, "and what was given back can be used again"


@pytest.mark.parametrize("plan", list(Plan))
@pytest.mark.parametrize("shown", [0, 1, 9])
def test_a_consumer_that_stops_leaves_nothing(bench: DeviceBench, tmp_path: Path, plan: Plan, shown: int) -> None:
    source, finder = film(30), network(bench, echo(tmp_path / "models"))
    with device_stages([bench.engine()], source[0].picture, OUTPUT, plan, motion=finder) as (stages, steps):
        with closing(FramePipeline(stages, source, FPS).marked()) as frames:
            for _ in range(shown):
                next(frames)
        assert held(steps) == 0


@pytest.mark.parametrize("fps", [None, Fraction(10), Fraction(120)], ids=["source", "10", "120"])
@pytest.mark.parametrize("plan", list(Plan))
def test_the_fewest_pictures_are_enough(
    bench: DeviceBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plan: Plan, fps: Fraction | None
) -> None:
    source, engine, results = film(12), bench.engine(), []
    finder = network(bench, echo(tmp_path / "models"))
    for fewest in (False, True):
        if fewest:
            monkeypatch.setattr(opening, "_restored", lambda _, task, *__: task.fewest_restored)
        with device_stages([engine], source[0].picture, OUTPUT, plan, motion=finder) as (stages, _):
            results.append(list(FramePipeline(stages, source, fps)))
    assert same_bytes(*results)


@pytest.mark.parametrize("cramped", [False, True], ids=["room", "out-of-memory"])
def test_what_the_card_decodes_is_not_brought_to_the_host_for_its_motion(
    bench: DeviceBench, on_host: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cramped: bool
) -> None:
    """Unless the host has to find it: then the planes that it needs are."""
    source, spec = film(6), echo(tmp_path / "models")
    wanted = shown_on_host(on_host, spec, source, OUTPUT)
    finder, form = network(bench, spec), Form(SOURCE, FORMATS["yuv420p"], COLOUR)
    task = Task(form, Form(OUTPUT.size, OUTPUT.format, COLOUR), Plan.GUIDED, decodes=True)
    if cramped:
        cramp(monkeypatch, 3)
    with open_steps([bench.engine()], task, motion=finder) as steps, closing(PlayedDecoder(bench.device)) as decoder:
        assert steps.decoded is not None
        stages = Stages(OPS, Restorer([], OPS, OUTPUT), finder.estimator, Plan.GUIDED, steps)
        stages = replace(stages, card=card_reading(decoder, steps))
        brought, real = 0, DecodedIntake.fetch

        def fetch(intake: DecodedIntake, picture: DecodedPicture) -> tuple[Plane, ...]:
            nonlocal brought
            brought += 1
            return real(intake, picture)

        monkeypatch.setattr(DecodedIntake, "fetch", fetch)
        decoded = (replace(f, picture=steps.decoded.adopt(decoder.placed(f.picture))) for f in source)
        found = list(FramePipeline(stages, decoded, FPS))
        steps.decoded.forsake()
    assert (brought > 0) == cramped
    assert_alike(found, wanted)


def test_a_network_that_yields_no_numbers_ends_the_run(bench: DeviceBench, tmp_path: Path) -> None:
    source, finder = film(4), network(bench, broken(tmp_path / "models", np.nan, any_instant=True))
    with device_stages([bench.engine()], source[0].picture, OUTPUT, motion=finder) as (stages, steps):
        with pytest.raises(EngineError, match="not finite"):
            list(FramePipeline(stages, source, FPS))
        assert held(steps) == 0


def cramp(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Have memory run out when the motion network is enqueued for the `at`th time."""
    real, done = OwnedSlot.enqueue, 0

    def enqueue(slot: OwnedSlot, addresses: Any, shapes: Any, stream: Any) -> None:
        nonlocal done
        if len(shapes) == 3:
            done += 1
            if done >= at:
                raise OutOfDeviceMemoryError(2 << 30, 1 << 30, "Fake Card")
        real(slot, addresses, shapes, stream)

    monkeypatch.setattr(OwnedSlot, "enqueue", enqueue)
    monkeypatch.setattr(OwnedSlot, "capturable", False)


@pytest.mark.parametrize("at", [1, 5])
@pytest.mark.parametrize("plan", list(Plan))
def test_out_of_memory_motion_is_found_on_the_host(
    bench: DeviceBench, on_host: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plan: Plan, at: int
) -> None:
    """In the middle of a run; every frame is there, and what the network had taken is free for who finds it now."""
    source, spec = film(8), echo(tmp_path / "models")
    wanted = shown_on_host(on_host, spec, source, OUTPUT, plan)
    cramp(monkeypatch, at)
    with device_stages([bench.engine()], source[0].picture, OUTPUT, plan, motion=network(bench, spec)) as (
        stages,
        steps,
    ):
        found = list(FramePipeline(stages, source, FPS))
        assert held(steps) == 0
        assert steps.motion is not None and steps.motion._slot.closed  # type: ignore[attr-defined]  # a counting one's
        (said,) = steps.warnings
    assert said.startswith("not enough memory on Fake Card")
    assert said.endswith("motion is found through the host's memory from now on")
    assert_alike(found, wanted)


def test_where_memory_does_not_suffice_for_both_the_host_finds_it(
    tmp_path: Path, kernels: HostKernels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of memory for the pipeline and not for the network beside it."""
    monkeypatch.setattr(pipelines, "cpu_count", lambda: 2)
    real = DeviceMotion.__init__

    def refuse(*_: Any, **__: Any) -> None:
        raise OutOfDeviceMemoryError(2 << 30, 1 << 30, "Fake Card")

    source, spec = film(5), echo(tmp_path / "models")
    bench = DeviceBench(tmp_path, kernels)
    monkeypatch.setattr(DeviceMotion, "__init__", refuse)
    with device_stages([bench.engine()], source[0].picture, OUTPUT, motion=network(bench, spec)) as (stages, steps):
        assert steps.motion is None
        assert len(list(FramePipeline(stages, source, FPS))) > 5
        (said,) = steps.warnings
    assert said.endswith("motion is found through the host's memory")
    assert "2 of 2 pictures side by side" in said
    monkeypatch.setattr(DeviceMotion, "__init__", real)
    bench.close()
    assert bench.left_behind == []


def test_what_is_not_found_on_the_card_says_why(bench: DeviceBench, tmp_path: Path) -> None:
    two = network(bench, shift_between_two(tmp_path / "models", 4, -8))
    assert str(two.place(SOURCE)).startswith("what `shift-between-two` finds between two pictures")
    small = network(bench, echo(tmp_path / "models"), Profile("small", *(Shape(1, 16, 16),) * 3))
    assert small.place(SOURCE) == "the engine of `echo` does not take one pair of 40x28"
    source = film(3)
    with device_stages([bench.engine()], source[0].picture, OUTPUT, motion=two) as (stages, steps):
        assert steps.motion is None
        assert len(list(FramePipeline(stages, source, FPS))) > 3
        assert steps.warnings == ()
