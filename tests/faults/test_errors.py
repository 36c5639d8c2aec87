"""A disk, a network or a worker that fails ends the run with its error; the next one goes on to the same file."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.faults.bench import TIMEOUT_S, Bench
from tests.faults.conftest import Wanted

_MB = 1 << 20
Sampled = Callable[[Sequence[Any]], list[Any]]


@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
def test_a_failing_call(bench: Bench, wanted: Wanted, sampled: Sampled, error: str) -> None:
    told, points = 0, range(1, len(wanted.calls) + 1)
    for at in sampled(points):
        job = bench.to(bench.folder.with_name(f"{error} at {at}"))
        ran = job.under(at=at, act=error).run()
        if ran.code == 0:  # a folder that cannot be put on the disk, or the cleaning up
            call, _, name = wanted.calls[at - 1].partition(" ")
            assert call in ("unlink", "rmdir") or (call, Path(name).suffix) in (
                ("fsync", ""),
                ("fsync", ".fastrestore"),
            )
            assert job.output.read_bytes() == wanted.bytes
        else:
            told += 1
            job.assert_failed_resumably(ran)
            job.assert_makes(wanted.bytes)
        job.remove()
    print(f"{error}: {told} of {len(sampled(points))} told")


@pytest.mark.parametrize("share", [0.005, 0.05, 0.6])
def test_a_file_that_cannot_grow(bench: Bench, wanted: Wanted, share: float) -> None:
    """The first does not leave room for a segment, the second not for all tracks, the third not for the last of it."""
    limit = round(len(wanted.bytes) * share)
    bench.assert_failed_resumably(bench.under(file_bytes=limit).run())
    bench.assert_makes(wanted.bytes)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, which `resized` makes larger."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True, check=False)
    if made.returncode != 0:
        pytest.skip("file systems can be mounted by root only")
    yield folder
    subprocess.run(["umount", folder], check=True)


def resized(disk: Path, size_bytes: int) -> None:
    """Give a file system another size."""
    subprocess.run(["mount", "-o", f"remount,size={size_bytes}", disk], check=True)


def test_a_full_disk(bench: Bench, wanted: Wanted, small_disk: Path, runs: int) -> None:
    job, failures, most = bench.to(small_disk / "first"), 0, 0
    whole, steps = 3 * len(wanted.bytes), max(4, min(runs, 24))
    for step in range(1, steps + 1):
        resized(small_disk, round(whole * step / steps))
        ran = job.run()
        if ran.code == 0:
            break
        failures += 1
        job.assert_failed_resumably(ran)
        assert "No space left on device" in ran.err
        assert "hint: free some space, or write to another disk" in ran.err
        assert job.segments() >= most, "what was done is done"
        most = job.segments()
    assert failures and most
    assert job.output.read_bytes() == wanted.bytes
    assert list(job.folder.iterdir()) == [job.output]
    print(f"{failures} times full")


def test_too_little_memory(bench: Bench, wanted: Wanted, runs: int) -> None:
    failures = 0
    for step in range(min(runs, 30)):
        job = bench.to(bench.folder.with_name(f"memory {step}"))
        ran = job.under(memory_bytes=(20 + 700 * step // min(runs, 30)) * _MB).run()
        if ran.code == 0:
            assert job.output.read_bytes() == wanted.bytes
            continue
        failures += 1
        if ran.code < 0:  # a library that does not look at what it was given crashes: like any other kill
            assert not job.output.exists()
        elif not ran.err.splitlines()[-1].startswith("hint: "):  # or it raises what is not translated
            assert "alloc" in ran.err and not job.output.exists(), ran.err
        else:
            job.assert_failed_resumably(ran)
        job.assert_makes(wanted.bytes)
    assert failures
    print(f"{failures} times too little")


WORKERS = {
    "decode": ("fastrestore.runtime.observation:Observer._follows", 40),
    "motion": ("fastrestore.runtime.motion:DisEstimator.pair", 40),
    "restore": ("fastrestore.runtime.restorer:Restorer.restore", 40),
    "synthesize": ("fastrestore.kernels.cpu:CpuOps.synthesize", 40),
    "encode": ("fastrestore.runtime.media.segment:SegmentWriter._mux", 90),
    "verify": ("fastrestore.runtime.segments:prove_segment", 3),
    "join": ("fastrestore.runtime.media.writer:FilmWriter._copy", 1),
    "survey": ("fastrestore.runtime.joining:survey", 1),
}


@pytest.mark.parametrize("error", ["fastrestore.errors:DeviceError", "builtins:MemoryError", "builtins:RuntimeError"])
def test_a_worker_that_fails(bench: Bench, wanted: Wanted, sampled: Sampled, error: str) -> None:
    """The last of them stands for a mistake of ours: its traceback is shown, and even so nothing is lost."""
    for worker in sampled(sorted(WORKERS)):
        job = bench.to(bench.folder.with_name(f"{worker} fails"))
        call, at = WORKERS[worker]
        ran = job.under(call=call, call_at=at, error=error).run()
        assert ran.code == 1
        if error == "builtins:RuntimeError":
            assert ran.err.splitlines()[-1] == "RuntimeError: planted", ran.err
        else:
            assert "error: " in ran.err and "Traceback" not in ran.err, ran.err
        assert not job.output.exists()
        assert job.segments() >= 2
        assert job.assert_makes(wanted.bytes)["resumed_segments"], worker


def test_a_disk_that_hangs(bench: Bench, wanted: Wanted) -> None:
    """All waits for it, nothing is given up or piles up, and the lock holds."""
    at = wanted.call("replace 000001.nut.part")
    job = bench.to(bench.folder.with_name("hanging"))
    with job.under(at=at, act="gate").start() as process:
        assert process.stdout is not None and process.stdin is not None
        assert any('"gate"' in line for line in process.stdout)
        job.run().assert_failed(1, "another process")
        assert not (job.work / "000003.nut.part").exists(), "no more than one segment is made meanwhile"
        _, err = process.communicate("", timeout=TIMEOUT_S)
    assert process.returncode == 0, err
    assert job.output.read_bytes() == wanted.bytes
    assert os.listdir(job.folder) == [job.output.name]
