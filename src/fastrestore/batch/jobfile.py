"""A job file: how the films of a batch are converted, and some of them in another way. `docs/batch.md` tells all."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastrestore.batch.settings import LISTS, OFF, PRESET, SETTINGS, Value, options_from, require_known
from fastrestore.errors import UsageError
from fastrestore.presets.film import is_file

_TABLES = ("defaults", "file")
_DEFAULTS = (*SETTINGS, PRESET, "container")
_RULE = (*_DEFAULTS, "match", "output", "skip")


@dataclass(frozen=True, slots=True)
class Rule:
    """What some films are given beside what all are given."""

    match: str
    """A pattern: against the end of a film's path, or all of it if it begins with a slash."""
    values: Mapping[str, Value] = field(default_factory=dict)
    """Options by name, `container` among them."""
    output: Path | None = None
    """Where the output goes, seen from the folder of the outputs; None names it like all others."""
    skip: bool | None = None
    """Whether the film is left alone; None leaves that to other rules."""

    def matches(self, path: Path) -> bool:
        """Return whether it is about a film. `*` stands for anything but a slash."""
        return path.absolute().match(self.match)


@dataclass(frozen=True, slots=True)
class JobFile:
    """What a job file says."""

    defaults: Mapping[str, Value] = field(default_factory=dict)
    rules: Sequence[Rule] = ()

    def rule_for(self, path: Path) -> Rule:
        """Return what is said of a film: by every rule that matches it, the later one where they differ."""
        matching = [rule for rule in self.rules if rule.matches(path)]
        values = {name: value for rule in matching for name, value in rule.values.items()}
        outputs = [rule.output for rule in matching if rule.output is not None]
        skips = [rule.skip for rule in matching if rule.skip is not None]
        return Rule(str(path), values, outputs[-1] if outputs else None, skips[-1] if skips else None)


def read_job_file(path: Path) -> JobFile:
    """Read a job file.

    Raises:
        UsageError: If it cannot be read, is no TOML, or holds a name that is not known or a value that cannot be meant.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read the job file {path}: {error.strerror}", "check its name") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"the job file {path} is no TOML: {error}", "see docs/batch.md for an example") from error
    try:
        return _job_file(data, path.parent)
    except UsageError as error:
        raise UsageError(f"job file {path}: {error.message}", error.hint) from error


def _job_file(data: Mapping[str, Any], folder: Path) -> JobFile:
    for name in data:
        require_known(name, _TABLES, "table")
    defaults = _table(data.get("defaults", {}), "[defaults]")
    rules = data.get("file", [])
    if not isinstance(rules, list):
        raise UsageError("`file` is no list of tables", "write `[[file]]`, with two brackets")
    return JobFile(_values(defaults, _DEFAULTS, folder), [_rule(_table(row, "[[file]]"), folder) for row in rules])


def _rule(row: Mapping[str, Any], folder: Path) -> Rule:
    match, output, skip = row.get("match"), row.get("output"), row.get("skip")
    if not isinstance(match, str) or not match:
        raise UsageError("a `[[file]]` without `match`", 'say which films it is about: `match = "*.mov"`')
    if output is not None and not isinstance(output, str):
        raise UsageError(f"`output` of `{match}` is no text", "give a path, seen from the folder of the outputs")
    if skip is not None and not isinstance(skip, bool):
        raise UsageError(f"`skip` of `{match}` is neither true nor false", "write `skip = true`")
    try:
        values = _values(row, _RULE, folder)
    except UsageError as error:
        raise UsageError(f"`[[file]]` for `{match}`: {error.message}", error.hint) from error
    return Rule(match, values, None if output is None else Path(output), skip)


def _values(row: Mapping[str, Any], known: Sequence[str], folder: Path) -> dict[str, Value]:
    """Return the options in a table, each looked at once so that a typo is told before any work."""
    for name in row:
        require_known(name, known, "option")
    values = {name: value for name, value in row.items() if name in _DEFAULTS}
    for name, value in values.items():
        if isinstance(value, list) and name in LISTS and all(isinstance(each, str) for each in value):
            values[name] = tuple(str(folder / each) for each in value)
        elif not isinstance(value, str | int | float):
            raise UsageError(f"`{name}` is neither text, number, true nor false", f"see `--{name}` in docs/batch.md")
    for name in ("audio", *LISTS):
        word = values.get(name)
        if isinstance(word, str) and word != OFF:
            values[name] = str(folder / word)
    preset = values.get(PRESET)
    if isinstance(preset, str) and is_file(preset):
        values[PRESET] = str(folder / preset)
    options_from({name: value for name, value in values.items() if name in (*SETTINGS, PRESET)})
    return values


def _table(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"`{name}` is no table", "see docs/batch.md for an example")
    return value
