"""Measures how busy a batch of short clips keeps its busiest stage, beside converting the clips one by one.

    python docs/benchmarks/batch.py --clips 16 --size 120x90 --rounds 3 --json docs/benchmarks/data/batch-2c.json

The clips are cut from the embedded sample, scaled down and encoded anew. Every way converts all of them in this
process, in turn, round by round, so that what else the machine does meets all ways. A stage's share is the length of
the union of all its pieces of work over the wall time of the whole batch, from the trace that `fastrestore bench`
uses; ratios are taken within a round. All ways must write the same bytes.

What was expected, written down before the first run: one by one the networks are opened for each clip, and while a clip
is proved, joined, checked and synced nothing is restored: 0.5 to 0.65 of the time for `restore` at a second of film a
clip. With engines kept, 0.6 to 0.75. With a second lane these gaps are filled but for the first clip's beginning and
the last one's end: 0.92 to 0.97, and 0.65 to 0.8 of the wall time of one by one. A third lane: no gain, more memory.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from fractions import Fraction
from importlib.resources import as_file, files
from itertools import pairwise
from pathlib import Path

import av
from av.video.stream import VideoStream

from fastrestore import api
from fastrestore.batch.lanes import Policy
from fastrestore.batch.outcome import Item
from fastrestore.batch.run import Batch
from fastrestore.batch.settings import options_from
from fastrestore.bench.machine import CoreUse
from fastrestore.config import ConvertOptions
from fastrestore.runtime.machine import machine, software
from fastrestore.runtime.report import Trace, tracing

CASES = {
    "restore": {"to": "x2", "fps": "source", "preset": "veryfast"},
    "restore and interpolate": {"to": "x2", "fps": "48", "preset": "veryfast"},
}
"""By what they are bound by here, or nearly: the networks alone, and everything at once."""


class Quiet:
    """A listener that hears nothing."""

    def planned(self, *_: object) -> None:
        """Hear nothing."""

    def progressed(self, *_: object) -> None:
        """Hear nothing."""

    def settled(self, *_: object) -> None:
        """Hear nothing."""


def cut_clips(folder: Path, clips: int, frames: int, width: int, height: int) -> list[Path]:
    """Write clips of so many frames each, from places all over the sample; return their paths."""
    with as_file(files("fastrestore.demo") / "sample.mp4") as path, av.open(str(path)) as container:
        film = [frame.reformat(width=width, height=height) for frame in container.decode(video=0)]
        rate = Fraction(container.streams.video[0].average_rate or 16)
    paths = []
    for number in range(clips):
        begin = number * 5 % (len(film) - frames + 1)
        paths.append(folder / f"clip {number:03}.mp4")
        with av.open(str(paths[-1]), "w") as output:
            stream = output.add_stream("libx264", rate=rate, options={"preset": "veryfast", "crf": "18"})
            assert isinstance(stream, VideoStream)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for index, frame in enumerate(film[begin : begin + frames]):
                frame.pts, frame.time_base, frame.pict_type = index, 1 / rate, 0  # type: ignore[assignment]
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
    return paths


def one_by_one(clips: Sequence[Path], folder: Path, options: ConvertOptions) -> None:
    """Convert as a loop over the Python interface does."""
    for clip in clips:
        api.convert(clip, folder / f"{clip.stem}.mkv", options)


def batch(lanes: int) -> Callable[[Sequence[Path], Path, ConvertOptions], None]:
    """Return what converts with so many lanes."""

    def convert(clips: Sequence[Path], folder: Path, options: ConvertOptions) -> None:
        items = [Item(index, clip, folder / f"{clip.stem}.mkv", options) for index, clip in enumerate(clips)]
        outcomes = Batch(items, Policy(lanes=lanes)).run(Quiet())
        assert all(outcome.is_good for outcome in outcomes), outcomes

    return convert


WAYS = {"one by one": one_by_one, "1 lane": batch(1), "2 lanes": batch(2), "3 lanes": batch(3)}


def union_s(trace: Trace) -> dict[str, float]:
    """Return for how long at least one thread was at work in each stage."""
    spans = defaultdict(list)
    for span in trace.spans:
        spans[span.stage].append((span.begin, span.end))
    return {stage: _union(sorted(pieces)) for stage, pieces in spans.items()}


def _union(pieces: Sequence[tuple[float, float]]) -> float:
    total, until = 0.0, float("-inf")
    for begin, end in pieces:
        total += max(0.0, end - max(begin, until))
        until = max(until, end)
    return total


def measured(way: str, clips: Sequence[Path], options: ConvertOptions) -> tuple[dict[str, object], str]:
    """Convert all clips once; return the figures, and a hash of all outputs."""
    with tempfile.TemporaryDirectory() as name, tracing() as trace:
        folder, cores, began, cpu = Path(name), CoreUse(), time.perf_counter(), time.process_time()
        WAYS[way](clips, folder, options)
        wall_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu
        digest = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(folder.iterdir()))).hexdigest()
        shares = {stage: round(busy / wall_s, 4) for stage, busy in union_s(trace).items()}
        gaps = sorted(
            (span for span in trace.spans if span.stage == max(shares, key=shares.__getitem__)), key=lambda s: s.begin
        )
        longest = max((b.begin - a.end for a, b in pairwise(gaps)), default=0.0)
        figures = {
            "wall_s": round(wall_s, 3),
            "cpu_s": round(cpu_s, 3),
            "cores_of_others": cores.others(wall_s),
            "shares": shares,
            "busiest": max(shares, key=shares.__getitem__),
            "busiest_share": max(shares.values()),
            "longest_gap_ms": round(1e3 * longest, 1),
        }
    return figures, digest


def measured_case(name: str, clips: Sequence[Path], rounds: int) -> dict[str, object]:
    """Measure all ways, round by round; print and return the figures."""
    options = options_from(CASES[name])
    runs: dict[str, list[dict[str, object]]] = defaultdict(list)
    digests = set()
    measured("2 lanes", clips[:2], options)  # libraries are loaded, proofs of engines are on record
    for _ in range(rounds):
        for way in WAYS:
            figures, digest = measured(way, clips, options)
            runs[way].append(figures)
            digests.add(digest)
            sys.stderr.write(f"{name}: {way:<11} {json.dumps(figures)}\n")
    if len(digests) > 1:
        raise SystemExit(f"{name}: the ways wrote different bytes")
    first = runs["one by one"]
    summary = {
        way: {
            "busiest_share": statistics.median(float(str(run["busiest_share"])) for run in found),
            "wall_to_one_by_one": round(
                statistics.median(
                    float(str(a["wall_s"])) / float(str(b["wall_s"])) for a, b in zip(found, first, strict=True)
                ),
                4,
            ),
        }
        for way, found in runs.items()
    }
    return {"options": CASES[name], "summary": summary, "runs": runs}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--size", default="240x180")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--case", choices=CASES, action="append")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    width, height = map(int, given.size.split("x"))
    with tempfile.TemporaryDirectory() as name:
        clips = cut_clips(Path(name), given.clips, given.frames, width, height)
        cases = {case: measured_case(case, clips, given.rounds) for case in given.case or CASES}
    found = {
        "schema": "fastrestore.batch-bench/1",
        "machine": machine(),
        "software": software(),
        "clips": {"count": given.clips, "frames": given.frames, "size": given.size},
        "cases": cases,
    }
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps({case: each["summary"] for case, each in cases.items()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
