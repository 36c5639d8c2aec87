"""The scheduler: every task counts exactly once, whatever happens to workers and in whatever order."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable

import pytest

from fastrestore.runtime.fleet.backlog import Task
from fastrestore.runtime.fleet.policy import Action, Policy
from fastrestore.runtime.fleet.scheduler import Scheduler


def film(number: int, count: int, weight: float = 1.0) -> list[Task]:
    return [Task(number, index, weight) for index in range(count)]


def scheduler(tasks: Iterable[Task], workers: int, policy: Policy | None = None) -> Scheduler:
    made = Scheduler(policy)
    made.add(tasks)
    made.end_of_tasks()
    for index in range(workers):
        made.join(f"w{index}", 0.0)
    return made


def take(made: Scheduler, worker: str, now: float = 0.0) -> Task:
    task = made.next(worker, now)
    assert task is not None
    return task


class Chaos:
    """Drives a scheduler through a random history and counts what it accepts."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = 0.0
        self.accepted: Counter[Task] = Counter()
        self.given_up: set[Task] = set()
        self.dropped: set[int] = set()
        self.ghosts: list[tuple[str, Task]] = []
        """Runs whose end may still be reported, although their worker was lost or told to stop."""
        self.running: list[tuple[str, Task]] = []
        self.log: list[object] = []
        weights = [self.random.uniform(0.5, 4.0) for _ in range(6)]
        self.to_add = [Task(f, n, weights[f]) for f in range(6) for n in range(self.random.randrange(1, 40))]
        self.tasks = list(self.to_add)
        policy = Policy(attempts=self.random.choice([2, 3, 9]), longest_run=self.random.choice([1, 4, 16]), samples=5)
        self.scheduler = Scheduler(policy)
        self.workers: set[str] = set()

    def step(self) -> None:
        self.now += self.random.expovariate(2.0)
        actions = [self.add, self.join, self.work, self.work, self.work, self.finish, self.finish, self.finish]
        actions += [self.fail, self.lose, self.ghost]
        if self.random.random() < 0.01:
            actions = [self.drop]
        self.random.choice(actions)()

    def add(self) -> None:
        count = self.random.randrange(1, 20)
        self.scheduler.add(self.to_add[:count])
        del self.to_add[:count]
        if not self.to_add:
            self.scheduler.end_of_tasks()

    def join(self) -> None:
        name = f"w{self.random.randrange(8)}"
        if name not in self.workers:
            self.scheduler.join(name, self.now)
            self.workers.add(name)

    def work(self) -> None:
        for name in sorted(self.workers):
            if not any(worker == name for worker, _ in self.running):
                task = self.scheduler.next(name, self.now)
                self.log.append((name, task))
                if task is not None:
                    assert self.accepted[task] == 0
                    assert task not in self.given_up
                    assert task.film not in self.dropped
                    self.running.append((name, task))
                    assert sum(other == task for _, other in self.running) <= 2

    def finish(self) -> None:
        if self.running:
            name, task = self.running.pop(self.random.randrange(len(self.running)))
            self.report(name, task)

    def report(self, name: str, task: Task) -> None:
        self.accepted[task] += self.scheduler.finished(name, task, self.now)
        if self.random.random() < 0.1:
            assert not self.scheduler.finished(name, task, self.now)
        self.stop_losers()

    def fail(self) -> None:
        if self.running:
            name, task = self.running.pop(self.random.randrange(len(self.running)))
            verdict = self.scheduler.failed(name, task, self.now, "why", final=self.random.random() < 0.05)
            if verdict.action is Action.GIVE_UP:
                assert "why" in verdict.reason
                self.given_up.add(task)
            self.stop_losers()

    def lose(self) -> None:
        if self.workers and self.random.random() < 0.3:
            name = self.random.choice(sorted(self.workers))
            self.workers.remove(name)
            self.given_up.update(self.scheduler.lost(name, self.now))
            self.ghosts += [run for run in self.running if run[0] == name]
            self.running = [run for run in self.running if run[0] != name]

    def ghost(self) -> None:
        if self.ghosts:
            name, task = self.ghosts.pop(self.random.randrange(len(self.ghosts)))
            if (name, task) not in self.running:
                self.report(name, task)

    def drop(self) -> None:
        number = self.random.randrange(6)
        self.scheduler.drop(number)
        self.dropped.add(number)
        self.stop_losers()

    def stop_losers(self) -> None:
        for name in sorted(self.workers):
            for task in self.scheduler.cancel(name):
                self.running.remove((name, task))
                self.ghosts.append((name, task))

    def run(self) -> None:
        for _ in range(20_000):
            if self.scheduler.complete:
                return
            self.step()
            progress = self.scheduler.progress()
            assert progress.running == len({task for _, task in self.running})
            assert progress.done == sum(self.accepted.values())
        raise AssertionError(f"not complete: {self.scheduler.progress()}")


