"""The simulated fleet: right where the answer is known, efficient at scale, the same for the same seed."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest

from fastrestore.bench.simulation import Load, Machines, Played, Simulation, World
from fastrestore.errors import UsageError
from fastrestore.runtime.fleet.backlog import Task
from fastrestore.runtime.fleet.policy import Policy

CALM = World(spread=0.0, failures=0.0)


def loads(films: int, segments: int, *seconds: float, read: float = 0.0, write: float = 0.0) -> list[Load]:
    tasks = [Task(film, number, seconds[0]) for film in range(films) for number in range(segments)]
    return [Load(task, seconds, read, write) for task in tasks]


def fleet(workers: int, films: int, policy: Policy | None = None, seed: int = 1) -> Played:
    """Play eight workers a machine, 100 segments a worker of 60 s each, with all that goes wrong."""
    machines = [Machines("gpu", workers // 8, 8, losses_per_hour=0.1, back_after_s=300.0)]
    work = loads(films, workers * 100 // films, 60.0)
    return Simulation(machines, work, World(spread=0.3, failures=0.01), seed, policy).play()


def test_without_bad_luck_the_time_is_that_of_the_work() -> None:
    played = Simulation([Machines("a", 2, 2, 3.0, start_s=30.0)], loads(2, 40, 10.0), CALM, 0).play()
    assert played.wall_s == pytest.approx(30.0 + 80 * 10.0 / 4)
    assert played.work_s == pytest.approx(800.0)
    assert played.efficiency == pytest.approx(800.0 / (4 * 230.0))
    assert played.machine_s == {"a": pytest.approx(460.0)}
    assert played.cost == pytest.approx(460.0 / 3600 * 3.0)
    assert (played.failures, played.losses, played.copies, played.given_up) == (0, 0, 0, 0)


def test_a_machine_twice_as_fast_does_twice_as_much() -> None:
    machines = [Machines("fast"), Machines("slow")]
    played = Simulation(machines, loads(1, 300, 1.0, 2.0), CALM, 0).play()
    assert played.wall_s == pytest.approx(200.0, abs=2.0)


def test_a_storage_that_is_too_slow_sets_the_pace() -> None:
    work = loads(1, 40, 1.0, read=30e6, write=10e6)
    world = replace(CALM, storage_bytes_per_s=10e6)
    played = Simulation([Machines("a", 1, 8)], work, world, 0).play()
    moved = 40 * 40e6 + 2 * 40 * 10e6  # each segment, then the film when it is joined
    assert played.moved_bytes == pytest.approx(moved)
    assert played.wall_s == pytest.approx(moved / 10e6)
    linked = Simulation([Machines("a", 1, 8, link_bytes_per_s=5e6)], work, CALM, 0).play()
    assert linked.wall_s == pytest.approx(40 * 40e6 / 5e6)


def test_segments_take_room_until_their_film_is_joined() -> None:
    played = Simulation([Machines("a")], loads(3, 5, 1.0, write=1e6), CALM, 0).play()
    assert played.output_bytes == pytest.approx(15e6)
    # Films are made one after the other: five segments, and the file they are joined into.
    assert played.work_peak_bytes == pytest.approx(10e6)
    assert sorted(played.films_s.values()) == pytest.approx([5.0, 10.0, 15.0])


def test_lost_machines_come_back_and_their_work_is_done_again() -> None:
    machines = [Machines("a", 4, 2, 1.0, start_s=10.0, losses_per_hour=2.0, back_after_s=60.0)]
    played = Simulation(machines, loads(2, 400, 30.0), CALM, 3).play()
    assert played.losses > 2
    assert played.work_s == pytest.approx(800 * 30.0)
    assert played.wall_s > 800 * 30.0 / 8
    assert played.machine_s["a"] < 4 * played.wall_s  # none is paid for while it is gone


def test_a_fleet_that_is_lost_for_good_is_told() -> None:
    machines = [Machines("a", 2, 1, losses_per_hour=3600.0)]
    with pytest.raises(UsageError, match="all machines are lost with 1000 tasks to go"):
        Simulation(machines, loads(1, 1000, 60.0), CALM, 0).play()


def test_tasks_that_keep_failing_are_given_up() -> None:
    played = Simulation([Machines("a", 3)], loads(1, 50, 1.0), replace(CALM, failures=0.9), 0).play()
    assert played.given_up > 0
    assert played.work_s == pytest.approx(50.0 - played.given_up)
    assert played.films_s == {}


def test_the_same_seed_gives_the_same_run_and_another_one_another() -> None:
    first, second, third = (asdict(fleet(16, 4, seed=seed)) for seed in (5, 5, 6))
    assert first == second
    assert first != third


def test_a_hundred_workers_lose_less_than_a_twentieth_of_their_time() -> None:
    played = fleet(104, 20)
    assert played.failures > 50
    assert played.losses > 0
    assert played.given_up == 0
    assert played.efficiency >= 0.95


@pytest.mark.slow
def test_a_thousand_workers_lose_less_than_a_twentieth_of_their_time() -> None:
    played = fleet(1000, 200)
    assert played.failures > 900
    assert played.losses > 10
    assert played.given_up == 0
    assert played.efficiency >= 0.95


def test_stealing_and_second_runs_make_up_for_slow_machines() -> None:
    machines = [Machines("usual", 25, 8), Machines("slow", 1, 4)]
    work = loads(8, 500, 60.0, 1200.0)
    world = World(spread=0.3, failures=0.01)

    def wall_s(policy: Policy) -> float:
        return sum(Simulation(machines, work, world, seed, policy).play().wall_s for seed in (1, 2))

    both = wall_s(Policy())
    assert both < 0.9 * wall_s(Policy(stealing=False))
    assert both < 0.9 * wall_s(Policy(patience=None))
