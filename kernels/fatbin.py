"""The kernels as cards load them: a file that is shipped, what it was made of, and how it is made anew.

Machine code for every generation from Turing to Blackwell, and PTX of the oldest, compute_75: a driver makes code for
any later card from it, where newer PTX would leave some out; the kernels use nothing newer. Both want a driver of
the toolkit's own major version or later (13.0: driver 580), as TensorRT for CUDA 13 does.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from fastrestore.errors import DeviceError

SOURCES = Path(__file__).resolve().parent / "cuda"
"""Folder of the kernels' sources."""
FATBIN = SOURCES / "kernels.fatbin"
RECORD = SOURCES / "kernels.json"
"""What `FATBIN` was made of."""
ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)
"""Compute capabilities, times ten, that there is machine code for."""
PTX_ARCHITECTURE = 75
"""The one that there is PTX for."""
_MAGIC = 0xBA55ED50
_KINDS = {1: "ptx", 2: "elf"}
_HOST_ONLY = ("host.h", "host.cpp")


@dataclass(frozen=True, slots=True)
class FatbinRecord:
    """What a fatbin was made of."""

    source_sha256: str
    fatbin_sha256: str
    compiler: str
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Image:
    """One piece of code in a fatbin."""

    kind: str
    """`elf` (machine code) or `ptx`."""
    architecture: int
    """Compute capability times ten."""


def load_fatbin() -> bytes:
    """Return the shipped kernels, for `cuModuleLoadData` or its equal.

    Raises:
        DeviceError: If the file is missing, or not the one on record.
    """
    try:
        content, made = FATBIN.read_bytes(), record()
    except OSError as error:
        raise DeviceError(f"cannot read {FATBIN}: {error.strerror}", "install fastrestore again") from error
    found = hashlib.sha256(content).hexdigest()
    if found != made.fatbin_sha256:
        raise DeviceError(f"{FATBIN} has sha256 {found}, wanted {made.fatbin_sha256}", "install fastrestore again")
    return content


def record() -> FatbinRecord:
    """Return what the shipped kernels were made of.

    Raises:
        OSError: If the record is missing.
    """
    fields = json.loads(RECORD.read_text(encoding="utf-8"))
    return FatbinRecord(**(fields | {"flags": tuple(fields["flags"])}))


def source_sha256() -> str:
    """Return the sha256 over names and contents of all sources that a fatbin is made of."""
    digest = hashlib.sha256()
    for path in sorted(SOURCES.iterdir()):
        if path.suffix in (".cu", ".cuh", ".h") and path.name not in _HOST_ONLY:
            content = path.read_bytes()
            digest.update(f"{path.name} {len(content)}\n".encode())
            digest.update(content)
    return digest.hexdigest()


def images(fatbin: bytes) -> tuple[Image, ...]:
    """Return what is in a fatbin, from its headers.

    Raises:
        DeviceError: If it is none.
    """
    if len(fatbin) < 16 or int.from_bytes(fatbin[:4], "little") != _MAGIC:
        raise DeviceError("this is no fatbin: its first four bytes are not 0xBA55ED50")
    header, total = int.from_bytes(fatbin[6:8], "little"), int.from_bytes(fatbin[8:16], "little")
    found, at, end = [], header, header + total
    while at < end:
        entry = fatbin[at : at + 64]
        length = int.from_bytes(entry[4:8], "little") + int.from_bytes(entry[8:16], "little")
        kind = int.from_bytes(entry[:2], "little")
        if len(entry) < 64 or length < 64 or kind not in _KINDS or at + length > len(fatbin):
            raise DeviceError(f"this fatbin is damaged at byte {at}")
        found.append(Image(_KINDS[kind], int.from_bytes(entry[28:32], "little")))
        at += length
    return tuple(found)


def build(target: Path) -> FatbinRecord:
    """Compile the sources with the machine's nvcc; takes about a minute.

    Args:
        target: The fatbin to write.

    Returns:
        What it was made of; for `write_record`.

    Raises:
        DeviceError: If there is no nvcc, or it refuses.
    """
    compiler = shutil.which("nvcc")
    if compiler is None:
        raise DeviceError("no nvcc on this machine", "install the CUDA toolkit; users of a release need none")
    flags = _flags()
    command = [compiler, *flags, str(SOURCES / "kernels.cu"), "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DeviceError(f"nvcc refused the kernels: {done.stderr.strip()[-2000:]}", "see kernels/cuda")
    return FatbinRecord(source_sha256(), hashlib.sha256(target.read_bytes()).hexdigest(), _version(compiler), flags)


def write_record(made: FatbinRecord) -> None:
    """Write down what the shipped fatbin was made of."""
    RECORD.write_text(json.dumps(asdict(made), indent=2) + "\n", encoding="utf-8")


def _flags() -> tuple[str, ...]:
    codes = [f"-gencode=arch=compute_{sm},code=sm_{sm}" for sm in ARCHITECTURES]
    codes.append(f"-gencode=arch=compute_{PTX_ARCHITECTURE},code=compute_{PTX_ARCHITECTURE}")
    return ("--fatbin", "-std=c++17", "--compress-mode=size", "--threads=0", *codes)


def _version(compiler: str) -> str:
    said = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"release [\d.]+, V([\d.]+)", said)
    return f"nvcc {found.group(1)}" if found else said.strip()
