"""A source with faults is mended in the same way whether it is read at once or in pieces, and told of as often."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.command import Ran
from tests.faults.bench import Bench, Film
from tests.media_samples import write_clip

from fastrestore.geometry import Size

_RATE, _SECONDS = 8, 10
_LATER = 14
"""Calls: two or so segments after a run went on."""


def damaged(path: Path) -> Path:
    """Write a film with a frame, in its second half, that is coded with errors."""
    film = Film(_RATE * _SECONDS, codec="ffv1", size=Size(96, 64), rate=Fraction(_RATE))
    film.options = {"level": "3", "slicecrc": "1", "g": "1"}
    write_clip(path, film)
    content = bytearray(path.read_bytes())
    at = round(len(content) * 0.62)
    content[at] ^= 0xFF
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("fps", ["16", "source"])
def told(ran: Ran) -> list[str]:
    """Return what a run said of the fault."""
    assert ran.code == 0, ran.err
    return [text for text in ran.events[-1]["warnings"] if "error" in text]


@pytest.mark.parametrize("fps", ["16", "source"])
def test_killed_before_and_after_a_fault(
    tmp_path: Path, fps: str, sampled: Callable[[Sequence[Any]], list[Any]]
) -> None:
    source = damaged(tmp_path / "damaged.mkv")
    bench = Bench(source, tmp_path, ("--to", "x1", "--fps", fps, "--preset", "ultrafast"))
    whole, log = bench.to(tmp_path / "whole"), tmp_path / "calls"
    fault = told(whole.under(log=str(log)).run())
    assert fault
    calls = log.read_text(encoding="utf-8").splitlines()
    parts = [at for at, call in enumerate(calls, 1) if call.startswith("fsync 00")]
    for first in sampled(parts[1:]):
        job = bench.to(tmp_path / f"killed at {first}")
        assert job.under(at=first, act="kill").run().code == -signal.SIGKILL
        ran = job.under(at=_LATER, act="kill").run()
        if ran.code == -signal.SIGKILL:
            ran = job.run()
        assert told(ran) == fault
        assert job.output.read_bytes() == whole.output.read_bytes()
