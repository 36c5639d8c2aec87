"""Which files a batch is made of: named one by one, in lists, by patterns, or all films in folders."""

from __future__ import annotations

import fnmatch
import glob
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import NoReturn

from fastrestore.errors import DecodeError, UsageError
from fastrestore.runtime.media.containers import CONTAINERS
from fastrestore.runtime.media.survey import manifest_text
from fastrestore.runtime.workfolder import folder_for

_FILM_NAMES = (
    "3g2 3gp amv asf avi divx dv f4v flv gxf h264 h265 hevc ivf m1v m2t m2ts m2v m4v mj2 mkv mov mp4 mpe mpeg mpg mts "
    "mxf nut ogm ogv qt rm rmvb roq ts vob webm wmv y4m"
)
FILM_SUFFIXES = frozenset(f".{name}" for name in _FILM_NAMES.split())
"""What a film in a folder is known by. Opening every file there would find covers, subtitles and songs as well."""
_LIST, _STANDARD_INPUT = "@", "-"
_WORK_SUFFIX = folder_for(Path("film")).suffix


@dataclass(frozen=True, slots=True)
class Input:
    """One file to convert."""

    path: Path
    below: PurePath
    """Where it lies below the folder or pattern that it was found by: the output lies there below its own folder."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """All files to convert."""

    files: tuple[Input, ...]
    """Each once, in the order of the words they were found by; those of a folder or pattern by name."""
    left_out: tuple[Path, ...] = ()
    """Films in folders that this program has made."""


def is_several(words: Iterable[str]) -> bool:
    """Return whether words on the command line stand for a batch rather than for one file."""
    listed = list(words)
    return len(listed) != 1 or _is_list(listed[0]) or _is_pattern(listed[0]) or Path(listed[0]).is_dir()


def find_inputs(words: Iterable[str], output: Path) -> Inputs:
    """Return the files that words on the command line stand for.

    A folder stands for all films in and below it, in hidden folders and links to folders excepted; a pattern that names
    no file for all files that match it (`**` for folders of any depth); `@FILE` for the paths that a text file lists,
    and `-` for those on standard input, ended by line breaks or, if there are any, by NUL characters.

    Args:
        words: As given.
        output: The folder of the outputs; nothing in it is found.

    Raises:
        UsageError: If a word stands for nothing, or a list or a folder cannot be read.
    """
    search = _Search(output)
    listed = list(words)
    if "" in listed:  # a script's variable that is not set; as a path it would be all of the folder one is in
        raise UsageError("an input is empty", "name files, or `.` for the folder that you are in")
    folders = sum(not _is_list(word) and Path(word).is_dir() for word in listed)
    for word in listed:
        if _is_list(word):
            for path in _listed(word):
                search.named(path, _kept(path))
        elif _is_pattern(word):
            search.matching(Path(word))
        else:
            path = Path(word)
            search.named(path, PurePath() if folders == 1 and path.is_dir() else _own_name(path))
    if not search.found:
        words_ = ", ".join(f"`{word}`" for word in listed)
        made = f", but for {len(search.left_out)} that fastrestore has made" if search.left_out else ""
        raise UsageError(f"no film in {words_}{made}", "name files, or folders that hold films")
    return Inputs(tuple(search.found.values()), tuple(search.left_out))


class _Search:
    """Collects files, each once."""

    def __init__(self, output: Path) -> None:
        self._output = output.resolve()
        self.found: dict[Path, Input] = {}
        self.left_out: list[Path] = []

    def named(self, path: Path, below: PurePath) -> None:
        """Take a file, or all films in a folder; their outputs are to lie at `below`."""
        if not path.is_dir():
            self._take(path, below)
            return
        for film in self._films(path):
            self._take(film, below / film.relative_to(path))

    def matching(self, pattern: Path) -> None:
        """Take all files that match a pattern.

        Raises:
            UsageError: If there is none.
        """
        fixed = next(index for index, part in enumerate(pattern.parts) if glob.has_magic(part))
        root = Path(*pattern.parts[:fixed])
        files = sorted({path for path in _matching(root, pattern.parts[fixed:]) if os.path.isfile(path)})
        if not files:
            raise UsageError(f"no file matches `{pattern}`", "`**` stands for folders of any depth")
        own_outputs = self._output != root.resolve() and self._output.is_relative_to(root.resolve())
        for path in files:
            if own_outputs and path.resolve().is_relative_to(self._output):
                continue
            if not any(part.endswith(_WORK_SUFFIX) for part in path.parts[fixed:]) and not self._is_ours(path):
                self._take(path, path.relative_to(root))

    def _films(self, folder: Path) -> Iterator[Path]:
        for parent, folders, names in os.walk(folder, onerror=_cannot_look):
            folders[:] = sorted(name for name in folders if self._is_searched(Path(parent, name)))
            for name in sorted(names):
                path = Path(parent, name)
                is_film = name[0] != "." and path.suffix.lower() in FILM_SUFFIXES and path.is_file()
                if is_film and not self._is_ours(path):
                    yield path

    def _is_searched(self, folder: Path) -> bool:
        return not folder.name.startswith(".") and folder.suffix != _WORK_SUFFIX and folder.resolve() != self._output

    def _is_ours(self, path: Path) -> bool:
        """Whether a film is one that this program has made: converting it again is never meant by naming a folder."""
        if path.suffix.lower() not in CONTAINERS:
            return False
        try:
            ours = manifest_text(path) is not None
        except DecodeError:  # its manifest is damaged, or it cannot be read, which is told when it is converted
            ours = os.access(path, os.R_OK)
        if ours:
            self.left_out.append(path)
        return ours

    def _take(self, path: Path, below: PurePath) -> None:
        self.found.setdefault(path.resolve(), Input(path, below))


def _cannot_look(error: OSError) -> NoReturn:
    raise UsageError(f"cannot look into {error.filename}: {error.strerror}", "check its permissions") from error


def _is_list(word: str) -> bool:
    return word == _STANDARD_INPUT or word.startswith(_LIST)


def _is_pattern(word: str) -> bool:
    return glob.has_magic(word) and not os.path.lexists(word)


def _matching(folder: Path, parts: Sequence[str]) -> Iterator[Path]:
    """Yield what a pattern matches below a folder: as `glob.glob` does, but that `**` follows no links.

    Two links to a folder above them would keep that one busy for years.
    """
    first, rest = parts[0], parts[1:]
    if first == "**":
        yield from _matching(folder, rest or ("*",))
        for name in _names(folder):
            below = folder / name
            if name[0] != "." and os.path.isdir(below) and not below.is_symlink():
                yield from _matching(below, parts)
        return
    names = fnmatch.filter(_names(folder), first) if glob.has_magic(first) else [first]
    for name in names:
        path = folder / name
        if name[0] == "." != first[0]:
            continue
        if not rest:
            yield path
        elif os.path.isdir(path):
            yield from _matching(path, rest)


def _names(folder: Path) -> list[str]:
    """Return what is in a folder; nothing if it cannot be looked into, as a shell has it."""
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _listed(word: str) -> list[Path]:
    """Return the paths in a list."""
    try:
        data = sys.stdin.buffer.read() if word == _STANDARD_INPUT else Path(word[1:]).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read the list {word[1:]}: {error.strerror}", "check its name") from error
    lines = data.split(b"\0") if b"\0" in data else data.splitlines()
    return [Path(os.fsdecode(line)) for line in lines if line]


def _kept(path: Path) -> PurePath:
    """Return where the output of a listed path lies: a relative path is kept, so that lists can hold whole trees."""
    return _own_name(path) if path.is_absolute() or ".." in path.parts else path


def _own_name(path: Path) -> PurePath:
    return PurePath(PurePath(os.path.abspath(path)).name)  # of `.` and `..` as well
