"""An engine in the cache and its sidecar: a JSON file that says what the engine is, sealed as a whole.

The seal stands in a place of its own, `{"seal": "...", "entry": {...}}`, so that it is checked over the bytes of the
entry before anything parses them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_type_hints

from fastrestore.errors import EngineError
from fastrestore.runtime.engine_key import EngineKey
from fastrestore.runtime.seal import TAG_LENGTH, Seal

SCHEMA = "fastrestore.engine/1"
PURPOSE = "engine"
MOST_BYTES = 1 << 20
"""A longer sidecar is none of ours."""
LOG_LINES = 200
_LOG_LINE_LENGTH = 1000
_INSPECTOR_MOST_LENGTH = MOST_BYTES // 2
_FORM = re.compile(rb'\{"seal": "([0-9a-f]{%d})", "entry": (\{.*\})\}\n?' % TAG_LENGTH, re.DOTALL)
_SHA256 = re.compile("[0-9a-f]{64}")


class RefusedEntryError(EngineError):
    """An entry of the cache that is damaged, foreign, or not what its name says."""


@dataclass(frozen=True, slots=True)
class BuiltEngine:
    """What a builder made."""

    plan: bytes | memoryview
    """The serialised engine."""
    inspector: Mapping[str, Any] = field(default_factory=dict)
    """What the library says of the engine, or what is recorded instead."""
    log_tail: Sequence[str] = ()
    """The last lines of the build's log."""
    build_s: float = 0.0
    warnings: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class CachedEngine:
    """An engine on the disk, as its sidecar describes it."""

    key: EngineKey
    path: Path
    """Of the plan. It is executable content: `EngineCache.load` reads it, and nothing else should."""
    bytes: int
    """Size of the plan."""
    sha256: str
    """Of the plan, in lower-case hexadecimal."""
    made: str
    """When it was built: ISO 8601, UTC, to the second."""
    used: str = field(compare=False)
    """When it was last used, likewise, to the microsecond; it makes no other engine of it."""
    inspector: Mapping[str, Any] = field(default_factory=dict)
    log_tail: Sequence[str] = ()
    warnings: Sequence[str] = ()
    build_s: float = 0.0
    proof: Mapping[str, Any] | None = None
    """How it agreed with the reference, or None: built, not proved."""

    @property
    def name(self) -> str:
        """What it is called by people: the file's name without a suffix."""
        return self.path.stem

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON holds it, for people and programs; the sidecar holds less."""
        described = {"name": self.name, "digest": self.key.digest, "path": str(self.path), "used": self.used}
        return {**described, **_body(self)}


def encode(entry: CachedEngine, seal: Seal) -> bytes:
    """Return the content of an entry's sidecar.

    Raises:
        EngineError: If it cannot be sealed, or is too long with the proof that it is given.
    """
    body = json.dumps({"schema": SCHEMA, **_body(entry)}, default=str).encode()
    content = b'{"seal": "%s", "entry": %s}\n' % (seal.sign(PURPOSE, body).encode(), body)
    if len(content) > MOST_BYTES:
        raise EngineError(
            f"what is to be recorded of engine {entry.name} has {len(content)} bytes, wanted at most {MOST_BYTES}",
            "this is a mistake in fastrestore: please report it",
        )
    return content


def decode(content: bytes, path: Path, used: str, seal: Seal | None) -> CachedEngine:
    """Return the entry of a sidecar's content.

    Args:
        content: At most `MOST_BYTES`, from anybody.
        path: Of the plan.
        used: When it was last used.
        seal: Whose seal it must bear; None asks for none, and what comes back is no more than somebody's claim.

    Raises:
        RefusedEntryError: If it does not bear that seal, or is no entry.
        EngineError: If the seal's secret cannot be used.
    """
    found = _FORM.fullmatch(content)
    if found is None:
        raise RefusedEntryError(f"the sidecar of engine {path.stem} is damaged", "build the engine again")
    if seal is not None and not seal.holds(PURPOSE, found[2], found[1].decode()):
        raise RefusedEntryError(
            f"engine {path.stem} does not bear your seal: it was made elsewhere, or its sidecar was changed",
            "build it here, or accept what you know to be good with `fastrestore engines trust FILE`",
        )
    try:
        return _entry(json.loads(found[2]), path, used)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise RefusedEntryError(
            f"the sidecar of engine {path.stem} is not of the form {SCHEMA}: {error}", "build the engine again"
        ) from error


def fresh(key: EngineKey, path: Path, built: BuiltEngine, bytes_: int, sha256: str) -> CachedEngine:
    """Return the entry of an engine that has just been built; a log or an inspector's report too long is cut."""
    now = datetime.now(UTC)
    inspector = dict(built.inspector)
    if (length := len(json.dumps(inspector, default=str))) > _INSPECTOR_MOST_LENGTH:
        inspector = {"left_out": f"{length} characters"}
    log_tail, warnings = _lines(built.log_tail), _lines(built.warnings)
    made, used = stamp(now), stamp(now, "microseconds")
    return CachedEngine(key, path, bytes_, sha256, made, used, inspector, log_tail, warnings, built.build_s)


