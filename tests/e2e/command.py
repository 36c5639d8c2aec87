"""Runs the command line as a user does: a process of its own, its output and what it leaves on the disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

REPOSITORY = Path(__file__).resolve().parents[2]
QUICK = ("--to", "x1", "--preset", "ultrafast")
"""Settings of a conversion that takes next to no time."""
_TIMEOUT_S = 120


@dataclass(frozen=True)
class Ran:
    """A finished command."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """Standard output as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]

    def assert_failed(self, code: int, *words: str) -> None:
        """Check for one error line that holds all words, one hint line after it, and nothing else at the end."""
        lines = self.err.splitlines()
        assert self.code == code, self.err
        assert [line for line in lines if line.startswith("error: ")] == lines[-2:-1], self.err
        assert lines[-1].startswith("hint: ") and len(lines[-1]) > len("hint: "), self.err
        for word in words:
            assert word in lines[-2]


def command(*arguments: object) -> list[str]:
    """Return the words of a command line."""
    return [sys.executable, "-m", "fastrestore.cli", *map(str, arguments)]


def environment(**changes: str) -> dict[str, str]:
    """Return this process's environment with the package on the path."""
    return {**os.environ, "PYTHONPATH": str(REPOSITORY / "src"), "PYTHONUNBUFFERED": "", **changes}


def run(*arguments: object, folder: Path, **changes: str) -> Ran:
    """Run a command in a folder; a traceback is never acceptable."""
    done = subprocess.run(
        command(*arguments),
        cwd=folder,
        env=environment(**changes),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    ran = Ran(done.returncode, done.stdout.decode(), done.stderr.decode())
    assert "Traceback" not in ran.err, ran.err
    return ran


def listen_to_signals() -> None:
    """Undo what a shell does to the background processes that it starts; for use in a new process."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def tree(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder with its content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@dataclass(frozen=True)
class Probe:
    """What is in a video file."""

    codec: str
    layout: str
    size: str
    frames: int
    rate: Fraction
    first: Fraction
    audio: tuple[str, ...]


def probe(path: Path) -> Probe:
    """Read a video file."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        context = video.codec_context
        times = sorted(Fraction(p.pts) * p.time_base for p in container.demux(video) if p.pts is not None)
        return Probe(
            context.name,
            str(context.pix_fmt),
            f"{context.width}x{context.height}",
            len(times),
            Fraction(video.average_rate or 0),
            times[0],
            tuple(stream.codec_context.name for stream in container.streams.audio),
        )
