"""How a batch goes on past what fails: attempts are played, the lanes are real."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from fastrestore.batch import lanes as lanes_module
from fastrestore.batch.conversion import Observer
from fastrestore.batch.lanes import Policy
from fastrestore.batch.order import Place
from fastrestore.batch.outcome import Item, Outcome, Position, Result
from fastrestore.batch.run import Batch
from fastrestore.config import ConvertOptions
from fastrestore.errors import DecodeError, DeviceError, EncodeError, FastRestoreError, JobError
from fastrestore.runtime.engine_pool import EnginePool
from fastrestore.runtime.report import Progress

LONG_S = 10


class Heard:
    """A listener that keeps what it heard."""

    def __init__(self, on_settled: Callable[[Outcome], None] = lambda _: None) -> None:
        self.plans: list[int] = []
        self.outcomes: list[Outcome] = []
        self.positions: list[Position] = []
        self._on_settled = on_settled

    def planned(self, item: Item, plan: Mapping[str, str], position: Position) -> None:
        self.plans.append(item.index)

    def progressed(self, item: Item, progress: Progress, position: Position) -> None:
        self.positions.append(position)

    def settled(self, outcome: Outcome, position: Position) -> None:
        self.outcomes.append(outcome)
        self.positions.append(position)
        self._on_settled(outcome)


class Script:
    """Plays the conversions: what is written for a file happens, attempt by attempt; then it is done.

    What is written is an error, or something to call, which may raise one.
    """

    def __init__(self, **acts: Sequence[Exception | Callable[[Observer], None]]) -> None:
        self._acts = {int(name[1:]): list(each) for name, each in acts.items()}
        self.attempts: list[tuple[int, bool]] = []
        """Files in the order in which they were tried, and whether alone."""

    def conversion(self, item: Item, place: Place, pool: EnginePool, alone: bool, *_: object) -> Script.Played:
        self.attempts.append((item.index, alone))
        acts = self._acts.get(item.index, [])
        return Script.Played(item, place, acts.pop(0) if acts else None)

    class Played:
        def __init__(self, item: Item, place: Place, act: Exception | Callable[[Observer], None] | None) -> None:
            self._item, self._place, self._act = item, place, act

        def run(self, observer: Observer) -> Outcome:
            self._place.queue_up()
            observer.planned({}, 10)
            with self._place.inside(1, 100):
                self._place.begin()
                self._place.end()
                if isinstance(self._act, Exception):
                    raise self._act
                if self._act is not None:
                    self._act(observer)
                observer.progressed(Progress(5, 10, 1.0, {}))
            return Outcome(self._item, Result.DONE, 10)


def played(
    script: Script,
    monkeypatch: pytest.MonkeyPatch,
    policy: Policy | None = None,
    count: int = 4,
    heard: Heard | None = None,
) -> list[Outcome]:
    monkeypatch.setattr(lanes_module, "Conversion", script.conversion)
    items = [Item(index, Path(f"{index}.mp4"), Path(f"{index}.mkv"), ConvertOptions()) for index in range(count)]
    return Batch(items, policy).run(heard or Heard())


def full_disk() -> EncodeError:
    error = EncodeError("cannot write: no space")
    error.__cause__ = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return error


def results(outcomes: Sequence[Outcome]) -> str:
    return ", ".join(outcome.result.value for outcome in outcomes)


@pytest.mark.parametrize("lanes", [1, 2, 3])
def test_all_is_done_and_told(monkeypatch: pytest.MonkeyPatch, lanes: int) -> None:
    heard = Heard()
    outcomes = played(Script(), monkeypatch, Policy(lanes=lanes), 5, heard)
    assert results(outcomes) == "done, done, done, done, done"
    assert sorted(heard.plans) == [0, 1, 2, 3, 4]
    last = heard.positions[-1]
    assert (last.files, last.settled, last.frames, last.expected, last.unknown) == (5, 5, 50, 50, 0)


def test_a_broken_file_disturbs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(_1=[DecodeError("no video", "another")])
    outcomes = played(script, monkeypatch, Policy(retries=3))
    assert results(outcomes) == "done, failed, done, done"
    assert (outcomes[1].attempts, str(outcomes[1].error)) == (1, "no video")


@pytest.mark.parametrize(("retries", "result", "attempts"), [(0, "failed", 1), (1, "failed", 2), (2, "done", 3)])
def test_what_may_pass_is_tried_again_after_the_others(
    monkeypatch: pytest.MonkeyPatch, retries: int, result: str, attempts: int
) -> None:
    passing = [OSError(errno.ESTALE, "stale")] * 2
    errors = []
    for cause in passing:
        errors.append(EncodeError("the disk does not answer"))
        errors[-1].__cause__ = cause
    script = Script(_0=errors)
    outcomes = played(script, monkeypatch, Policy(retries, lanes=1))
    assert results(outcomes) == f"{result}, done, done, done"
    assert outcomes[0].attempts == attempts
    assert script.attempts == [(index, False) for index in [0, 1, 2, 3] + [0] * (attempts - 1)]


def test_what_lacked_memory_beside_another_is_done_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(_0=[DeviceError("too little memory")], _2=[MemoryError()])
    assert results(played(script, monkeypatch, Policy(retries=0))) == "done, done, done, done"
    assert sorted(script.attempts) == [(0, False), (0, True), (1, False), (2, False), (2, True), (3, False)]


def test_memory_that_is_short_for_one_alone_fails_it(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(_0=[DeviceError("too little memory")] * 3)
    outcomes = played(script, monkeypatch, Policy(retries=1))
    assert results(outcomes) == "failed, done, done, done"
    assert [alone for index, alone in script.attempts if index == 0] == [False, True, True]


def test_a_full_disk_ends_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = played(Script(_1=[full_disk()]), monkeypatch, Policy(lanes=1))
    assert results(outcomes) == "done, failed, not begun, not begun"


def test_fail_fast_ends_those_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = threading.Event()

    def long(observer: Observer) -> None:
        assert failed.wait(LONG_S)
        observer.progressed(Progress(1, 10, 1.0, {}))

    heard = Heard(lambda outcome: failed.set() if outcome.result is Result.FAILED else None)
    outcomes = played(Script(_0=[long], _1=[DecodeError("no video")]), monkeypatch, Policy(fail_fast=True), 4, heard)
    assert results(outcomes) == "stopped, failed, not begun, not begun"


def test_an_interruption_stops_what_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(BaseException):
        pass

    stopped = threading.Event()

    def long(observer: Observer) -> None:
        with suppress(TimeoutError):
            while not stopped.wait(0.001):
                observer.progressed(Progress(1, 10, 1.0, {}))  # raises once the batch is stopped

    def interrupt(_: Outcome) -> None:
        raise Interrupted

    monkeypatch.setattr(lanes_module, "Conversion", Script(_0=[long]).conversion)
    items = [Item(index, Path(f"{index}.mp4"), Path(f"{index}.mkv"), ConvertOptions()) for index in range(3)]
    batch = Batch(items)
    with pytest.raises(Interrupted):
        batch.run(Heard(interrupt))
    assert results(batch.outcomes)[:13] == "stopped, done"
    assert not batch.left_behind


def test_a_stuck_file_is_given_up_and_its_lane_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def stuck(observer: Observer) -> None:
        observer.stalled(JobError("no progress for 60 s"))
        assert release.wait(LONG_S)

    monkeypatch.setattr(lanes_module, "PATIENCE_S", 0.01)
    monkeypatch.setattr(lanes_module, "Conversion", Script(_0=[stuck], _1=[stuck]).conversion)
    items = [Item(index, Path(f"{index}.mp4"), Path(f"{index}.mkv"), ConvertOptions()) for index in range(5)]
    batch = Batch(items)
    try:
        assert results(batch.run(Heard())) == "failed, failed, done, done, done"
        assert batch.left_behind
    finally:
        release.set()


def test_a_fault_of_ours_is_no_files_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError, match="a fault"):
        played(Script(_1=[AssertionError("a fault")]), monkeypatch)


def test_a_listener_that_fails_ends_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Outcome) -> None:
        raise JobError("nobody listens")

    with pytest.raises(FastRestoreError, match="nobody listens"):
        played(Script(), monkeypatch, heard=Heard(fail))
