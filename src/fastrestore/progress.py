"""How progress is shown: a bar for people, one JSON object a line for machines, or nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType, TracebackType
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from fastrestore.errors import JobError
from fastrestore.runtime.report import OnProgress, Progress

JSON_EVERY_S = 0.5


class Display(Protocol):
    """Shows progress between enter and exit."""

    def __enter__(self) -> OnProgress | None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Silent:
    """Shows nothing."""

    def __enter__(self) -> OnProgress | None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class JsonLines(Silent):
    """Prints one JSON object a line on standard output, at most every `JSON_EVERY_S` seconds."""

    def __init__(self) -> None:
        self._shown_at = float("-inf")

    def __enter__(self) -> OnProgress | None:
        return self._update

    def _update(self, progress: Progress) -> None:
        if progress.elapsed_s - self._shown_at < JSON_EVERY_S and progress.frames != progress.expected:
            return
        self._shown_at = progress.elapsed_s
        emit(*event_of(progress))


class Bar:
    """Draws a bar on standard error, with frames a second, time left and the slowest stage."""

    def __init__(self) -> None:
        self._bar = RichProgress(
            BarColumn(bar_width=None),
            TextColumn("{task.completed:.0f}/{task.fields[expected]} frames  {task.fields[speed]:.1f} fps"),
            TimeRemainingColumn(),
            TextColumn("slowest: {task.fields[slowest]}"),
            console=Console(file=sys.stderr),
        )
        self._task = self._bar.add_task("", total=None, expected="?", speed=0.0, slowest="-")

    def __enter__(self) -> OnProgress | None:
        self._bar.start()
        return self._update

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def _update(self, progress: Progress) -> None:
        self._bar.update(
            self._task,
            completed=progress.frames,
            total=progress.expected,
            expected=progress.expected or "?",
            speed=_rate(progress),
            slowest=_slowest(progress),
        )


def emit(event: str, data: Mapping[str, object]) -> None:
    """Print an event as one line of JSON on standard output.

    Raises:
        JobError: If nobody reads it: whoever asked for events would wait for one that never comes.
    """
    try:
        print(json.dumps({"event": event, **data}), flush=True)
    except OSError as error:
        raise JobError(f"cannot write progress to standard output: {error.strerror}", "read it to its end") from error


def event_of(progress: Progress) -> tuple[str, dict[str, object]]:
    """Return the event that tells how far a run is: its name and what it says."""
    return "look" if progress.phase == "look" else "progress", {
        "frames": progress.frames,
        "expected": progress.expected,
        "elapsed_s": round(progress.elapsed_s, 3),
        "fps": round(_rate(progress), 3),
        "slowest": _slowest(progress),
    }


def _rate(progress: Progress) -> float:
    return (progress.frames - progress.earlier) / progress.elapsed_s if progress.elapsed_s else 0.0


def _slowest(progress: Progress) -> str:
    """Return what takes longest."""
    if progress.phase == "look":
        return "looking the film over"
    return max(progress.busy_s, key=lambda stage: progress.busy_s[stage])


DISPLAYS: Mapping[str, Callable[[], Display]] = MappingProxyType({"bar": Bar, "json": JsonLines, "none": Silent})
