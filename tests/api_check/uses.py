"""Which names of TensorRT the code uses, read from its source.

Found are the names that follow the module, which the code calls `trt` everywhere (`trt.DataType.HALF`), the attributes
of objects that `OBJECTS` knows (`config.set_flag`), and the methods of classes whose base is the library's.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCES = ("runtime/backends/tensorrt*.py", "export/engines/*.py")
MODULE_NAMES = ("trt", "_trt")

OBJECTS: Mapping[str, Mapping[str, str]] = {
    "export/engines/builder.py": {
        "builder": "Builder",
        "network": "INetworkDefinition",
        "parser": "OnnxParser",
        "config": "IBuilderConfig",
        "ranges": "IOptimizationProfile",
        "runtime": "Runtime",
        "engine": "ICudaEngine",
        "inspector": "EngineInspector",
        "error": "ParserError",
    },
    "runtime/backends/tensorrt_session.py": {"_runtime": "Runtime"},
    "runtime/backends/tensorrt_engine.py": {
        "engine": "ICudaEngine",
        "_engine": "ICudaEngine",
        "_context": "IExecutionContext",
        "settings": "IRuntimeConfig",
    },
}
"""By file, variables and fields that hold the library's objects, and of which class those are."""

RETURNS: Mapping[str, str] = {
    "IBuilderConfig.get_timing_cache": "ITimingCache",
    "INetworkDefinition.get_input": "ITensor",
    "INetworkDefinition.get_layer": "ILayer",
}
"""Of which class is what a method returns, where the code goes on with it at once."""

FAKE = REPOSITORY / "tests/fake_tensorrt/library.py"
FAKES_OWN = ("MisuseError", "FakeLibrary")
"""Classes of the stand-in that the library has not."""


@dataclass(frozen=True, slots=True, order=True)
class Use:
    """A name of the library and where it is used."""

    name: str
    """What follows the module: `DataType.HALF`, `IBuilderConfig.set_flag`."""
    where: str
    """File and line."""


@dataclass(frozen=True, slots=True, order=True)
class Call:
    """A function, method or constructor of the library that is called."""

    name: str
    positional: int
    keywords: tuple[str, ...]
    where: str


@dataclass(frozen=True, slots=True)
class Heir:
    """A class of ours that the library calls."""

    base: str
    methods: frozenset[str]
    where: str


def sources() -> list[Path]:
    """Return the files that may use TensorRT."""
    return sorted(path for pattern in SOURCES for path in REPOSITORY.glob(pattern))


def uses(path: Path) -> list[Use]:
    """Return every name of the library that a file uses."""
    objects = OBJECTS.get(str(path.relative_to(REPOSITORY)), {})
    found = set()
    for node in _nodes(path):
        if isinstance(node, ast.Attribute) and (name := _name(node, objects)):
            found.add(Use(name, f"{path.relative_to(REPOSITORY)}:{node.lineno}"))
    return sorted(found)


def calls(path: Path) -> list[Call]:
    """Return every call of the library in a file, those of bases' constructors left out."""
    file = str(path.relative_to(REPOSITORY))
    found = []
    for node in _nodes(path):
        if isinstance(node, ast.Call) and (name := _name(node.func, OBJECTS.get(file, {}))):
            keywords = tuple(word.arg for word in node.keywords if word.arg)
            if not name.endswith(".__init__"):
                found.append(Call(name, len(node.args), keywords, f"{file}:{node.lineno}"))
    return sorted(found)


def heirs(path: Path) -> Iterator[Heir]:
    """Yield the classes in a file whose base is the library's."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for base in node.bases if isinstance(node, ast.ClassDef) else ():
            if name := _name(base, {}):
                assert isinstance(node, ast.ClassDef)
                methods = {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
                yield Heir(name, frozenset(methods), f"{path.relative_to(REPOSITORY)}:{node.lineno}")


def _nodes(path: Path) -> Iterator[ast.AST]:
    """Yield what a file consists of, what is said of caught exceptions left out: they are Python's own."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    handlers = [node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler) and node.name]
    caught = {
        id(node)
        for handler in handlers
        for node in ast.walk(handler)
        if isinstance(node, ast.Attribute) and _last(node.value) == handler.name
    }
    return (node for node in ast.walk(tree) if id(node) not in caught)


def _name(node: ast.expr, objects: Mapping[str, str]) -> str:
    """Return the library's name that an expression stands for, such as `IBuilderConfig.set_flag`, or nothing."""
    if not isinstance(node, ast.Attribute):
        return ""
    if _last(node.value) in MODULE_NAMES:
        return node.attr
    owner = _class_of(node.value, objects) or _name(node.value, {})  # of an object, or what follows the module
    return f"{owner}.{node.attr}" if owner else ""


def _class_of(node: ast.expr, objects: Mapping[str, str]) -> str:
    """Return of which of the library's classes an expression is, if that is known."""
    if isinstance(node, ast.Call):
        return RETURNS.get(_name(node.func, objects), "")
    return objects.get(_last(node), "")


def _last(node: ast.expr) -> str:
    """Return the last part of a dotted name."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def defined(path: Path) -> dict[str, int | None]:
    """Return the public classes, methods and enum members that a stand-in for the library defines.

    Returns:
        By name, the number of a member, and of a method how many values it takes; None for classes and fields.
    """
    found: dict[str, int | None] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name not in FAKES_OWN and not node.name.startswith("_"):
            _collect(node, node.name, found)
    return found


def _collect(kind: ast.ClassDef, name: str, found: dict[str, int | None]) -> None:
    found[name] = None
    for part in kind.body:
        if isinstance(part, ast.ClassDef):
            _collect(part, f"{name}.{part.name}", found)
        elif isinstance(part, ast.FunctionDef) and not part.name.startswith("_"):
            is_field = any(isinstance(mark, ast.Name) and mark.id == "property" for mark in part.decorator_list)
            found[f"{name}.{part.name}"] = None if is_field else len(part.args.args) - 1
        elif isinstance(part, ast.Assign) and isinstance(part.value, ast.Constant):
            (target,), number = part.targets, part.value.value
            assert isinstance(target, ast.Name) and isinstance(number, int)
            found[f"{name}.{target.id}"] = number
