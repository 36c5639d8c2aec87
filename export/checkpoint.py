"""Checkpoints from anyone, read without running anything that is stored in them."""

from __future__ import annotations

import pickle
import pickletools
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch

from fastrestore.errors import ExportError

SUFFIXES = (".pth", ".pt", ".pkl", ".ckpt", ".safetensors")
LARGEST_FILE = 4 << 30
"""Bytes; larger than any restoration network with the state of its training."""
LARGEST_PICKLE = 64 << 20
"""Bytes of names, shapes and structure in a checkpoint; the numbers themselves lie beside them."""
MOST_TENSORS = 20_000
MOST_ELEMENTS = 1 << 29
"""Numbers in all tensors together: 2 GiB as float32, what one ONNX file can hold."""
_MOST_LEVELS = 6
_CONTAINERS = ("params_ema", "params-ema", "average", "params", "model_state_dict", "state_dict", "model", "net")
"""Names under which training programs keep the weights, the best ones first (a moving average before the last step)."""
_PREFIXES = ("module.", "_orig_mod.")
"""What wrappers for several cards, and the compiler, put before every name."""
# A crafted file can make the reader fail in any of these ways; none of them is a fault of ours.
_DAMAGE = (
    pickle.UnpicklingError,
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    EOFError,
    ImportError,
    MemoryError,
    struct.error,
    zipfile.BadZipFile,
)


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """Read the weights of a checkpoint.

    Args:
        path: A `.pth`, `.pt`, `.pkl` or `.ckpt` file of PyTorch, or `.safetensors`. Weights may lie under the names
            that training programs use (`params_ema`, `state_dict`, ...).

    Returns:
        Name to tensor: floating-point ones as float32, on the CPU, all finite.

    Raises:
        ExportError: If there is no such file, or it is too large, damaged, no checkpoint, holds anything but data, or
            holds NaN or infinity.
    """
    _check_file(path)
    read = _read_safetensors if path.suffix.lower() == ".safetensors" else _read_pickled
    stored = read(path)
    state = _without_prefix(_weights(path, stored))
    _check_amount(path, state)
    return {name: _plain(path, name, tensor) for name, tensor in state.items()}


def _check_file(path: Path) -> None:
    if path.suffix.lower() not in SUFFIXES:
        known = ", ".join((*SUFFIXES, ".onnx"))
        raise ExportError(f"{path.name} is no checkpoint by its name", f"wanted one of {known}")
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise ExportError(f"{path} is no file", "name a checkpoint file")
        with path.open("rb"):
            pass
    except OSError as error:
        raise ExportError(f"{path} cannot be read: {error.strerror}", "check its name and permissions") from error
    if size > LARGEST_FILE:
        raise _refused(path, f"{size} bytes, more than {LARGEST_FILE}")


def _read_safetensors(path: Path) -> Mapping[str, object]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise ExportError("package safetensors is not installed", 'run `pip install "fastrestore[export]"`') from error
    try:
        loaded: Mapping[str, object] = load_file(path, device="cpu")
    except (SafetensorError, *_DAMAGE) as error:
        raise _refused(path, f"it is no safetensors file: {_first_line(error)}") from error
    return loaded


def _read_pickled(path: Path) -> Mapping[str, object]:
    if zipfile.is_zipfile(path):
        _check_zip(path)
    else:
        _check_legacy(path)
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ExportError(
            f"{path.name} holds more than weights, and was not opened: {_reason(error)}",
            "such a file runs code when it is opened the usual way; ask its author for the weights alone, best as "
            ".safetensors",
        ) from error
    except _DAMAGE as error:
        raise _refused(path, f"it cannot be read: {_first_line(error)}") from error
    if not isinstance(stored, Mapping):
        raise _refused(path, f"it holds a {type(stored).__name__}, wanted a table of tensors")
    return stored