@pytest.mark.parametrize("seed", range(60))
def test_every_task_counts_once_or_is_given_up_or_dropped(seed: int) -> None:
    chaos = Chaos(seed)
    chaos.run()
    assert set(chaos.accepted.values()) <= {0, 1}
    done = {task for task, count in chaos.accepted.items() if count}
    dropped = {task for task in chaos.tasks if task.film in chaos.dropped} - done - chaos.given_up
    assert done | chaos.given_up | dropped == set(chaos.tasks)
    assert not done & chaos.given_up
    assert set(chaos.scheduler.given_up) == chaos.given_up
    assert all(chaos.scheduler.left(number) == 0 for number in range(6))
    progress = chaos.scheduler.progress()
    assert (progress.waiting, progress.running) == (0, 0)
    assert progress.dropped == len(dropped)
    assert progress.weight_done == pytest.approx(sum(task.weight for task in done))
    assert progress.weight == pytest.approx(sum(task.weight for task in done | chaos.given_up))


def test_the_same_calls_give_the_same_answers() -> None:
    first, second = Chaos(7), Chaos(7)
    first.run()
    second.run()
    assert first.log == second.log


def test_neighbours_go_to_one_worker() -> None:
    made = scheduler(film(0, 64), 2, Policy(longest_run=4))
    dealt: dict[str, list[int]] = {"w0": [], "w1": []}
    for _ in range(8):
        for name, numbers in dealt.items():
            numbers.append(take(made, name).number)
    assert dealt["w0"] == [0, 1, 2, 3, 8, 9, 10, 11]
    assert dealt["w1"] == [4, 5, 6, 7, 12, 13, 14, 15]


def test_runs_get_shorter_as_the_work_runs_out() -> None:
    made = scheduler(film(0, 16), 2)
    assert [take(made, name).number for name in ("w0", "w1")] == [0, 4]


def test_a_worker_goes_on_with_its_film() -> None:
    made = scheduler(film(0, 4) + film(1, 40), 2, Policy(longest_run=4))
    dealt = {name: [take(made, name) for _ in range(8)] for name in ("w1", "w0")}
    assert {task.film for task in dealt["w1"]} == {0, 1}
    made.lost("w1", 1.0)
    made.join("w1", 1.0)
    # What was lost of film 0 goes first; w0 stays with film 1 once that is dealt.
    returned = [take(made, "w1", 1.0) for _ in range(8)]
    assert returned == dealt["w1"]
    assert take(made, "w0", 1.0).film == 1


def test_films_are_worked_on_in_their_order_while_tasks_are_still_found() -> None:
    made = Scheduler()
    made.join("w0", 0.0)
    assert made.next("w0", 0.0) is None
    made.add(film(4, 1))
    made.add(film(2, 2))
    made.add([Task(4, 1)])
    assert [take(made, "w0")[:2] for _ in range(4)] == [(4, 0), (4, 1), (2, 0), (2, 1)]
    assert not made.complete
    assert made.next("w0", 0.0) is None
    made.end_of_tasks()
    assert not made.complete


def test_without_stealing_the_idle_wait() -> None:
    made = scheduler(film(0, 4), 1, Policy(longest_run=8, stealing=False))
    held = [take(made, "w0")]
    made.join("w1", 0.0)
    while (task := made.next("w1", 0.0)) is not None:
        held.append(task)
    assert len(held) == 3
    assert take(made, "w0") == Task(0, 1)
    assert made.next("w1", 0.0) is None


