"""The memory that a conversion takes does not grow with the length of the film."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
from tests.e2e.command import REPOSITORY
from tests.faults.bench import Bench, Film, surroundings
from tests.media_samples import write_clip

from fastrestore.geometry import Size

LONG_RUNS = 100
"""From so many tries on the long film is two hours long."""
MOST_GROWTH = 1.25
"""Two hours take 18 MB more than five minutes: 100 bytes a frame, for its times and the index of the joined file."""


_LAUNCHER = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def peak_bytes(bench: Bench) -> int:
    """Run a command to its good end and return the most memory that it held.

    A small process starts it: what a process holds when it starts another counts for that one too, and this one has
    just made a film of two hours.
    """
    done = subprocess.run(
        [sys.executable, "-c", _LAUNCHER, *bench.arguments()],
        cwd=REPOSITORY,
        env=surroundings(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return int(done.stdout) * 1024


@pytest.mark.slow
def test_memory_is_flat(tmp_path: Path, runs: int) -> None:
    peaks: list[int] = []
    # Short segments show best what each of them leaves behind.
    lengths, spans = ((300, 7200), (4, 12)) if runs >= LONG_RUNS else ((20, 120), (1, 1))
    for seconds in lengths:
        film = Film(seconds * 24, size=Size(64, 64), rate=Fraction(24), options={"preset": "ultrafast"})
        source = write_clip(tmp_path / f"{seconds} s.mkv", film)
        bench = Bench(source, tmp_path, ("--to", "x1", "--fps", "source", "--preset", "ultrafast"))
        bench = bench.to(tmp_path / f"{seconds}").under(least_s=spans[0], most_s=spans[1])
        peaks.append(peak_bytes(bench))
    print(f"{lengths} s: {[round(peak / 1e6, 1) for peak in peaks]} MB")
    assert peaks[1] <= MOST_GROWTH * peaks[0]
