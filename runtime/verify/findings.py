"""What a check has to say about a file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction


class Severity(StrEnum):
    """Whether a file that a finding is about can be trusted."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be."""

    code: str
    """What it is, for machines; `docs/verify.md` lists all."""
    message: str
    """What was seen and what was wanted."""
    time: Fraction | None = None
    """Seconds at which it begins, or None where it has no place."""
    severity: Severity = Severity.ERROR

    @property
    def is_error(self) -> bool:
        """Whether the file fails for it."""
        return self.severity is Severity.ERROR

    def facts(self) -> dict[str, str | float | None]:
        """Return it as it is printed in JSON."""
        time = None if self.time is None else float(self.time)
        return {"code": self.code, "severity": self.severity.value, "message": self.message, "time_s": time}


def warning(code: str, message: str, time: Fraction | None = None) -> Finding:
    """Return a finding for which a file does not fail."""
    return Finding(code, message, time, Severity.WARNING)


def errors(findings: Iterable[Finding]) -> list[Finding]:
    """Return those for which a file fails."""
    return [finding for finding in findings if finding.is_error]


def at(time: Fraction) -> str:
    """Return a time in words."""
    return f"{float(time):.3f} s"


def off(time: Fraction) -> str:
    """Return in words by how much something is late, or early if negative."""
    return f"{abs(float(time)) * 1000:.1f} ms {'late' if time > 0 else 'early'}"
