"""What was done to a film, and what of it is invented: a record beside the finished file, and in short words inside it.

A restored film looks like a document, and part of it is not. The record says which frames no camera has seen, which
networks drew on what they had learned, and whose colours are made up, so that whoever has the file years later can
tell. Its schema is `fastrestore.provenance/1`, described in docs/provenance.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from fastrestore.errors import DecodeError, EncodeError
from fastrestore.files import digest, part_path
from fastrestore.models.spec import ModelSpec, Task
from fastrestore.runtime.frame_set import FrameSet
from fastrestore.runtime.media.translate import reading, writing
from fastrestore.runtime.state_files import write_synced

SCHEMA: Final = "fastrestore.provenance/1"
SUFFIX: Final = ".provenance.json"
"""Of the record's name, behind the whole name of the film."""
LARGEST_BYTES: Final = 256 << 20
"""Longest record that is read; that of a film of ten hours with a report on every shot has under 100 MB."""


class Invented(StrEnum):
    """How much of something was made up."""

    NONE = "none"
    PART = "part"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Network:
    """A model that had a part in the film."""

    name: str
    role: str
    """`restore`, `motion`, `colour`, `faces`: what it did."""
    licence: str
    source: str
    """Where it comes from."""
    sha256: Mapping[str, str] = field(default_factory=dict)
    """Of its files, by precision; empty for what is computed without a network."""

    @property
    def trained(self) -> bool:
        """Whether it learned from examples what it adds."""
        return bool(self.sha256)

    @classmethod
    def of(cls, spec: ModelSpec, role: str = "") -> Network:
        """Return what is told of a model; its role is its task, unless another is given."""
        files = {precision: artifact.sha256 for precision, artifact in spec.artifacts.items()}
        return cls(spec.name, role or _ROLES[spec.task], spec.licence, spec.source, files)


_ROLES: Final = {Task.RESTORE: "restore", Task.MOTION: "motion"}


@dataclass(frozen=True, slots=True)
class StageRecord:
    """A stage for old film, and what it did."""

    name: str
    words: str
    """As asked for."""
    shots: Sequence[Mapping[str, Any]] = ()
    """For each shot: its number `shot`, `begin_s`, `frames`, and what the stage reports of it. Plain data."""


@dataclass(frozen=True, slots=True)
class Frames:
    """Where the frames of the film come from."""

    total: int
    synthesised: FrameSet = field(default_factory=FrameSet)
    """Numbers of those that lie between two frames of the source, from 0."""
    motion: str = ""
    """By which model's motion they were made."""
    first_s: Fraction = Fraction(0)
    """Seconds of the first frame, on the film's clock."""
    rate: Fraction | None = None
    """Steady frames a second: frame n is shown at `first_s + n / rate`. None keeps the source's own instants."""


@dataclass(frozen=True, slots=True)
class ColourRecord:
    """Whose colours the film has."""

    invented: Invented = Invented.NONE
    how: str = ""
    """By which examples or network."""
    shots: Sequence[Mapping[str, Any]] = ()
    """For each shot that was coloured, such as its number, mean confidence, and where its examples were. Plain data."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """What was done to a film."""

    settings: Mapping[str, str]
    """Options in words, as the manifest tells them."""
    source: Mapping[str, str | int]
    """`name`, and by what its content is known: `bytes`, `sample_sha256`."""
    frames: Frames
    networks: Sequence[Network] = ()
    stages: Sequence[StageRecord] = ()
    """In the order in which they were carried out."""
    colour: ColourRecord = field(default_factory=ColourRecord)
    enlarged: str = ""
    """From which size to which, such as `640x480 to 2880x2160`; empty if it was not."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Of fastrestore and the libraries that had a part."""
    faults: Sequence[str] = ()
    """What was wrong with the source, and what was done about it: frames that stand for others, times made up."""

    @property
    def learned(self) -> bool:
        """Whether anything in the pictures comes from what a network had learned."""
        idle = ("detect",) if self.faces_rebuilt else ("detect", "faces")
        return any(network.trained and network.role not in idle for network in self.networks)

    @property
    def invents(self) -> bool:
        """Whether there are frames or colours that the source does not have."""
        return len(self.frames.synthesised) > 0 or self.colour.invented is not Invented.NONE

    def summary(self) -> str:
        """Return it as one sentence a fact, for the tags of a container."""
        made = len(self.frames.synthesised)
        told = [f"Restored with fastrestore {self.versions.get('fastrestore', '')}".rstrip()]
        if made:
            by = f" along the motion found by {self.frames.motion}" if self.frames.motion else ""
            told.append(f"{made} of {self.frames.total} frames are synthesised between frames of the source{by}")
        else:
            told.append(f"All {self.frames.total} frames are the source's")
        if self.faults:
            told.append("Faults of the source were mended")
        if names := [network.name for network in self.networks if network.role == "restore"]:
            size = f" from {self.enlarged}" if self.enlarged else ""
            told.append(f"Every frame was redrawn{size} by {', '.join(names)}")
        elif self.enlarged:
            told.append(f"Enlarged from {self.enlarged}")
        if self.stages:
            told.append(f"Also: {', '.join(stage.name for stage in self.stages)}")
        if self.faces_rebuilt:
            by = ", ".join(network.name for network in self.networks if network.role == "faces") or "a network"
            told.append(f"Faces were rebuilt by {by} in {self.faces_rebuilt_in}: their likeness is invented")
        told.append(_COLOUR_WORDS[self.colour.invented].format(how=self.colour.how or "a colourist"))
        return ". ".join(told) + "."

    @property
    def faces_rebuilt(self) -> int:
        """In how many shots faces were rebuilt."""
        shots = (shot for stage in self.stages if stage.name == "faces" for shot in stage.shots)
        return sum(shot.get("faces.rebuilt", 0) > 0 for shot in shots)

    @property
    def faces_rebuilt_in(self) -> str:
        """The same in words."""
        return "1 shot" if self.faces_rebuilt == 1 else f"{self.faces_rebuilt} shots"

    def facts(self) -> dict[str, Any]:
        """Return the record without what is known of the finished file, ready for JSON."""
        frames = self.frames
        return {
            "schema": SCHEMA,
            "summary": self.summary(),
            "versions": dict(self.versions),
            "settings": dict(self.settings),
            "source": dict(self.source),
            "networks": [{**asdict(network), "trained": network.trained} for network in self.networks],
            "stages": [{"stage": each.name, "words": each.words, "shots": list(each.shots)} for each in self.stages],
            "frames": {
                "total": frames.total,
                "first_s": str(frames.first_s),
                "rate": None if frames.rate is None else str(frames.rate),
                "synthesised": {
                    "count": len(frames.synthesised),
                    "frames": str(frames.synthesised),
                    "motion": frames.motion,
                },
            },
            "faults": list(self.faults),
            "enlarged": self.enlarged,
            "colour": {
                "invented": self.colour.invented.value,
                "how": self.colour.how,
                "shots": list(self.colour.shots),
            },
        }

    def to_text(self) -> str:
        """Return the record without what is known of the finished file, as one line of JSON: what is signed."""
        return json.dumps(self.facts(), separators=(",", ":"), sort_keys=True)


