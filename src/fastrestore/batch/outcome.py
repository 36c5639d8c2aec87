"""What a batch is made of, and what became of each of its files. Plain data, ready for JSON."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from fastrestore.config import ConvertOptions
from fastrestore.errors import FastRestoreError
from fastrestore.runtime.report import RunReport

SCHEMA = "fastrestore.batch/1"


@dataclass(frozen=True, slots=True)
class Item:
    """One file of a batch."""

    index: int
    """From 0."""
    source: Path
    output: Path
    options: ConvertOptions


class Result(StrEnum):
    """What became of a file."""

    DONE = "done"
    SKIPPED = "skipped"
    """It was done and verified before."""
    FAILED = "failed"
    STOPPED = "stopped"
    """It was begun; the same command goes on with it."""
    NOT_BEGUN = "not begun"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file."""

    item: Item
    result: Result
    frames: int = 0
    """Of the output."""
    seconds: float = 0.0
    """That its last attempt took."""
    attempts: int = 0
    error: FastRestoreError | None = None
    report: RunReport | None = None

    @property
    def is_good(self) -> bool:
        """Whether the output is there, whole."""
        return self.result in (Result.DONE, Result.SKIPPED)

    def facts(self) -> dict[str, object]:
        """Return it as it is written in JSON."""
        error = self.error
        return {
            "index": self.item.index,
            "source": str(self.item.source),
            "output": str(self.item.output),
            "result": self.result.value,
            "frames": self.frames,
            "seconds": round(self.seconds, 3),
            "attempts": self.attempts,
            "error": None if error is None else {"message": error.message, "hint": error.hint},
            "report": None if self.report is None else json.loads(self.report.to_json()),
        }


@dataclass(frozen=True, slots=True)
class Position:
    """How far a batch is."""

    files: int
    settled: int
    """Files of which is known what became of them."""
    frames: int
    """Output frames made so far, and of what was done before."""
    expected: int
    """Output frames of all files of which that is known by now."""
    unknown: int
    """Files of which it is not."""
    elapsed_s: float

    def facts(self) -> dict[str, object]:
        """Return it as it is written in JSON."""
        names = ("files", "settled", "frames", "expected", "unknown")
        return {name: getattr(self, name) for name in names} | {"elapsed_s": round(self.elapsed_s, 3)}


class BatchReport:
    """The document of a batch: one entry for each file that is settled, in the batch's order.

    Args:
        files: How many there are.
    """

    def __init__(self, files: int) -> None:
        self._files = files
        self._entries: dict[int, str] = {}
        self._counts: Counter[str] = Counter()
        self._frames = self._bytes = 0

    def add(self, outcome: Outcome) -> None:
        """Take an outcome in; of a file that is there already, nothing."""
        if outcome.item.index in self._entries:
            return
        self._entries[outcome.item.index] = json.dumps(outcome.facts())
        self._counts[outcome.result.value] += 1
        self._frames += outcome.frames
        self._bytes += outcome.report.output_bytes if outcome.report else 0

    def totals(self, seconds: float) -> dict[str, object]:
        """Return the figures of the whole batch.

        Args:
            seconds: Since it began.
        """
        counts = {result.value.replace(" ", "_"): self._counts[result.value] for result in Result}
        return {
            "files": self._files,
            **counts,
            "output_frames": self._frames,
            "output_bytes": self._bytes,
            "wall_s": round(seconds, 3),
        }

    def to_json(self, seconds: float) -> str:
        """Return the schema `fastrestore.batch/1`."""
        head = json.dumps({"schema": SCHEMA, "totals": self.totals(seconds)})
        entries = ",\n  ".join(self._entries[index] for index in sorted(self._entries))
        return f'{head[:-1]}, "files": [\n  {entries}\n]}}\n'
