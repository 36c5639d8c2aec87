"""How much is tried: a minute's worth, or as many cases as `FASTRESTORE_FUZZ_CASES` says."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

import pytest
from tests.fuzz.pool import Worker

DEFAULT_CASES = 3000
"""Damaged files whose frames are read; other kinds, slower or simpler, are a share of it."""

Try = Callable[[str, list[str], float], None]


@pytest.fixture
def attempt(tmp_path: Path) -> Try:
    """Try cases of a kind over samples that lie in `tmp_path`, and fail with a line for each finding.

    The third argument is how many, as a share of all. `FASTRESTORE_FUZZ_SEED` begins at another number.
    """
    cases = int(os.environ.get("FASTRESTORE_FUZZ_CASES", DEFAULT_CASES))
    first = int(os.environ.get("FASTRESTORE_FUZZ_SEED", 0))

    def run(kind: str, samples: list[str], share: float) -> None:
        count = max(len(samples), round(cases * share))
        seeds = (str(number) for number in range(first, first + count))
        with Worker(kind, tmp_path) as worker:
            outcome = worker.run(zip(islice(cycle(sorted(samples)), count), seeds, strict=True))
        print(f"{kind}: {outcome}")
        assert not outcome.findings, f"\n{outcome}"
        assert outcome.counts["ok"], f"nothing was tried in earnest: {outcome}"

    return run
