"""The libraries' own Python modules, asked in a process of its own which names they have.

TensorRT's libraries are two gigabytes and need not be here: its bindings are loaded over stand-ins for them that define
the few functions it looks for. Nothing can be built or run that way, but every class, method and enum is there.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

STAND_INS = {
    "nvinfer": (
        "createInferBuilder_INTERNAL",
        "createInferRefitter_INTERNAL",
        "createInferRuntime_INTERNAL",
        "getBuilderPluginRegistry",
        "getPluginRegistry",
    ),
    "nvonnxparser": ("createNvOnnxParserRefitter_INTERNAL", "createNvOnnxParser_INTERNAL"),
    "nvinfer_plugin": ("initLibNvInferPlugins",),
}
"""What the bindings of TensorRT 11.4 look for, by library."""
MAJOR, PARSER_VERSION = 11, 110400

_WAY = re.compile(r"^(?:\d+\. )?\w+\((self: .*)\) -> ", re.MULTILINE)
"""How the bindings write down one way to call something."""
_ASK = """
import importlib, json, sys
module = importlib.import_module(sys.argv[1])
missing, virtual, told, values = [], {}, {}, {}
for name in json.load(sys.stdin):
    found = module
    for part in name.split("."):
        if not hasattr(found, part):
            missing.append(name)
            break
        found = getattr(found, part)
    else:
        told[name] = (found.__init__ if isinstance(found, type) else found).__doc__ or ""
        if hasattr(type(found), "__members__"):
            values[name] = int(found)
        if isinstance(found, type):
            public = {key: value for key, value in vars(found).items() if key[0] != "_"}
            virtual[name] = [key for key, value in public.items() if callable(value) and not isinstance(value, type)]
print(json.dumps([module.__version__, missing, virtual, told, values]))
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a module says."""

    version: str
    missing: frozenset[str]
    """Names that it does not have."""
    methods: dict[str, frozenset[str]]
    """Of the names that are classes: the methods of each."""
    told: dict[str, str]
    """What the module says of each name, of a class how to make one; it begins with what a call takes."""
    values: dict[str, int] = field(default_factory=dict)
    """Of the names that are members of enums: their numbers."""

    def takes(self, name: str, positional: int, keywords: Collection[str]) -> bool:
        """Return whether something can be called with so many values, by any of the ways that it lists."""
        ways = [_parameters(match[1]) for match in _WAY.finditer(self.told[name])]
        return any(_fits(way, positional, keywords) for way in ways)


def ask(module: str, names: Iterable[str], libraries: Path | None = None) -> Answer:
    """Import a module in another process, and look for names in it.

    Args:
        module: Its name.
        names: With dots, from the module on.
        libraries: A folder of shared libraries that are found before others.
    """
    environment = dict(os.environ)
    if libraries is not None:
        environment["LD_LIBRARY_PATH"] = str(libraries)
    asked = subprocess.run(
        [sys.executable, "-c", _ASK, module],
        input=json.dumps(sorted(names)),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.returncode == 0, asked.stderr
    version, missing, methods, told, values = json.loads(asked.stdout)
    by_class = {name: frozenset(found) for name, found in methods.items()}
    return Answer(version, frozenset(missing), by_class, told, values)


def make_stand_ins(folder: Path, compiler: str) -> Path:
    """Compile the stand-ins into a folder and return it."""
    for library, functions in STAND_INS.items():
        source = folder / f"{library}.c"
        lines = [f"void *{function}(void) {{ return 0; }}" for function in functions]
        if library == "nvonnxparser":
            lines.append(f"int getNvOnnxParserVersion(void) {{ return {PARSER_VERSION}; }}")
        source.write_text("\n".join(lines) + "\n")
        name = f"lib{library}.so.{MAJOR}"
        made = [compiler, "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", str(folder / name), str(source)]
        subprocess.run(made, check=True, capture_output=True)
    return folder


def _parameters(text: str) -> list[tuple[str, bool]]:
    """Return the names of what a call takes, `self` left out, and whether each may be left out."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[(<{") - (letter in "])>}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    named = [(part.partition(":")[0].strip(), "=" in part) for part in parts if part.strip()]
    return [each for each in named if each[0] != "self"]


def _fits(way: list[tuple[str, bool]], positional: int, keywords: Collection[str]) -> bool:
    if positional > len(way):
        return False
    rest = dict(way[positional:])
    return set(keywords) <= set(rest) and all(free or name in keywords for name, free in rest.items())
