"""The colours found for a shot, in a file: a frame's are read by themselves, wherever a run begins.

The file is a ZIP archive whose entries are frames, so that every read is checked, and a file that was not finished
cannot be opened. What it is of is in its name: another setting makes another file.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fastrestore.errors import EncodeError
from fastrestore.files import part_path, sync, sync_names
from fastrestore.kernels.film_colour import FloatPlane
from fastrestore.runtime.media.translate import writing
from fastrestore.runtime.treatments.colour.propagation import Coloured

_FACTS = "shot.json"
_LEVEL = 1
_EPOCH = (1980, 1, 1, 0, 0, 0)
_TRUST_STEPS = 15
_LARGEST_ENTRY = 1 << 28


@dataclass(frozen=True, slots=True)
class ShotFacts:
    """What is known of the colours of a shot."""

    width: int
    """At working size."""
    height: int
    trust: tuple[float, ...]
    """Mean trust of every frame of the shot."""


class ChromaWriter:
    """Writes a file: complete under its name, or not there at all.

    Args:
        path: The file.
        begin: Number of the shot's first frame.
        end: Number of the first frame after it.
        fine: Keep chroma to 1/256 of an 8-bit level instead of a whole one: for films of more than 8 bits.
    """

    def __init__(self, path: Path, begin: int, end: int, *, fine: bool) -> None:
        self._path, self._part = path, part_path(path)
        self._begin, self._fine = begin, fine
        self._trust = [-1.0] * (end - begin)
        self._size = (0, 0)

    def __enter__(self) -> Self:
        with writing(self._path):
            self._zip = zipfile.ZipFile(self._part, "w", zipfile.ZIP_STORED, allowZip64=True)
        return self

    def put(self, index: int, coloured: Coloured) -> None:
        """Take the colours of a frame.

        Raises:
            EncodeError: If they cannot be written.
        """
        height, width = coloured.trust.shape
        self._size = (height, width)
        trust = np.rint(coloured.trust * _TRUST_STEPS).astype(np.uint8)
        scale, kind = (256.0, np.uint16) if self._fine else (1.0, np.uint8)
        levels = np.clip(np.rint((coloured.chroma + 128) * scale), 0, np.iinfo(kind).max).astype(kind)
        planes = [_differences(levels[..., i]).tobytes() for i in range(2)]
        self._trust[index - self._begin] = float(coloured.trust.mean())
        self._write(str(index), zlib.compress(b"".join((*planes, trust.tobytes())), _LEVEL))

    def _write(self, name: str, data: bytes) -> None:
        with writing(self._path):
            self._zip.writestr(zipfile.ZipInfo(name, _EPOCH), data)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with writing(self._path):
                if kind is None:
                    assert min(self._trust) >= 0, "a frame of the shot has no colours"
                    facts = {"size": self._size, "trust": [round(value, 4) for value in self._trust]}
                    self._write(_FACTS, json.dumps(facts, separators=(",", ":")).encode())
                self._zip.close()
                if kind is None:
                    sync(self._part)
                    self._part.replace(self._path)
                    sync_names(self._path.parent)
        finally:
            with suppress(OSError):
                self._part.unlink(missing_ok=True)


class ChromaReader:
    """Reads a file. `close` twice is fine.

    Args:
        path: The file.

    Raises:
        EncodeError: If it is not there or not whole.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._zip = zipfile.ZipFile(path)
            facts = json.loads(self._zip.read(_FACTS))
            height, width = (int(side) for side in facts["size"])
            self.facts = ShotFacts(width, height, tuple(float(value) for value in facts["trust"]))
        except (OSError, zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
            raise self._damaged() from error

    def get(self, index: int) -> Coloured:
        """Return the colours of a frame.

        Raises:
            EncodeError: If they are not there or not whole.
        """
        area = self.facts.width * self.facts.height
        try:
            inflater = zlib.decompressobj()
            data = inflater.decompress(self._zip.read(str(index)), min(_LARGEST_ENTRY, 5 * area + 1))
        except (OSError, zipfile.BadZipFile, KeyError, zlib.error) as error:
            raise self._damaged() from error
        if len(data) not in (3 * area, 5 * area):
            raise self._damaged()
        kind, scale = (np.uint8, 1.0) if len(data) == 3 * area else (np.uint16, 256.0)
        levels = np.frombuffer(data, kind, 2 * area).reshape(2, self.facts.height, self.facts.width)
        trust = np.frombuffer(data, np.uint8, area, len(data) - area).reshape(self.facts.height, self.facts.width)
        chroma = np.cumsum(levels, axis=2, dtype=kind).astype(np.float32) * np.float32(1 / scale) - np.float32(128)
        return Coloured(_last_axis(chroma), trust.astype(np.float32) * np.float32(1 / _TRUST_STEPS))

    def close(self) -> None:
        """Let go of the file."""
        self._zip.close()

    def _damaged(self) -> EncodeError:
        return EncodeError(f"the colours in {self._path} are damaged", "remove that file, and run again")


def is_whole(path: Path) -> bool:
    """Whether a finished file is there."""
    try:
        ChromaReader(path).close()
    except EncodeError:
        return False
    return True


def _differences(plane: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return each sample less the one before it in its row, modulo its range: colours are smooth."""
    return np.diff(plane, axis=1, prepend=plane.dtype.type(0))


def _last_axis(planes: FloatPlane) -> FloatPlane:
    return np.ascontiguousarray(np.moveaxis(planes, 0, -1), np.float32)
