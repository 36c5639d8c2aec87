"""Measurements as JSON: one versioned envelope for engines, pipelines and sweeps; written, read and added to."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastrestore.bench.peak import Peak
from fastrestore.errors import UsageError
from fastrestore.runtime.machine import machine, software

SCHEMA = "fastrestore.bench/1"
KINDS = ("engine", "pipeline", "sweep")

Document = dict[str, Any]


def document(
    kind: str, settings: Mapping[str, object], results: Sequence[Mapping[str, object]], peak: Peak | None
) -> Document:
    """Return measurements as plain data, ready for JSON.

    `load` is how many threads ran or wanted to in the last minute; beyond the number of cores they had to wait.
    """
    return {
        "schema": SCHEMA,
        "kind": kind,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "software": software(),
        "load": os.getloadavg()[0],
        "settings": dict(settings),
        "peak": None if peak is None else {**asdict(peak), "ridge": peak.ridge},
        "results": [dict(result) for result in results],
    }


def read_document(path: Path) -> Document:
    """Read a document that `bench` has written.

    Raises:
        UsageError: If it cannot be read, or is none of this schema.
    """
    try:
        found: Document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "check its name") from error
    except ValueError as error:
        raise UsageError(f"{path} is no JSON", "give a file that `bench --json FILE` wrote") from error
    schema = found.get("schema") if isinstance(found, dict) else None
    if schema != SCHEMA or found.get("kind") not in KINDS or not isinstance(found.get("results"), list):
        raise UsageError(f"{path} has the schema {schema!r}, wanted `{SCHEMA}`", "measure anew with this version")
    return found


def to_json(found: Mapping[str, object]) -> str:
    """Return a document as text; lists of samples stay on one line."""
    return json.dumps(found, indent=None, separators=(",", ":"), allow_nan=False) + "\n"


def appended(earlier: Document, later: Document) -> Document:
    """Return both runs as one, their blocks together: versions that are measured in turns can be compared best.

    Figures other than the blocks are the later run's.

    Raises:
        UsageError: If they are of different kinds, machines or software, or hold other results.
    """
    for key in ("kind", "machine", "software"):
        if earlier[key] != later[key]:
            raise UsageError(
                f"cannot append: the {key} of the file differs from this run's", "write another file, or delete it"
            )
    labels = [[result["label"] for result in found["results"]] for found in (earlier, later)]
    if labels[0] != labels[1]:
        raise UsageError(
            f"cannot append: the file holds {', '.join(labels[0])}; this run {', '.join(labels[1])}",
            "measure the same again, or write another file",
        )
    pairs = zip(earlier["results"], later["results"], strict=True)
    return {**later, "results": [{**new, "blocks": [*old["blocks"], *new["blocks"]]} for old, new in pairs]}