def _check_zip(path: Path) -> None:
    """Hold the directory of a zip against the file before anything is unpacked.

    PyTorch stores without compression, so nothing may unpack to more than the file: neither one packed entry, nor
    many entries that share their bytes.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except _DAMAGE as error:
        raise _refused(path, f"its zip directory is damaged: {_first_line(error)}") from error
    declared = sum(entry.file_size for entry in entries)
    size = path.stat().st_size
    if declared > size:
        raise _refused(path, f"it declares {declared} bytes in a file of {size}: it unpacks to more than it is")
    if len(entries) > 2 * MOST_TENSORS:
        raise _refused(path, f"{len(entries)} entries, more than {2 * MOST_TENSORS}")
    names = [entry.filename.partition("/")[2] for entry in entries]
    if any(name.startswith("code/") for name in names):
        raise _refused(path, "it is a TorchScript program, not a checkpoint")
    if any(entry.filename.endswith(".pkl") and entry.file_size > LARGEST_PICKLE for entry in entries):
        raise _refused(path, f"its structure takes more than {LARGEST_PICKLE} bytes")


def _check_legacy(path: Path) -> None:
    """Look through the pickles of a file from before PyTorch 1.6, without running them.

    There the reader makes room for as many numbers as the pickle says before it looks whether they are there. Honest
    sizes, shapes and strides add up to a small multiple of the file.
    """
    most = 64 * path.stat().st_size + (1 << 20)
    total = 0
    try:
        with path.open("rb") as file:
            for _ in range(5):  # a magic number, a version, the system, the structure, the order of the storages
                first = file.tell()
                for opcode, argument, _ in pickletools.genops(file):
                    if file.tell() - first > LARGEST_PICKLE:
                        raise _refused(path, f"its structure takes more than {LARGEST_PICKLE} bytes")
                    if isinstance(argument, int) and opcode.stack_after == [pickletools.pyint] and first > 0:
                        total += abs(argument)
                    if total > most:
                        raise _refused(path, "the sizes it declares add up to more than the file could hold")
    except _DAMAGE as error:
        raise _refused(path, f"it is no PyTorch file: {_first_line(error)}") from error


def _weights(path: Path, stored: Mapping[str, object]) -> dict[str, torch.Tensor]:
    """Return the table of tensors, from as deep inside as training programs put it."""
    table: Mapping[str, object] = stored
    for _ in range(_MOST_LEVELS):
        inner = next((table[key] for key in _CONTAINERS if isinstance(table.get(key), Mapping)), None)
        if inner is None and len(table) == 1:
            (only,) = table.values()
            inner = only if isinstance(only, Mapping) else None
        if not isinstance(inner, Mapping):
            break
        table = inner
    tensors = {str(name): value for name, value in table.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise _refused(path, f"no tensors in it, only {', '.join(map(str, list(table)[:5])) or 'nothing'}")
    return tensors


def _without_prefix(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state


def _check_amount(path: Path, state: Mapping[str, torch.Tensor]) -> None:
    if len(state) > MOST_TENSORS:
        raise _refused(path, f"{len(state)} tensors, more than {MOST_TENSORS}")
    # A tensor may show one stored number as a million: what counts is what it becomes when it is copied.
    elements = sum(tensor.numel() for tensor in state.values())
    if elements > MOST_ELEMENTS:
        raise _refused(path, f"{elements} numbers, more than {MOST_ELEMENTS}")


def _plain(path: Path, name: str, tensor: torch.Tensor) -> torch.Tensor:
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex() or tensor.device.type != "cpu":
        kind = f"{tensor.layout}, {tensor.dtype}, {tensor.device}"
        raise _refused(path, f"tensor {name!a} is of a kind that no network here uses ({kind})")
    if not tensor.is_floating_point():
        return tensor.detach().contiguous()
    plain = tensor.detach().to(torch.float32).contiguous()
    if not bool(torch.isfinite(plain).all()):
        raise ExportError(f"{path.name}: weights {name!a} hold NaN or infinity", "the training failed; use another")
    return plain


def _reason(error: pickle.UnpicklingError) -> str:
    """Return what the weights-only reader met, out of its page of advice on how to read the file all the same."""
    for line in str(error).splitlines():
        if "GLOBAL" in line or "Unsupported" in line:
            return line.strip().rstrip(".").split(". ")[0].removeprefix("WeightsUnpickler error: ")[:160]
    return "it is no plain table of tensors"


def _first_line(error: BaseException) -> str:
    return ascii(str(error).strip().partition("\n")[0])[1:161] or type(error).__name__


def _refused(path: Path, why: str) -> ExportError:
    return ExportError(f"{path.name} is refused: {why}", "use the checkpoint as its author published it")
