"""What is shipped for cards is what the sources say."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from fastrestore.errors import DeviceError
from fastrestore.kernels import fatbin
from fastrestore.kernels.fatbin import ARCHITECTURES, FATBIN, PTX_ARCHITECTURE, Image

REBUILD = "run `.venv/bin/python scripts/build-kernels`"


def test_made_of_the_sources_as_they_are() -> None:
    assert fatbin.record().source_sha256 == fatbin.source_sha256(), f"kernels/cuda changed: {REBUILD}"


def test_is_the_one_on_record() -> None:
    assert hashlib.sha256(fatbin.load_fatbin()).hexdigest() == fatbin.record().fatbin_sha256, REBUILD


def test_has_code_for_every_card() -> None:
    found = fatbin.images(fatbin.load_fatbin())
    wanted = {Image("elf", architecture) for architecture in ARCHITECTURES} | {Image("ptx", PTX_ARCHITECTURE)}
    assert set(found) == wanted and len(found) == len(wanted)


def test_is_small() -> None:
    assert FATBIN.stat().st_size < 1_000_000


@pytest.mark.parametrize("change", ["cut", "flipped", "another kind", "empty"])
def test_damage_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    content = bytearray(FATBIN.read_bytes())
    if change == "cut":
        del content[len(content) // 2 :]
    elif change == "flipped":
        content[1000] ^= 1
    elif change == "another kind":
        content[:4] = b"\x7fELF"
    else:
        content.clear()
    if change != "flipped":  # the headers do not cover what they describe
        with pytest.raises(DeviceError, match="fatbin"):
            fatbin.images(bytes(content))
    damaged = tmp_path / "kernels.fatbin"
    damaged.write_bytes(content)
    monkeypatch.setattr(fatbin, "FATBIN", damaged)
    with pytest.raises(DeviceError, match="sha256"):
        fatbin.load_fatbin()
    damaged.unlink()
    with pytest.raises(DeviceError, match="cannot read"):
        fatbin.load_fatbin()


def test_no_nvcc_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeviceError, match="no nvcc"):
        fatbin.build(tmp_path / "kernels.fatbin")


@pytest.mark.slow
def test_builds_anew(tmp_path: Path) -> None:
    """With the toolkit on record, to the very same bytes."""
    if shutil.which("nvcc") is None:
        pytest.skip("no nvcc")
    made = fatbin.build(tmp_path / "kernels.fatbin")
    assert fatbin.images((tmp_path / "kernels.fatbin").read_bytes()) == fatbin.images(fatbin.load_fatbin())
    if made.compiler == fatbin.record().compiler:
        assert made == fatbin.record()
