"""The host build: made once, refused clearly, and clean under the sanitizers."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.unit.kernels.host import host_kernels, host_library

from fastrestore.errors import DeviceError
from fastrestore.kernels import host_build
from fastrestore.kernels.host_build import HostKernels, build_host_kernels, find_compiler
from fastrestore.kernels.launches import clear

REPOSITORY = Path(__file__).resolve().parents[3]
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g")

READS_TOO_FAR = """
import numpy as np
from fastrestore.geometry import Size
from fastrestore.kernels import launches as k
from fastrestore.kernels.host_build import HostKernels
from tests.unit.kernels.executors import HostExecutor
from tests.unit.kernels.host import SANITIZED

executor = HostExecutor(HostKernels(SANITIZED), exact=True)
table = k.TapTable(*k.resize_taps(Size(9, 1), Size(9, 1)))
source = k.PlaneView(executor.place(np.zeros(8, np.uint8)), 9, Size(9, 1))
target = k.PlaneView(executor.reserve(9), 9, Size(9, 1))
executor.run(k.resize(source, table.at(executor.place(table.data)), target))
"""


def test_no_compiler_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeviceError, match=r"no C\+\+ compiler"):
        build_host_kernels(tmp_path)


def test_a_compiler_that_refuses_is_quoted(tmp_path: Path) -> None:
    if find_compiler() is None:
        pytest.skip("no C++ compiler")
    with pytest.raises(DeviceError, match="refused the kernels"):
        build_host_kernels(tmp_path, ["-fsyntax-only", "-DFR_KERNEL=nonsense", "-Werror"])
    assert not list(tmp_path.glob("*.so"))


def test_made_once(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    library = host_library(tmp_path_factory)

    def refuse(*_: object) -> None:
        raise AssertionError("compiled again")

    monkeypatch.setattr(host_build, "_compile", refuse)
    assert build_host_kernels(library.parent) == library


def test_what_is_no_library_is_an_error(tmp_path: Path) -> None:
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"nothing")
    with pytest.raises(DeviceError, match="cannot load"):
        HostKernels(broken)


def test_unknown_kernels_and_parameters_are_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    kernels = host_kernels(tmp_path_factory)
    memory = np.ones(64, np.uint8)
    launch = clear(memory.ctypes.data - memory.ctypes.data % 16, 16)
    with pytest.raises(DeviceError, match="no such kernel"):
        kernels.run(replace(launch, kernel="fr_nothing"))
    with pytest.raises(DeviceError, match="another size"):
        kernels.run(replace(launch, params=launch.params[:-1]))
    assert memory.all(), "refused, and not half done"


def in_sanitized_process(factory: pytest.TempPathFactory, *command: str) -> subprocess.CompletedProcess[str]:
    """Run Python with a host build in which every access is checked."""
    compiler = find_compiler()
    if compiler is None:
        pytest.skip("no C++ compiler")
    said = subprocess.run([compiler, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    runtime = said.stdout.strip()
    if not os.path.isabs(runtime):
        pytest.skip("this compiler comes without libasan")
    environment = os.environ | {
        "LD_PRELOAD": runtime,
        "ASAN_OPTIONS": "detect_leaks=0",
        "FASTRESTORE_TEST_SANITIZED": str(host_library(factory, SANITIZERS)),
    }
    return subprocess.run(
        [sys.executable, *command], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_the_laws_hold_under_the_sanitizers(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every law once more: no byte out of bounds, read or written, and no undefined step."""
    laws = [f"tests/contract/test_{kind}_kernels.py" for kind in ("device", "film", "motion")]
    done = in_sanitized_process(tmp_path_factory, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *laws)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]


@pytest.mark.slow
def test_the_sanitizers_see_a_byte_too_many(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The test of the test: a plane that is one column shorter than it is said to be."""
    done = in_sanitized_process(tmp_path_factory, "-c", READS_TOO_FAR)
    assert "heap-buffer-overflow" in done.stderr and "fr_resize" in done.stderr, done.stderr[-2000:]
