"""Whether a film has colours of its own: more than one tint, or one for each tone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

from fastrestore.frames import Picture
from fastrestore.kernels import colour as colours
from fastrestore.runtime.treatments.treatment import Film, Glimpse, Shot

_SIZE: Final = (64, 48)
_TONES: Final = 8
_LEAST_SPREAD: Final = 4.0  # 8-bit levels; tinted and toned prints stay below 2, faded colour film is above 6
_NAME: Final = "own-colours-1"


class OwnColoursProbe:
    """Finds how much the chroma of a frame differs among pixels of a tone."""

    name = _NAME

    def look(self, glimpse: Glimpse) -> Sequence[float]:
        """Return the standard deviation of chroma from its mean at each tone, 8-bit levels; 0 for a grey picture."""
        return [_spread(glimpse.picture)]


def has_own_colours(film: Film, shot: Shot) -> bool:
    """Whether a shot has colours, by what `OwnColoursProbe` found: tinted and toned film has none."""
    return float(np.median(film.findings[_NAME][shot.begin : shot.end, 0])) > _LEAST_SPREAD


def _spread(picture: Picture) -> float:
    if picture.format.kind == "grey":
        return 0.0
    shift = picture.format.bits - 8
    planes = [cv2.resize(plane, _SIZE, interpolation=cv2.INTER_AREA).astype(np.float64) for plane in picture.planes]
    if picture.format.kind == "rgb":
        green, blue, red = planes
        planes = [green, (blue - green) / 2, (red - green) / 2]
    else:
        planes[1:] = [plane - colours.middle(picture.format.bits) for plane in planes[1:]]
    luma, *chroma = (plane.ravel() / (1 << shift) for plane in planes)
    tone = np.clip(luma * _TONES / 256, 0, _TONES - 1).astype(np.int64)
    count = np.maximum(np.bincount(tone, minlength=_TONES), 1)
    squares = 0.0
    for plane in chroma:
        mean = np.bincount(tone, plane, _TONES) / count
        squares += float(np.square(plane - mean[tone]).mean())
    return float(np.sqrt(squares))
