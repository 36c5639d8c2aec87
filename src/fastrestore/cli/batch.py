"""How `convert` goes about several files: it sees to all, converts them, keeps the report, and says how it ended."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from fastrestore.batch.conversion import rehearse
from fastrestore.batch.failures import cancelled
from fastrestore.batch.lanes import Policy
from fastrestore.batch.outcome import BatchReport, Item, Outcome, Position, Result
from fastrestore.batch.outputs import check_folder, check_report
from fastrestore.batch.request import Prepared, Request, prepare
from fastrestore.batch.run import Batch, Listener
from fastrestore.cli.batch_views import View, show_rehearsed, view_for
from fastrestore.cli.options import ProgressKind, leave_stalled
from fastrestore.errors import FastRestoreError, JobError
from fastrestore.files import write_whole

_REPORT_SHARE = 20
"""One in so many seconds at most goes into the report while files are made."""


def convert_several(
    request: Request, policy: Policy, progress: ProgressKind, report: Path | None, *, dry_run: bool
) -> None:
    """Convert what is asked for, and show how it goes.

    Raises:
        JobError: If a file was not converted; the others were.
        FastRestoreError: If nothing could be begun.
    """
    prepared = prepare(request)
    items = prepared.items
    if report is not None:
        soundtracks = {item.options.audio for item in items if item.options.audio is not None}
        check_report(report, [path for item in items for path in (item.source, item.output)] + sorted(soundtracks))
    check_folder(request.output, make=not dry_run)
    _tell_notes(prepared)
    if dry_run:
        _rehearse(items, policy, progress)
        return
    batch, view, record = Batch(items, policy), view_for(progress, len(items)), Record(report, len(items))
    try:
        with view:
            batch.run(_Listeners(view, record))
    except BaseException as error:
        _close(batch, view, record)
        if batch.left_behind and (isinstance(error, FastRestoreError) or not isinstance(error, Exception)):
            leave_stalled(error if isinstance(error, FastRestoreError) else cancelled())
        raise
    _close(batch, view, record)
    missing = sum(not outcome.is_good for outcome in batch.outcomes)
    if missing:
        failure = _failure(missing, len(items), "were not")
        if batch.left_behind:
            leave_stalled(failure)
        raise failure


class Record:
    """What became of the files so far, and the report of it, which is written anew after each file.

    Where that would take too long, it is written a little later.

    Args:
        path: The report; None writes none.
        files: How many there are.
    """

    def __init__(self, path: Path | None, files: int) -> None:
        self._path, self.report = path, BatchReport(files)
        self._next = 0.0
        """When it may be written again, by `time.monotonic`."""

    def settled(self, outcome: Outcome, position: Position) -> None:
        """Take an outcome in.

        Raises:
            EncodeError: If the report cannot be written.
        """
        self.report.add(outcome)
        if time.monotonic() >= self._next:
            self._write(position.elapsed_s)

    def ended(self, outcomes: Sequence[Outcome], seconds: float) -> None:
        """Take the rest in.

        Raises:
            EncodeError: If the report cannot be written.
        """
        for outcome in outcomes:
            self.report.add(outcome)
        self._write(seconds)

    def _write(self, seconds: float) -> None:
        if self._path is None:
            return
        began = time.monotonic()
        write_whole(self._path, self.report.to_json(seconds))
        now = time.monotonic()
        self._next = now + _REPORT_SHARE * (now - began)


class _Listeners:
    """Passes on to the view and to the record."""

    def __init__(self, view: Listener, record: Record) -> None:
        self.planned, self.progressed = view.planned, view.progressed
        self._view, self._record = view, record

    def settled(self, outcome: Outcome, position: Position) -> None:
        """See `Listener.settled`."""
        self._record.settled(outcome, position)
        self._view.settled(outcome, position)


def _rehearse(items: Sequence[Item], policy: Policy, progress: ProgressKind) -> None:
    """Print what would be done with each file, or why nothing could be.

    Raises:
        JobError: If that is so of one.
    """
    failed = 0
    for item in items:
        plan: Mapping[str, str] = {}
        try:
            outcome, plan = rehearse(item, skip_done=policy.skip_done)
        except FastRestoreError as error:
            outcome = Outcome(item, Result.FAILED, error=error)
            failed += 1
        show_rehearsed(outcome, plan, progress)
    if failed:
        raise _failure(failed, len(items), "cannot be")


def _failure(missing: int, files: int, verb: str) -> JobError:
    return JobError(
        f"{missing} of {files} files {verb} converted",
        "put right what is said of each, and run the same command again: it skips what is done",
    )


def _close(batch: Batch, view: View, record: Record) -> None:
    outcomes = batch.outcomes
    record.ended(outcomes, batch.seconds)
    view.ended(outcomes, record.report.totals(batch.seconds))


def _tell_notes(prepared: Prepared) -> None:
    if prepared.left_out:
        print(f"left out: {len(prepared.left_out)} films that fastrestore has made", file=sys.stderr)
    for pattern in prepared.unmatched:
        print(f"warning: the job file's `{pattern}` matches no film", file=sys.stderr)
