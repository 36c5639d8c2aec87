"""Antialiased bicubic resizing in NumPy, the convention that super-resolution figures are given in."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]


def resize_bicubic(image: NDArray[np.generic], height: int, width: int) -> Floats:
    """Resize with the cubic kernel `a = -0.5`, widened when shrinking.

    The same convention as MATLAB's `imresize`, Pillow, and `torch.nn.functional.interpolate` with
    `antialias=True`: half-pixel centres, kernel cut and renormalised at the border.

    Args:
        image: `(H, W, C)`, any numeric dtype and range.
        height: Rows wanted.
        width: Columns wanted.

    Returns:
        `(height, width, C)`, float32, the range of the input with overshoot, not clipped.
    """
    rows = _weights(image.shape[0], height)
    columns = _weights(image.shape[1], width)
    tall = np.tensordot(rows, image.astype(np.float32), axes=(1, 0))
    wide = np.tensordot(columns, tall, axes=(1, 1))
    return np.ascontiguousarray(wide.transpose(1, 0, 2), dtype=np.float32)


def to_bytes(image: Floats) -> Bytes:
    """Round and clip a float picture of range `[0, 255]` to uint8 of the same shape."""
    rounded: Bytes = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return rounded


def crop_to_multiple(image: Bytes, factor: int) -> Bytes:
    """Cut `(H, W, C)` on the right and below so that both sides are multiples of `factor`."""
    height, width = image.shape[:2]
    return image[: height - height % factor, : width - width % factor]


def _weights(size: int, wanted: int) -> Floats:
    """Return the `(wanted, size)` resampling matrix along one axis; every row adds up to 1."""
    ratio = size / wanted
    widen = max(ratio, 1.0)
    centres = (np.arange(wanted)[:, None] + 0.5) * ratio - 0.5
    weights = _cubic((np.arange(size)[None, :] - centres) / widen)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Evaluate Keys' cubic convolution kernel with `a = -0.5`."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))
