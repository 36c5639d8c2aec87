"""What a finished file was made from, as its manifest tells: by it a later run knows what needs no doing again.

Only what decides how the film looks is told: the source's content, what was asked for, and the networks that were run.
Not told is what belongs to the machine (backend, threads, tiles) or to the day (versions of libraries, times of files):
none of it is a reason to restore an archive anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fastrestore.config import ConvertOptions
from fastrestore.errors import FastRestoreError
from fastrestore.models.catalog import find
from fastrestore.models.spec import ModelSpec
from fastrestore.runtime.identity import identity, wishes
from fastrestore.runtime.plan import WorkPlan

_BYTES, _SAMPLE, _ASKED, _NETWORKS = "source_bytes", "source_sample_sha256", "asked", "networks"


@dataclass(frozen=True, slots=True)
class Origin:
    """What a film was made from and how."""

    source: Mapping[str, str]
    """By what the source's content is known; empty for frames that came from no file."""
    asked: Mapping[str, str]
    """The options that decide how it looks, but for those left at their defaults."""
    networks: Mapping[str, str]
    """Of each network that was run, by name, what its files are known by."""

    def words(self) -> dict[str, str]:
        """Return it as the settings of a manifest hold it."""
        return {**self.source, _ASKED: _text(self.asked), _NETWORKS: _text(self.networks)}

    @classmethod
    def from_settings(cls, settings: Mapping[str, str]) -> Origin | None:
        """Read it from a manifest's settings, or return None where they do not tell: older versions did not."""
        source = {name: settings[name] for name in (_BYTES, _SAMPLE) if name in settings}
        asked, networks = _read(settings.get(_ASKED)), _read(settings.get(_NETWORKS))
        if len(source) < 2 or asked is None or networks is None:
            return None
        return cls(source, asked, networks)


def origin_of(plan: WorkPlan, options: ConvertOptions, source: Path | None) -> Origin:
    """Return what a run makes a film from.

    Raises:
        DecodeError: If the source or the new soundtrack cannot be read.
    """
    specs = [*plan.chain, *([] if plan.motion is None or plan.motion.classical else [plan.motion])]
    networks = {spec.name: _files(spec) for spec in specs}
    return Origin({} if source is None else content_of(source), wishes(options), networks)


def content_of(path: Path) -> dict[str, str]:
    """Return by what a source's content is known, whatever its name and its times.

    Raises:
        DecodeError: If it cannot be read.
    """
    known = identity(path)
    return {_BYTES: str(known["bytes"]), _SAMPLE: str(known["sample_sha256"])}


def difference(made: Origin, source: Path, options: ConvertOptions) -> str:
    """Return in words why a film is not what a run would make; empty if it is.

    Raises:
        DecodeError: If the source or the new soundtrack cannot be read.
    """
    if made.source != content_of(source):
        return "was made from another source"
    asked = wishes(options)
    names = sorted(name for name in {*made.asked, *asked} if made.asked.get(name) != asked.get(name))
    if names:
        changes = ", ".join(f"{name}: {_word(made.asked, name)} -> {_word(asked, name)}" for name in names)
        return f"was made with other settings ({changes})"
    changed = [name for name, files in made.networks.items() if _present(name) != files]
    return f"was made by another version of {', '.join(changed)}" if changed else ""


def _files(spec: ModelSpec) -> str:
    return " ".join(sorted(artifact.sha256 for artifact in spec.artifacts.values()))


def _present(name: str) -> str | None:
    try:
        return _files(find(name))
    except FastRestoreError:  # it was removed since
        return None


def _word(asked: Mapping[str, str], name: str) -> str:
    return asked.get(name, "default")


def _text(words: Mapping[str, str]) -> str:
    return json.dumps(words, sort_keys=True, separators=(",", ":"))


def _read(text: str | None) -> dict[str, str] | None:
    """Read what a manifest holds; nothing in it is trusted."""
    try:
        words = json.loads(text or "null")
    except (ValueError, RecursionError):
        return None
    if not isinstance(words, dict) or not all(isinstance(word, str) for word in words.values()):
        return None
    return words
