"""The figures of grain.md: `.venv/bin/python docs/old-film/grain_figures.py`. Takes a minute or two; writes JSON."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fastrestore.demo.ageing import AgeingSettings, age
from fastrestore.demo.scene import draw
from fastrestore.frames import FORMATS, Colour, Picture, StreamInfo
from fastrestore.geometry import Size
from fastrestore.kernels.cpu import CpuOps
from fastrestore.models.catalog import find
from fastrestore.models.spec import ModelSpec
from fastrestore.runtime.disflow import DisFlow
from fastrestore.runtime.engine import Engine, load_backend
from fastrestore.runtime.treatments.grain.degrain import Degrain
from fastrestore.runtime.treatments.grain.model import PROBE, GrainProbe, grain_of
from fastrestore.runtime.treatments.grain.stage import GrainFinish, GrainSettings
from fastrestore.runtime.treatments.treatment import Film, Glimpse, Shot, Window

_U8 = NDArray[np.uint8]
_GREY = Colour(full_range=True)


def look_over(frames: Sequence[_U8]) -> Film:
    """Return a film of one shot that the probe has looked at."""
    probe = GrainProbe()
    befores = [None, *frames[:-1]]
    glimpses = [
        Glimpse(index, Picture((luma,), FORMATS["gray"], _GREY), luma, before)
        for index, (luma, before) in enumerate(zip(frames, befores, strict=True))
    ]
    height, width = frames[0].shape
    info = StreamInfo(Size(width, height), FORMATS["gray"], _GREY)
    times = tuple(Fraction(index, 16) for index in range(len(frames)))
    rows = np.array([probe.look(glimpse) for glimpse in glimpses])
    return Film(info, times, (Shot(0, 0, len(frames)),), {PROBE: rows}, tuple(range(len(frames))))


def aged(grain: float, grain_px: float, begin_s: float = 4.0, size: tuple[int, int] = (480, 360)) -> list[_U8]:
    """Return frames of the embedded scene with grain of known strength and size, and no other fault."""
    settings = replace(AgeingSettings.off(), grain=grain, grain_px=grain_px)
    return [age(draw(begin_s + index / 16, size), index, settings).pixels for index in range(15)]


def truth() -> list[dict[str, Any]]:
    """Measure the embedded scene's grain, lay what was measured over the clean scene, and measure that."""
    found = []
    clean = aged(0, 1)
    for grain, grain_px in ((0.01, 0.6), (0.0165, 0.75), (0.03, 0.5)):
        film = look_over(aged(grain, grain_px))
        model = grain_of(film, film.shots[0])
        assert model is not None
        finish = GrainFinish(film, GrainSettings.parse("keep,left=0"))
        laid = [finish.apply(Picture((luma,), FORMATS["gray"], _GREY), n, 0).planes[0] for n, luma in enumerate(clean)]
        added = np.stack([a.astype(np.float64) - b for a, b in zip(laid, clean, strict=True)])
        put = np.stack([a.astype(np.float64) - b for a, b in zip(aged(grain, grain_px), clean, strict=True)])
        found.append(
            {
                "sigma_true": round(float(put.std()), 2),
                "sigma_regenerated": round(float(added.std()), 2),
                "neighbours_true": round(_neighbours(put), 3),
                "neighbours_regenerated": round(_neighbours(added), 3),
                "bias": round(float(added.mean()), 4),
            }
        )
    return found


def _neighbours(noise: NDArray[np.float64]) -> float:
    return float((noise[..., 1:] * noise[..., :-1]).mean() / noise.var())


def left_by_networks() -> dict[str, dict[str, float]]:
    """Return which share of the standard deviation of grain our networks leave: two frames that differ in grain."""
    x = np.arange(256, dtype=np.float32)
    scenes = {"smooth": np.repeat(118 + 50 * np.sin(x / 60)[None], 192, 0), "textured": aged(0, 1, size=(256, 192))[0]}
    return {
        name: {kind: round(_left(find(name), np.asarray(scene, np.float32)), 2) for kind, scene in scenes.items()}
        for name in ("film-x2-tiny", "film-x4-tiny")
    }


def _left(spec: ModelSpec, scene: NDArray[np.float32]) -> float:
    rng = np.random.default_rng(0)
    noisy = []
    for _ in range(2):
        noise = np.asarray(cv2.GaussianBlur(rng.standard_normal(scene.shape, np.float32), (0, 0), 0.75), np.float32)
        noisy.append(np.asarray((scene + 4 * noise / noise.std()) / 255, np.float32))
    with load_backend("onnxruntime").open(spec, threads=0) as engine:
        made = [_run(engine, each, spec) for each in noisy]
    return float(np.std(made[0] - made[1]) / np.std(noisy[0] - noisy[1]))


def _run(engine: Engine, luma: NDArray[np.float32], spec: ModelSpec) -> NDArray[np.float32]:
    height, width = luma.shape
    out = np.empty((1, 3, height * spec.scale, width * spec.scale), np.float32)
    engine.run({spec.inputs[0].name: np.repeat(luma[None, None], 3, 1)}, {spec.outputs[0].name: out})
    return out[0, 1]


def cost() -> dict[str, float]:
    """Return milliseconds of each part at 640x480, beside motion both ways; and of a 4K picture on one core."""
    frames = aged(0.0165, 0.75, size=(640, 480))
    film = look_over(frames)
    pictures = [Picture((luma,), FORMATS["gray"], _GREY) for luma in frames]
    probe, dis, degrain = GrainProbe(), DisFlow(), Degrain(film, 1.0, CpuOps())
    looks = [Glimpse(index, pictures[index], frames[index], frames[index - 1]) for index in range(1, 15)]
    finish = GrainFinish(film, GrainSettings.parse("keep"))
    big = Picture((cv2.resize(frames[0], (3840, 2160)).astype(np.uint8),), FORMATS["gray"], _GREY)
    finish.apply(big, 0, 0)
    times = {
        "dis_both_ways": _each(lambda n: dis.pair(frames[n - 1], frames[n])),
        "probe": sum(_once(lambda glimpse=glimpse: probe.look(glimpse)) for glimpse in looks) / len(looks),
        "remove": _each(lambda n: degrain.apply(Window(n, film.shots[0], tuple(pictures[n - 1 : n + 2])))),
    }
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    times["finish_4k_grey_one_core"] = _each(lambda n: finish.apply(big, n, 0))
    cv2.setNumThreads(threads)
    return {name: round(1000 * seconds, 2) for name, seconds in times.items()}


def _each(work: Callable[[int], object]) -> float:
    return statistics.median(_once(lambda n=n: work(n)) for n in range(1, 13))


def _once(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


if __name__ == "__main__":
    json.dump({"truth": truth(), "left": left_by_networks(), "ms": cost()}, sys.stdout, indent=1)
