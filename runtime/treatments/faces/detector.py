"""Finds faces in frames: OpenCV's YuNet over luma, a few numbers for each face."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from fastrestore.errors import ModelError
from fastrestore.frames import StreamInfo
from fastrestore.models import store
from fastrestore.models.spec import ModelSpec
from fastrestore.runtime.treatments.faces.settings import FaceSettings
from fastrestore.runtime.treatments.treatment import Glimpse

MOST_FACES: Final = 8
"""Of a frame, the largest ones."""
NUMBERS: Final = 15
"""Of a face: left, top, width, height of its box; x and y of the eye on the left, the eye on the right, the tip of the
nose, and the corners of the mouth, left and right; and how sure the detector is, 0 to 1. In source pixels. A face that
is not there is zeros."""
SCORE: Final = 14
_REVISION: Final = 1
_OVERLAP: Final = 0.3
"""Of two boxes that overlap by more, the better one is a face."""
_MOST_CANDIDATES: Final = 1000
_BLACK, _WHITE = 16, 235


class FaceProbe:
    """Looks for faces in every frame. See `Probe`.

    Args:
        settings: How.
        spec: The detector.
        info: The film.
    """

    def __init__(self, settings: FaceSettings, spec: ModelSpec, info: StreamInfo) -> None:
        self._settings, self._spec, self._aspect = settings, spec, float(info.pixel_aspect)
        self._detector: Any = None
        self._size: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        """See `Probe.name`."""
        settings, sha256 = self._settings, self._spec.artifact("fp32").sha256
        return f"faces-{_REVISION} {sha256[:16]} score={settings.score:g} side={settings.side}"

    def look(self, glimpse: Glimpse) -> Sequence[float]:
        """See `Probe.look`: `MOST_FACES` times `NUMBERS` numbers.

        Raises:
            ModelError: If the detector cannot be used.
        """
        full = glimpse.picture.colour.full_range or glimpse.picture.format.kind == "rgb"
        return self.find(glimpse.luma, full_range=full)

    def find(self, luma: NDArray[np.uint8], *, full_range: bool) -> list[float]:
        """Return the faces of a picture, the largest first; as `look`.

        Args:
            luma: `(H, W)` uint8.
            full_range: Whether black is 0 and white 255.

        Raises:
            ModelError: If the detector cannot be used.
        """
        height, width = luma.shape
        shrink = min(1.0, self._settings.side / max(width * self._aspect, height))
        size = max(1, round(width * self._aspect * shrink)), max(1, round(height * shrink))
        shown = luma if size == (width, height) else cv2.resize(luma, size, interpolation=cv2.INTER_AREA)
        if not full_range:
            scale = 255 / (_WHITE - _BLACK)
            shown = cv2.convertScaleAbs(np.maximum(shown, _BLACK), alpha=scale, beta=-_BLACK * scale)
        found = self._detected(cv2.merge([shown] * 3), size)
        rows = _in_source(found, (width / size[0], height / size[1]))
        rows = rows[np.lexsort((rows[:, 0], rows[:, 1], -rows[:, 2] * rows[:, 3]))][:MOST_FACES]
        out = np.zeros((MOST_FACES, NUMBERS))
        out[: len(rows)] = rows
        return out.reshape(-1).tolist()

    def _detected(self, image: NDArray[Any], size: tuple[int, int]) -> NDArray[np.float64]:
        if self._detector is None:
            self._detector = open_detector(self._spec, self._settings.score)
        with _translated(self._spec):
            if size != self._size:
                self._detector.setInputSize(size)
                self._size = size
            _, found = self._detector.detect(image)
        rows = np.zeros((0, NUMBERS)) if found is None else np.asarray(found, np.float64).reshape(-1, NUMBERS)
        return rows[np.isfinite(rows).all(axis=1) & (rows[:, 2] > 0) & (rows[:, 3] > 0)]


def open_detector(spec: ModelSpec, score: float) -> Any:
    """Return OpenCV's detector, its size still to be set.

    Args:
        spec: The network.
        score: What it must be sure of, 0 to 1.

    Raises:
        ModelError: If its file is missing, damaged, or cannot be used.
    """
    path = str(store.locate(spec, "fp32"))
    with _translated(spec), _quietly():
        return cv2.FaceDetectorYN.create(path, "", (1, 1), score, _OVERLAP, _MOST_CANDIDATES)


def _in_source(rows: NDArray[np.float64], step: tuple[float, float]) -> NDArray[np.float64]:
    """Return faces in source pixels, of which each pixel of the picture shown is `step` (x, y)."""
    out = rows.copy()
    for first, factor in ((0, step[0]), (1, step[1])):
        places = [first, *range(4 + first, SCORE, 2)]
        out[:, places] = (rows[:, places] + 0.5) * factor - 0.5
    out[:, 2], out[:, 3] = rows[:, 2] * step[0], rows[:, 3] * step[1]
    return out


@contextmanager
def _translated(spec: ModelSpec) -> Iterator[None]:
    try:
        yield
    except cv2.error as error:
        raise ModelError(
            f"model `{spec.name}` cannot be used to find faces: {_reason(error)}",
            "use YuNet as the OpenCV Zoo publishes it; see docs/old-film/faces.md",
        ) from error


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep OpenCV from telling the user of a setting that its new engine passes over; errors are raised in any case."""
    logging = cv2.utils.logging
    level = logging.getLogLevel()
    logging.setLogLevel(logging.LOG_LEVEL_ERROR)
    try:
        yield
    finally:
        logging.setLogLevel(level)


def _reason(error: cv2.error) -> str:
    text = " ".join(str(error).split())
    return ascii(text.rpartition("error: ")[2][:160])[1:-1]