_COLOUR_WORDS: Final = {
    Invented.NONE: "No colour is invented",
    Invented.PART: "The colours of some shots are invented, after {how}",
    Invented.ALL: "All colours are invented, after {how}",
}


def record_path(film: Path) -> Path:
    """Return where the record of a film lies: beside it."""
    return film.with_name(film.name + SUFFIX)


def require_recordable(film: Path) -> None:
    """Refuse a film beside which no record can lie, before any work.

    Raises:
        EncodeError: If its name is too long for that, or a folder has the record's name.
    """
    target = record_path(film)
    with writing(target):
        part_path(target).exists()  # asking fails if the name is too long
        if target.is_dir():
            raise EncodeError(f"cannot write {target}: it is a folder", "move it away, or choose another output")


def write_record(
    record: Provenance, film: Path, name: Path | None = None, *, at: Path | None = None, signed: bool = False
) -> Path:
    """Write the record of a finished film: complete under its name, or not there at all.

    Args:
        record: What was done.
        film: The finished file as it lies on the disk; it is read to its end.
        name: What the film is going to be called, if that is not its name yet.
        at: Where to write it; None writes it beside the film's name.
        signed: Whether a C2PA manifest was put into it.

    Returns:
        Where the record is.

    Raises:
        DecodeError: If the film cannot be read.
        EncodeError: If the record cannot be written.
    """
    target = at or record_path(name or film)
    with reading(film):
        output = {"name": (name or film).name, "bytes": film.stat().st_size, "sha256": digest(film)}
    text = json.dumps({**record.facts(), "output": output, "signed": signed}, indent=1) + "\n"
    with writing(target):
        write_synced(target, text.encode(errors="backslashreplace"))
    return target


def read_record(film: Path) -> dict[str, Any] | None:
    """Return the record beside a film, or None if there is none.

    Raises:
        DecodeError: If it cannot be read, or is no such record.
    """
    path = record_path(film)
    if not path.exists():
        return None
    with reading(path):
        if path.stat().st_size > LARGEST_BYTES:
            raise _damaged(path, f"it is larger than {LARGEST_BYTES >> 20} MiB")
        content = path.read_bytes()
    return parse_record(content, path)


def parse_record(content: bytes | str, where: Path) -> dict[str, Any]:
    """Read a record; nothing in it is trusted, and what is checked against it is there and of its type.

    Args:
        content: JSON.
        where: The file, for messages.

    Raises:
        DecodeError: If it is damaged or of another schema.
    """
    try:
        record = json.loads(content)
        if not isinstance(record, dict) or record.get("schema") != SCHEMA:
            raise _damaged(where, f"its schema is not {SCHEMA}")
        frames = record["frames"]
        told = FrameSet.from_text(frames["synthesised"]["frames"])
        if len(told) != frames["synthesised"]["count"] or told.end > frames["total"]:
            raise _damaged(where, "its synthesised frames do not add up")
        Invented(record["colour"]["invented"])
        if "output" in record:
            bytes.fromhex(record["output"]["sha256"])
            if type(record["output"]["bytes"]) is not int:
                raise _damaged(where, "its output has no length")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(where, str(error)) from error
    return record


def _damaged(path: Path, reason: str) -> DecodeError:
    return DecodeError(f"the record {path} cannot be read: {reason}", "it was damaged or edited")
