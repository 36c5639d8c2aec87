"""What is wrong with a source, how much of it is put up with, and what is told of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from fractions import Fraction
from pathlib import Path

from fastrestore.config import OnError
from fastrestore.errors import DecodeError

FEW_FRAMES = 5
"""So many faulty frames are put up with in a source of any length."""
MOST_SHARE = Fraction(1, 100)
"""And beyond that this share of all frames."""
MOST_LISTED = 1000
"""Faults listed one by one; all of them are counted."""


class FaultKind(StrEnum):
    """What can be wrong with a frame."""

    UNDECODABLE = "undecodable"
    """Its packet is there, but gives no picture."""
    CORRUPT = "corrupt"
    """Its picture was decoded with errors, from a packet with missing bytes, or does not match its checksum."""
    MISSING = "missing"
    """Its packet is not there, though the file's index or its steady timestamps say that it was."""
    CHANGED = "changed"
    """It has another size, layout or colour space than the film; it is converted."""
    BACKWARD = "backward"
    """Its timestamp does not rise; it is shown between its neighbours. No picture is lost."""


_WORDS = {
    FaultKind.UNDECODABLE: "could not be decoded; the picture before is shown instead",
    FaultKind.CORRUPT: "decoded with errors; the picture before is shown instead",
    FaultKind.MISSING: "missing from the file; the picture before is shown instead",
    FaultKind.CHANGED: "of another size or layout; converted",
    FaultKind.BACKWARD: "with a timestamp that does not rise; shown between its neighbours",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """Neighbouring frames with the same fault."""

    kind: FaultKind
    at: Fraction
    """Seconds of the first of them."""
    until: Fraction
    """Seconds of the last of them."""
    frames: int
    detail: str = ""
    """What was seen of the first of them."""

    def __str__(self) -> str:
        span = f"at {float(self.at):.3f} s"
        if self.until > self.at:
            span = f"from {float(self.at):.3f} s to {float(self.until):.3f} s"
        noun, seen = "frame" if self.frames == 1 else "frames", f": {self.detail}" if self.detail else ""
        return f"{self.frames} {noun} {_WORDS[self.kind]} ({span}{seen})"


@dataclass(frozen=True, slots=True)
class FaultCount:
    """Frames read, and how many of them were faulty."""

    frames: int = 0
    faulty: int = 0


@dataclass
class FaultLog:
    """The faults of one reading, in the order of the film.

    Attributes:
        path: The file, for messages.
        policy: What to do about them.
        promised: Frames that the file's header promises for what is read, or None.
        before: What was counted by a run that this one continues.
    """

    path: Path
    policy: OnError = OnError.REPAIR
    promised: int | None = None
    before: FaultCount = FaultCount()
    listed: list[Fault] = field(default_factory=list)
    counts: dict[FaultKind, int] = field(default_factory=dict)
    """Frames by kind of fault."""
    frames: int = 0
    """Frames read, faulty ones included."""

    @property
    def faulty(self) -> int:
        """Frames that are not what they were meant to be; those with a backward timestamp are."""
        return sum(count for kind, count in self.counts.items() if kind is not FaultKind.BACKWARD)

    def record(self, kind: FaultKind, at: Fraction, frames: int = 1, detail: str = "") -> None:
        """Note a fault.

        Args:
            kind: What is wrong.
            at: Seconds of the frame; not before those noted earlier.
            frames: How many frames of the film it costs.
            detail: What was seen.

        Raises:
            DecodeError: If the policy is to fail, or there are already more than a whole file could make up for.
        """
        self.counts[kind] = self.counts.get(kind, 0) + frames
        self._list(kind, at, frames, detail)
        if self.policy is OnError.FAIL:
            raise DecodeError(
                f"{self.path} is faulty: {Fault(kind, at, at, frames, detail)}",
                f"convert it with `--on-error {OnError.REPAIR}`, or get an undamaged copy",
            )
        if self.promised is not None:
            self._check(max(self.promised, self.frames))

    def count_frame(self, *, good: bool) -> None:
        """Count a frame of the film."""
        self.frames += 1
        if good:
            self._run = None

    def finish(self) -> None:
        """Judge the whole: every frame has been read.

        Raises:
            DecodeError: If too many of them were faulty.
        """
        self._check(self.frames)

    def words(self, most: int = 10) -> list[str]:
        """Return the faults in words, at most so many of them and then how many more there are."""
        lines = [str(fault) for fault in self.listed[:most]]
        if len(self.listed) > most:
            total = sum(self.counts.values())
            lines.append(f"and so on: {total} frames in all")
        return lines

    _run: FaultKind | None = None
    """The fault of the frame before; neighbours with the same one are listed together."""
    _run_is_listed: bool = False

    def _list(self, kind: FaultKind, at: Fraction, frames: int, detail: str) -> None:
        if self._run is not kind:
            self._run, self._run_is_listed = kind, len(self.listed) < MOST_LISTED
            if self._run_is_listed:
                self.listed.append(Fault(kind, at, at, frames, detail))
        elif self._run_is_listed:
            last = self.listed[-1]
            self.listed[-1] = replace(last, until=at, frames=last.frames + frames)

    def _check(self, frames: int) -> None:
        faulty, whole = self.faulty + self.before.faulty, frames + self.before.frames
        if faulty <= FEW_FRAMES or faulty <= whole * MOST_SHARE:
            return
        counts = ", ".join(f"{count} {kind}" for kind, count in self.counts.items() if kind is not FaultKind.BACKWARD)
        first, last = self.listed[0], self.listed[-1]
        raise DecodeError(
            f"{self.path} is too damaged: {faulty} of {whole} frames are faulty ({counts}; "
            f"first {first}; last at {float(last.until):.3f} s), wanted at most {float(MOST_SHARE):.0%}",
            self._hint(),
        )

    def _hint(self) -> str:
        kind = max(self.counts, key=lambda each: self.counts[each])
        if kind is not FaultKind.CHANGED:
            return "get an undamaged copy, or convert the good parts with `--start` and `--end`"
        at = float(next(fault.at for fault in self.listed if fault.kind is kind))
        return f"convert the parts separately: `--end {at:.3f}` and `--start {at:.3f}`"
