"""Everything that only a card can show, with one command: `python -m tests.gpu --out results.json`.

Needs the repository, `PYTHONPATH=src` (or an installed fastrestore), an NVIDIA card with its driver, cuda-bindings, and
onnxruntime-gpu or engines made by `fastrestore build-engines`; no network. `--dry` runs all of it without a card, on a
played one: that every part can be called, not what it measures.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tests.gpu.bandwidth import measure
from tests.gpu.decoding import decoding
from tests.gpu.encoding import encodings
from tests.gpu.motion import beside
from tests.gpu.pipelines import compare, rates
from tests.gpu.setting import Setting, dry, real
from tests.gpu.suites import sanitized, suites

from fastrestore.errors import FastRestoreError
from fastrestore.geometry import Size
from fastrestore.models.catalog import find
from fastrestore.models.spec import ModelSpec
from fastrestore.runtime.memory import usable_cards

PARTS = ("tests", "sanitizer", "compare", "motion", "bandwidth", "rates", "decoding", "encoding")
PACKAGES = (
    "fastrestore",
    "numpy",
    "onnxruntime-gpu",
    "onnxruntime",
    "tensorrt",
    "tensorrt-rtx",
    "cuda-bindings",
    "pycuda",
)
_DRY = Size(40, 28)


def main(arguments: list[str] | None = None) -> int:
    """Run what is asked for; return 0 if all of it ran and agreed."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="file for the results, JSON")
    parser.add_argument("--dry", action="store_true", help="without a card")
    parser.add_argument("--model", default="film-x4-tiny", help="a model that restores, such as general-x4v3")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--size", default="960x540", help="of source pictures")
    parser.add_argument("--frames", type=int, default=240, help="source frames of a measurement")
    parser.add_argument("--only", choices=PARTS, action="append", help="one part; may be given again")
    options = parser.parse_args(arguments)
    results = {"machine": _machine(), "options": {k: str(v) for k, v in vars(options).items()}}
    parts = options.only or PARTS
    if "tests" in parts:
        results["tests"] = _timed(lambda: suites(dry=options.dry))
    if "sanitizer" in parts:
        results["sanitizer"] = _timed(lambda: sanitized(dry=options.dry))
    try:
        _on_device(options, parts, results)
    except FastRestoreError as error:
        results["error"] = {"message": error.message, "hint": error.hint}
    options.out.write_text(json.dumps(results, indent=2, default=str) + "\n", encoding="utf-8")
    verdict = _agrees(results)
    print(f"{options.out}: {'all agrees' if verdict else 'something is wrong, see there'}")
    return 0 if verdict else 1


def _on_device(options: argparse.Namespace, parts: list[str] | tuple[str, ...], results: dict[str, Any]) -> None:
    wanted = [part for part in ("compare", "motion", "bandwidth", "rates", "decoding", "encoding") if part in parts]
    if not wanted:
        return
    spec = find(options.model)
    size = _DRY if options.dry else Size(*(int(side) for side in options.size.split("x")))
    frames = 6 if options.dry else options.frames
    with dry(spec) if options.dry else real(spec, size, options.backend) as setting:
        results["backend"], results["card"] = setting.backend, setting.device.name
        work = _work(setting, spec, size, frames)
        for part in wanted:
            results[part] = _timed(work[part])


def _work(setting: Setting, spec: ModelSpec, size: Size, frames: int) -> dict[str, Callable[[], dict[str, Any]]]:
    small = Size(min(size.width, 320), min(size.height, 180))  # the host does the same, on a CPU
    return {
        "compare": lambda: compare(setting, spec, small),
        "motion": lambda: beside(setting, spec, size, frames),
        "bandwidth": lambda: measure(setting, size.times(4)),
        "rates": lambda: rates(setting, size, frames),
        "decoding": lambda: decoding(setting, size, frames),
        "encoding": lambda: encodings(setting, size, frames),
    }


def _timed(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    begun = time.perf_counter()
    return {**work(), "wall_s": time.perf_counter() - begun}


def _agrees(results: dict[str, Any]) -> bool:
    ran = [
        results[part].get("passed", not results[part]["ran"])
        for part in ("tests", "sanitizer", "motion", "decoding", "encoding")
        if part in results
    ]
    return "error" not in results and all(ran) and results.get("compare", {"equal": True})["equal"]


def _machine() -> dict[str, Any]:
    found: dict[str, Any] = {"python": platform.python_version(), "system": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    found["cards"] = str(usable_cards())
    return found


if __name__ == "__main__":
    sys.exit(main())
