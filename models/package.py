"""A model as a folder: `model.toml`, ONNX files and a card. Read with suspicion, written by hand, installed whole.

```
<name>/model.toml           one `[[model]]` row in the catalogue's own schema, paths beginning with `<name>/`
<name>/model.fp32.onnx      and model.fp16.onnx, if there is one
<name>/card.md              what it is, for people
<name>/proof.json           what the export measured, if it was exported here
```
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from fastrestore.errors import ModelError
from fastrestore.files import sync
from fastrestore.models import shipped, store
from fastrestore.models.spec import FACE_PX, FILE_NAME, NAME, ModelSpec, Task, Tensor

ROW_FILE = "model.toml"
EXTRA_FILES = ("card.md", "proof.json", "LICENSE")
"""Files that belong to a package besides the row and the networks; nothing else is installed."""
PRECISIONS = ("fp32", "fp16")
RESERVED = store.DOWNLOADS
"""The one name that cannot be a model's: a folder of ours lies beside the models."""
LARGEST_ROW = 1 << 16
LARGEST_EXTRA = 1 << 24
LARGEST_NETWORK = (1 << 31) - 1
"""Bytes; a protobuf message, which an ONNX file is, cannot be larger."""
_INCOMING = ".incoming-"


def read(folder: Path) -> ModelSpec:
    """Read a package, which may come from anyone. Its files are not read: `store` checks them before they are used.

    Args:
        folder: The package; its name is the model's.

    Returns:
        The model, with `folder` set to the parent, which its paths are relative to.

    Raises:
        ModelError: If the package is not exactly what it should be: a key or type is wrong, a path leaves the folder,
            a file is missing, too large or no plain file, or the name is one that ships.
    """
    text = _row_text(folder / ROW_FILE)
    try:
        table = tomllib.loads(text)
        rows = table.pop("model", None)
        if table or not isinstance(rows, list) or len(rows) != 1 or not isinstance(rows[0], dict):
            raise _refused(folder, "model.toml must hold one `[[model]]` table and nothing else")
        spec = ModelSpec.from_row(rows[0], folder.absolute().parent)
    except (ValueError, RecursionError) as error:  # a TOML error is a ValueError; so is a number too long to convert
        raise _refused(folder, f"model.toml cannot be read: {_printable(error)}") from error
    _check_name(folder, spec)
    _check_tensors(folder, spec)
    _check_files(folder, spec)
    return spec


def dump(spec: ModelSpec) -> str:
    """Return a model's row as the text of a `model.toml`, which `read` and the catalogue understand.

    Raises:
        ModelError: If a text holds half of a surrogate pair, which TOML cannot express.
    """
    lines = ["[[model]]"]
    for key, value in _changed(spec):
        if key in ("inputs", "outputs"):
            lines.append(f"{key} = [{', '.join(_inline(tensor) for tensor in value)}]")
        elif key not in ("artifacts", "folder"):
            lines.append(f"{key} = {_literal(value)}")
    for precision, artifact in spec.artifacts.items():
        lines.append(f"[model.artifacts.{precision if precision in PRECISIONS else _literal(precision)}]")
        lines.append(f"file = {_literal(artifact.path.as_posix())}")
        lines.append(f"sha256 = {_literal(artifact.sha256)}")
    text = "\n".join(lines) + "\n"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ModelError(f"the row of `{spec.name}` holds text that is no Unicode", "give it another text") from error
    return text


def install(folder: Path, root: Path, *, overwrite: bool = False) -> ModelSpec:
    """Copy a package among the user's models: afterwards it is there whole and checked, or not at all.

    Args:
        folder: The package.
        root: Folder of the user's models, `store.user_folder()`; made if need be.
        overwrite: Replace a package of that name.

    Returns:
        The model as installed.

    Raises:
        ModelError: If the package is refused, damaged or already there, or cannot be copied.
    """
    from filelock import FileLock  # only here: it doubles the time that reading the catalogue takes

    spec = read(folder)
    store.verify(spec)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / ".lock"), _staging(root) as staging:
            target = root / spec.name
            if target.exists() and not overwrite:
                raise ModelError(f"there is a model `{spec.name}` already, in {target}", "use `--overwrite`")
            _copy(spec, folder, staging / spec.name)
            store.verify(read(staging / spec.name))  # what was copied, not what was there a moment ago
            _swap(staging / spec.name, target, staging / "replaced")
            sync(root)
    except OSError as error:
        raise ModelError(
            f"model `{spec.name}` cannot be installed in {root}: {error.strerror or error}",
            f"check the folder and its free space, or set {store.USER_FOLDER_VARIABLE}",
        ) from error
    return read(root / spec.name)


@contextmanager
def _staging(root: Path) -> Iterator[Path]:
    """Yield an empty folder in `root`; call it under the lock, so that older ones are known to be left over."""
    for left_over in root.glob(_INCOMING + "*"):
        shutil.rmtree(left_over, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=_INCOMING, dir=root))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copy(spec: ModelSpec, source: Path, target: Path) -> None:
    target.mkdir()
    names = [ROW_FILE, *(artifact.path.name for artifact in spec.artifacts.values())]
    for name in [*names, *(extra for extra in EXTRA_FILES if (source / extra).exists())]:
        shutil.copyfile(source / name, target / name)
        sync(target / name)
    sync(target)


