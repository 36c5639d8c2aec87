"""The look at the driver: what it says where there is none, where it fails, and where it works."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from tests.fake_cuda import CAPABILITY, NAME, compiler, make_driver

from fastrestore.errors import DeviceError
from fastrestore.runtime import memory
from fastrestore.runtime.devices import card
from fastrestore.runtime.devices import driver as looking
from fastrestore.runtime.devices.driver import Card, DriverFacts, probe

needs_compiler = pytest.mark.skipif(compiler() is None, reason="no C compiler")


def test_no_driver() -> None:
    assert probe("libcuda-that-is-not-there.so.1") == "no NVIDIA driver (libcuda-that-is-not-there.so.1 is not here)"


def test_a_library_that_is_no_driver(tmp_path: Path) -> None:
    other = tmp_path / "libcuda.so.1"
    other.write_bytes(b"not even a library")
    assert probe(str(other)) == f"no NVIDIA driver ({other} is not here)"
    assert "is no NVIDIA driver" in str(probe("libc.so.6"))


@needs_compiler
@pytest.mark.parametrize(
    ("defines", "reason"),
    [
        (["INIT=999"], "is its kernel module loaded? (cuInit: CUDA error 999)"),
        (["INIT=803"], "of different versions: reboot (cuInit: CUDA error 803)"),
        (["INIT=34"], "is a stub without a driver behind it"),
        (["INIT=12345"], "the NVIDIA driver failed (cuInit: CUDA error 12345)"),
        (["CARDS=0"], "the NVIDIA driver finds no card"),
    ],
)
def test_a_driver_that_does_not_work(tmp_path: Path, defines: list[str], reason: str) -> None:
    assert reason in str(probe(fake_driver(tmp_path, *defines)))


@needs_compiler
def test_a_driver_that_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = tmp_path / "version"
    release.write_text(
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\nGCC 12.2.0\n"
    )
    monkeypatch.setattr(looking, "_RELEASE_FILE", release)
    facts = probe(fake_driver(tmp_path, "CARDS=2"))
    assert facts == DriverFacts(
        "13.0", "580.65.06", tuple(Card(index, NAME, CAPABILITY, 1 << 33) for index in range(2))
    )
    monkeypatch.setattr(looking, "_RELEASE_FILE", tmp_path / "absent")
    assert isinstance(again := probe(fake_driver(tmp_path, "CARDS=2")), DriverFacts)
    assert again.release == ""


class TestCards:
    def test_without_a_driver(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(memory, "driver", lambda: "no driver")
        assert memory.usable_cards() == "no driver"
        with pytest.raises(DeviceError, match="no driver"):
            memory.open_device()

    def test_without_the_package(self, monkeypatch: pytest.MonkeyPatch) -> None:
        facts = DriverFacts("13.0", "", (Card(0, NAME, CAPABILITY, 1),))
        monkeypatch.setattr(memory, "driver", lambda: facts)
        monkeypatch.setattr(card, "version", missing)
        assert memory.usable_cards() == "neither package cuda-bindings nor pycuda is installed"
        with pytest.raises(DeviceError, match="neither package cuda-bindings nor pycuda is installed") as raised:
            memory.open_device()
        assert "pip install" in raised.value.hint

    def test_a_card_that_is_not_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(memory, "driver", lambda: DriverFacts("13.0", "", (Card(0, NAME, CAPABILITY, 1),)))
        with pytest.raises(DeviceError, match="there is no card 3: the driver finds 1"):
            memory.open_device(3)


def missing(package: str) -> str:
    raise PackageNotFoundError(package)


def test_choosing_a_backend_loads_no_gpu_library() -> None:
    """Without a card, `auto` looks at the driver and at nothing else."""
    script = (
        "import sys; from fastrestore.runtime.engine import choose_backend; choose_backend('auto');"
        "print([name for name in ('tensorrt', 'tensorrt_rtx', 'cuda', 'pycuda', 'torch') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout.strip() == "[]"


def fake_driver(folder: Path, *defines: str) -> str:
    """Under a name of its own, so that no other test in this process finds it as the system's driver."""
    return str(make_driver(folder, *defines, name=f"lib{folder.name}.so"))
