"""What several commands share: the application itself, common options, how progress is shown."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from fastrestore.errors import FastRestoreError

if TYPE_CHECKING:
    from fastrestore.progress import Display

# Plain help: it fits a narrow terminal, and without rich it is there in half the time.
app = typer.Typer(
    name="fastrestore",
    help="Restores old film and low-resolution video to 4K at 60 frames a second.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


class ProgressKind(StrEnum):
    """How progress is shown."""

    AUTO = "auto"
    BAR = "bar"
    JSON = "json"
    NONE = "none"


Progress = Annotated[ProgressKind, typer.Option(help="auto, bar, json or none.", metavar="KIND")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def tell(error: FastRestoreError) -> None:
    """Print an error as one line, and its hint as another."""
    print("error:", *error.message.splitlines(), file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)


def leave_stalled(error: FastRestoreError) -> None:
    """Leave the process at once: a thread is stuck in a library, and would keep it from ending in any other way.

    What was finished is on the disk, so that a later run can go on.
    """
    tell(error)
    sys.stderr.flush()
    os._exit(error.exit_code)


def shown(kind: ProgressKind) -> Display:
    """Return a way to show progress; use it in a `with` statement."""
    from fastrestore import progress

    if kind is ProgressKind.AUTO:
        kind = ProgressKind.BAR if sys.stderr.isatty() else ProgressKind.NONE
    return progress.DISPLAYS[kind.value]()
