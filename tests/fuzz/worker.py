"""A process that tries damaged inputs, one after the other, within bounded memory.

It reads cases from standard input, one `TARGET<tab>SAMPLE<tab>SEED` a line, and answers each with a line: `ok`,
`refused`, or `bad` and why. Whatever ends it without an answer is the fault of the case it was given last.
"""

from __future__ import annotations

import os
import resource
import sys
import traceback
from pathlib import Path

from tests.fuzz.targets import TARGETS, Target

from fastrestore.errors import FastRestoreError

MEMORY_BYTES = 1 << 30
"""How much a case may need beyond what the process has at the start."""


def main() -> None:
    """Answer cases until there are no more."""
    kind, folder = sys.argv[1], Path(sys.argv[2])
    attempt = TARGETS[kind](folder)
    _limit_memory()
    # What libraries print must not be taken for an answer.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        sample, seed = line.rstrip("\n").split("\t")
        print(_tried(attempt, sample, seed), file=answers, flush=True)


def _tried(attempt: Target, sample: str, seed: str) -> str:
    try:
        attempt(sample, seed)
    except FastRestoreError as error:
        if not error.message or "\n" in error.message:
            return f"bad message {error.message!r}"
        return f"refused {error.message}"
    except Exception:  # noqa: BLE001 - finding any other exception is what this is for
        return f"bad {traceback.format_exc()!r}"
    return "ok"


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
