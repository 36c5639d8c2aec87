"""The structures of Python are those of C++: sizes, offsets and names, checked by the compiler."""

from __future__ import annotations

import ctypes
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fastrestore.kernels.fatbin import SOURCES
from fastrestore.kernels.host_build import find_compiler
from fastrestore.kernels.launches import MOST_TILES
from fastrestore.kernels.params import KERNELS, PlanesParams, TapsParams, address_offsets

CPP_NAMES = {PlanesParams: "Planes", TapsParams: "Taps"} | {kind: kind.__name__ for kind in KERNELS.values()}
LARGEST_PARAMETERS_BYTES = 4096
"""What every card and driver takes."""


def members(structure: type[ctypes.Structure]) -> list[tuple[str, Any]]:
    return [(name, kind) for name, kind, *_ in structure._fields_]


def test_layout_is_that_of_the_header(tmp_path: Path) -> None:
    compiler = find_compiler()
    if compiler is None:
        pytest.skip("no C++ compiler")
    lines = [
        "#include <cstddef>",
        "#include <type_traits>",
        '#include "params.h"',
        f"static_assert(kMostTiles == {MOST_TILES});",
    ]
    for structure, name in CPP_NAMES.items():
        lines.append(f"static_assert(sizeof({name}) == {ctypes.sizeof(structure)});")
        for field, kind in members(structure):
            offset = getattr(structure, field).offset
            lines.append(f"static_assert(offsetof({name}, {field}) == {offset});")
            lines.append(f"static_assert(sizeof({name}::{field}) == {ctypes.sizeof(kind)});")
            scalar = kind._type_ if issubclass(kind, ctypes.Array) else kind
            real = scalar in (ctypes.c_float, ctypes.c_double)
            if not issubclass(scalar, ctypes.Structure):
                declared = f"std::remove_extent_t<decltype({name}::{field})>"
                lines.append(f"static_assert(std::is_floating_point_v<{declared}> == {int(real)});")
    source = tmp_path / "layout.cpp"
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = [compiler, "-std=c++17", "-fsyntax-only", f"-I{SOURCES}", str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_every_kernel_of_the_sources_is_known_and_no_other() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in SOURCES.glob("*.cu"))
    found = dict(re.findall(r"^FR_KERNEL (fr_\w+)\(const (\w+) p\)", text, re.MULTILINE))
    assert found == {kernel: CPP_NAMES[kind] for kernel, kind in KERNELS.items()}
    included = re.findall(r'^#include "(\w+\.cu)"', (SOURCES / "kernels.cu").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted([*included, "kernels.cu"]) == sorted(path.name for path in SOURCES.glob("*.cu"))


@pytest.mark.parametrize("kernel", KERNELS)
def test_parameters_fit_and_name_their_addresses(kernel: str) -> None:
    structure = KERNELS[kernel]
    assert ctypes.sizeof(structure) <= LARGEST_PARAMETERS_BYTES
    offsets = list(address_offsets(structure))
    assert offsets and len(set(offsets)) == len(offsets)
    assert all(offset % 8 == 0 and offset + 8 <= ctypes.sizeof(structure) for offset in offsets)
