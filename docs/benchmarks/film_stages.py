"""What each stage for old film costs, as a share of motion estimation on the same frames (DIS both ways).

    python docs/benchmarks/film_stages.py CLIP... [-o film-stages.json] [--seconds 3] [--rounds 3]

Processor time of this process with every library kept to one thread. What reading takes is measured too and subtracted;
each figure is the least of the rounds, in which everything takes its turn.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np

from fastrestore.api import open_video
from fastrestore.config import FilmOptions
from fastrestore.frames import Picture
from fastrestore.kernels.ops import open_ops
from fastrestore.runtime.disflow import DisFlow
from fastrestore.runtime.source import Source
from fastrestore.runtime.treatments.film_work import FilmWork, open_film_work
from fastrestore.runtime.treatments.study import look_over

PREDICTED = {"clean": 0.4, "deflicker": 0.06, "steady": 0.3, "clean,deflicker,steady": 0.75}
"""Looking and treating, as shares of motion estimation; written down before the first run."""
STAGES = (
    "clean",
    "clean=medium,dust",
    "clean=medium,scratches",
    "deflicker",
    "deflicker=local",
    "steady",
    "steady=fill",
    "grain=remove",
    "clean,deflicker,steady",
)


class Bench:
    """One clip, and what its stages cost.

    Args:
        clip: A video file.
        seconds: How much of it.
        folder: For what is kept while it is measured.
    """

    def __init__(self, clip: Path, seconds: Fraction, folder: Path) -> None:
        self._clip, self._seconds, self._folder = clip, seconds, folder
        self.ops = open_ops("cpu")
        with closing(self._read()) as pictures:
            self.luma = [self.ops.luma8(picture) for picture in pictures]
        self.pairs = len(self.luma) - 1
        self._changed: dict[str, float] = {}

    def motion(self) -> float:
        """Return seconds a pair."""
        motion = DisFlow()
        return self._taken(lambda: [motion.pair(*pair) for pair in zip(self.luma, self.luma[1:], strict=False)])

    def read(self) -> float:
        """Return seconds a frame for reading and for looking over with no probe."""
        return self._taken(lambda: list(self._read()))

    def plain_look(self) -> float:
        """Return seconds a frame for reading, and looking for cuts and repeats, which every run does."""

        def look() -> None:
            with open_video(self._clip, end=self._seconds) as reader:
                source = Source.of_file(reader, FilmOptions())
                with source.visited(None) as frames:
                    look_over(frames, source.info, (), self.ops)

        return self._taken(look)

    def stage(self, stages: str) -> dict[str, float]:
        """Return seconds a frame for looking and treating, reading included, and the share of luma samples changed."""
        options = FilmOptions.parse(stages)
        with open_video(self._clip, end=self._seconds) as reader, TemporaryDirectory(dir=self._folder) as folder:
            source = Source.of_file(reader, options)
            work: list[FilmWork | None] = []
            look = self._taken(lambda: work.append(open_film_work(source, options, Path(folder), self.ops)))
            assert work[0] is not None
            treating = work[0].treating
            treat = self._taken(lambda: _drain(source, treating))
            if stages not in self._changed:
                self._changed[stages] = self._share_changed(source, work[0])
        return {"look": look, "treat": treat, "changed": self._changed[stages]}

    def _share_changed(self, source: Source, work: FilmWork) -> float:
        changed = total = 0
        with source.visited(None, work.treating) as frames:
            for frame in frames:
                if frame.picture.planes[0].shape == frame.untreated.planes[0].shape:
                    changed += int(np.count_nonzero(frame.picture.planes[0] != frame.untreated.planes[0]))
                total += frame.picture.planes[0].size
        return changed / total

    def _read(self) -> Iterator[Picture]:
        with open_video(self._clip, end=self._seconds) as reader:
            for frame in reader:
                yield frame.picture

    def _taken(self, work: Callable[[], object]) -> float:
        begin = time.process_time()
        work()
        return (time.process_time() - begin) / len(self.luma)


def _drain(source: Source, treating: Any) -> None:
    with source.visited(None, treating) as frames:
        for _ in frames:
            pass


def measure(clip: Path, seconds: Fraction, rounds: int) -> dict[str, Any]:
    """Return what the stages of one clip cost."""
    with TemporaryDirectory(prefix="fastrestore-") as folder:
        bench = Bench(clip, seconds, Path(folder))
        taken: dict[str, list[float]] = {}
        changed: dict[str, float] = {}
        for _ in range(rounds):
            for name, value in (("motion", bench.motion()), ("read", bench.read()), ("plain", bench.plain_look())):
                taken.setdefault(name, []).append(value)
            for stages in STAGES:
                found = bench.stage(stages)
                changed[stages] = found.pop("changed")
                for part, value in found.items():
                    taken.setdefault(f"{stages}/{part}", []).append(value)
    least = {name: min(values) for name, values in taken.items()}
    motion = least["motion"]
    rows = {}
    for stages in STAGES:
        look, treat = least[f"{stages}/look"] - least["plain"], least[f"{stages}/treat"] - least["read"]
        rows[stages] = {
            "look_ms": 1000 * look,
            "treat_ms": 1000 * treat,
            "look": look / motion,
            "treat": treat / motion,
            "together": (look + treat) / motion,
            "luma_samples_changed": changed[stages],
        }
    height, width = bench.luma[0].shape
    return {
        "clip": clip.name, "width": width, "height": height, "frames": len(bench.luma), "motion_ms": 1000 * motion,
        "stages": rows,
    }  # fmt: skip


def table(result: dict[str, Any]) -> str:
    """Return a result in lines to read."""
    lines = [f"{result['clip']}: {result['width']}x{result['height']}, motion {result['motion_ms']:.1f} ms a pair"]
    lines += [
        f"  {stages:24} look {row['look']:.3f} + treat {row['treat']:.3f} = {row['together']:.3f}"
        f"   ({row['look_ms']:.1f} + {row['treat_ms']:.1f} ms)   changed {row['luma_samples_changed']:.4%}"
        for stages, row in result["stages"].items()
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print a table, and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--seconds", type=Fraction, default=Fraction(3))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    results = [measure(clip, options.seconds, options.rounds) for clip in options.clips]
    for result in results:
        sys.stdout.write(table(result))
    if options.output:
        document = {"machine": platform.processor() or platform.machine(), "predicted": PREDICTED, "results": results}
        options.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
