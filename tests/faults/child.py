"""The command line with short segments, on a machine that fails when it is told to.

Run as `python -m tests.faults.child PLAN ARGUMENT...` from the repository; the plan is JSON, see `Plan`.
"""

from __future__ import annotations

import errno
import functools
import importlib
import itertools
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn

CALLS = ("fsync", "replace", "rename", "unlink", "rmdir", "mkdir", "truncate", "ftruncate", "write")
"""Calls that change what is on the disk, and that a run's promises hang on. FFmpeg's own writes are not among them."""


@dataclass(frozen=True)
class Plan:
    """What is to go wrong."""

    at: int = 0
    """At which of the calls of `CALLS` it does, from 1; 0 for none."""
    act: str = ""
    """`kill`; `torn`: half of a write, then `kill`; `gate`: wait until standard input ends; else an error's name."""
    log: str | None = None
    """File that gets a line for each call."""
    call: str | None = None
    """Something else that fails, as `module:Class.method`, with ..."""
    error: str = "builtins:RuntimeError"
    """... this ..."""
    call_at: int = 1
    """... from this call on."""
    memory_bytes: int | None = None
    """Address space that the process may take beyond what it has once everything is imported."""
    file_bytes: int | None = None
    """Size that no file may exceed."""
    versions: str = ""
    """Added to the version that this claims to be."""
    least_s: float = 0.75
    most_s: float = 2.0

    def text(self) -> str:
        """Return the plan as JSON."""
        return json.dumps(asdict(self))


class Saboteur:
    """Stands between the program and the operating system."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._count = itertools.count(1)

    def install(self) -> None:
        """Take the place of every call of `CALLS`."""
        for name in CALLS:
            vars(os)[name] = self._watched(name, getattr(os, name))

    def _watched(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def watched(*args: Any, **kwargs: Any) -> Any:
            if name == "write" and args[0] in (1, 2):
                return call(*args, **kwargs)
            number = next(self._count)
            if self._plan.log is not None:
                with Path(self._plan.log).open("a", encoding="utf-8") as file:
                    file.write(f"{name} {_named(args[0])}\n")
            if number == self._plan.at:
                self._act(name, call, args)
            return call(*args, **kwargs)

        return watched

    def _act(self, name: str, call: Callable[..., Any], args: tuple[Any, ...]) -> None:
        act = self._plan.act
        if act == "gate":
            print('{"event": "gate"}', flush=True)
            sys.stdin.buffer.read()
        elif act in ("kill", "torn"):
            if act == "torn" and name == "write":
                call(args[0], args[1][: len(args[1]) // 2])
            kill()
        else:
            raise OSError(getattr(errno, act), os.strerror(getattr(errno, act)))


def kill() -> NoReturn:
    """End at once, as by power loss: nothing is cleaned up."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


def _named(what: Any) -> str:
    path = os.readlink(f"/proc/self/fd/{what}") if isinstance(what, int) else os.fspath(what)
    return Path(path).name


def _break(target: str, error: str, at: int) -> None:
    """Make a function or method fail from its n-th call on."""
    module, _, path = target.partition(":")
    *owners, name = path.split(".")
    owner: Any = functools.reduce(getattr, owners, importlib.import_module(module))
    kind: Any = functools.reduce(getattr, [error.partition(":")[2]], importlib.import_module(error.partition(":")[0]))
    whole, count = getattr(owner, name), itertools.count(1)

    def broken(*args: Any, **kwargs: Any) -> Any:
        if next(count) >= at:
            raise kind("planted")
        return whole(*args, **kwargs)

    setattr(owner, name, broken)


def main() -> None:
    """Run the command line under a plan."""
    plan = Plan(**json.loads(sys.argv[1]))
    sys.argv[1:2] = []
    # A limit on memory is for the run, not for imports; PyAV imports this one when a file is opened.
    import av.subtitles.codeccontext  # noqa: F401

    from fastrestore import config
    from fastrestore.cli import shell
    from fastrestore.runtime import identity, job  # noqa: F401

    spans = config.Spans(Fraction(plan.least_s), Fraction(plan.most_s))
    vars(config)["ConvertOptions"] = functools.partial(config.ConvertOptions, spans=spans)
    if plan.versions:
        vars(identity)["_version"] = lambda package: f"{package} {plan.versions}"
    if plan.call is not None:
        _break(plan.call, plan.error, plan.call_at)
    if plan.file_bytes is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (plan.file_bytes, plan.file_bytes))
    if plan.memory_bytes is not None:
        taken = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + plan.memory_bytes,) * 2)
    Saboteur(plan).install()
    shell.main()


if __name__ == "__main__":
    main()
