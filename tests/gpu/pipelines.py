"""The pipeline on the card: its frames against the host's, and its rate against that of the engine alone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from fractions import Fraction
from typing import Any

import numpy as np
from tests.gpu.setting import Setting

from fastrestore.config import Plan
from fastrestore.frames import FORMATS, Colour, Frame, Matrix, Picture
from fastrestore.geometry import Size
from fastrestore.kernels.ops import open_ops
from fastrestore.models.spec import ModelSpec
from fastrestore.runtime.gate import reference
from fastrestore.runtime.motion import DisEstimator
from fastrestore.runtime.on_device.geometry import cut
from fastrestore.runtime.on_device.lanes import MOST_SLOTS, Lanes
from fastrestore.runtime.on_device.opening import Task, open_steps
from fastrestore.runtime.on_device.picture import Form
from fastrestore.runtime.parts import Stages
from fastrestore.runtime.pipeline import FramePipeline
from fastrestore.runtime.restorer import Output, Restorer

OPS = open_ops("cpu")
COLOUR = Colour(Matrix.BT709)
WORST_SHARE, MEAN_SHARE = 0.06, 0.006
"""Of the range, as in tests/contract/test_device_pipeline.py: OpenCV's warps and enlarging are as far from exact."""
_FILM_RATE = Fraction(24)


