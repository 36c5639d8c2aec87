"""The builder's nested phases as one share."""

from __future__ import annotations

from fastrestore.export.engines.progress import PhaseTree


def test_a_step_counts_as_its_share_of_the_phases_around_it() -> None:
    tree = PhaseTree()
    tree.start("build", None, 4)
    assert tree.step("build", 0) == 0.25
    tree.start("optimise", "build", 2)
    assert tree.step("optimise", 0) == 0.375
    tree.start("fuse", "optimise", 10)
    assert tree.step("fuse", 4) == 0.25 + 0.25 * (0.5 + 0.5 * 0.5)
    assert 0.49 < tree.finish("fuse") < 0.5
    assert 0.49 < tree.finish("optimise") < 0.5  # the step around it is done only when the builder says so
    assert tree.step("build", 1) == 0.5
    assert tree.finish("build") == 1.0


def test_the_share_never_shrinks() -> None:
    """Phases may come back under the same name within one step."""
    tree = PhaseTree()
    tree.start("build", None, 2)
    shares = []
    for _ in range(3):
        tree.start("reformat", "build", 3)
        shares += [tree.step("reformat", index) for index in range(3)]
        shares.append(tree.finish("reformat"))
    shares.append(tree.step("build", 0))
    assert shares == sorted(shares) and shares[-1] == 0.5


def test_odd_reports_do_no_harm() -> None:
    tree = PhaseTree()
    assert tree.step("never begun", 3) == 0
    assert tree.finish("never begun") == 0
    tree.start("alone", "unknown parent", 0)
    assert tree.step("alone", 0) == 1
    assert tree.step("alone", 5) == 1
