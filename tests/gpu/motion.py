"""A motion network beside the one that restores: its frames against the host's, its rate against the host's way."""

from __future__ import annotations

import importlib.util
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

from tests.gpu.pipelines import COLOUR, OPS, apart, film
from tests.gpu.setting import Setting

from fastrestore.config import Plan
from fastrestore.errors import FastRestoreError
from fastrestore.frames import FORMATS
from fastrestore.geometry import Size
from fastrestore.kernels import launches
from fastrestore.kernels.launches import Launch, NetworkOutput, NetworkPlace, PlaneView
from fastrestore.models.spec import ModelSpec
from fastrestore.runtime.gate import reference
from fastrestore.runtime.memory import DeviceBuffer
from fastrestore.runtime.motion import open_estimator
from fastrestore.runtime.on_device.motion import MotionNetwork
from fastrestore.runtime.on_device.opening import Task, open_steps
from fastrestore.runtime.on_device.picture import Form
from fastrestore.runtime.on_device.synthesis import MotionLayout
from fastrestore.runtime.parts import Stages
from fastrestore.runtime.pipeline import FramePipeline
from fastrestore.runtime.restorer import Output, Restorer

_FPS = Fraction(60)


def beside(setting: Setting, spec: ModelSpec, size: Size, count: int) -> dict[str, Any]:
    """Run a network that takes next to no time, so that what is measured is what lies around it.

    Args:
        setting: The card.
        spec: The network that restores there.
        size: Of source pictures.
        count: Source frames of a measurement.
    """
    if importlib.util.find_spec("onnx") is None:
        return {"ran": False, "why": "onnx is not installed: the network cannot be made"}
    from tests.motion_samples import echo

    with tempfile.TemporaryDirectory() as folder:
        network = echo(Path(folder))
        try:
            with setting.also(network, size) as engine:
                also: Any = engine  # an `Engine` too, which no protocol says together
                finder = MotionNetwork(engine, open_estimator(network, OPS, also))
                small = Size(min(size.width, 320), min(size.height, 180))
                found = {"ran": True, **_compared(setting, spec, network, finder, small)}
                for where, used in (("on the card", finder), ("through the host", None)):
                    found[f"motion {where}"] = _rate(setting, finder, used, size, count)
        except FastRestoreError as error:  # a library whose engines are built ahead has none of this network
            return {"ran": False, "why": error.message}
    return found


def _compared(
    setting: Setting, spec: ModelSpec, network: ModelSpec, finder: MotionNetwork, size: Size
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with reference(spec) as restoring, reference(network) as finding:
        for name in ("yuv420p", "yuv420p10le"):
            output, source = Output(size.times(spec.scale), FORMATS[name], COLOUR), list(film(6, size, name))
            for plan in Plan:
                estimator = open_estimator(network, OPS, finding)
                on_host = Stages(OPS, Restorer([restoring], OPS, output), estimator, plan)
                wanted = list(FramePipeline(on_host, source, _FPS))
                task = Task(Form(size, FORMATS[name], COLOUR), Form(output.size, output.format, COLOUR), plan)
                with open_steps([setting.engine], task, image=setting.code, motion=finder) as steps:
                    stages = Stages(OPS, Restorer([], OPS, output), finder.estimator, plan, steps)
                    case = apart(list(FramePipeline(stages, source, _FPS)), wanted)
                    found[f"{name} {plan.value}"] = {**case, "on_card": steps.motion is not None}
    passed = all(case["equal"] and case["on_card"] for case in found.values())
    return {"passed": passed, **found}


def _rate(
    setting: Setting, finder: MotionNetwork, on_card: MotionNetwork | None, size: Size, count: int
) -> dict[str, Any]:
    """Return frames a second of the guided plan, 24 to 60, to a null encoder; the first ones are not counted."""
    scale, form = setting.engine.spec.scale, FORMATS["yuv420p"]
    output = Output(size.times(scale), form, COLOUR)
    task = Task(Form(size, form, COLOUR), Form(output.size, form, COLOUR), Plan.GUIDED)
    with open_steps([setting.engine], task, image=setting.code, motion=on_card) as steps:
        stages = Stages(OPS, Restorer([], OPS, output), finder.estimator, Plan.GUIDED, steps)
        with closing(FramePipeline(stages, list(film(count, size, "yuv420p")), _FPS).marked()) as frames:
            next(frames)
            begun = time.perf_counter()
            shown = sum(1 for _ in frames)
        seconds = time.perf_counter() - begun
        return {"output_fps": shown / seconds, "seconds": seconds, "warnings": list(steps.warnings)}


def motion_launches(memory: Callable[[int], DeviceBuffer], picture: Form, *, half: bool) -> Mapping[str, Launch]:
    """Return the launches around a motion network that is given pictures of half their size."""
    size = picture.size
    grid = Size(-(-size.width // 2), -(-size.height // 2))
    place = NetworkPlace(size, grid, 2, grid)
    layout, element = MotionLayout(size), 2 if half else 4
    given, tile = memory(picture.nbytes), memory(3 * grid.pixels * element)
    flow, mask, motion = memory(16 * grid.pixels), memory(grid.pixels * element), memory(layout.nbytes)
    luma = memory(size.pixels)
    view = PlaneView(luma.address, size.width, size)
    packed, share = layout.packed(motion.address), layout.share(motion.address, "mask").address
    output = NetworkOutput(flow.address, mask.address, (False, half))
    apart_at = layout.share(motion.address, "disagreement").address
    return {
        "planes_to_reduced": launches.planes_to_reduced(
            picture.on_device(given.address), tile.address, place, half=half
        ),
        "place_motion": launches.place_motion(output, place, packed, share),
        "disagreement": launches.disagreement(view, view, packed, apart_at),
    }
