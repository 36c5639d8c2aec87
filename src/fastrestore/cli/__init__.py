"""The command line: parses, calls, prints, sets the exit code. It decides nothing."""

from __future__ import annotations

from fastrestore.cli.shell import main

__all__ = ["main"]
