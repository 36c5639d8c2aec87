"""The contract suites on a card, and the kernels under compute-sanitizer."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SUITES = (
    "tests/contract/test_device.py",
    "tests/contract/test_device_kernels.py",
    "tests/contract/test_film_kernels.py",
    "tests/contract/test_motion_kernels.py",
    "tests/contract/test_device_pipeline.py",
    "tests/contract/test_card_encoding.py",
    "tests/contract/test_device_motion.py",
    "tests/contract/test_tensorrt.py",
    "tests/contract/test_gate.py",
    "tests/unit/runtime/test_onnxruntime_cuda.py",
)
SANITIZED = (
    "tests/contract/test_device_kernels.py",
    "tests/contract/test_motion_kernels.py",
    "tests/contract/test_film_kernels.py",
    "-k",
    "cuda and (synthesize or tiles or reduced or placed or grain or resample or warp)",
)
_LIMIT_S = 1800
_TAIL = 4000


def suites(*, dry: bool) -> dict[str, Any]:
    """Run the suites; with `dry` only collect them."""
    return _pytest([*SUITES, *(["--collect-only"] if dry else [])], [], needs_card=not dry)


def sanitized(*, dry: bool) -> dict[str, Any]:
    """Run kernels under compute-sanitizer, which sees every access outside of what was allocated."""
    tool = shutil.which("compute-sanitizer")
    if tool is None:
        return {"ran": False, "why": "compute-sanitizer is not installed"}
    if dry:
        return {"ran": False, "why": "a dry run"}
    return _pytest([*SANITIZED], [tool, "--tool", "memcheck", "--error-exitcode", "9"], needs_card=True)


def _pytest(arguments: list[str], prefix: list[str], *, needs_card: bool) -> dict[str, Any]:
    if importlib.util.find_spec("pytest") is None:
        return {"ran": False, "why": "pytest is not installed"}
    environment = dict(os.environ)
    if needs_card:
        environment["FASTRESTORE_REQUIRE_CUDA"] = "1"
    command = [*prefix, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return {"ran": True, "passed": False, "why": f"not done after {_LIMIT_S} s", "command": command}
    text = (done.stdout + done.stderr)[-_TAIL:]
    return {"ran": True, "passed": done.returncode == 0, "command": command, "output": text}
