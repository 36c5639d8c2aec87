"""Tells what a run did: in the film's own tags, in a record beside it, and signed where that is asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fastrestore.runtime.credentials import require_signable, sign
from fastrestore.runtime.film_record import record_of
from fastrestore.runtime.frame_set import FrameSet
from fastrestore.runtime.journal import Record
from fastrestore.runtime.making import FAULT, Making
from fastrestore.runtime.origin import content_of
from fastrestore.runtime.provenance import Frames, Provenance, record_path, require_recordable, write_record
from fastrestore.runtime.signing_key import SigningKey
from fastrestore.runtime.workfolder import WorkFolder


@dataclass(frozen=True, slots=True)
class Recording:
    """What is told of a run, and where. Made before the work, so that it does not fail at its end."""

    making: Making
    output: Path
    key: SigningKey | None
    """With what the film is signed, or None."""

    @classmethod
    def of(cls, making: Making, output: Path) -> Recording:
        """Read the certificate, if the film is to be signed.

        Raises:
            UsageError: If it cannot be used, or the output cannot hold a signature.
            EncodeError: If a record cannot lie beside the output.
        """
        words = making.options.c2pa
        if words:
            require_signable(output)
        recording = cls(making, output, SigningKey.load(words) if words else None)
        if recording.wanted:
            require_recordable(output)
        return recording

    @property
    def wanted(self) -> bool:
        """Whether there is to be a record beside the film: also for stages that change what a document shows."""
        options = self.making.options
        return options.provenance or bool(options.film) or self.key is not None

    def told(self, record: Record, shots: list[dict[str, Any]]) -> Provenance:
        """Return what was done.

        Args:
            record: All segments.
            shots: What the stages for old film did, by shot.
        """
        making = self.making
        reader, plan, track = making.source.reader, making.plan, making.track
        between = FrameSet.joined([FrameSet.from_text(done.between) for done in record.done])
        motion = plan.motion.name if plan.motion is not None and len(between) else ""
        frames = Frames(record.frames, between, motion, track.first_pts, plan.rate)
        source: Mapping[str, str | int] = {}
        if reader is not None:
            source = {"name": reader.path.name, **content_of(reader.path)}
        made = record_of(plan, making.options.film, shots, frames, settings={}, source=source)
        warnings = record.done[-1].warnings
        return replace(made, faults=[text.removeprefix(FAULT) for text in warnings if text.startswith(FAULT)])

    def publish(self, told: Provenance, settings: Mapping[str, str], work: WorkFolder) -> None:
        """Sign a finished film that has no name yet, and write the record that gets its name with it.

        Raises:
            EncodeError: If either cannot be written.
        """
        told = replace(told, settings=settings)
        reader = self.making.source.reader
        if self.key is not None:
            sign(work.joined, told, self.key, name=self.output, source=None if reader is None else reader.path)
        outdated = os.path.isfile(record_path(self.output))  # it is of the film that is replaced
        if self.wanted or outdated:
            write_record(told, work.joined, self.output, at=work.record, signed=self.key is not None)