def test_what_was_lost_goes_first() -> None:
    made = scheduler(film(0, 20), 2)
    lost = [take(made, "w0"), take(made, "w0")]
    assert made.lost("w0", 1.0) == []
    assert made.lost("w0", 1.0) == []
    assert [take(made, "w1") for _ in range(2)] == lost
    # Then what the lost worker held and had not begun.
    assert take(made, "w1").number == 2


def test_a_lost_worker_may_still_deliver() -> None:
    made = scheduler(film(0, 1), 2)
    task = take(made, "w0")
    made.lost("w0", 1.0)
    assert take(made, "w1", 1.0) == task
    assert made.finished("w0", task, 2.0)
    assert made.cancel("w1") == [task]
    assert made.cancel("w1") == []
    assert not made.finished("w1", task, 3.0)
    assert made.complete


def test_a_result_that_arrives_before_the_retry_began() -> None:
    made = scheduler(film(0, 2), 1)
    task = take(made, "w0")
    made.lost("w0", 1.0)
    assert made.finished("w0", task, 2.0)
    made.join("w1", 2.0)
    assert take(made, "w1", 2.0).number == 1
    assert made.next("w1", 2.0) is None


def test_a_failed_task_goes_elsewhere_if_there_is_anybody() -> None:
    made = scheduler(film(0, 1), 2)
    task = take(made, "w0")
    assert made.failed("w0", task, 1.0, "out of memory").action is Action.RETRY
    assert made.next("w0", 1.0) is None
    assert take(made, "w1", 1.0) == task
    made.failed("w1", task, 2.0, "out of memory")
    # Both have failed it: anybody may try.
    assert take(made, "w0", 2.0) == task
    verdict = made.failed("w0", task, 3.0, "out of memory")
    assert verdict.action is Action.GIVE_UP
    assert verdict.reason == "failed 3 times, last on `w0`: out of memory"
    assert made.given_up == {task: verdict.reason}
    assert made.complete


def test_a_lone_worker_tries_again_itself() -> None:
    made = scheduler(film(0, 1), 1)
    for attempt in range(3):
        verdict = made.failed("w0", take(made, "w0", float(attempt)), float(attempt))
    assert verdict.action is Action.GIVE_UP


def test_a_final_failure_is_not_tried_again() -> None:
    made = scheduler(film(0, 2), 2)
    verdict = made.failed("w0", take(made, "w0"), 1.0, "broken file", final=True)
    assert (verdict.action, verdict.reason) == (Action.GIVE_UP, "failed once, last on `w0`: broken file")


def test_a_task_that_ends_its_workers_is_given_up() -> None:
    made = scheduler(film(0, 2), 0, Policy(losses=3))
    for index in range(3):
        made.join(f"w{index}", 0.0)
        task = take(made, f"w{index}")
        given_up = made.lost(f"w{index}", 1.0)
    assert given_up == [task] == [Task(0, 0)]
    assert "w2" in made.given_up[task]


def test_a_worker_that_keeps_failing_rests() -> None:
    made = scheduler(film(0, 40), 2, Policy(strikes=3, rest_s=1.0))
    for _ in range(3):
        made.failed("w0", take(made, "w0"), 10.0)
    assert made.next("w0", 10.9) is None
    assert made.wake("w0", 10.9) == 11.0
    # What it held is free for others meanwhile, behind what failed.
    assert [take(made, "w1", 10.5).number for _ in range(4)] == [0, 1, 2, 3]
    made.failed("w0", take(made, "w0", 11.0), 11.0)
    assert made.wake("w0", 11.0) == 13.0
    made.finished("w0", take(made, "w0", 13.0), 14.0)
    made.failed("w0", take(made, "w0", 14.0), 15.0)
    assert made.next("w0", 15.0) is not None


def test_a_worker_that_keeps_getting_lost_rests_when_it_comes_back() -> None:
    made = scheduler(film(0, 40), 0, Policy(strikes=2, rest_s=5.0, longest_rest_s=60.0))
    for now in (1.0, 2.0):
        made.join("w0", now)
        take(made, "w0", now)
        made.lost("w0", now)
    made.join("w0", 3.0)
    assert made.next("w0", 3.0) is None
    assert made.wake("w0", 3.0) == 7.0
    made.lost("w0", 4.0)
    made.join("w0", 100.0)
    assert made.next("w0", 100.0) is not None


