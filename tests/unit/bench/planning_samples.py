"""Measured documents whose costs are known exactly."""

from __future__ import annotations

from typing import Any

WAY = {
    "restore": "film-x2-tiny",
    "motion": "dis",
    "order": "guided",
    "backend": "auto",
    "tile": "auto",
    "threads": "0",
    "film": "nothing",
    "codec": "x264",
    "crf": "18",
    "preset": "medium",
    "format": "yuv420p",
    "verify": "yes",
}
WORK = {
    "decode": 10.0,
    "treat": 0.0,
    "motion": 10.0,
    "restore": 20.0,
    "synthesize": 60.0,
    "encode": 100.0,
    "verify": 100.0,
}
CPU_S = {"decode": 0.1, "motion": 0.4, "restore": 2.0, "synthesize": 0.05, "encode": 0.2, "verify": 0.02}
"""Processor seconds for a million pixels."""


def result(*stages: str, encoder: str = "real", others: float = 0.0, **changes: str) -> dict[str, Any]:
    """Return a conversion of 25 source pictures into 50 of 2 million pixels, on four cores that are half busy.

    Stages are busy for as long as they compute, by two threads each.
    """
    cpu_s = {stage: CPU_S[stage] * WORK[stage] for stage in stages}
    wall_s = (1.0 + sum(cpu_s.values()) / 4 * 2) / (1 - others)
    return {
        "label": "a clip",
        "way": {**WAY, **changes},
        "encoder": encoder,
        "frames": {"source": 25, "output": 50, "restored": 25, "synthesized": 30},
        "work_mpx": dict(WORK),
        "wall_s": wall_s,
        "start_s": 1.0 / (1 - others),
        "start_cpu_s": 0.5,
        "cpu_s": 0.5 + sum(cpu_s.values()),
        "others": others,
        "output_bytes": 1_000_000 if encoder == "real" else 0,
        "stages": {stage: {"workers": 2, "busy_s": seconds / 2 / (1 - others)} for stage, seconds in cpu_s.items()},
    }


def measured(*results: dict[str, Any]) -> dict[str, Any]:
    """Return a document; without results, of a whole conversion and the two that lead up to it."""
    return {
        "schema": "fastrestore.bench/1",
        "kind": "pipeline",
        "made": "2026-01-02T03:04:05+00:00",
        "machine": {"cores": 4},
        "results": list(results)
        or [
            result("decode", "restore", encoder="null", motion="nothing"),
            result("decode", "restore", "motion", "synthesize", encoder="null"),
            result(*CPU_S),
        ],
    }
