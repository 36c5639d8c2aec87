"""What a worker's results depend on besides its orders: whoever differs in it must not work on the same film."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from pathlib import Path

from fastrestore.runtime.identity import library_versions
from fastrestore.runtime.media.ffmpeg import ffmpeg_version

_PACKAGES = ("fastrestore", "fastrestore.kernels", "fastrestore.models", "fastrestore.runtime")
_CPU_INFO = Path("/proc/cpuinfo")


def surroundings() -> dict[str, str]:
    """Return versions: of Python, of the libraries, of FFmpeg, and a checksum of this package's own code."""
    return {
        "Python": platform.python_version(),
        "FFmpeg": ffmpeg_version(),
        "libraries": library_versions(),
        "code": _code_sha256()[:16],
    }


def skew(ours: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    """Return in words what differs."""
    names = sorted({*ours, *theirs})
    return [
        f"{name}: {theirs.get(name, 'unknown')}, wanted {ours.get(name, 'unknown')}"
        for name in names
        if ours.get(name) != theirs.get(name)
    ]


@lru_cache(maxsize=1)
def processor() -> str:
    """Return the processor's model: networks and filters round differently on another kind."""
    if _CPU_INFO.is_file():
        for line in _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.machine()


@lru_cache(maxsize=1)
def _code_sha256() -> str:
    digest = hashlib.sha256()
    for package in _PACKAGES:
        folder = Path(import_module(package).__path__[0])
        for path in sorted(folder.rglob("*.py")):
            digest.update(f"{package} {path.relative_to(folder)}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
