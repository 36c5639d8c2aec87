"""fastrestore and the loops of others in one run on one machine: same clip, same weights, same target, alternating.

    python compare.py CLIP --sr film-x4-tiny --scale 4 --to 2880x2160 --seconds 2 -o RESULT.json

Every contestant runs once in each round, in a process of its own. What counts is the ratio within a round; the middle
of the rounds' ratios is reported, and all of them are kept.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PACKAGES = ("fastrestore", "torch", "onnxruntime", "openvino", "opencv-python-headless", "av", "numpy")


def run(command: list[str]) -> dict[str, Any]:
    """Run a command; return its wall and CPU seconds, its children's included, and the JSON of its last line."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    return {"process_wall_s": wall, "process_cpu_s": cpu, **(json.loads(lines[-1]) if lines else {})}


def fastrestore(chosen: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Convert with fastrestore and return its figures."""
    report = folder / "report.json"
    command = [sys.executable, "-m", "fastrestore.cli", "convert", str(chosen.clip), "-o", str(folder / "ours.mkv")]
    command += ["--to", chosen.to, "--fps", chosen.fps, "--sr", chosen.sr, "--preset", chosen.preset, "--crf", "18"]
    command += ["--overwrite", "--progress", "none", "--report", str(report), "--end", str(chosen.seconds)]
    command += ["--backend", chosen.backend]
    facts = run(command)
    told = json.loads(report.read_text(encoding="utf-8"))
    keep = ("output_frames", "restored_frames", "synthesized_frames", "wall_s", "busy_s", "backend", "output_fps")
    return facts | {key: told[key] for key in keep} | {"frames": told["output_frames"], "fps": told["output_fps"]}


def loop(chosen: argparse.Namespace, folder: Path, library: str) -> dict[str, Any]:
    """Run one of the plain loops."""
    command = [sys.executable, str(HERE / "loop.py"), str(chosen.clip), str(folder / f"{library}.mp4")]
    command += ["--model", str(chosen.model), "--scale", str(chosen.scale), "--to", chosen.to, "--fps", chosen.fps]
    command += ["--seconds", str(chosen.seconds), "--library", library, "--preset", chosen.preset]
    return run([*command, "--threads", str(chosen.threads)])


def ceilings(chosen: argparse.Namespace, folder: Path, ours: str) -> dict[str, Any]:
    """Run the network, in every library that had a part and in ours, and the encoder, each alone on every core."""
    base = [sys.executable, str(HERE / "ceiling.py")]
    net = ["network", "--model", str(chosen.model), "--size", chosen.size, "--threads", str(chosen.threads)]
    libraries = dict.fromkeys([*(name for name in chosen.libraries if name != "opencv"), ours])
    found = {f"network {library}": run([*base, *net, "--library", library]) for library in libraries}
    return found | {"encoder": run([*base, "encoder", "--film", str(folder / "ours.mkv"), "--preset", chosen.preset])}


def facts_of_machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    packages = {}
    for name in PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = None
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    flags = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags")).split()
    known = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    cores = len(os.sched_getaffinity(0))
    return {"processor": names[0], "features": known, "cores": cores, "python": platform.python_version(), **packages}


def main() -> None:
    """Run all rounds and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--sr", required=True, help="fastrestore's name of the network")
    parser.add_argument("--model", type=Path, required=True, help="its fp32 ONNX file, for the others")
    parser.add_argument("--scale", type=int, required=True)
    parser.add_argument("--size", required=True, help="the source's size, WIDTHxHEIGHT")
    parser.add_argument("--to", required=True, help="WIDTHxHEIGHT")
    parser.add_argument("--fps", default="60")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--preset", default="ultrafast")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--libraries", nargs="+", default=["torch", "onnxruntime", "openvino", "opencv"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    chosen = parser.parse_args()
    rounds: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(chosen.rounds):
            load = os.getloadavg()[0]
            found = {"fastrestore": fastrestore(chosen, folder)}
            found |= {library: loop(chosen, folder, library) for library in chosen.libraries}
            ours = str(found["fastrestore"]["backend"]).split()[0]
            alone = ceilings(chosen, folder, ours)
            rounds.append({"load_before": load, **found, "alone": alone})
            print(f"round {number + 1}: {ratios(rounds[-1])}", file=sys.stderr, flush=True)
        kinds = [ratios(one) for one in rounds]
        middle = {key: statistics.median(kind[key] for kind in kinds) for key in kinds[0]}
        settings = {key: str(value) for key, value in vars(chosen).items()}
        settings["clip"], settings["model"] = chosen.clip.name, chosen.model.name
        del settings["output"]
        result = {"schema": "fastrestore.rivals/1", "machine": facts_of_machine(), "settings": settings}
        text = json.dumps(result | {"ratios": middle, "rounds": rounds}, indent=2)
        chosen.output.write_text(text + "\n", encoding="utf-8")
    print(json.dumps(middle, indent=2))


def ratios(one: dict[str, Any]) -> dict[str, float]:
    """Return how many times faster fastrestore was than each loop, by wall and by CPU time."""
    ours = one["fastrestore"]
    found = {}
    for name, facts in one.items():
        if name not in ("fastrestore", "alone", "load_before"):
            found[f"times {name}, wall"] = facts["wall_s"] / facts["frames"] / (ours["wall_s"] / ours["frames"])
            found[f"times {name}, cpu"] = facts["cpu_s"] / facts["frames"] / (ours["process_cpu_s"] / ours["frames"])
    ours_alone = one["alone"].get(f"network {str(ours['backend']).split()[0]}")
    if ours_alone is not None:
        least = max(ours["restored_frames"] / ours_alone["fps"], ours["frames"] / one["alone"]["encoder"]["fps"])
        found["share of the ceiling, start included"] = least / ours["wall_s"]
    return found


if __name__ == "__main__":
    main()
