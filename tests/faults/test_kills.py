"""Killed anywhere and run again, the command makes the very file that it makes undisturbed."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Sequence
from itertools import count, pairwise
from typing import Any

import pytest
from tests.faults.bench import Bench, Contents
from tests.faults.conftest import Wanted


def test_undisturbed(bench: Bench, wanted: Wanted) -> None:
    bench.assert_makes(wanted.bytes)
    assert wanted.segments >= 5
    kinds = [track.split(" ")[0] for track in wanted.contents.tracks]
    assert kinds == ["video", "audio", "audio", "subtitle", "subtitle", "audio", "attachment"]
    times = wanted.contents.times
    assert wanted.contents.pictures == len(times) == 160
    assert {b - a for a, b in pairwise(times)} <= {times[1], times[2] - times[1]}


def test_killed_at_random(bench: Bench, wanted: Wanted, runs: int, seed: int) -> None:
    whole_s = bench.seconds()
    chance, kills, resumed = random.Random(seed), 0, 0
    for number in count():
        if kills >= runs:
            break
        job, several = bench.to(bench.folder.with_name(f"job {number}")), chance.random() < 0.3
        wished = chance.randint(2, 5) if several else 1
        for _ in range(wished):
            kills += job.killed_after(chance.uniform(0, whole_s / (wished if several else 1)))
            if job.output.exists():
                assert job.output.read_bytes() == wanted.bytes
                break
        if not job.output.exists() or job.work.exists():
            resumed += bool(job.assert_finishes(wanted.bytes)["resumed_segments"])
        assert Contents.of(job.output) == wanted.contents
        job.remove()
    print(f"{kills} kills, {number} jobs, {resumed} went on with what was there")


@pytest.mark.parametrize("act", ["kill", "torn"])
def test_killed_at_every_change_on_the_disk(
    bench: Bench, wanted: Wanted, sampled: Callable[[Sequence[Any]], list[Any]], act: str
) -> None:
    points = [at for at, call in enumerate(wanted.calls, 1) if act == "kill" or call.startswith("write")]
    for at in sampled(points):
        job = bench.to(bench.folder.with_name(f"{act} at {at}"))
        assert job.under(at=at, act=act).run().code == -signal.SIGKILL
        if job.output.exists():
            assert job.output.read_bytes() == wanted.bytes
        job.assert_finishes(wanted.bytes)
        job.remove()
    print(f"{act}: {len(sampled(points))} of {len(points)} calls")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_a_signal(bench: Bench, wanted: Wanted, number: signal.Signals) -> None:
    with bench.under(at=wanted.call("replace 000002.nut.part"), act="gate").start() as process:
        assert process.stdout is not None
        assert any('"gate"' in line for line in process.stdout)  # two segments are on record, the third waits
        process.send_signal(number)
        _, err = process.communicate()
    assert process.returncode == 130
    assert err.splitlines()[-2:] == [
        "error: stopped",
        "hint: run the same command again: it goes on from what is finished",
    ]
    assert not bench.output.exists()
    assert bench.segments() >= 2
    assert int(str(bench.assert_makes(wanted.bytes)["resumed_segments"])) >= 2