def film(count: int, size: Size, name: str) -> Iterator[Frame]:
    """Yield a textured film that pans, so that motion has something to find."""
    form, rng = FORMATS[name], np.random.default_rng(0)
    peak = (1 << form.bits) - 1
    textures = []
    for plane in range(form.planes):
        side, reach = form.plane_size(size, plane), 0.05 if plane else 0.3
        coarse = rng.uniform(0.5 - reach, 0.5 + reach, (side.height // 8 + 2, side.width // 4 + 2))
        textures.append(np.rint(np.kron(coarse, np.ones((8, 8))) * peak).astype(form.dtype))
    for index in range(count):
        planes = []
        for plane, texture in enumerate(textures):
            side = form.plane_size(size, plane)
            begin = (index << 1 if plane == 0 else index) % max(1, texture.shape[1] - side.width)
            planes.append(np.ascontiguousarray(texture[: side.height, begin : begin + side.width]))
        yield Frame(Picture(tuple(planes), form, COLOUR), index / _FILM_RATE, 1 / _FILM_RATE)


def compare(setting: Setting, spec: ModelSpec, size: Size, count: int = 6) -> dict[str, Any]:
    """Run every plan in 8 and 10 bits on the card and on the host; say how far frames are apart, as shares."""
    found: dict[str, Any] = {"allowed": {"worst": WORST_SHARE, "mean": MEAN_SHARE}}
    with reference(spec) as on_host:
        for name in ("yuv420p", "yuv420p10le", "gray"):
            output = Output(size.times(spec.scale), FORMATS[name], COLOUR)
            source = list(film(count, size, name))
            for plan in Plan:
                wanted = FramePipeline(
                    Stages(OPS, Restorer([on_host], OPS, output), DisEstimator(OPS), plan), source, Fraction(60)
                )
                with _stages(setting, size, name, plan) as stages:
                    frames = list(FramePipeline(stages, source, Fraction(60)))
                found[f"{name} {plan.value}"] = apart(frames, list(wanted))
    found["equal"] = all(case.get("equal", True) for case in found.values() if isinstance(case, dict))
    return found


def apart(frames: list[Frame], wanted: list[Frame]) -> dict[str, Any]:
    """Return how far frames are apart, as shares of the range, and whether that is allowed."""
    worst, mean = 0.0, 0.0
    for one, other in zip(frames, wanted, strict=True):
        peak = (1 << one.picture.format.bits) - 1
        for plane, like in zip(one.picture.planes, other.picture.planes, strict=True):
            apart = np.abs(plane.astype(int) - like) / peak
            worst, mean = max(worst, float(apart.max())), max(mean, float(apart.mean()))
    equal = worst <= WORST_SHARE and mean <= MEAN_SHARE and [f.pts for f in frames] == [f.pts for f in wanted]
    return {"frames": len(frames), "worst": worst, "mean": mean, "equal": equal}


@contextmanager
def _stages(setting: Setting, size: Size, name: str, plan: Plan, slots: int = 2) -> Iterator[Stages]:
    form = FORMATS[name]
    output = Output(size.times(setting.engine.spec.scale), form, COLOUR)
    task = Task(Form(size, form, COLOUR), Form(output.size, form, COLOUR), plan)
    with open_steps([setting.engine], task, image=setting.code, slots=slots) as steps:
        yield Stages(OPS, Restorer([], OPS, output), DisEstimator(OPS), plan, steps)


def rates(setting: Setting, size: Size, count: int, name: str = "yuv420p") -> dict[str, Any]:
    """Return frames a second: of the engine alone, of restoring to a null encoder, and of two plans at 24 -> 60."""
    found: dict[str, Any] = {"source": str(size), "output": str(size.times(setting.engine.spec.scale))}
    for slots in range(1, MOST_SLOTS + 1):
        alone = engine_alone(setting, size, slots, count)
        restored = _rate(setting, size, name, Plan.GUIDED, None, slots, count)
        found[f"{slots} streams"] = {
            "engine_fps": alone,
            "restored": restored,
            "share_of_engine": restored["source_fps"] / alone,
        }
    for plan in (Plan.GUIDED, Plan.UPSCALE_FIRST):
        found[f"{plan.value} 24 -> 60"] = _rate(setting, size, name, plan, Fraction(60), 2, count)
    return found


def engine_alone(setting: Setting, size: Size, slots: int, count: int) -> float:
    """Return pictures a second that the engine runs on tiles that stay where they are, on so many streams."""
    engine = setting.engine
    names = engine.spec.inputs[0].name, engine.spec.outputs[0].name
    half = engine.dtypes[names[0]] == np.float16, engine.dtypes[names[1]] == np.float16
    shape = cut(engine.spec, size, engine.range, half)
    with ExitStack() as stack:
        lanes = stack.enter_context(Lanes(setting.device, setting.code, slots))
        runs = []
        for stream in lanes.compute:
            slot = stack.enter_context(engine.slot(stream))
            into = stack.enter_context(setting.device.buffer(shape.input_bytes))
            out = stack.enter_context(setting.device.buffer(shape.output_bytes))
            runs.append((slot, into.address, out.address, stream))
        stack.callback(lanes.quiet)

        def enqueue(number: int) -> None:
            slot, source, result, stream = runs[number % len(runs)]
            for begin, end in shape.runs:
                addresses = {names[0]: source + begin, names[1]: result + end}
                slot.enqueue(addresses, {names[0]: shape.shape}, stream)

        for number in range(len(runs)):
            enqueue(number)
        lanes.settle()
        begun = time.perf_counter()
        for number in range(count):
            enqueue(number)
        lanes.settle()
        return count / (time.perf_counter() - begun)


def _rate(
    setting: Setting, size: Size, name: str, plan: Plan, fps: Fraction | None, slots: int, count: int
) -> dict[str, Any]:
    """Run the pipeline to where frames would be encoded; the first ones are not counted."""
    source = list(film(count, size, name))
    with _stages(setting, size, name, plan, slots) as stages:
        pipeline = FramePipeline(stages, source, fps)
        with closing(pipeline.marked()) as frames:
            next(frames)
            begun, restored, shown = time.perf_counter(), stages.steps.runs, 0
            for _ in frames:
                shown += 1
            seconds = time.perf_counter() - begun
        return {
            "output_fps": shown / seconds,
            "source_fps": (stages.steps.runs - restored) / seconds,
            "times_real_time": float(count / _FILM_RATE) / seconds,
            "seconds": seconds,
            "busy_s": pipeline.clock.seconds(),
            "warnings": list(stages.steps.warnings),
        }
