"""Pipelines on a counting device: shipped networks on the fake library, kernels by their host build."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np
from tests.fake_tensorrt.bench import Bench

from fastrestore.config import Plan
from fastrestore.frames import FORMATS, Colour, Frame, Matrix, Picture
from fastrestore.geometry import Size
from fastrestore.kernels.host_build import HostKernels
from fastrestore.kernels.ops import open_ops
from fastrestore.models.catalog import find
from fastrestore.models.spec import ModelSpec
from fastrestore.runtime.backends.tensorrt_engine import TensorRtEngine
from fastrestore.runtime.devices.counting import CountingDevice
from fastrestore.runtime.engine import Engine
from fastrestore.runtime.engine_key import Profile, Shape
from fastrestore.runtime.motion import DisEstimator
from fastrestore.runtime.on_device.motion import MotionNetwork
from fastrestore.runtime.on_device.opening import Task, open_steps
from fastrestore.runtime.on_device.picture import Form
from fastrestore.runtime.on_device.steps import DeviceSteps
from fastrestore.runtime.parts import Stages
from fastrestore.runtime.restorer import Output, Restorer

OPS = open_ops("cpu")
COLOUR = Colour(Matrix.SMPTE170M)
SOURCE = Size(40, 28)
RANGE = Profile("tile", Shape(1, 16, 16), Shape(1, 32, 32), Shape(2, 64, 64))
WORST_SHARE, MEAN_SHARE = 0.06, 0.006
"""Of the range, between the kernels and OpenCV's: its warps move in steps of 1/32 px and round twice, and its
enlarging is a fit. `tests/contract/test_kernels.py` allows it as much against what the kernels equal."""


class DeviceBench:
    """A card with engines on it.

    Args:
        folder: Where engines are kept.
        kernels: Runs the kernels.
        span: The inputs that engines take.
        memory_bytes: Of the card.
    """

    def __init__(self, folder: Path, kernels: HostKernels, span: Profile = RANGE, memory_bytes: int = 1 << 30) -> None:
        self._bench = Bench(folder, memory_bytes=memory_bytes, execute=kernels.run)
        self.span = span
        self._held = ExitStack()
        self._trusting = self._bench.restarted()  # one for all engines, so that they share the card
        self._trusting._prove = lambda *_: None  # type: ignore[method-assign]  # the gate has its own tests

    @property
    def device(self) -> CountingDevice:
        return self._bench.device

    @property
    def left_behind(self) -> list[str]:
        return self._bench.left_behind

    def engine(self, name: str = "clean-x2-tiny", *, fault: str = "") -> TensorRtEngine:
        """Open an engine, in full precision so that tolerances are those of the kernels."""
        return self.engine_of(find(name), self.span, fault=fault)

    def engine_of(self, spec: ModelSpec, span: Profile, *, precision: str = "fp32", fault: str = "") -> TensorRtEngine:
        """Open an engine of any model on the same card, for inputs of a range."""
        entry = self._bench.build(spec, span, precision, fault=fault)
        return self._held.enter_context(self._trusting.open_entry(spec, entry))

    def close(self) -> None:
        self._held.close()


def assert_alike(found: list[Frame], wanted: list[Frame]) -> None:
    assert [(f.pts, f.duration) for f in found] == [(f.pts, f.duration) for f in wanted]
    for one, other in zip(found, wanted, strict=True):
        assert (one.picture.format, one.picture.colour) == (other.picture.format, other.picture.colour)
        peak = (1 << one.picture.format.bits) - 1
        for plane, like in zip(one.picture.planes, other.picture.planes, strict=True):
            apart = np.abs(plane.astype(int) - like)
            assert apart.max() <= max(1, WORST_SHARE * peak), f"at {one.pts}"
            assert apart.mean() <= max(0.3, MEAN_SHARE * peak), f"at {one.pts}"


def held(steps: DeviceSteps) -> int:
    """Return what was lent and not given back; each slot keeps its tiles, in and out."""
    lent = steps.intake.on_loan + steps.outbox.on_loan
    return steps.pool.on_loan - 2 * len(steps.pool._lanes.compute) + lent


@contextmanager
def device_stages(
    engines: Sequence[TensorRtEngine],
    source: Picture,
    output: Output,
    plan: Plan = Plan.GUIDED,
    *,
    slots: int | None = 2,
    tile: int | None = None,
    motion: MotionNetwork | None = None,
) -> Iterator[tuple[Stages, DeviceSteps]]:
    """Open the stages of a pipeline on the card that engines are on."""
    form = Form(source.size, source.format, source.colour)
    task = Task(form, Form(output.size, output.format, output.colour), plan, tile)
    with open_steps(engines, task, slots=slots, motion=motion) as steps:
        estimator = DisEstimator(OPS) if motion is None else motion.estimator
        yield Stages(OPS, Restorer([], OPS, output), estimator, plan, steps), steps


def host_stages(engines: Sequence[Engine], output: Output, plan: Plan = Plan.GUIDED, tile: int | None = None) -> Stages:
    return Stages(OPS, Restorer(engines, OPS, output, tile=tile), DisEstimator(OPS), plan)


def film(
    count: int,
    size: Size = SOURCE,
    name: str = "yuv420p",
    *,
    grey: bool = False,
    contrast: float = 0.35,
    saturation: float = 0.35,
) -> list[Frame]:
    """Return something that moves, with a cut two thirds in and its third picture shown twice."""
    form = FORMATS[name]
    peak, middle = (1 << form.bits) - 1, 1 << (form.bits - 1)
    frames, shown = [], 0
    for index in range(count):
        shown += index != 3  # an exact repeat
        shot = 3 * index >= 2 * count
        planes = []
        for plane in range(form.planes):
            side = form.plane_size(size, plane)
            if grey and plane:
                planes.append(np.full((side.height, side.width), middle, form.dtype))
                continue
            reach = saturation if plane else contrast
            rng = np.random.default_rng(plane + 10 * shot)
            texture = rng.uniform(0.5 - reach, 0.5 + reach, (side.height // 5 + 2, 40))
            drawn = np.kron(texture, np.ones((5, 5)))[: side.height, shown : shown + side.width]
            drawn = np.clip(drawn + 0.5 * shot * (plane == 0) * (0.9 - drawn), 0, 1)
            planes.append(np.ascontiguousarray(np.rint(drawn * peak)).astype(form.dtype))
        frames.append(Frame(Picture(tuple(planes), form, COLOUR), Fraction(index, 24), Fraction(1, 24)))
    return frames
