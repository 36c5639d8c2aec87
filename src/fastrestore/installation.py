"""The packages that are installed, and what they need of one another and of NVIDIA's driver. Imports none of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from types import MappingProxyType

SHARED_FOLDERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
        "opencv": (
            *("opencv-python-headless", "opencv-python"),
            *("opencv-contrib-python", "opencv-contrib-python-headless"),
        ),
    }
)
"""Packages that put their files into one folder: of two of them, one has overwritten the other in part."""
OLDEST_DRIVER: Mapping[int, str] = MappingProxyType({12: "525", 13: "580"})
"""NVIDIA's oldest driver for Linux that runs libraries of a major version of CUDA."""
_BY_CUDA = ("tensorrt", "tensorrt-rtx")
"""Packages that name the CUDA that they are made for in the name of another: `tensorrt-cu13`."""
_CUDA_RUNTIME = re.compile(r"nvidia-cuda-runtime(?:-cu\d+)?\s*[~=>]=\s*(\d+)")
_OWN_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)((?:(?:>=|<)[0-9.]+,?)+)")
_NUMBERS = re.compile(r"\d+(?:\.\d+)*")
_BOUND = re.compile(r"(>=|<)([0-9.]+)")


@dataclass(frozen=True, slots=True)
class CudaNeed:
    """A package whose libraries need a driver for some version of CUDA."""

    package: str
    version: str
    cuda: int
    """Major version."""

    @property
    def driver(self) -> str:
        """The oldest driver that will do, or an empty string if that is not known."""
        return OLDEST_DRIVER.get(self.cuda, "")


@dataclass(frozen=True, slots=True)
class Unmet:
    """A package that is of another version than this one needs."""

    package: str
    found: str
    wanted: str


def installed(package: str) -> str:
    """Return the version of an installed package, or an empty string."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def overwritten() -> dict[str, tuple[str, ...]]:
    """Return the packages that overwrite each other, by the folder that they share."""
    found = {folder: tuple(filter(installed, names)) for folder, names in SHARED_FOLDERS.items()}
    return {folder: names for folder, names in found.items() if len(names) > 1}


def cuda_needs() -> list[CudaNeed]:
    """Return the installed packages that need a driver, as far as they say for which CUDA."""
    found = {package: _cuda_in_name(package) for package in _BY_CUDA}
    found["onnxruntime-gpu"] = _cuda_in_requirements("onnxruntime-gpu")
    return [CudaNeed(package, installed(package), cuda) for package, cuda in found.items() if cuda]


def unmet(package: str = "fastrestore") -> list[Unmet]:
    """Return what a package needs always and has in another version; a package that is absent cannot run at all."""
    found = []
    for line in _requirements(package):
        if match := _OWN_REQUIREMENT.fullmatch(line):
            name, wanted = match[1], match[2].rstrip(",")
            has = installed(name)
            if has and not _within(has, wanted):
                found.append(Unmet(name, has, wanted))
    return found


def numbers(text: str) -> tuple[int, ...]:
    """Return the leading numbers of a version, for comparing: those of `2.13.0+cpu` are 2, 13 and 0."""
    found = _NUMBERS.match(text)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def _within(found: str, wanted: str) -> bool:
    has = numbers(found)
    bounds = ((sign, numbers(bound)) for sign, bound in _BOUND.findall(wanted))
    return all(has >= bound if sign == ">=" else has < bound for sign, bound in bounds)


def _cuda_in_name(package: str) -> int:
    return next((cuda for cuda in OLDEST_DRIVER if installed(f"{package}-cu{cuda}")), 0)


def _cuda_in_requirements(package: str) -> int:
    found = [int(match[1]) for line in _requirements(package) if (match := _CUDA_RUNTIME.match(line))]
    return max(found, default=0)


def _requirements(package: str) -> list[str]:
    try:
        return requires(package) or []
    except PackageNotFoundError:
        return []
