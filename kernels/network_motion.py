"""What is done around a network that finds motion, in float64 and without haste: what its kernels equal.

The host does the same by `fastrestore.runtime.motion_network.NetworkGrid`, with OpenCV.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastrestore.geometry import Size
from fastrestore.kernels.reference import FLOW_REACH, resize_area, resize_linear

Real = NDArray[np.float64]


def reduced(rgb: NDArray[np.floating], grid: Size, shrink: int, tensor: Size) -> Real:
    """Return a picture as a network is given it: padded by its last row and column, reduced by the area mean, padded.

    Args:
        rgb: `(3, H, W)`.
        grid: Size of the reduced picture; times `shrink` at least that of the picture.
        shrink: Pixels of the picture for one of the network, along a side.
        tensor: What the network is given; at least `grid`.

    Returns:
        `(3, h, w)`.
    """
    whole = _edged(np.asarray(rgb, np.float64), Size(grid.width * shrink, grid.height * shrink))
    return _edged(np.stack([resize_area(plane, grid) for plane in whole]), tensor)


def placed(
    flow: NDArray[np.floating], mask: NDArray[np.floating], grid: Size, shrink: int, picture: Size
) -> tuple[Real, Real]:
    """Return what a network yields, brought to every pixel of the picture.

    Args:
        flow: `(4, h, w)`, px of the network: x and y to the left neighbour, x and y to the right one; finite.
        mask: `(h, w)`: the share of the left neighbour; finite.
        grid: How much of both belongs to the picture.
        shrink: Pixels of the picture for one of the network, along a side.
        picture: Size of the picture.

    Returns:
        Flow `(H, W, 4)` in px of the picture, cut to `FLOW_REACH` times its longer side, and the mask `(H, W)` within
        `[0, 1]`.
    """
    whole = Size(grid.width * shrink, grid.height * shrink)

    def enlarged(plane: Real) -> Real:
        return resize_linear(plane[: grid.height, : grid.width], whole)[: picture.height, : picture.width]

    reach = FLOW_REACH * max(picture.width, picture.height)
    planes = [enlarged(plane * shrink) for plane in np.asarray(flow, np.float64)]
    return np.clip(np.stack(planes, axis=2), -reach, reach), enlarged(np.clip(np.asarray(mask, np.float64), 0, 1))


def _edged(planes: Real, size: Size) -> Real:
    """Repeat the last row and column up to a size; `(C, H, W)`."""
    _, height, width = planes.shape
    return np.pad(planes, ((0, 0), (0, size.height - height), (0, size.width - width)), mode="edge")