def key_of(facts: object) -> EngineKey:
    """Return the key whose `as_dict` this is, having been through JSON.

    Raises:
        ValueError: If a field is missing, left over, or of another type.
    """
    key: EngineKey = _typed(EngineKey, facts)
    return key


def stamp(moment: datetime, timespec: str = "seconds") -> str:
    """Return an instant as ISO 8601, UTC, always of the same length."""
    return moment.astimezone(UTC).isoformat(timespec=timespec)


def _lines(lines: Sequence[str]) -> tuple[str, ...]:
    return tuple(line[:_LOG_LINE_LENGTH] for line in lines[-LOG_LINES:])


def _body(entry: CachedEngine) -> dict[str, Any]:
    return {
        "key": entry.key.as_dict(),
        "bytes": entry.bytes,
        "sha256": entry.sha256,
        "made": entry.made,
        "build_s": entry.build_s,
        "proof": None if entry.proof is None else dict(entry.proof),
        "warnings": list(entry.warnings),
        "inspector": dict(entry.inspector),
        "log_tail": list(entry.log_tail),
    }


def _entry(body: Any, path: Path, used: str) -> CachedEngine:
    if body["schema"] != SCHEMA:
        raise ValueError("its schema is another")
    if body["bytes"] <= 0 or not _SHA256.fullmatch(body["sha256"]):
        raise ValueError("size or hash of the plan is impossible")
    return CachedEngine(
        key=key_of(body["key"]),
        path=path,
        bytes=_typed(int, body["bytes"]),
        sha256=body["sha256"],
        made=stamp(datetime.fromisoformat(body["made"])),
        used=used,
        inspector=_typed(dict, body["inspector"]),
        log_tail=tuple(_typed(str, line) for line in _typed(list, body["log_tail"])),
        warnings=tuple(_typed(str, line) for line in _typed(list, body["warnings"])),
        build_s=float(body["build_s"]),
        proof=_typed(dict | None, body["proof"]),
    )


def _typed(kind: Any, value: Any) -> Any:
    """Return a value as JSON holds it in a type, field by field; nothing is converted, missing or left over."""
    if isinstance(kind, UnionType):
        kind = next((option for option in get_args(kind) if type(value) is option), kind)
    if type(value) is dict and (hints := _hints(kind)):
        if set(value) != set(hints):
            raise ValueError(f"the fields of a {kind.__name__} are others")
        return kind(**{name: _typed(hints[name], value[name]) for name in value})
    if type(value) is not kind:
        raise ValueError(f"{value!r:.40} is no {getattr(kind, '__name__', kind)}")
    return value


@cache
def _hints(kind: Any) -> dict[str, Any]:
    """Return the types of a dataclass's fields; of anything else, nothing."""
    if not is_dataclass(kind):
        return {}
    hints = get_type_hints(kind)
    return {each.name: hints[each.name] for each in fields(kind)}