def _swap(new: Path, target: Path, aside: Path) -> None:
    replaced = target.exists()
    if replaced:
        target.rename(aside)
    try:
        new.rename(target)
    except OSError:
        if replaced:
            aside.rename(target)
        raise


def _row_text(path: Path) -> str:
    try:
        _check_plain(path, LARGEST_ROW)
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError) as error:
        hint = "a package is a folder with a model.toml; for a checkpoint or an ONNX file use `fastrestore export`"
        raise ModelError(f"there is no model package at {path.parent}", hint) from error
    except UnicodeDecodeError as error:
        raise _refused(path.parent, "model.toml is no UTF-8 text") from error
    except OSError as error:
        raise _refused(path.parent, f"model.toml cannot be read: {error.strerror}") from error


def _check_name(folder: Path, spec: ModelSpec) -> None:
    name = folder.absolute().name
    if not NAME.fullmatch(name) or name == RESERVED:
        raise _refused(folder, "its folder's name cannot be a model's name: a-z, 0-9, `.`, `_` and `-`, at most 64")
    if spec.name != name:
        raise _refused(folder, f"it holds the model `{spec.name}`: rename the folder to that")
    taken = shipped.reserved_names()
    for what, wanted in (("name", spec.name), ("family", spec.family)):
        if wanted in taken:
            raise _refused(folder, f"the {what} `{wanted}` belongs to a network that ships with fastrestore")


def _check_tensors(folder: Path, spec: ModelSpec) -> None:
    """Hold the tensors against what the runtime hands to a network of that task (see `ModelSpec.inputs`)."""
    if spec.classical:
        raise _refused(folder, "a package holds a network, so it cannot be `classical`")
    taken = [(tensor.channels, tensor.scale) for tensor in spec.inputs]
    yielded = [(tensor.channels, tensor.scale) for tensor in spec.outputs]
    if spec.task is Task.RESTORE:
        fits = (taken, yielded) == ([(3, 1)], [(3, spec.scale)])
    elif spec.task is Task.COLOUR:
        fits = spec.scale == 1 and taken == [(3, 1)] and yielded in ([(3, 1)], [(3, 1), (1, 1)])
    elif spec.task is Task.FACE:
        fits = (spec.scale, spec.multiple_px, taken, yielded) == (1, FACE_PX, [(3, 1)], [(3, 1)])
    elif spec.task is Task.DETECT:
        fits = (spec.scale, taken, yielded) == (1, [(3, 1)], [])
    else:
        pair, instant = [(3, 1), (3, 1)], (1, 0)
        known = ((pair, [(2, 1)]), ([*pair, instant], [(4, 1), (1, 1)]))
        fits = spec.scale == 1 and (taken, yielded) in known
    names = [tensor.name for tensor in (*spec.inputs, *spec.outputs)]
    if not fits or len(set(names)) != len(names):
        raise _refused(folder, f"its inputs and outputs are not those of a {spec.task} network")


def _check_files(folder: Path, spec: ModelSpec) -> None:
    if "fp32" not in spec.artifacts or not set(spec.artifacts) <= set(PRECISIONS):
        raise _refused(folder, "it must have an fp32 network, and may have an fp16 one besides")
    wanted = {}
    for artifact in spec.artifacts.values():
        name = artifact.path.name
        if artifact.path.parts != (spec.name, name) or not FILE_NAME.fullmatch(name) or not name.endswith(".onnx"):
            raise _refused(folder, f"the path {str(artifact.path)!a} is not `{spec.name}/...onnx`")
        wanted[name] = LARGEST_NETWORK
    wanted |= {name: LARGEST_EXTRA for name in EXTRA_FILES if os.path.lexists(folder / name)}
    for name, most in wanted.items():
        try:
            _check_plain(folder / name, most)
        except OSError as error:
            raise _refused(folder, f"{name} cannot be read: {error.strerror}") from error


def _check_plain(path: Path, most_bytes: int) -> None:
    """Refuse links, pipes and devices, which could lead anywhere or never end, and what is too large.

    Raises:
        OSError: If there is no such file.
        ModelError: If it is refused.
    """
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise _refused(path.parent, f"{path.name} is no plain file")
    if status.st_size > most_bytes:
        raise _refused(path.parent, f"{path.name} has {status.st_size} bytes, more than {most_bytes}")


def _refused(folder: Path, why: str) -> ModelError:
    return ModelError(f"model package {folder}: {why}", "correct it, or export the model again")


def _printable(error: Exception) -> str:
    return ascii(str(error))[1:121]


def _changed(record: ModelSpec | Tensor) -> Iterator[tuple[str, Any]]:
    """Yield the fields that are not at their defaults; those without a default always."""
    for field in fields(record):
        value = getattr(record, field.name)
        default = field.default if field.default_factory is MISSING else field.default_factory()
        if default is MISSING or value != default:
            yield field.name, value


def _inline(tensor: Tensor) -> str:
    return "{ " + ", ".join(f"{key} = {_literal(value)}" for key, value in _changed(tensor)) + " }"


_ESCAPES: Mapping[str, str] = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def _literal(value: str | int | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return '"' + "".join(_escaped(letter) for letter in value) + '"'


def _escaped(letter: str) -> str:
    if letter in _ESCAPES:
        return _ESCAPES[letter]
    code = ord(letter)
    # What needs more than four digits may stand as it is; half of a surrogate pair must, and is found by `dump`.
    return letter if letter.isprintable() or code > 0xFFFF or 0xD800 <= code < 0xE000 else f"\\u{code:04X}"
