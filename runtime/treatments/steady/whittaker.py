"""The Whittaker smoother: the path closest to some places that bends the least. Pure arithmetic."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def smoothed(
    places: NDArray[np.float64], weight: NDArray[np.float64], stiffness: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the `p` that minimises `sum(weight * (places - p)**2) + sum(stiffness * (second difference of p)**2)`.

    Straight runs are kept as they are, also at the ends; of a wave of `w` radians a sample, `1 / (1 + stiffness *
    w**4)` is left. Where the weight is 0 the path goes on as straight as it can.

    Args:
        places: `(n, k)` float64: k paths at once.
        weight: `(n,)` float64, not negative.
        stiffness: `(n,)` float64, not negative: of the path at each place; those of the two ends are not used.

    Returns:
        `(n, k)` float64.
    """
    count = len(places)
    if count < 3 or not weight.any():
        return places.copy()
    # A breath of weight everywhere keeps the equations solvable where only one place is known.
    weight = np.maximum(weight, 1e-9 * float(weight.max()))
    squares = np.zeros((count, 3))  # of the second difference: diagonal and the two beside it
    for offset, value in enumerate((1.0, -2.0, 1.0)):
        for other, factor in enumerate((1.0, -2.0, 1.0)):
            if other >= offset:
                squares[offset : count - 2 + offset, other - offset] += value * factor * stiffness[1:-1]
    lower, pivots = _factorised(squares.tolist(), weight.tolist())
    out = weight[:, None] * places
    for i in range(1, count):
        out[i] -= lower[i][0] * out[i - 1] + (lower[i][1] * out[i - 2] if i > 1 else 0)
    out /= np.array(pivots)[:, None]
    for i in range(count - 2, -1, -1):
        out[i] -= lower[i + 1][0] * out[i + 1] + (lower[i + 2][1] * out[i + 2] if i + 2 < count else 0)
    return out


def _factorised(bands: list[list[float]], weight: list[float]) -> tuple[list[tuple[float, float]], list[float]]:
    """Return L, by the two entries left of its diagonal of ones, and D of `L D L'` of the banded matrix."""
    lower: list[tuple[float, float]] = []
    pivots: list[float] = []
    for i, (diagonal, _, _) in enumerate(bands):
        far = bands[i - 2][2] / pivots[i - 2] if i > 1 else 0.0
        near = bands[i - 1][1] if i > 0 else 0.0
        if i > 1:
            near -= far * pivots[i - 2] * lower[i - 1][0]
        if i > 0:
            near /= pivots[i - 1]
        pivot = diagonal + weight[i]
        if i > 0:
            pivot -= near * near * pivots[i - 1]
        if i > 1:
            pivot -= far * far * pivots[i - 2]
        lower.append((near, far))
        pivots.append(pivot)
    return lower, pivots
