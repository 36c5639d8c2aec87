"""How faces are rebuilt: the words of `--faces`, and the networks that they name."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Self

from fastrestore.config import FilmOptions
from fastrestore.errors import ModelError, UsageError
from fastrestore.models import catalog
from fastrestore.models.spec import ModelSpec, Task
from fastrestore.runtime.treatments.limits import require_within

_HINT: Final = "for example `--faces MODEL` or `--faces MODEL,strength=0.6,eyes=16`"
_GET_DETECTOR: Final = (
    "faces are found by YuNet, which does not ship: get `face_detection_yunet_2026may.onnx`, or `..._2023mar.onnx`, of "
    "the OpenCV Zoo (MIT licence), and run `fastrestore export FILE.onnx --name yunet`"
)
_LIMITS: Final = {
    "strength": (0.0, 1.0),
    "eyes": (4.0, 200.0),
    "score": (0.1, 0.99),
    "side": (64.0, 4096.0),
}


@dataclass(frozen=True, slots=True)
class FaceSettings:
    """How faces are rebuilt."""

    model: str
    """A face network of the catalogue."""
    strength: float = 1.0
    """How much of the rebuilt face is taken, 0 to 1."""
    eyes: float = 12.0
    """Source pixels between the eyes up to which a face is too small to be known, 4 to 200; from a quarter more on it
    is rebuilt in full."""
    score: float = 0.7
    """What the detector must be sure of, 0.1 to 0.99."""
    side: int = 960
    """Long side in px of the picture in which faces are looked for, at most; 64 to 4096."""
    detector: str = ""
    """A detector of the catalogue; empty takes the only one there is."""

    def __post_init__(self) -> None:
        """Refuse settings that mean nothing.

        Raises:
            UsageError: If there is no network, or a number is out of its range.
        """
        if not self.model:
            raise UsageError("`--faces` names no network", _HINT)
        require_within("--faces", self, _LIMITS, _HINT)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `MODEL`, and after it any of `strength=`, `eyes=`, `score=`, `side=`, `detector=`.

        Raises:
            UsageError: If a word is not understood.
        """
        model, *words = (word.strip() for word in text.split(","))
        values: dict[str, float | str] = {}
        for word in words:
            name, _, value = word.partition("=")
            if name == "detector" and value:
                values[name] = value
            elif name in _LIMITS:
                values[name] = _number(word, value, whole=name == "side")
            else:
                raise UsageError(f"`--faces`: `{word}` is not understood", _HINT)
        return cls(model, **values)  # type: ignore[arg-type]    # by name: numbers but for `detector`

    def network(self) -> ModelSpec:
        """Return the face network.

        Raises:
            UsageError: If there is none of that name, or it does something else.
            ModelError: If it is broken.
        """
        return _model(self.model, Task.FACE, "rebuilds no faces")

    def finder(self) -> ModelSpec:
        """Return the detector.

        Raises:
            UsageError: If there is none, there are several and none is named, or it does something else.
            ModelError: If it is broken.
        """
        if self.detector:
            return _model(self.detector, Task.DETECT, "finds no faces")
        found = [spec for spec in catalog.catalog() if spec.task is Task.DETECT]
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(spec.name for spec in found)
            raise UsageError(f"there are {len(found)} face detectors: {names}", "say which one: `detector=NAME`")
        raise UsageError("there is no face detector among the models", _GET_DETECTOR)


def faces_of(options: FilmOptions) -> FaceSettings | None:
    """Return how faces are rebuilt, if that is asked for.

    Raises:
        UsageError: If the words are not understood.
    """
    return FaceSettings.parse(options.faces) if options.faces else None


def face_network(options: FilmOptions) -> ModelSpec | None:
    """Return the network that rebuilds faces, if that is asked for.

    Raises:
        UsageError: If the words are not understood, or there is no such network.
        ModelError: If it is broken.
    """
    settings = faces_of(options)
    return None if settings is None else settings.network()


def _model(name: str, task: Task, otherwise: str) -> ModelSpec:
    try:
        spec = catalog.find(name)
    except UsageError as error:
        hint = _GET_DETECTOR if task is Task.DETECT else "make one of a checkpoint by `fastrestore export`"
        raise UsageError(f"`--faces`: {error.message}", f"{hint}; see docs/old-film/faces.md") from error
    except ModelError as error:
        raise ModelError(f"`--faces`: {error.message}", error.hint) from error
    if spec.task is not task:
        raise UsageError(f"`--faces`: model `{name}` {otherwise}", "see `fastrestore models list`")
    return spec


def _number(word: str, text: str, *, whole: bool) -> float:
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"`--faces`: `{word}` has no number", _HINT)
    return value
