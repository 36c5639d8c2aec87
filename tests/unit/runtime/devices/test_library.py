"""Which library cards are used through."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError

import pytest

from fastrestore.errors import DeviceError
from fastrestore.runtime import memory
from fastrestore.runtime.devices import card
from fastrestore.runtime.devices.driver import Card, DriverFacts
from fastrestore.runtime.devices.library import VARIABLE, choose

FACTS = DriverFacts("13.0", "", (Card(0, "Card", "8.9", 1),))


@pytest.fixture(autouse=True)
def undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


def has(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """Pretend that of these libraries exactly some are installed."""

    def version(package: str) -> str:
        if package not in packages:
            raise PackageNotFoundError(package)
        return "1.0"

    monkeypatch.setattr(card, "version", version)


@pytest.mark.parametrize(
    ("installed", "taken"),
    [
        (("cuda-bindings",), "cuda-bindings"),
        (("pycuda",), "pycuda"),
        (("pycuda", "cuda-bindings"), "cuda-bindings"),
    ],
)
def test_auto_takes_what_is_there(monkeypatch: pytest.MonkeyPatch, installed: tuple[str, ...], taken: str) -> None:
    has(monkeypatch, *installed)
    assert choose().package == taken
    monkeypatch.setenv(VARIABLE, "auto")
    assert choose("auto").package == taken


def test_the_environment_says_what_auto_is_and_an_argument_overrules_it(monkeypatch: pytest.MonkeyPatch) -> None:
    has(monkeypatch, "pycuda", "cuda-bindings")
    monkeypatch.setenv(VARIABLE, "pycuda")
    assert choose().package == "pycuda"
    assert choose("cuda-bindings").package == "cuda-bindings"


def test_what_is_named_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    has(monkeypatch, "cuda-bindings")
    with pytest.raises(DeviceError, match=r"^package pycuda is not installed$") as raised:
        choose("pycuda")
    assert "pip install 'pycuda" in raised.value.hint
    monkeypatch.setenv(VARIABLE, "pycuda")
    monkeypatch.setattr(memory, "driver", lambda: FACTS)
    assert memory.usable_cards() == f"package pycuda is not installed ({VARIABLE} names it)"
    monkeypatch.setenv(VARIABLE, "cuda-core")
    assert memory.usable_cards() == f"cards are not used through `cuda-core` ({VARIABLE} names it)"


def test_pycuda_alone_makes_cards_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    has(monkeypatch, "pycuda")
    monkeypatch.setattr(memory, "driver", lambda: FACTS)
    assert memory.usable_cards() == FACTS


def test_pycuda_that_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where it was built for another driver or Python."""
    has(monkeypatch, "pycuda")
    monkeypatch.setattr(memory, "driver", lambda: FACTS)
    monkeypatch.setitem(sys.modules, "pycuda", None)
    with pytest.raises(DeviceError, match="package pycuda cannot be loaded") as raised:
        memory.open_device(library="pycuda")
    assert "build it again" in raised.value.hint
