"""What is shown of a batch: a line or a bar while its files are made, or events; a table at the end."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from fastrestore.batch.outcome import Item, Outcome, Position, Result
from fastrestore.cli.options import ProgressKind
from fastrestore.progress import emit, event_of
from fastrestore.runtime.report import Progress

MOST_ROWS = 200
"""A longer table would hide what failed: then only that is shown."""


def view_for(progress: ProgressKind, files: int) -> View:
    """Return how a batch of so many files is shown."""
    if progress is ProgressKind.AUTO:
        return Bar(files) if sys.stderr.isatty() else Log()
    if progress is ProgressKind.BAR:
        return Bar(files)
    return JsonEvents() if progress is ProgressKind.JSON else View()


class View:
    """Shows nothing but the table at the end. Use it in a `with` statement."""

    def __enter__(self) -> None:
        """Begin to show."""

    def __exit__(self, *exc: object) -> None:
        """Show no more of what goes on."""

    def planned(self, item: Item, plan: Mapping[str, str], position: Position) -> None:
        """See `Listener.planned`."""

    def progressed(self, item: Item, progress: Progress, position: Position) -> None:
        """See `Listener.progressed`."""

    def settled(self, outcome: Outcome, position: Position) -> None:
        """See `Listener.settled`."""

    def ended(self, outcomes: Sequence[Outcome], totals: Mapping[str, object]) -> None:
        """Show what became of all."""
        rows = [outcome for outcome in outcomes if len(outcomes) <= MOST_ROWS or not outcome.is_good]
        if rows:
            print(f"{'result':<9} {'frames':>8} {'seconds':>9}  file", file=sys.stderr)
        for outcome in rows:
            for line in _row(outcome):
                print(line, file=sys.stderr)
        counts = ", ".join(f"{totals[result.value.replace(' ', '_')]} {result.value}" for result in Result)
        print(
            f"{totals['files']} files: {counts}; {totals['output_frames']} frames in {totals['wall_s']} s",
            file=sys.stderr,
        )


class Log(View):
    """Prints a line for each file that is settled, for whoever reads a log."""

    def settled(self, outcome: Outcome, position: Position) -> None:
        """See `Listener.settled`."""
        text = f"[{position.settled}/{position.files}] {outcome.result.value} {_name(outcome.item.source)}"
        why = "" if outcome.error is None else f": {_one_line(outcome.error.message)}"
        print(f"{text}{why}", file=sys.stderr, flush=True)


class JsonEvents(View):
    """Prints one JSON object a line on standard output, for all files."""

    def planned(self, item: Item, plan: Mapping[str, str], position: Position) -> None:
        """See `Listener.planned`."""
        emit("plan", {**_whose(item, position), "plan": dict(plan)})

    def progressed(self, item: Item, progress: Progress, position: Position) -> None:
        """See `Listener.progressed`."""
        event, facts = event_of(progress)
        emit(event, {**_whose(item, position), **facts})

    def settled(self, outcome: Outcome, position: Position) -> None:
        """See `Listener.settled`."""
        whose = {**_whose(outcome.item, position), "attempts": outcome.attempts}
        if outcome.report is not None:
            emit("done", {**json.loads(outcome.report.to_json()), **whose})
        elif outcome.error is not None:
            emit(outcome.result.value, {**whose, "error": outcome.error.message, "hint": outcome.error.hint})
        else:
            emit(outcome.result.value, {**whose, "frames": outcome.frames})

    def ended(self, outcomes: Sequence[Outcome], totals: Mapping[str, object]) -> None:
        """See `View.ended`."""
        emit("batch", totals)


class Bar(View):
    """Draws one bar for all files on standard error."""

    def __init__(self, files: int) -> None:
        self._bar = RichProgress(
            TextColumn("{task.fields[settled]}/{task.fields[files]} files"),
            BarColumn(bar_width=None),
            TextColumn("{task.completed:.0f} frames  {task.fields[speed]:.1f} fps"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[now]}"),
            console=Console(file=sys.stderr),
        )
        self._task = self._bar.add_task("", total=None, files=files, settled=0, speed=0.0, now="")

    def __enter__(self) -> None:
        """Draw it."""
        self._bar.start()

    def __exit__(self, *exc: object) -> None:
        """Leave it as it is."""
        self._bar.stop()

    def planned(self, item: Item, plan: Mapping[str, str], position: Position) -> None:
        """See `Listener.planned`."""
        self._update(position)

    def progressed(self, item: Item, progress: Progress, position: Position) -> None:
        """See `Listener.progressed`."""
        self._update(position, now=item.source.name)

    def settled(self, outcome: Outcome, position: Position) -> None:
        """See `Listener.settled`."""
        self._update(position)

    def _update(self, position: Position, **fields: str) -> None:
        # Files that were not opened yet are taken to be as long as those that were.
        known = position.files - position.unknown
        total = position.expected * position.files / known if known else None
        speed = position.frames / position.elapsed_s if position.elapsed_s else 0.0
        self._bar.update(
            self._task,
            completed=position.frames,
            total=total,
            settled=position.settled,
            speed=speed,
            **fields,  # type: ignore[arg-type]
        )


def show_rehearsed(outcome: Outcome, plan: Mapping[str, str], progress: ProgressKind) -> None:
    """Print what would be done with a file: its plan in words, or why there is none."""
    item, error = outcome.item, outcome.error
    if progress is ProgressKind.JSON:
        whose = {"index": item.index, "file": str(item.source), "output": str(item.output)}
        if error is not None:
            emit(outcome.result.value, {**whose, "error": error.message, "hint": error.hint})
        elif plan:
            emit("plan", {**whose, "plan": dict(plan)})
        else:
            emit(outcome.result.value, {**whose, "frames": outcome.frames})
        return
    if not plan:
        why = "is done already" if error is None else error.message
        print(f"{'file':<10} {_name(item.source.name)} -> {_name(item.output)}: {_one_line(why)}")
    for key, value in plan.items():
        print(f"{key:<10} {value}")
    print()


def _whose(item: Item, position: Position) -> dict[str, object]:
    return {
        "index": item.index,
        "file": str(item.source),
        "output": str(item.output),
        "batch": position.facts(),
    }


def _one_line(text: str) -> str:
    return _printable(" ".join(text.splitlines()))


def _name(path: str | Path) -> str:
    return _printable(str(path))


def _printable(text: str) -> str:
    """Return a text without what a file's name may hold as well: line breaks, and codes for the terminal."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _row(outcome: Outcome) -> Iterator[str]:
    frames = str(outcome.frames) if outcome.frames else "-"
    yield f"{outcome.result.value:<9} {frames:>8} {outcome.seconds:>9.1f}  {_name(outcome.item.source)}"
    if outcome.error is not None and outcome.result is Result.FAILED:
        yield f"{'':<28}  {_one_line(outcome.error.message)}"
        if outcome.error.hint:
            yield f"{'':<28}  hint: {outcome.error.hint}"
