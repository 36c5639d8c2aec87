"""Laws of different ONNX Runtime networks on one card: they share it, and pictures stay there from one to the next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.motion_samples import echo, shift_between_two
from tests.unit.kernels.host import host_kernels
from tests.unit.runtime.on_device.device_bench import COLOUR, OPS, device_stages, film, host_stages
from tests.unit.runtime.on_device.played_sessions import played_engine

from fastrestore.config import ConvertOptions, Target
from fastrestore.frames import FORMATS, StreamInfo
from fastrestore.geometry import Size
from fastrestore.kernels.host_build import HostKernels
from fastrestore.models.catalog import find
from fastrestore.runtime import stages
from fastrestore.runtime.devices.counting import CountingDevice
from fastrestore.runtime.devices.shared_device import SharedDevice
from fastrestore.runtime.gate import reference
from fastrestore.runtime.motion import open_estimator
from fastrestore.runtime.on_device.engine import AddressEngine
from fastrestore.runtime.on_device.motion import MotionNetwork
from fastrestore.runtime.on_device.steps import DeviceSteps
from fastrestore.runtime.pipeline import FramePipeline
from fastrestore.runtime.plan import make_plan
from fastrestore.runtime.restorer import Output

pytest.importorskip("onnxruntime")
CHAIN = "film-x2-tiny", "clean-x2-tiny"
SIZE = Size(24, 16)
OUTPUT = Output(Size(96, 64), FORMATS["yuv420p"], COLOUR)


@pytest.fixture
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[CountingDevice]]:
    """Cards that were opened."""
    devices: list[CountingDevice] = []
    yield devices
    assert all(device.closed and device.leaks == [] for device in devices)


@pytest.fixture
def card(opened: list[CountingDevice], kernels: HostKernels) -> SharedDevice:
    def open_card() -> CountingDevice:
        opened.append(CountingDevice(execute=kernels.run))
        return opened[-1]

    return SharedDevice(open_card)


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> HostKernels:
    return host_kernels(tmp_path_factory)


def test_a_card_is_opened_once_and_closed_with_the_last_engine(card: SharedDevice, opened: list[Any]) -> None:
    one, other = (played_engine(find(name), card) for name in CHAIN)
    assert opened == [], "nobody has asked"
    assert one.device is other.device
    one.close()
    one.close()
    assert not opened[0].closed
    other.close()
    assert len(opened) == 1 and opened[0].closed
    with played_engine(find(CHAIN[0]), card) as again:
        assert again.device is opened[1], "whoever comes later opens it anew"


def test_a_chain_of_two_networks_stays_on_the_card(card: SharedDevice, opened: list[CountingDevice]) -> None:
    source = film(3, SIZE, contrast=0.15, saturation=0.05)
    with ExitStack() as stack:
        on_host = [stack.enter_context(reference(find(name), 1)) for name in CHAIN]
        wanted = list(FramePipeline(host_stages(on_host, OUTPUT), source, None))
        engines: Any = [stack.enter_context(played_engine(find(name), card)) for name in CHAIN]
        assert all(isinstance(engine, AddressEngine) for engine in engines)
        with device_stages(engines, source[0].picture, OUTPUT) as (made, steps):
            found = list(FramePipeline(made, source, None))
            assert steps.runs == len(source)
            assert steps.restorer.ways == ["launch by launch: the engine cannot be recorded"]
        assert len(opened) == 1
        assert opened[0].counts.downloads == 2 * len(source), "frames and their flags, nothing between the networks"
    for frame, like in zip(found, wanted, strict=True):
        for plane, other in zip(frame.picture.planes, like.picture.planes, strict=True):
            assert np.abs(plane.astype(int) - other).max() <= 1


def test_the_stages_of_a_chain_say_that_frames_stay_there(
    card: SharedDevice, opened: list[CountingDevice], tmp_path: Path
) -> None:
    options = ConvertOptions(to=Target(factor=Fraction(4)))
    plan = make_plan(StreamInfo(SIZE, FORMATS["yuv420p"], COLOUR, Fraction(25)), options)
    spec = echo(tmp_path / "models")
    with ExitStack() as stack:
        engines = [stack.enter_context(played_engine(find(name), card)) for name in CHAIN]
        finder = stack.enter_context(played_engine(spec, card))
        motion = MotionNetwork(finder, open_estimator(spec, OPS, finder))
        steps, way = stages._open_on_device(stack, engines, plan, options, motion=motion, shared=False)
        assert isinstance(steps, DeviceSteps) and steps.motion is not None
        assert way == "frames stay on the card", "a classical model finds motion where it always does"
        assert len(opened) == 1


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (echo, "; motion is found there"),
        (
            lambda folder: shift_between_two(folder, 4, -8),
            "; motion is found through the host's memory: "
            "what `shift-between-two` finds between two pictures is brought to an instant there",
        ),
    ],
    ids=["any-instant", "two-pictures"],
)
def test_the_stages_say_where_motion_is_found(card: SharedDevice, tmp_path: Path, make: Any, said: str) -> None:
    options, spec = ConvertOptions(to=Target(factor=Fraction(2))), make(tmp_path / "models")
    plan = make_plan(StreamInfo(SIZE, FORMATS["yuv420p"], COLOUR, Fraction(25)), options)
    with ExitStack() as stack:
        engine = stack.enter_context(played_engine(find(CHAIN[0]), card))
        finder = stack.enter_context(played_engine(spec, card))
        motion = stages._motion_on_card(finder, open_estimator(spec, OPS, finder))
        chosen = replace(plan, motion=spec)
        _, way = stages._open_on_device(stack, [engine], chosen, options, motion=motion, shared=False)
        assert way == f"frames stay on the card{said}"
        assert stages._motion_on_card(None, open_estimator(spec, OPS, finder)) is None


def test_motion_by_onnx_runtime_is_found_on_the_card(card: SharedDevice, tmp_path: Path) -> None:
    source, spec = film(6, Size(40, 28)), echo(tmp_path / "models")
    output = Output(Size(80, 56), FORMATS["yuv420p"], COLOUR)
    with ExitStack() as stack:
        engine: Any = stack.enter_context(played_engine(find(CHAIN[1]), card))
        finder = stack.enter_context(played_engine(spec, card))
        motion = MotionNetwork(finder, open_estimator(spec, OPS, finder))
        with device_stages([engine], source[0].picture, output, motion=motion) as (made, steps):
            shown = list(FramePipeline(made, source, Fraction(60)))
            assert steps.motion is not None
            assert steps.motion.way == "launch by launch: the engine cannot be recorded"
            assert steps.warnings == ()
    assert len(shown) > len(source)
