"""Busy time is a stage's own: what another stage does inside it, in the same thread, is the other's."""

from __future__ import annotations

import threading

import pytest

from fastrestore.runtime import report
from fastrestore.runtime.report import StageClock, tracing


class Hands:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    """Put a clock set by hand in the place of the real one."""
    hands = Hands()
    monkeypatch.setattr(report, "time", hands)
    return hands


def test_a_stage_inside_another_takes_its_time_away(hands: Hands) -> None:
    clock = StageClock()
    with clock.busy("decode"):
        hands.now += 1
        for _ in range(2):
            with clock.busy("treat"):
                hands.now += 2
                with clock.busy("motion"):
                    hands.now += 4
        hands.now += 8
    seconds = clock.seconds()
    assert (seconds["decode"], seconds["treat"], seconds["motion"]) == (9, 4, 8)


def test_threads_do_not_take_each_others_time(hands: Hands) -> None:
    clock = StageClock()

    def work() -> None:
        with clock.busy("restore"):
            hands.now += 3

    with clock.busy("decode"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert (clock.seconds()["decode"], clock.seconds()["restore"]) == (3, 3)


def test_what_failed_counts_too(hands: Hands) -> None:
    clock = StageClock()

    def fail() -> None:
        with clock.busy("decode"), clock.busy("treat"):
            hands.now += 2
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    with clock.busy("decode"):
        hands.now += 1
    assert (clock.seconds()["decode"], clock.seconds()["treat"]) == (1, 2)


def test_a_trace_holds_a_stages_own_time(hands: Hands) -> None:
    with tracing() as trace:
        clock = StageClock()
        with clock.busy("decode"):
            with clock.busy("treat"):
                hands.now += 2
            hands.now += 1
    assert [(span.stage, span.end - span.begin) for span in trace.spans] == [("treat", 2), ("decode", 1)]
