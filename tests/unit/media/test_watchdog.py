"""A call that never comes back is noticed; nothing here waits for time to pass."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from pathlib import Path

import pytest
from tests.media_samples import Clip, write_clip

from fastrestore.errors import JobError
from fastrestore.runtime.media.reader import VideoReader
from fastrestore.runtime.media.watchdog import Watchdog


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_only_a_call_that_takes_too_long_is_a_stall() -> None:
    clock = Clock()
    told: list[JobError] = []
    watchdog = Watchdog(60, told.append, clock)
    assert watchdog.look() is None
    with watchdog.call("decoding a.mkv"):
        clock.now = 60.0
        assert watchdog.look() is None
    clock.now = 1000.0
    assert watchdog.look() is None
    with watchdog.call("decoding a.mkv"):
        clock.now += 60.5
        with watchdog.call("searching b.mkv"):
            assert watchdog.look() is None  # what is called within has only just begun
        error = watchdog.look()
        assert error is not None
        assert watchdog.look() is not None
    assert [each.message for each in told] == ["no progress for 60 s while decoding a.mkv"]
    assert told[0].hint


def test_each_call_begins_anew() -> None:
    clock = Clock()
    watchdog = Watchdog(60, clock=clock)
    for _ in range(10):
        with watchdog.call("decoding a.mkv"):
            clock.now += 50
            assert watchdog.look() is None


def test_the_thread_tells_of_a_call_stuck_in_another() -> None:
    clock, stuck, told = Clock(), threading.Event(), threading.Event()
    errors: list[JobError] = []

    def on_stall(error: JobError) -> None:
        errors.append(error)
        told.set()

    # Patience of a tiny share of a second makes the thread look often; what it sees is the clock above.
    watchdog = Watchdog(0.01, on_stall, clock)
    release = threading.Event()

    def call() -> None:
        with watchdog.call("decoding a.mkv"):
            stuck.set()
            release.wait()

    worker = threading.Thread(target=call)
    with watchdog:
        worker.start()
        stuck.wait()
        clock.now = 1.0
        assert told.wait(60)
        release.set()
    worker.join()
    assert len(errors) == 1
    watchdog.close()


def test_who_waits_for_the_stuck_thread_gets_the_error() -> None:
    clock = Clock()
    watchdog = Watchdog(60, clock=clock)
    done: Future[int] = Future()
    done.set_result(7)
    assert watchdog.result(done) == 7
    with watchdog.call("decoding a.mkv"):
        clock.now = 100.0
        watchdog.look()
        with pytest.raises(JobError, match="no progress"):
            watchdog.result(Future())
        assert watchdog.result(done) == 7


def test_the_reader_calls_under_watch(tmp_path: Path) -> None:
    class Listing(Watchdog):
        def __init__(self) -> None:
            super().__init__()
            self.seen: set[str] = set()

        def call(self, what: str):  # type: ignore[no-untyped-def]
            self.seen.add(what.split()[0])
            return super().call(what)

    watchdog = Listing()
    path = write_clip(tmp_path / "a.ts", Clip(60, options={"g": "5"}))
    with VideoReader(path, watchdog=watchdog) as reader:
        list(reader)
    with VideoReader(path, start=reader.first_pts + 2, watchdog=watchdog) as reader:
        list(reader)
    assert watchdog.seen == {"opening", "reading", "decoding", "searching", "seeking"}