def slow_tail(policy: Policy | None = None) -> tuple[Scheduler, Task]:
    """Return a scheduler whose tasks took 1 s each but for the last one, begun on `w0` at 11 s, and that one."""
    made = scheduler(film(0, 12, weight=2.0), 1, policy or Policy(patience=2.0, samples=10))
    for second in range(11):
        made.finished("w0", take(made, "w0", second), second + 1.0)
    slow = take(made, "w0", 11.0)
    made.join("w1", 11.0)
    return made, slow


def test_the_idle_begin_what_takes_too_long_a_second_time() -> None:
    made, slow = slow_tail()
    assert made.next("w1", 12.0) is None
    assert made.wake("w1", 12.0) == pytest.approx(13.0)
    assert made.overdue(12.9) == []
    assert [(late.task, late.worker, late.at) for late in made.overdue(13.1)] == [(slow, "w0", 11.0)]
    assert made.next("w0", 13.1) is None
    assert made.next("w1", 13.1) == slow
    made.join("w2", 13.1)
    assert made.next("w2", 99.0) is None
    assert made.progress().copies == 1
    assert made.finished("w1", slow, 14.0)
    assert made.cancel("w0") == [slow]
    assert not made.finished("w0", slow, 15.0)
    assert made.complete


def test_a_copy_that_fails_leaves_the_other_run_alone() -> None:
    made, slow = slow_tail()
    assert made.next("w1", 14.0) == slow
    verdict = made.failed("w1", slow, 15.0, "why")
    assert verdict.action is Action.WAIT
    assert made.next("w1", 15.0) is None
    made.join("w2", 15.0)
    assert made.next("w2", 15.0) == slow
    assert made.lost("w0", 16.0) == []
    assert made.progress().running == 1
    assert made.finished("w2", slow, 17.0)


def test_nothing_is_copied_before_the_median_is_known_or_unless_wanted() -> None:
    for policy in (Policy(samples=12), Policy(patience=None)):
        made, _ = slow_tail(policy)
        assert made.next("w1", 1000.0) is None
        assert made.wake("w1", 1000.0) is None
        assert made.overdue(1000.0) == []


def test_a_film_that_is_dropped_takes_its_tasks_along() -> None:
    made = Scheduler()
    made.add(film(0, 30) + film(1, 2))
    made.join("w0", 0.0)
    made.join("w1", 0.0)
    begun, other = take(made, "w0"), take(made, "w1")
    made.drop(0)
    made.add([Task(0, 99)])
    made.end_of_tasks()
    assert made.cancel("w0") == [begun]
    assert made.cancel("w1") == [other]
    assert made.failed("w0", begun, 1.0).action is Action.NOTHING
    assert [take(made, "w0"), take(made, "w1")] == film(1, 2)
    progress = made.progress()
    assert (progress.dropped, progress.tasks, progress.weight) == (31, 2, 2.0)
    assert made.left(0) == 0
    assert made.left(1) == 2


def test_results_of_unknown_tasks_do_not_count() -> None:
    made = scheduler(film(0, 1), 1)
    assert not made.finished("w0", Task(5, 5), 1.0)
    assert made.failed("w0", Task(5, 5), 1.0).action is Action.NOTHING
    assert made.progress().done == 0


def test_wrong_use_is_refused() -> None:
    made = scheduler(film(0, 2), 1)
    with pytest.raises(ValueError, match="joined already"):
        made.join("w0", 1.0)
    with pytest.raises(ValueError, match="after the end"):
        made.add([Task(1, 0)])
    with pytest.raises(KeyError):
        made.next("nobody", 0.0)
    fresh = Scheduler()
    with pytest.raises(ValueError, match="not above zero"):
        fresh.add([Task(0, 0, 0.0)])
    with pytest.raises(ValueError, match="segment 3 of film 0 comes after 3"):
        fresh.add([Task(0, 3), Task(0, 3)])
    assert fresh.progress().tasks == 1
