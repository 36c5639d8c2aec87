"""Where the outputs of a batch lie, and under which names."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath

from fastrestore.batch.inputs import Input
from fastrestore.errors import EncodeError, UsageError
from fastrestore.runtime.media.containers import CONTAINERS
from fastrestore.runtime.media.translate import writing

CONTAINER_NAMES = ("mkv", "mp4", "mov")
"""What outputs can be when their names are not given."""


def output_for(source: Path, output: Path, container: str | None = None) -> Path:
    """Return where the output of a single source goes: the file given, or one of the source's name in a folder.

    Raises:
        UsageError: If the container is not known, or the file given has another.
    """
    suffix = suffix_of(container or CONTAINER_NAMES[0])
    if output.is_dir():
        return output / f"{source.stem}{suffix}"
    if container is not None and output.suffix.lower() != suffix:
        raise UsageError(f"output {output.name} is to be {container}", f"end its name in `{suffix}`")
    return output


def suffix_of(container: str) -> str:
    """Return the end of the names of files in a container.

    Raises:
        UsageError: If it is not known.
    """
    if container not in CONTAINER_NAMES:
        raise UsageError(f"unknown container `{container}`", f"known: {', '.join(CONTAINER_NAMES)}")
    return f".{container}"


def name_outputs(inputs: Sequence[Input], folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """Return the outputs of several inputs: the tree that they lie in, again.

    `a.mp4` becomes `a.mkv`. Where two would get one name, or one the name of an input, both keep their old suffix
    (`a.mp4.mkv`, `a.mov.mkv`): that depends on the inputs alone, not on what lies in the folder already.

    Args:
        inputs: The inputs.
        folder: Where the tree is put.
        suffixes: What each name is to end in.

    Raises:
        UsageError: If two would get one name all the same.
    """
    sources = {each.path.resolve() for each in inputs}
    names = [each.below.with_suffix(suffix) for each, suffix in zip(inputs, suffixes, strict=True)]
    whole = [each.below.with_name(each.below.name + suffix) for each, suffix in zip(inputs, suffixes, strict=True)]
    clashing = True
    while clashing:
        counts = Counter(names)
        clashing = False
        for index, name in enumerate(names):
            if name != whole[index] and (counts[name] > 1 or (folder / name).resolve() in sources):
                names[index], clashing = whole[index], True
    require_distinct(names, {name: each.path for each, name in zip(inputs, names, strict=True)})
    return [folder / name for name in names]


def require_distinct(names: Iterable[PurePath], sources: Mapping[PurePath, Path]) -> None:
    """Refuse names of which two are one.

    Raises:
        UsageError: If there are such.
    """
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UsageError(
            f"two inputs would get the same output name: {twice[0]}, one of them is {sources[twice[0]]}",
            "convert them one by one, or give the folder that holds both",
        )


def require_no_input(outputs: Iterable[Path], sources: Iterable[Path]) -> None:
    """Refuse an output that is an input of the same batch: with `--overwrite` it would be lost before its turn.

    Raises:
        UsageError: If there is one.
    """
    inputs = {source.resolve() for source in sources}
    for output in outputs:
        if output.resolve() in inputs:
            raise UsageError(f"output {output} is one of the inputs", "choose another name")


def check_folder(folder: Path, *, make: bool) -> None:
    """Refuse a folder that outputs cannot be written to.

    Args:
        folder: The folder of a batch.
        make: Make it where there is none; else only look.

    Raises:
        UsageError: If it is a file, or looks as if a file was meant.
        EncodeError: If it cannot be made or written to.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"several inputs need a folder as output, and {folder} is a file", "give a folder")
    if not folder.exists() and folder.suffix.lower() in CONTAINERS:
        raise UsageError(
            f"several inputs need a folder as output, and {folder} looks like a file", "give a folder, or make it first"
        )
    if make:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
    present = next(parent for parent in (folder, *_absolute(folder).parents) if parent.exists())
    if not os.access(present, os.W_OK | os.X_OK):
        raise EncodeError(f"cannot write to {folder}: {present} may not be written to", "choose another folder")


def check_report(path: Path, others: Iterable[Path]) -> None:
    """Refuse a report that cannot be written, or would replace one of the other files.

    Raises:
        UsageError: If it is so.
    """
    if path.resolve() in {other.resolve() for other in others}:
        raise UsageError(f"report {path} is one of the media files", "choose another file")
    if path.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
        raise UsageError(f"report {path} cannot be written", "give a file in a folder that exists")


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))
