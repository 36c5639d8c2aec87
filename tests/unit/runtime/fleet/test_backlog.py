"""What nobody has begun: dealt from the front, stolen from the back."""

from __future__ import annotations

from fastrestore.runtime.fleet.backlog import Backlog, Task


def backlog(*films: tuple[int, float], longest_run: int = 8, stealing: bool = True) -> Backlog:
    """Return a backlog of films of so many tasks of a weight."""
    made = Backlog(longest_run, stealing)
    for number, (count, weight) in enumerate(films):
        for index in range(count):
            made.add(Task(number, index, weight))
    return made


def numbers(made: Backlog, worker: str, count: int, workers: int = 1) -> list[tuple[int, int]]:
    """Return film and number of the next tasks of a worker."""
    dealt = [made.take(worker, workers) for _ in range(count)]
    return [task[:2] for task in dealt if task is not None]


def test_the_idle_take_the_later_half_of_the_heaviest_run() -> None:
    made = backlog((4, 1.0), (2, 5.0))
    assert numbers(made, "a", 1) == [(0, 0)]
    assert numbers(made, "b", 1) == [(0, 3)]
    # `a` holds 1 and 2 of film 0; the heavy film is free until `c` takes all of it.
    assert numbers(made, "c", 2) == [(1, 0), (1, 1)]
    assert numbers(made, "c", 3) == [(0, 2), (0, 1)]
    assert numbers(made, "a", 1) == []


def test_weight_decides_whose_run_is_cut_not_length() -> None:
    made = backlog((16, 1.0))
    assert numbers(made, "long", 1) == [(0, 0)]
    for index in range(8):
        made.add(Task(1, index, 9.0))
    assert numbers(made, "heavy", 9)[-1] == (1, 0)
    assert numbers(made, "rest", 7)[-1][0] == 1
    # `long` holds 7 of weight 1, `heavy` what is left of film 1.
    while (task := made.take("rest", 1)) is not None and task.film == 1:
        pass
    assert task is not None
    assert task.film == 0
    assert task.number == 4


def test_what_is_given_back_is_dealt_first_and_not_stolen_too() -> None:
    made = backlog((8, 1.0))
    assert numbers(made, "a", 1) == [(0, 0)]
    made.give_back("a")
    made.give_back("a")
    assert numbers(made, "b", 9) == [(0, index) for index in range(1, 8)]


def test_a_gap_in_the_numbers_is_no_gap_in_the_dealing() -> None:
    made = Backlog(8)
    for index in (0, 3, 7):
        made.add(Task(0, index))
    assert numbers(made, "a", 4) == [(0, 0), (0, 3), (0, 7)]


def test_a_dropped_film_is_neither_dealt_nor_stolen() -> None:
    made = backlog((8, 1.0), (1, 1.0))
    assert numbers(made, "a", 1) == [(0, 0)]
    assert len(made.drop(0)) == 8
    assert not made.add(Task(0, 8))
    assert numbers(made, "b", 3) == [(1, 0)]
    assert numbers(made, "a", 1) == []
    made.give_back("a")
    assert numbers(made, "a", 1) == []
