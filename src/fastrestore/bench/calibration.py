"""Measures what planning needs to know of this machine: one clip, converted three times, each time with more stages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from fastrestore.bench.document import Document, document
from fastrestore.bench.pipelines import Encoder, Run, measure_pipeline
from fastrestore.config import ConvertOptions, RateTarget


def calibrate(clip: Path, options: ConvertOptions, on_run: Callable[[Run], object] | None = None) -> Document:
    """Return a document of the kind `pipeline`, from which rates can be made.

    The first run decodes and restores, the second finds motion and synthesizes besides, the third encodes and verifies
    besides. So the processor time of each group of stages is known, whatever threads their libraries use.

    Args:
        clip: The video; some seconds that are like the films to come.
        options: As for `convert`.
        on_run: Called after every run.

    Raises:
        FastRestoreError: If a conversion fails.
    """
    bare = replace(options, fps=RateTarget())
    runs = [(bare, Encoder.NULL), (options, Encoder.NULL), (options, Encoder.REAL)]
    if options.fps == RateTarget():
        del runs[1]
    results = [measure_pipeline(clip, asked, encoder, 1, on_run).as_dict() for asked, encoder in runs]
    return document("pipeline", {"clip": clip.name, "runs": len(results)}, results, None)
