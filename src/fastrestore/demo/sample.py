"""The default sample, frame by frame: the scene drawn small and aged."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fastrestore.demo.ageing import AgeingSettings, age
from fastrestore.demo.scene import FPS, FRAME_COUNT, HEIGHT, WIDTH, draw


def frames(settings: AgeingSettings | None = None) -> Iterator[NDArray[np.uint8]]:
    """Yield the `FRAME_COUNT` frames of the sample, grey, ``(HEIGHT, WIDTH)``, uint8, full range, at `FPS`."""
    for index in range(FRAME_COUNT):
        yield age(draw(float(index / FPS), (WIDTH, HEIGHT)), index, settings).pixels
