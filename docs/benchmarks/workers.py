"""Two workers against one: how much sooner a film is done, and what keeps it from being twice as soon.

    python docs/benchmarks/workers.py [-o workers.json] [--repeats 3]

Each way makes the same film, the coordinator kept to the same cores as its workers; the ways take turns, so that what
else the machine does falls on all of them. Where it does much else, the best of some runs says more than the median.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from fastrestore.api import open_source, plan_job
from fastrestore.config import ConvertOptions, EncodeOptions, RateTarget, Target
from fastrestore.runtime.fleet.crew import Crew
from fastrestore.runtime.fleet.local import LocalFleet, own_cores
from fastrestore.runtime.fleet.share import Share
from fastrestore.runtime.fleet.surroundings import processor, surroundings
from fastrestore.runtime.report import Progress

PREDICTED = {
    "one core to two workers": 1.7,
    "both cores to two workers": 1.15,
    "making alone, one core to two workers": 1.9,
}
"""Written down before the first run: start and join take as long either way; one pipeline does not fill two cores."""
_RATE, _SECONDS, _WIDTH, _HEIGHT, _SHOT = 8, 64, 160, 120, 36


@dataclass(frozen=True)
class Way:
    """A way of making the film: none of the shares is this process alone."""

    cores: tuple[int, ...]
    shares: tuple[Share, ...] = ()


@dataclass(frozen=True)
class Taken:
    """What a run took, in seconds."""

    wall: float
    until_first_frame: float
    making: float
    after_last_frame: float
    cpu: float
    """Of the coordinator and its workers."""
    sha256: str


def main() -> None:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=Path("workers.json"))
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    ways = ways_on(own_cores()[:2])
    with tempfile.TemporaryDirectory() as folder:
        source = film(Path(folder) / "film.mkv")
        runs: dict[str, list[Taken]] = {name: [] for name in ways}
        for _ in range(asked.repeats):
            for name, way in ways.items():
                runs[name].append(run(source, Path(folder) / "out.mkv", way))
    asked.output.write_text(json.dumps(document(runs), indent=2) + "\n", encoding="utf-8")


def ways_on(cores: tuple[int, ...]) -> dict[str, Way]:
    """Return what is compared on two cores."""
    first, second = cores
    return {
        "one worker, one core": Way((first,), (Share((first,), 1),)),
        "two workers, a core each": Way(cores, (Share((first,), 1), Share((second,), 1))),
        "one worker, both cores": Way(cores, (Share(cores, 2),)),
        "no worker, both cores": Way(cores),
    }


def film(path: Path) -> Path:
    """Write a film of moving patterns, with a cut every few seconds."""
    x, y = np.arange(_WIDTH)[None, :], np.arange(_HEIGHT)[:, None]
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=_RATE, options={"preset": "veryfast", "g": str(_SHOT)})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = _WIDTH, _HEIGHT, "yuv420p"
        for index in range(_RATE * _SECONDS):
            shot, step = divmod(index, _SHOT)
            wave = np.sin((x + 2 * step) / (5 + 3 * (shot % 3))) * np.cos(y / (4 + shot % 4) + shot)
            luma = (110 + 20 * (shot % 4) + 60 * wave).astype(np.uint8)
            chroma = np.full((_HEIGHT // 2, _WIDTH), 128, np.uint8)
            frame = VideoFrame.from_ndarray(np.concatenate([luma, chroma]), format="yuv420p")
            frame.pts = index
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def run(source: Path, output: Path, way: Way) -> Taken:
    """Make the film once."""
    options = ConvertOptions(
        to=Target(factor=Fraction(2)),
        fps=RateTarget(),
        encode=EncodeOptions(preset="veryfast", threads=1),
        overwrite=True,
        threads=len(way.cores) if not way.shares else 0,
    )
    seen: list[float] = []

    def on_progress(progress: Progress) -> None:
        if progress.frames:
            seen.append(time.perf_counter())

    with kept_to(way.cores):
        cpu, begun = cpu_s(), time.perf_counter()
        with LocalFleet(way.shares or (Share(),)) as fleet, open_source(source, options) as reader:
            crew = Crew(fleet) if way.shares else None
            replace(plan_job(reader, output, options), crew=crew).run(on_progress)
        ended = time.perf_counter()
        return Taken(
            ended - begun,
            seen[0] - begun,
            seen[-1] - seen[0],
            ended - seen[-1],
            cpu_s() - cpu,
            hashlib.sha256(output.read_bytes()).hexdigest(),
        )


@contextmanager
def kept_to(cores: tuple[int, ...]) -> Iterator[None]:
    """Keep this thread, and what it starts, to some cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_s() -> float:
    """Return the seconds that this process and the ended ones it started have computed."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def document(runs: Mapping[str, list[Taken]]) -> dict[str, object]:
    """Return what was found."""
    one, two, both = (runs[name] for name in list(runs)[:3])
    figures = ("wall", "until_first_frame", "making", "after_last_frame", "cpu")
    return {
        "schema": "fastrestore.bench.workers/1",
        "machine": {"processor": processor(), "cores": len(own_cores()), "system": platform.platform()},
        "versions": surroundings(),
        "load": os.getloadavg(),
        "film": f"{_WIDTH}x{_HEIGHT}, {_SECONDS} s at {_RATE} fps, enlarged twice by a network",
        "predicted": PREDICTED,
        "ratios_of_medians": ratios(one, two, both, statistics.median),
        "ratios_of_best": ratios(one, two, both, min),
        "same_bytes": len({taken.sha256 for each in runs.values() for taken in each}) == 1,
        "seconds": {
            name: {figure: [round(getattr(taken, figure), 2) for taken in each] for figure in figures}
            for name, each in runs.items()
        },
    }


def ratios(
    one: list[Taken], two: list[Taken], both: list[Taken], of: Callable[[list[float]], float]
) -> dict[str, float]:
    """Return how the ways compare, by the median or the best of their runs."""

    def ratio(left: list[Taken], right: list[Taken], figure: str) -> float:
        above, below = (of([getattr(taken, figure) for taken in each]) for each in (left, right))
        return round(above / below, 2)

    return {
        "one core to two workers": ratio(one, two, "wall"),
        "both cores to two workers": ratio(both, two, "wall"),
        "making alone, one core to two workers": ratio(one, two, "making"),
        "processor time of two workers to one": ratio(two, one, "cpu"),
    }


if __name__ == "__main__":
    main()
