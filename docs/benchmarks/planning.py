"""Holds the planning model against real conversions: rates from one clip, then other sizes and frame rates.

    python docs/benchmarks/planning.py [CLIP] [--json docs/benchmarks/data/planning.json]

Every conversion runs in a process of its own. Other programs that run meanwhile stretch what is measured: processor
time is therefore compared too, and the measured time is also given less what others took of the cores.
"""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fastrestore.api import convert, open_source, plan_job
from fastrestore.bench.calibration import calibrate
from fastrestore.bench.document import Document, document, to_json
from fastrestore.bench.estimate import source_frames
from fastrestore.bench.pipelines import Encoder, measure_pipeline
from fastrestore.bench.rates import Rates, rates_of
from fastrestore.bench.workload import expected_counts, work_mpx
from fastrestore.config import ConvertOptions, EncodeOptions, RateTarget, Target, parse_time
from fastrestore.files import write_whole
from fastrestore.runtime.making import expected_frames

SAMPLE = Path(__file__).resolve().parents[2] / "src" / "fastrestore" / "demo" / "sample.mp4"
CASES = (("320x240", "60", "6"), ("480x360", "source", ""), ("640x480", "30", "2"), ("240x180", "48", "6"))
"""Source size, output rate, seconds or all; none is the clip that the rates come from."""


def options(fps: str, end: str) -> ConvertOptions:
    """Return the options of every conversion here."""
    encode = EncodeOptions("x264", preset="veryfast")
    return ConvertOptions(
        to=Target.parse("x4"), fps=RateTarget.parse(fps), encode=encode, end=parse_time(end) if end else None
    )


def reduced(clip: Path, size: str, folder: Path) -> Path:
    """Return the clip at another size."""
    path = folder / f"{size}.mkv"
    asked = ConvertOptions(
        to=Target.parse(size), fps=RateTarget(), sr="lanczos", encode=EncodeOptions("x264", 16), overwrite=True
    )
    convert(clip, path, asked)
    return path


def calibrated(clip: Path) -> Document:
    """Measure the clip that the rates come from."""
    return calibrate(clip, options("60", "3"))


def held(clip: Path, fps: str, end: str, rates: Rates) -> dict[str, Any]:
    """Predict a conversion, then measure it."""
    asked = options(fps, end)
    with open_source(clip, asked) as reader:
        job = plan_job(reader, "predicted.mkv", asked)
        expected = expected_frames(job.plan, asked, job.source.first_pts) or source_frames(job.plan, asked)
    assert expected is not None
    counts = expected_counts(job.plan, expected)
    work = work_mpx(job.plan, counts, asked)
    result = measure_pipeline(clip, asked, Encoder.REAL).as_dict()
    others = result["others"] or 0.0
    assert isinstance(others, float)
    return {
        "source": str(job.plan.source.size),
        "fps": fps,
        "frames": {"expected": expected, "made": result["frames"]["output"]},  # type: ignore[index]
        "wall_s": {"predicted": rates.start_s + rates.steady_s(work), "measured": result["wall_s"], "others": others},
        "cpu_s": {"predicted": rates.cpu_s(work), "measured": result["cpu_s"] - result["start_cpu_s"]},  # type: ignore[operator]
        "output_bytes": {
            "predicted": rates.output_bytes(counts.pictures, job.plan.size.pixels / 1e6),
            "measured": result["output_bytes"],
        },
    }


def tell(row: dict[str, Any]) -> None:
    """Print one comparison."""
    wall, cpu, size = row["wall_s"], row["cpu_s"], row["output_bytes"]
    eased = wall["measured"] * (1 - wall["others"])
    words = (
        f"{row['source']} to {row['fps']}: "
        f"processor {cpu['predicted']:.1f} s predicted, {cpu['measured']:.1f} measured ({_error(*cpu.values())}); "
        f"time {wall['predicted']:.1f} s predicted, {wall['measured']:.1f} measured with others on "
        f"{wall['others']:.0%} of the cores, {eased:.1f} without them ({_error(wall['predicted'], eased)}); "
        f"{size['predicted'] / 1e6:.2f} MB predicted, {size['measured'] / 1e6:.2f} measured "
        f"({_error(*size.values())})\n"
    )
    sys.stderr.write(words)


def _error(predicted: float, measured: float) -> str:
    return f"{predicted / measured - 1:+.0%}"


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip", nargs="?", type=Path, default=SAMPLE)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with TemporaryDirectory() as name, ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
        clips = {size: pool.submit(reduced, asked.clip, size, Path(name)).result() for size, _, _ in CASES}
        measured = pool.submit(calibrated, asked.clip).result()
        (rates,) = rates_of(measured, "the calibration")
        rows = []
        for size, fps, end in CASES:
            rows.append(pool.submit(held, clips[size], fps, end, rates).result())
            tell(rows[-1])
    if asked.json is not None:
        found = {**document("pipeline", {}, [], None), "schema": "fastrestore.planning-check/1", "results": rows}
        write_whole(asked.json, to_json({**found, "rates": json.loads(json.dumps(rates.as_dict()))}))


if __name__ == "__main__":
    main()
