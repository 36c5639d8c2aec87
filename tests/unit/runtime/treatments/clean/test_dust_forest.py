"""The trees that weigh marks, and the recipe that grows them."""

from __future__ import annotations

import numpy as np
import pytest

from fastrestore.export.train.dust import grown
from fastrestore.runtime.treatments.clean.dust_forest import DEPTH, Forest, open_forest
from fastrestore.runtime.treatments.clean.dust_traits import CHEAP, SOUGHT, TRAITS

_RNG = np.random.default_rng(4)


def _marks(count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.exp(_RNG.normal(0, 1.5, (count, len(TRAITS)))) - 0.3


def test_one_tree_adds_what_its_answers_say() -> None:
    forest = Forest(-1.0, np.array([[0, 1, 0]]), np.array([[0.5, 2.0, 1.5]]), np.arange(8.0)[None])
    marks = np.array([[0.0, 0.0], [1.0, 3.0], [2.0, 0.0], [2.0, 9.0]])
    assert forest.odds(marks).tolist() == [-1, 2, 4, 6]


def test_what_is_not_yet_known_is_given_the_benefit_of_the_doubt() -> None:
    """Marks that are dropped early would have been dropped in the end."""
    forest, marks = open_forest(), _marks(400)
    exact = forest.odds(marks)
    bounds = [forest.most_odds(marks[:, :known]) for known in (CHEAP, SOUGHT, len(TRAITS))]
    assert (bounds[0] >= bounds[1] - 1e-9).all()
    assert (bounds[1] >= exact - 1e-9).all()
    assert bounds[2] == pytest.approx(exact)
    assert (bounds[0] < 0.3).any(), "some are dropped"


def test_the_package_s_trees_ask_for_what_is_measured() -> None:
    forest = open_forest()
    assert forest.trait.shape == forest.least.shape == (len(forest.leaf), DEPTH)
    assert forest.trait.max() < len(TRAITS)
    assert Forest.read(forest.written(TRAITS)).written(TRAITS) == forest.written(TRAITS)


def test_trees_learn_what_two_traits_say_together() -> None:
    """Neither trait says anything by itself."""
    marks = _RNG.uniform(0, 1, (3000, 4))
    dust = (marks[:, 1] > 0.5) ^ (marks[:, 3] > 0.3)
    forest = grown(marks[:2000], dust[:2000], trees=30)
    assert np.mean((forest.odds(marks[2000:]) > 0) == dust[2000:]) > 0.95


def test_the_same_marks_grow_the_same_trees() -> None:
    marks = _RNG.uniform(0, 1, (500, 3))
    dust = marks[:, 0] > 0.7
    assert grown(marks, dust, trees=5).written(("a", "b", "c")) == grown(marks, dust, trees=5).written(("a", "b", "c"))
