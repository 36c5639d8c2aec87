"""Whether an output is there already, and is what would be made."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from fastrestore.config import ConvertOptions
from fastrestore.errors import DecodeError, EncodeError, UsageError
from fastrestore.runtime.credentials import is_signed
from fastrestore.runtime.manifest import Manifest
from fastrestore.runtime.media.survey import manifest_text
from fastrestore.runtime.naming import give_names
from fastrestore.runtime.origin import Origin, difference
from fastrestore.runtime.provenance import record_path
from fastrestore.runtime.verify.verification import require_whole
from fastrestore.runtime.workfolder import WorkFolder, folder_for


class State(StrEnum):
    """How an output stands."""

    MISSING = "missing"
    DONE = "done"
    """Made from this source with these settings, and whole."""
    OTHER = "other"
    """Something else, or damaged."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What lies under an output's name."""

    state: State
    reason: str = ""
    """What is wrong with it, in words that follow the file's name."""
    frames: int = 0
    """Of a film that is done."""


def standing_of(source: Path, output: Path, options: ConvertOptions) -> Standing:
    """Look at what lies under an output's name: its manifest, then every packet. Only the first picture is decoded.

    With options that verify nothing, the manifest is believed: it is the last that is written, so that nothing was cut
    off.

    Raises:
        DecodeError: If the source or the new soundtrack cannot be read.
    """
    if not output.exists():
        return Standing(State.MISSING)
    try:
        text = manifest_text(output)
        manifest = None if text is None else Manifest.from_text(text)
    except DecodeError as error:
        return Standing(State.OTHER, f"is damaged: {error.message}")
    if manifest is None:
        return Standing(State.OTHER, "was not made by fastrestore, or was cut off")
    origin = Origin.from_settings(manifest.settings)
    if origin is None:
        return Standing(State.OTHER, "does not tell what it was made from")
    if reason := difference(origin, source, options):
        return Standing(State.OTHER, reason)
    if reason := _untold(output, options):
        return Standing(State.OTHER, reason)
    try:
        if options.verify:
            require_whole(output, manifest)
    except (EncodeError, DecodeError) as error:
        return Standing(State.OTHER, f"is damaged: {error.message}")
    return Standing(State.DONE, frames=manifest.frames)


def require_replaceable(standing: Standing, output: Path, options: ConvertOptions) -> None:
    """Refuse to replace what is not what would be made, unless that is asked for.

    Raises:
        UsageError: If it may not be replaced.
    """
    if standing.state is State.OTHER and not options.overwrite and not _is_half_done(output):
        raise UsageError(
            f"output {output} exists already and {standing.reason}", "add `--overwrite`, or choose another name"
        )


def clear_up(output: Path) -> None:
    """Remove the work folder that a run left which was killed when its output had its name already.

    Raises:
        JobError: If another process is at work there.
        EncodeError: If it cannot be looked at.
    """
    if folder_for(output).is_dir():
        work = WorkFolder(output)
        with work.held():
            if not work.joined.is_file():  # all that may still lack its name is the record
                give_names(work, output)
            work.remove()


def _untold(output: Path, options: ConvertOptions) -> str:
    """Return in words what a film lacks that would tell what was done to it, if that is asked for by name."""
    if options.c2pa and not is_signed(output):
        return "is not signed"
    wanted = options.provenance or options.c2pa
    return "has no record beside it" if wanted and not os.path.exists(record_path(output)) else ""


def _is_half_done(output: Path) -> bool:
    """Whether a run may have been killed between naming its output and clearing up: then it is for it to say."""
    return folder_for(output).is_dir()
