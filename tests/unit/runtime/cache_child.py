"""Works on an engine cache in processes that a test may kill. Needs nothing but the package and the standard library.

Standard input has one request a line: what to do and where. Each is done by a process of its own, forked when it comes;
what became of that process is the answer: `0`, or `-9` where it was killed.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.unit.runtime.engine_samples import KEY, PLAN, built, open_cache

CHANGES = ("replace", "unlink", "fsync", "mkdir", "utime", "write")
"""Functions of the system by which the disk is changed, and opening for writing besides."""


def die_at(number: int) -> None:
    """Have this process killed right before the disk is changed for the n-th time, counted from 0."""
    left = [number]

    def counted(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if original is not opened or arguments[1] & (os.O_CREAT | os.O_WRONLY):
                if not left[0]:
                    os.kill(os.getpid(), signal.SIGKILL)
                left[0] -= 1
            return original(*arguments, **named)

        return call

    opened = os.open
    for name in (*CHANGES, "open"):
        setattr(os, name, counted(getattr(os, name)))


def serve() -> None:
    """Answer requests, `NUMBER ANEW FOLDER`: build an engine there, and die at a change of the disk."""
    for line in sys.stdin:
        number, anew, folder = line.rstrip("\n").split(" ", 2)
        child = os.fork()
        if not child:
            die_at(int(number))
            open_cache(Path(folder)).obtain(KEY, lambda: built(PLAN[::-1]), anew=bool(int(anew)))
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
