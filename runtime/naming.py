"""Gives a finished film, and the record of what was done to it, their names."""

from __future__ import annotations

import os
from pathlib import Path

from fastrestore.files import sync_names
from fastrestore.runtime.media.translate import writing
from fastrestore.runtime.provenance import record_path
from fastrestore.runtime.workfolder import WorkFolder


def give_names(work: WorkFolder, output: Path) -> None:
    """Put a finished film and its record, if it has one, where they belong; what has its name already stays.

    At no time does a record lie beside a film that it is not of: the film's old one goes first, the new one comes last,
    and a run that is killed in between finds it in the work folder.

    Raises:
        EncodeError: If one cannot be put there.
    """
    with writing(output):
        if work.joined.is_file():
            if os.path.lexists(old := record_path(output)) and not old.is_dir():
                old.unlink()
            work.joined.replace(output)
        if work.record.is_file():
            work.record.replace(record_path(output))
    sync_names(output.parent)
