"""Measures options of the two CPU backends against each other, on one network and size.

    python docs/benchmarks/cpu_options.py film-x4-tiny --size 640x480 --rounds 9

Every configuration has a process of its own; they are called in turn, round by round, so that what else the machine
does meets all of them. Printed are medians, and ratios to the first configuration within the same round. The time of
all processors that a process used (`cpu`) tells more than the clock on the wall where the machine has other work.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from fastrestore.geometry import Size
from fastrestore.models.catalog import find
from fastrestore.models.store import locate
from fastrestore.runtime import calibration

_SPIN = "session.intra_op.allow_spinning"
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "onnxruntime": {},
    "onnxruntime, spinning": {"entries": {_SPIN: "1"}},
    "onnxruntime, graph level basic": {"level": "ORT_ENABLE_BASIC"},
    "onnxruntime, graph level extended": {"level": "ORT_ENABLE_EXTENDED"},
    "onnxruntime, no arena": {"attributes": {"enable_cpu_mem_arena": False}},
    "onnxruntime, memory pattern": {"attributes": {"enable_mem_pattern": True}},
    "onnxruntime, no prepacking": {"entries": {"session.disable_prepacking": "1"}},
    "onnxruntime, denormals as zero": {"entries": {"session.set_denormal_as_zero": "1"}},
    "onnxruntime, second thread bound": {"entries": {"session.intra_op_thread_affinities": "2"}},
    "onnxruntime, dynamic blocks": {"entries": {"session.dynamic_block_base": "4"}},
    "openvino": {"properties": {}},
    "openvino, dynamic shape": {"properties": {}, "dynamic": True},
    "openvino, threads bound": {"properties": {"ENABLE_CPU_PINNING": True}},
    "openvino, denormals as zero": {"properties": {"CPU_DENORMALS_OPTIMIZATION": True}},
}
"""Every one differs from how the backends are (the first, and `openvino`) by what its name says."""


def onnxruntime_run(path: str, threads: int, options: dict[str, Any], given: Any, out: Any) -> Callable[[], None]:
    """Open a session; return what runs it once."""
    import onnxruntime

    chosen = onnxruntime.SessionOptions()
    chosen.intra_op_num_threads, chosen.inter_op_num_threads = threads, 1
    chosen.enable_mem_pattern = False
    if level := options.get("level"):
        chosen.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    if threads < 2:
        options = {**options, "entries": {k: v for k, v in options.get("entries", {}).items() if "affin" not in k}}
    for name, value in {_SPIN: "0", **options.get("entries", {})}.items():
        chosen.add_session_config_entry(name, value)
    for name, value in options.get("attributes", {}).items():
        setattr(chosen, name, value)
    session = onnxruntime.InferenceSession(path, chosen, providers=["CPUExecutionProvider"])
    names = session.get_inputs()[0].name, session.get_outputs()[0].name

    def run() -> None:
        binding = session.io_binding()
        binding.bind_input(names[0], "cpu", 0, np.float32, given.shape, given.ctypes.data)
        binding.bind_output(names[1], "cpu", 0, np.float32, out.shape, out.ctypes.data)
        session.run_with_iobinding(binding)

    return run


def openvino_run(path: str, threads: int, options: dict[str, Any], given: Any, out: Any) -> Callable[[], None]:
    """Compile a model; return what runs it once."""
    from fastrestore.runtime.backends.openvino import load_library

    library = load_library()
    core = library.Core()
    model = core.read_model(path)
    if not options.get("dynamic"):
        model.reshape({0: list(given.shape)})
    properties = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,
        **options["properties"],
    }
    request = core.compile_model(model, "CPU", properties).create_infer_request()

    def run() -> None:
        request.set_input_tensor(library.Tensor(given, shared_memory=True))
        request.set_output_tensor(library.Tensor(out, shared_memory=True))
        request.infer(share_outputs=True)

    return run


def work(name: str, model: str, size: Size, threads: int) -> None:
    """Run one configuration whenever a line comes in."""
    spec, options = find(model), CONFIGURATIONS[name]
    given = calibration.arguments(spec, calibration.default_frames(), 1, size.height, size.width)[spec.inputs[0].name]
    out = np.empty(spec.outputs[0].shape(1, size.height, size.width), np.float32)
    make = openvino_run if "properties" in options else onnxruntime_run
    run = make(str(locate(spec)), threads, options, given, out)
    for _ in range(3):
        run()
    _say({"peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10})
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        _say({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu})


def compare(model: str, size: Size, threads: int, rounds: int, only: str) -> None:
    """Run all configurations whose names begin with `only` in turn and print the table."""
    command = [sys.executable, __file__, model, "--size", str(size), "--threads", str(threads), "--configuration"]
    workers = {
        name: subprocess.Popen([*command, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for name in CONFIGURATIONS
        if name.startswith(only)
    }
    peaks = {name: _heard(worker)["peak_mib"] for name, worker in workers.items()}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in workers}
    for _ in range(rounds):
        for name, worker in workers.items():
            assert worker.stdin is not None
            worker.stdin.write("run\n")
            worker.stdin.flush()
            found[name].append(_heard(worker))
    first = next(iter(found.values()))
    sys.stdout.write(f"{model}, {size}, {threads} threads, {rounds} rounds\n")
    for name, runs in found.items():
        wall, cpu = (1000 * statistics.median(run[key] for run in runs) for key in ("wall", "cpu"))
        faster = [statistics.median(a[key] / b[key] for a, b in zip(first, runs, strict=True)) for key in first[0]]
        sys.stdout.write(
            f"{name:34s} wall {wall:7.1f} ms  cpu {cpu:7.1f} ms  as fast x {faster[0]:.2f} (cpu {faster[1]:.2f})"
            f"  peak {peaks[name]:.0f} MiB\n"
        )
    for worker in workers.values():
        worker.communicate()


def _say(message: dict[str, float]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _heard(worker: subprocess.Popen[str]) -> dict[str, float]:
    assert worker.stdout is not None
    message: dict[str, float] = json.loads(worker.stdout.readline())
    return message


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--size", default="640x480")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", default="", choices=("", "onnxruntime", "openvino"))
    parser.add_argument("--configuration", choices=CONFIGURATIONS, help=argparse.SUPPRESS)
    told = parser.parse_args()
    width, height = map(int, told.size.split("x"))
    if told.configuration:
        work(told.configuration, told.model, Size(width, height), told.threads)
    else:
        compare(told.model, Size(width, height), told.threads, told.rounds, told.only)


if __name__ == "__main__":
    main()
