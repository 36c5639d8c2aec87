"""The kernels on the host: the same source, compiled by the machine's C++ compiler and run thread by thread.

For tests and for devices that only exist in memory. It is exact and slow: some ten million threads a second.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

from fastrestore.errors import DeviceError
from fastrestore.kernels.fatbin import SOURCES
from fastrestore.kernels.launch import Launch

COMPILERS = ("g++", "clang++", "c++")
FLAGS = ("-x", "c++", "-std=c++17", "-O1", "-fPIC", "-shared", "-fno-strict-aliasing", "-Wno-unknown-pragmas")
"""-O1: half the time to compile of -O2, which tests would not earn back. Pictures are read as bytes and as vectors."""
_REFUSALS = {1: "there is no such kernel", 2: "its parameters have another size"}


class HostKernels:
    """Runs launches on the host. Addresses are those of this process. Safe to share among threads.

    Args:
        library: What `build_host_kernels` made.

    Raises:
        DeviceError: If it cannot be loaded.
    """

    def __init__(self, library: Path) -> None:
        try:
            loaded = ctypes.CDLL(str(library))
        except OSError as error:
            raise DeviceError(f"cannot load {library}: {error}", "delete it: it is made again") from error
        self._run = loaded.fr_run
        shape = ctypes.POINTER(ctypes.c_uint32)
        self._run.argtypes = [ctypes.c_char_p, shape, shape, ctypes.c_char_p, ctypes.c_uint64]
        self._run.restype = ctypes.c_int

    def run(self, launch: Launch) -> None:
        """Do what a launch says, now.

        Raises:
            DeviceError: If the library does not know the kernel, or has other parameters for it.
        """
        grid, block = ((ctypes.c_uint32 * 3)(*shape) for shape in (launch.grid, launch.block))
        refusal = self._run(launch.kernel.encode(), grid, block, launch.params, len(launch.params))
        if refusal:
            raise DeviceError(f"cannot launch {launch.kernel}: {_REFUSALS[refusal]}", "this is a fault of the program")


def find_compiler() -> str | None:
    """Return the C++ compiler that would be used, or None if the machine has none."""
    return next((found for name in COMPILERS if (found := shutil.which(name))), None)


def build_host_kernels(folder: Path, extra_flags: Sequence[str] = ()) -> Path:
    """Compile the kernels for the host, unless the folder has them already. Safe among processes.

    Args:
        folder: Where the library is kept, named after everything it depends on.
        extra_flags: For the compiler, after `FLAGS`.

    Raises:
        DeviceError: If there is no compiler, or it refuses.
    """
    compiler = find_compiler()
    if compiler is None:
        raise DeviceError(f"no C++ compiler on this machine: wanted one of {', '.join(COMPILERS)}", "install g++")
    flags = [*FLAGS, *extra_flags]
    library = folder / f"fastrestore-kernels-{_digest(compiler, flags)}.so"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(library.with_suffix(".lock")):
        if not library.exists():
            _compile(compiler, flags, library)
    return library


def _compile(compiler: str, flags: Sequence[str], library: Path) -> None:
    part = library.with_suffix(".part")
    command = [compiler, *flags, str(SOURCES / "host.cpp"), "-o", str(part)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = done.stderr.strip()[-2000:]
        raise DeviceError(f"{compiler} refused the kernels: {reason}", "g++ 12 or later is known to work")
    os.replace(part, library)


def _digest(compiler: str, flags: Sequence[str]) -> str:
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False).stdout
    digest = hashlib.sha256("\n".join([compiler, version, *flags]).encode())
    for path in sorted(SOURCES.iterdir()):
        if path.suffix in (".cu", ".cuh", ".h", ".cpp"):
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]
