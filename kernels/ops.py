"""The contract of the pixel kernels, the same on every device, and the table that finds an implementation.

What every operation computes is written in `fastrestore.kernels.reference`, in float64 and without haste; an
implementation equals that within the tolerances below.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fastrestore.errors import UsageError
from fastrestore.frames import Colour, FloatImage, Motion, Picture, PixelFormat
from fastrestore.geometry import Size

RGB_TOLERANCE = 2e-5
"""Largest difference in R'G'B' that an implementation may have from the reference: float32 rounding."""
SAMPLE_TOLERANCE = 1.0
"""Largest difference in stored 8-bit samples: one step, where rounding falls on the other side."""
GUARD_TOLERANCE = 0.04
"""Disagreement of two warped neighbours, as a share of white, that is put down to rounding and sharpening.

At half of this the guard bites into good motion: 0.04 dB on the swan clip at x2."""
GUARD_SOFTNESS = 0.1
"""Further disagreement over which the nearer neighbour takes over completely."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How two pictures of a size differ; luma as a share of white."""

    mean: float
    """Mean absolute difference."""
    peak_block: float
    """Largest mean absolute difference of any 16x16 block."""
    correlation: float
    """Normalised cross-correlation of 32x24 thumbnails in `[-1, 1]`: blind to gain and offset, hence to flicker."""


class Ops(Protocol):
    """Pixel kernels. Inputs are never written to; results are new and belong to the caller."""

    def to_rgb(self, picture: Picture) -> FloatImage:
        """Return R'G'B', `(3, H, W)` float32, nominally `[0, 1]`, not clipped; chroma interpolated linearly."""
        ...

    def from_rgb(
        self, rgb: FloatImage, size: Size, pixel_format: PixelFormat, colour: Colour, *, neutral: bool = False
    ) -> Picture:
        """Resize R'G'B' `(3, h, w)` to `size` and store it, dithered.

        Growing uses Lanczos (4 lobes), shrinking the area mean. `neutral` keeps an exactly grey picture exactly
        grey: chroma is its middle value and only luma is computed.
        """
        ...

    def requantize(self, picture: Picture, pixel_format: PixelFormat) -> Picture:
        """Store the same samples in another bit depth of the same layout, dithered where bits are lost."""
        ...

    def luma8(self, picture: Picture) -> NDArray[np.uint8]:
        """Return luma as `(H, W)` uint8, in the range the picture is stored in: what motion is found on."""
        ...

    def difference(self, left: NDArray[np.uint8], right: NDArray[np.uint8]) -> Difference:
        """Compare two `(H, W)` uint8 luma planes."""
        ...

    def disagreement(self, left: NDArray[np.uint8], right: NDArray[np.uint8], motion: Motion) -> NDArray[np.float32]:
        """Return how far two `(H, W)` uint8 luma planes differ once warped along a motion of their own size.

        The result, `(H, W)` float32 in `[0, 1]`, is what `Motion.disagreement` holds.
        """
        ...

    def synthesize(self, left: Picture, right: Picture, motion: Motion, t: float) -> Picture:
        """Return the picture at `t` in (0, 1): both neighbours warped along the motion and blended by its mask.

        The motion may have another size than the pictures. Where the warped neighbours disagree by more than the
        motion's own `disagreement`, the neighbour nearer in time is taken. NaN displacements count as 0.
        """
        ...


_IMPLEMENTATIONS = {
    "cpu": "fastrestore.kernels.cpu:CpuOps",
    "reference": "fastrestore.kernels.reference:ReferenceOps",
}


def open_ops(device: str = "cpu") -> Ops:
    """Return the kernels for a device.

    Raises:
        UsageError: If there are none.
    """
    if device not in _IMPLEMENTATIONS:
        raise UsageError(f"no kernels for device `{device}`", f"known: {', '.join(_IMPLEMENTATIONS)}")
    module, _, name = _IMPLEMENTATIONS[device].partition(":")
    ops: Ops = getattr(import_module(module), name)()
    return ops
