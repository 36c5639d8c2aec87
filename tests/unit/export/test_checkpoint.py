from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from fastrestore.errors import ExportError
from fastrestore.export import checkpoint
from fastrestore.export.checkpoint import read_state

WEIGHTS = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2, dtype=torch.float16)}


class Hostile:
    """Creates a file when it is unpickled the usual way."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("new_format", [True, False])
@pytest.mark.parametrize(
    "stored",
    [
        WEIGHTS,
        {"params": WEIGHTS},
        {"params_ema": WEIGHTS, "params": {"other": torch.zeros(1)}},
        {"epoch": 3, "state_dict": {f"module.{name}": tensor for name, tensor in WEIGHTS.items()}},
        {"model": {"state_dict": OrderedDict(WEIGHTS), "step": 4}},
        {"something": WEIGHTS},
    ],
)
def test_weights_are_found_where_training_programs_put_them(tmp_path: Path, stored: Any, new_format: bool) -> None:
    path = tmp_path / "net.pth"
    torch.save(stored, path, _use_new_zipfile_serialization=new_format)
    state = read_state(path)
    assert list(state) == list(WEIGHTS)
    assert all(tensor.dtype == torch.float32 for tensor in state.values())
    assert torch.equal(state["a.weight"], WEIGHTS["a.weight"])


def test_safetensors_are_read(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    path = tmp_path / "net.safetensors"
    safetensors.save_file(WEIGHTS, path)
    assert set(read_state(path)) == set(WEIGHTS)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ExportError, match="no safetensors file"):
        read_state(path)


@pytest.mark.parametrize("form", ["zip", "legacy", "bare"])
def test_hostile_pickles_are_refused_and_not_run(tmp_path: Path, form: str) -> None:
    path, trace = tmp_path / "net.pth", tmp_path / "trace"
    hostile = {"params": WEIGHTS, "extra": Hostile(trace)}
    if form == "bare":
        path.write_bytes(pickle.dumps(hostile["extra"]))
    else:
        torch.save(hostile, path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(ExportError, match=r"net\.pth") as caught:
        read_state(path)
    assert caught.value.hint
    assert not trace.exists(), "the pickle was run"
    if form != "bare":
        assert "safetensors" in caught.value.hint


def test_zip_bombs_are_refused_before_they_are_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("net/data.pkl", pickle.dumps({}))
        archive.writestr("net/data/0", bytes(1 << 24))
    assert path.stat().st_size < 1 << 16
    with pytest.raises(ExportError, match="unpacks to more than it is"):
        read_state(path)


def test_entries_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    torch.save({"a": torch.zeros(5000)}, path)
    content = path.read_bytes()
    start = content.index(b"PK\x01\x02")
    end = content.index(b"PK\x05\x06") if b"PK\x06\x06" not in content else content.index(b"PK\x06\x06")
    directory = content[start:end] * 3
    entries = directory.count(b"PK\x01\x02")
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, entries, entries, len(directory), start, 0)
    path.write_bytes(content[:start] + directory + tail)
    with pytest.raises(ExportError, match="unpacks to more than it is"):
        read_state(path)


def test_legacy_files_cannot_ask_for_more_than_they_hold(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    torch.save({"a": torch.zeros(70_000)}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    numbers = struct.pack("<i", 70_000)
    assert numbers in content
    path.write_bytes(content.replace(b"J" + numbers, b"J" + struct.pack("<i", 2_000_000_000)))
    with pytest.raises(ExportError, match="add up to more than the file could hold"):
        read_state(path)


def test_one_number_shown_as_billions_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    torch.save({"a": torch.zeros(1).expand(checkpoint.MOST_ELEMENTS + 1)}, path)
    assert path.stat().st_size < 10_000
    with pytest.raises(ExportError, match="numbers, more than"):
        read_state(path)


def test_limits_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.pth"
    torch.save(WEIGHTS, path)
    for limit, value, said in (("LARGEST_FILE", 10, "bytes, more than"), ("MOST_TENSORS", 1, "tensors, more than")):
        with monkeypatch.context() as patch:
            patch.setattr(checkpoint, limit, value)
            with pytest.raises(ExportError, match=f"{said}|entries, more than"):
                read_state(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    path = tmp_path / "net.pth"
    torch.save({"a": torch.tensor([1.0, value])}, path)
    with pytest.raises(ExportError, match="NaN or infinity"):
        read_state(path)


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    scripted = io.BytesIO()
    torch.save({"epoch": 1}, tmp_path / "none.pth")
    torch.save(torch.zeros(3), tmp_path / "tensor.pth")
    torch.save({"a": torch.zeros(3, dtype=torch.complex64)}, tmp_path / "complex.pth")
    with zipfile.ZipFile(scripted, "w") as archive:
        archive.writestr("net/data.pkl", b"")
        archive.writestr("net/code/__torch__.py", b"")
    (tmp_path / "script.pt").write_bytes(scripted.getvalue())
    (tmp_path / "text.pth").write_text("no checkpoint")
    (tmp_path / "empty.ckpt").write_bytes(b"")
    (tmp_path / "folder.pth").mkdir()
    (tmp_path / "net.bin").write_bytes(b"")
    for name, said in (
        ("none.pth", "no tensors"),
        ("tensor.pth", "wanted a table"),
        ("complex.pth", "of a kind"),
        ("script.pt", "TorchScript"),
        ("text.pth", "no PyTorch file"),
        ("empty.ckpt", "no PyTorch file"),
        ("folder.pth", "no file"),
        ("net.bin", "by its name"),
        ("missing.pth", "cannot be read"),
    ):
        with pytest.raises(ExportError, match=said):
            read_state(tmp_path / name)


def test_every_truncation_of_a_checkpoint_is_refused_or_read(tmp_path: Path) -> None:
    for new_format in (True, False):
        path = tmp_path / "net.pth"
        torch.save(WEIGHTS, path, _use_new_zipfile_serialization=new_format)
        content = path.read_bytes()
        for length in range(0, len(content), max(1, len(content) // 40)):
            path.write_bytes(content[:length])
            with pytest.raises(ExportError):
                read_state(path)
