"""Every name of TensorRT that the code uses is in the real bindings: TensorRT 11.4, and TensorRT for RTX."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.api_check import bindings, uses

from fastrestore.export.engines.builder import _TILING_LEVELS
from fastrestore.runtime.backends.tensorrt_library import FLAVOURS

MODULES = {"tensorrt": "tensorrt_bindings", "tensorrt-rtx": "tensorrt_rtx"}
"""The package of bindings alone calls itself otherwise than the package that brings the libraries along."""
ONLY: Mapping[str, frozenset[str]] = {
    "tensorrt": frozenset(),
    "tensorrt-rtx": frozenset(
        (
            *("ComputeCapability", "IBuilderConfig.num_compute_capabilities", "IBuilderConfig.set_compute_capability"),
            *("Runtime.get_engine_validity", "Runtime.engine_header_size", "EngineValidity", "EngineValidity.INVALID"),
            *("EngineInvalidityDiagnostics", "EngineInvalidityDiagnostics.__members__"),
            *("DynamicShapesKernelSpecializationStrategy", "DynamicShapesKernelSpecializationStrategy.EAGER"),
            "IRuntimeConfig.dynamic_shapes_kernel_specialization_strategy",
        )
    ),
}
"""What one of the two has and the other lacks; the code looks before it uses it, or asks the table of flavours."""
COMPUTED = {
    "tensorrt": frozenset(f"TilingOptimizationLevel.{level}" for level in _TILING_LEVELS),
    "tensorrt-rtx": frozenset(
        f"ComputeCapability.SM{capability.replace('.', '')}" for capability in FLAVOURS["tensorrt-rtx"].capabilities
    ),
}
"""Names that the code puts together while it runs."""

FOUND = {path: uses.uses(path) for path in uses.sources()}
NAMES = {use.name: use.where for found in FOUND.values() for use in found}
CALLS = [call for path in FOUND for call in uses.calls(path)]
FAKED = uses.defined(uses.FAKE)
HEIRS = [heir for path in FOUND for heir in uses.heirs(path)]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bindings.Answer]:
    """What each flavour that is here says of all the names together."""
    asked = {*NAMES, *FAKED, *(heir.base for heir in HEIRS), *(name for names in COMPUTED.values() for name in names)}
    found = {}
    if find_spec(MODULES["tensorrt-rtx"]) is not None:
        found["tensorrt-rtx"] = bindings.ask(MODULES["tensorrt-rtx"], asked)
    compiler = shutil.which("cc")
    if find_spec(MODULES["tensorrt"]) is not None and compiler is not None:
        libraries = bindings.make_stand_ins(tmp_path_factory.mktemp("stand-ins"), compiler)
        found["tensorrt"] = bindings.ask(MODULES["tensorrt"], asked, libraries)
    return found


@pytest.fixture(params=list(MODULES))
def flavour(request: pytest.FixtureRequest, answers: dict[str, bindings.Answer]) -> str:
    name: str = request.param
    if name not in answers:
        pytest.skip(f"no {MODULES[name]}, or no C compiler for what it needs")
    return name


def test_every_name_is_there(flavour: str, answers: dict[str, bindings.Answer]) -> None:
    others = frozenset(name for other, names in ONLY.items() if other != flavour for name in names)
    lacking = {name: NAMES[name] for name in sorted(answers[flavour].missing & NAMES.keys() - others)}
    assert not lacking, f"{flavour} {answers[flavour].version} has none of these"


def test_computed_names_are_there(flavour: str, answers: dict[str, bindings.Answer]) -> None:
    assert not COMPUTED[flavour] & answers[flavour].missing


def test_what_only_one_has_is_really_missing_in_the_other(flavour: str, answers: dict[str, bindings.Answer]) -> None:
    """Or the list of exceptions would hide names that are gone everywhere, or that both have."""
    assert not ONLY[flavour] & answers[flavour].missing
    for other, names in ONLY.items():
        if other != flavour:
            assert names <= answers[flavour].missing
    assert set().union(*ONLY.values()) <= NAMES.keys()


def test_every_call_has_as_many_values_as_it_takes(flavour: str, answers: dict[str, bindings.Answer]) -> None:
    answer = answers[flavour]
    wrong = [
        call
        for call in CALLS
        if call.name not in answer.missing and not answer.takes(call.name, call.positional, call.keywords)
    ]
    assert not wrong and len(CALLS) > 30


@pytest.mark.parametrize(
    ("positional", "keywords", "wanted"),
    [(1, (), True), (2, (), True), (0, ("a",), True), (0, (), False), (3, (), False), (1, ("c",), False)],
)
def test_values_are_counted(positional: int, keywords: tuple[str, ...], wanted: bool) -> None:
    told = "f(*args, **kwargs)\nOverloaded function.\n\n1. f(self: X, a: dict[str, int], b: int = 3) -> None\n"
    answer = bindings.Answer("1", frozenset(), {}, {"f": told})
    assert answer.takes("f", positional, keywords) is wanted


def test_what_the_library_calls_is_defined(flavour: str, answers: dict[str, bindings.Answer]) -> None:
    """Every method of an interface is there: one that is left out is called all the same, and aborts the process."""
    for heir in HEIRS:
        wanted = answers[flavour].methods[heir.base]
        assert wanted and wanted <= heir.methods, f"{heir.where} lacks {sorted(wanted - heir.methods)}"


def test_the_stand_in_has_nothing_of_its_own(flavour: str, answers: dict[str, bindings.Answer]) -> None:
    """What runs on the stand-in would run on the library: same names, same numbers of enums, as many values."""
    answer = answers[flavour]
    others = frozenset(name for other, names in ONLY.items() if other != flavour for name in names)
    classes = {name for name in others if "." not in name}
    there = {name for name in FAKED if name not in others and name.partition(".")[0] not in classes}
    assert not there & answer.missing
    for name in there:
        number = FAKED[name]
        if name in answer.values:
            assert number == answer.values[name], name
        elif number is not None:
            assert answer.takes(name, number, ()), f"{name} with {number} values"
    assert len(there) > 30


def test_the_scan_sees_what_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "export" / "engines" / "builder.py"
    source.parent.mkdir(parents=True)
    source.write_text(
        "def run(trt, self, session):\n"
        "    builder = trt.Builder(1)\n"
        "    builder.create_network(1 << int(self._trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)).name\n"
        "    session.trt.DataType.HALF.value\n"
        "    try: pass\n"
        "    except ImportError as error: error.name\n"
        "    class Log(trt.ILogger):\n"
        "        def log(self): pass\n"
    )
    monkeypatch.setattr(uses, "REPOSITORY", tmp_path)
    assert {use.name for use in uses.uses(source)} == {
        "Builder",
        "Builder.create_network",
        "NetworkDefinitionCreationFlag",
        "NetworkDefinitionCreationFlag.STRONGLY_TYPED",
        "DataType",
        "DataType.HALF",
        "DataType.HALF.value",
        "ILogger",
    }
    assert [(heir.base, heir.methods) for heir in uses.heirs(source)] == [("ILogger", frozenset({"log"}))]


def test_the_table_of_objects_is_up_to_date() -> None:
    """Every file in it is there, and every class in it is used: a variable that was renamed would not be looked at."""
    for file, objects in uses.OBJECTS.items():
        found = {use.name.partition(".")[0] for use in FOUND[uses.REPOSITORY / file]}
        assert set(objects.values()) <= found, file
    assert len(NAMES) > 50
