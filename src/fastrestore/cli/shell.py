"""The process around the commands: signals, errors as one line with a hint, exit codes."""

from __future__ import annotations

import io
import itertools
import os
import signal
import sys
from types import FrameType
from typing import Annotated, NoReturn

import typer

from fastrestore.cli import bench, bench_plan, build_engines, convert, engines, export, inspect, models, presets, verify  # noqa: F401  (each adds its commands)
from fastrestore.cli.options import app, tell
from fastrestore.errors import FastRestoreError, JobCancelledError, JobError, UsageError

_STOPPING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_IGNORED_SIGNALS = 4
_signals = itertools.count(1)

_NO_MEMORY = ("new thread", "without exception set")


class _Stopped(BaseException):
    """A signal asked to stop. No library knows it, so that none swallows or translates it on the way out."""


def main() -> None:
    """Run the command line; every error becomes one line with a hint and an exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name need not be text
    try:
        for number in _STOPPING_SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # so it is under `nohup`
                signal.signal(number, _stop)
        code = app(prog_name="fastrestore", standalone_mode=False)
        sys.stdout.flush()
    except FastRestoreError as error:
        _fail(error)
    except typer.TyperException as error:
        _fail(_usage_error(error))
    except BrokenPipeError:  # whoever read it has seen enough
        _leave(1)
    except OSError as error:  # all but standard output is seen to where it is used
        where = error.filename or "standard output"
        _fail(JobError(f"cannot use {where}: {error.strerror}", "check its name, folder and free space"))
    except (MemoryError, RuntimeError, SystemError) as error:
        _fail(_no_memory(error))
    except _Stopped:
        _fail(JobCancelledError("stopped", "run the same command again: it goes on from what is finished"))
    _leave(code or 0)


def _stop(number: int, frame: FrameType | None) -> None:
    # Cleaning up takes no longer than a frame, and must not be stopped itself by an impatient second signal. But if
    # the first one was lost (Python drops what is raised in a finaliser), insisting must help.
    count = next(_signals)
    if count == 1 or count > _IGNORED_SIGNALS:
        raise _Stopped


def _usage_error(error: typer.TyperException) -> UsageError:
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "fastrestore"
    message = error.format_message().replace("Value error, ", "").rstrip(".")
    return UsageError(message[:1].lower() + message[1:], f"see `{command} --help`")


def _no_memory(error: MemoryError | RuntimeError | SystemError) -> JobError:
    # Python has no better names for a thread that cannot be made, and for an allocation that failed inside itself.
    if not isinstance(error, MemoryError) and not any(text in str(error) for text in _NO_MEMORY):
        raise error
    return JobError("there is not enough memory", "use a smaller `--to`, or `--tile`")


def _fail(error: FastRestoreError) -> NoReturn:
    tell(error)
    _leave(error.exit_code)


def _leave(code: int) -> NoReturn:
    try:
        sys.stdout.flush()
    except OSError:  # what is still buffered would fail again when the interpreter ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if version:
        from fastrestore import __version__

        print(__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help(), file=sys.stderr)
        raise typer.Exit(2)
