"""Weighs what was measured of marks: how likely each is dust.

The weights are those of small trees, each of which asks three questions of a mark and adds a number to the logarithm
of the odds. `fastrestore.export.train.dust` makes them, from drawn dust on films that have none.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

FILE: Final = "dust_forest.json"
DEPTH: Final = 3
"""Questions that a tree asks."""
_LEAVES: Final = 1 << DEPTH
_ANSWERS: Final = (np.arange(_LEAVES)[:, None] >> np.arange(DEPTH)) & 1 > 0


@dataclass(frozen=True)
class Forest:
    """Trees that all ask the same questions on every branch."""

    bias: float
    """Logarithm of the odds before any question."""
    trait: NDArray[np.intp]
    """`(trees, DEPTH)`: number of what is asked for, in `dust_traits.TRAITS`."""
    least: F64
    """`(trees, DEPTH)`: the answer is yes above it."""
    leaf: F64
    """`(trees, 2 ** DEPTH)`: what is added; the first question's answer is the lowest bit."""

    @classmethod
    def read(cls, text: str) -> Self:
        """Read what `written` has written."""
        fields = json.loads(text)
        trees = fields["trees"]
        return cls(
            float(fields["bias"]),
            np.array([[fields["traits"].index(name) for name in tree["ask"]] for tree in trees], np.intp),
            np.array([tree["above"] for tree in trees], np.float64),
            np.array([tree["add"] for tree in trees], np.float64),
        )

    def written(self, traits: tuple[str, ...]) -> str:
        """Return the trees as JSON, one on a line."""
        lines = [
            json.dumps({"ask": [traits[n] for n in asked], "above": list(least), "add": list(leaf)})
            for asked, least, leaf in zip(self.trait.tolist(), self.least.tolist(), self.leaf.tolist(), strict=True)
        ]
        trees = ",\n  ".join(lines)
        head = f'{{"bias": {json.dumps(self.bias)},\n "traits": {json.dumps(list(traits))},\n "trees": [\n  '
        return f"{head}{trees}\n]}}\n"

    def odds(self, traits: F64) -> F64:
        """Return the logarithm of the odds that marks are dust.

        Args:
            traits: `(marks, traits)`, as in `dust_traits.TRAITS`.
        """
        answers = traits[:, self.trait] > self.least
        leaves = (answers << np.arange(DEPTH)).sum(2)
        return np.asarray(self.bias + self.leaf[np.arange(len(self.leaf)), leaves].sum(1))

    def most_odds(self, traits: F64) -> F64:
        """Return what `odds` would be at most, whatever the traits are that are not yet known.

        Args:
            traits: `(marks, known)`: the first ones of all.
        """
        known = self.trait < traits.shape[1]
        answers = traits[:, np.where(known, self.trait, 0)] > self.least
        possible = ((answers[:, :, None, :] == _ANSWERS) | ~known[:, None, :]).all(3)
        return np.asarray(self.bias + np.where(possible, self.leaf, -np.inf).max(2).sum(1))


@cache
def open_forest() -> Forest:
    """Return the forest that comes with the package."""
    return Forest.read(resources.files(__package__).joinpath(FILE).read_text(encoding="utf-8"))
