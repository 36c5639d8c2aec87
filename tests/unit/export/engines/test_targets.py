"""For which cards engines are built: what is here, what is asked for, what a library knows."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import PackageNotFoundError

import pytest

from fastrestore.errors import DeviceError, EngineError, FastRestoreError, UsageError
from fastrestore.export.engines import targets
from fastrestore.export.engines.targets import Target, driver_floor, find_targets, pick_flavour
from fastrestore.runtime.backends.tensorrt_library import FLAVOURS
from fastrestore.runtime.devices.driver import Card, DriverFacts

RTX, FULL = FLAVOURS["tensorrt-rtx"], FLAVOURS["tensorrt"]
NONE = "no NVIDIA driver (libcuda.so.1 is not here)"


def machine(*cards: tuple[str, str]) -> DriverFacts:
    found = tuple(Card(index, name, capability, 8 << 30) for index, (name, capability) in enumerate(cards))
    return DriverFacts("13.0", "580.65.06", found)


TWO = machine(("RTX 4090", "8.9"), ("RTX 3060", "8.6"))


def test_every_card_of_this_machine_unless_others_are_asked_for() -> None:
    assert find_targets(RTX, (), TWO) == (Target("8.9", index=0), Target("8.6", index=1))
    assert find_targets(FULL, (), TWO) == (Target("8.9", "RTX 4090", 0), Target("8.6", "RTX 3060", 1))
    assert find_targets(FULL, ["1"], TWO) == (Target("8.6", "RTX 3060", 1),)


def test_cards_that_would_share_an_engine_are_one_target() -> None:
    twins = machine(("RTX 4090", "8.9"), ("RTX 4090", "8.9"), ("RTX 4080", "8.9"))
    assert find_targets(RTX, (), twins) == (Target("8.9", index=0),)
    assert [target.label for target in find_targets(FULL, (), twins)] == ["0: RTX 4090", "2: RTX 4080"]


def test_a_build_server_names_architectures() -> None:
    asked = ["sm_86,SM89", "12.0", "sm86"]
    assert find_targets(RTX, asked, NONE) == (Target("8.6"), Target("8.9"), Target("12.0"))
    every = find_targets(RTX, ["all"], NONE)
    assert tuple(target.capability for target in every) == RTX.capabilities
    assert every[0].label == "sm_75"


def test_an_architecture_of_a_card_that_is_here_is_run_on_it() -> None:
    assert find_targets(RTX, ["sm_86", "sm_75"], TWO) == (Target("8.6", index=1), Target("7.5"))


@pytest.mark.parametrize(
    ("flavour", "asked", "kind", "said", "hint"),
    [
        ("tensorrt-rtx", [], UsageError, "nothing to build for: no NVIDIA driver", "sm_75,sm_80,sm_86"),
        ("tensorrt", [], DeviceError, "needs the card itself", "doctor"),
        ("tensorrt", ["sm_86"], UsageError, "cannot build for sm_86 from afar", "tensorrt-rtx"),
        ("tensorrt", ["all"], UsageError, "`--device all` is not understood", "0"),
        ("tensorrt-rtx", ["0"], DeviceError, "no card 0 here: no NVIDIA driver", "doctor"),
        ("tensorrt-rtx", ["120"], DeviceError, "no card 120 here", "`sm_120`"),
        ("tensorrt-rtx", ["sm_90"], UsageError, "does not build for sm_90", "sm_89, sm_120"),
        ("tensorrt-rtx", ["ampere"], UsageError, "`--device ampere` is not understood", "sm_89"),
    ],
)
def test_what_cannot_be_built_for_is_refused(
    flavour: str, asked: list[str], kind: type[FastRestoreError], said: str, hint: str
) -> None:
    with pytest.raises(kind) as caught:
        find_targets(FLAVOURS[flavour], asked, NONE)
    assert said in caught.value.message and hint in caught.value.hint


def test_a_card_that_the_library_does_not_know_is_refused() -> None:
    hopper = machine(("NVIDIA H200", "9.0"))
    with pytest.raises(DeviceError, match=r"does not build for NVIDIA H200 \(sm_90\)"):
        find_targets(RTX, (), hopper)
    assert find_targets(FULL, (), hopper) == (Target("9.0", "NVIDIA H200", 0),)
    with pytest.raises(DeviceError, match="no card 3 here") as caught:
        find_targets(FULL, ["3"], hopper)
    assert "0 (NVIDIA H200)" in caught.value.hint


def test_the_first_library_that_is_installed_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    there: set[str] = {"tensorrt", "tensorrt-rtx"}
    monkeypatch.setattr(targets, "installed", lambda flavour: "1.0" if flavour.name in there else None)
    assert pick_flavour("auto") is FULL
    there.remove("tensorrt")
    assert pick_flavour("auto") is RTX and pick_flavour("tensorrt-rtx") is RTX
    with pytest.raises(EngineError, match="package tensorrt is not installed"):
        pick_flavour("tensorrt")
    with pytest.raises(UsageError, match="no engines are built for backend `onnxruntime`"):
        pick_flavour("onnxruntime")
    there.clear()
    with pytest.raises(EngineError, match="neither TensorRT nor TensorRT for RTX"):
        pick_flavour("auto")


@pytest.mark.parametrize(("package", "floor"), [("x-cu13", "580"), ("x-cu12", "525"), ("x-cu99", ""), ("y", "")])
def test_the_oldest_driver_follows_from_the_cuda_version(
    monkeypatch: pytest.MonkeyPatch, package: str, floor: str
) -> None:
    def version(name: str) -> str:
        if name != package:
            raise PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(targets, "version", version)
    known = replace(RTX, packages=("x", "x-cu13", "x-cu12", "x-cu99"))
    assert driver_floor(known) == floor
