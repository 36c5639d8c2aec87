"""Where a face is, how large and how turned: one similarity between it and the upright face that networks know.

Places are complex numbers, `x + iy`, in pixels of a picture with square pixels. Pure arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fastrestore.kernels.film_faces import Matrix
from fastrestore.models.spec import FACE_PX

_UPRIGHT: Final = np.array(
    [
        192.98138 + 239.94708j,
        318.90277 + 240.19360j,
        256.63416 + 314.01935j,
        201.26117 + 371.41043j,
        313.08905 + 371.15118j,
    ]
)
"""Eyes, nose and corners of the mouth of FFHQ's aligned faces at 512 px: what face networks were trained on."""
_MIDDLE: Final = complex(_UPRIGHT.mean())
EYES_PX: Final = float(abs(_UPRIGHT[1] - _UPRIGHT[0]))
"""Between the eyes of the upright face."""


@dataclass(frozen=True, slots=True)
class Pose:
    """A face in a picture."""

    middle: complex
    """The mean of its five landmarks."""
    factor: complex
    """Picture pixels per pixel of the upright face, and its turn."""

    @property
    def eyes_px(self) -> float:
        """How far its eyes are apart in the picture, were it seen from the front."""
        return abs(self.factor) * EYES_PX

    def matrix(self) -> Matrix:
        """Return the map from places of the picture to places of the upright face."""
        back = 1 / self.factor
        offset = _MIDDLE - back * self.middle
        return np.array([[back.real, -back.imag, offset.real], [back.imag, back.real, offset.imag]])


def fit(landmarks: NDArray[np.complex128]) -> tuple[Pose, float]:
    """Return the pose that five landmarks have in common, and by how much they differ from it.

    Args:
        landmarks: `(5,)`, in the order of `detector.NUMBERS`.

    Returns:
        The pose, and the RMS distance from it as a share of the distance between the eyes; infinite if there is none.
    """
    centred = _UPRIGHT - _MIDDLE
    middle = complex(landmarks.mean())
    factor = complex(np.vdot(centred, landmarks - middle) / np.vdot(centred, centred))
    if abs(factor) < 1e-6:
        return Pose(middle, 1 + 0j), float("inf")
    rest = landmarks - middle - factor * centred
    return Pose(middle, factor), float(np.sqrt(np.mean(np.abs(rest) ** 2))) / (abs(factor) * EYES_PX)


assert FACE_PX == 512, "the upright face is given at this size"
