"""Gives cases to worker processes, and finds out which case crashed or hung one."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

REPOSITORY = Path(__file__).resolve().parents[2]
LONGEST_S = 10.0
"""Processor time of a case; slower than this is a hang."""
LONGEST_WAIT_S = 60.0
"""Wall time of a case that may do nothing: on a busy machine it only waits for its turn."""
_START_S = 120.0


@dataclass
class Outcome:
    """What became of many cases."""

    counts: Counter[str] = field(default_factory=Counter)
    """Cases by the first word of their answer: `ok`, `refused`, `bad`, `crash`, `hang`."""
    findings: list[str] = field(default_factory=list)
    """One line for each case that is neither."""

    def __str__(self) -> str:
        return "\n".join([str(dict(self.counts)), *self.findings])


class Worker:
    """A process that tries cases of one kind.

    Args:
        kind: Name of the target.
        folder: Where the samples are and where it may write.
    """

    def __init__(self, kind: str, folder: Path) -> None:
        self._kind, self._folder = kind, folder
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    def run(self, cases: Iterable[tuple[str, str]]) -> Outcome:
        """Try cases, each a sample's name and a seed."""
        outcome = Outcome()
        for sample, seed in cases:
            answer = self._try(sample, seed)
            word = answer.partition(" ")[0]
            outcome.counts[word] += 1
            if word not in ("ok", "refused"):
                outcome.findings.append(f"{self._kind} {sample} {seed}: {answer}")
        return outcome

    def _try(self, sample: str, seed: str) -> str:
        process = self._process or self._start()
        assert process.stdin is not None
        process.stdin.write(f"{sample}\t{seed}\n".encode())
        process.stdin.flush()
        answer = self._answer_in_time(process)
        if answer is None:
            process.kill()
            self._end()
            return f"hang: no answer within {LONGEST_S:.0f} s of work or {LONGEST_WAIT_S:.0f} s in all"
        if not answer:
            code = process.wait()
            self._end()
            return f"crash: the process ended with {code}"
        return answer

    def _start(self) -> subprocess.Popen[bytes]:
        paths = os.pathsep.join((str(REPOSITORY / "src"), str(REPOSITORY)))
        threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.worker", self._kind, str(self._folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **threads, "PYTHONPATH": paths},
            cwd=REPOSITORY,
        )
        self._process = process
        if self._answer(process, _START_S) != "ready":
            process.kill()
            raise RuntimeError(f"the worker for `{self._kind}` does not start")
        return process

    def _answer_in_time(self, process: subprocess.Popen[bytes]) -> str | None:
        began, worked = time.monotonic(), _processor_s(process.pid)
        while (answer := self._answer(process, LONGEST_S / 10)) is None:
            if time.monotonic() - began > LONGEST_WAIT_S or _processor_s(process.pid) - worked > LONGEST_S:
                return None
        return answer

    def _answer(self, process: subprocess.Popen[bytes], seconds: float) -> str | None:
        """Return the next line, empty if the process ended, None if it takes too long."""
        assert process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            if not selector.select(seconds):
                return None
        return process.stdout.readline().decode(errors="replace").rstrip("\n")

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.close()
            process.kill()
            process.wait()
            process.stdout.close()


def _processor_s(pid: int) -> float:
    """Return the processor time that a process has used, in seconds; see proc(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
