"""`engines`: what is in the engine cache, what leaves it, and what of others is let in."""

from __future__ import annotations

import json
import re
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional
from unicodedata import category

import typer

from fastrestore.cli.options import AsJson, app
from fastrestore.config import parse_bytes
from fastrestore.errors import FastRestoreError, UsageError

if TYPE_CHECKING:
    from fastrestore.runtime.cache.engines import EngineCache
    from fastrestore.runtime.cache.entry import CachedEngine

engines_app = typer.Typer(help="The engines that were built on this machine.", rich_markup_mode=None)
app.add_typer(engines_app, name="engines")

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@engines_app.command("list")
def engines_list(as_json: AsJson = False) -> None:
    """List every engine: size, last use, proved or not."""
    cache = _cache()
    entries = cache.entries()
    if as_json:
        print(json.dumps([entry.as_dict() for entry in entries], indent=2))
    else:
        width = max((len(entry.name) for entry in entries), default=0)
        for entry in entries:
            print(f"{entry.name:<{width}} {_megabytes(entry.bytes):>9}  used {entry.used[:10]}  {_state(entry)}")
        total = sum(entry.bytes for entry in entries)
        print(f"{len(entries)} engines, {_megabytes(total)}, in {cache.folder}", file=sys.stderr)
    _tell_problems(cache)


@engines_app.command("show")
def engines_show(
    name: Annotated[str, typer.Argument(help="An engine's name, or how it begins.", metavar="NAME")],
    as_json: AsJson = False,
) -> None:
    """Show what is known of one engine.

    Its whole key, what the library says of it, its proof, and the end of the build's log.
    """
    entry = _chosen(_cache(), name)
    facts = entry.as_dict()
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    log_tail = facts.pop("log_tail")
    for key, value in _flat(facts):
        print(f"{key:<32} {_plain(_word(value))}")
    for line in log_tail:
        print(f"log: {_plain(line)}")


@engines_app.command("verify")
def engines_verify(
    names: Annotated[
        Optional[list[str]], typer.Argument(help="Engines, or how they begin; all, if none is named.", metavar="NAME")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check every byte of engines.

    Exit code 1 if anything is wrong; building makes it anew.
    """
    cache = _cache()
    entries = [_chosen(cache, name) for name in names] if names else cache.entries()
    results: list[dict[str, object]] = []
    for entry in entries:
        problem = ""
        try:
            cache.verify(entry)
        except FastRestoreError as error:
            problem = error.message
        results.append({"name": entry.name, "ok": not problem, "problem": problem})
    if as_json:
        print(json.dumps(results, indent=2))
    else:
        for result in results:
            print(f"{'ok' if result['ok'] else 'no':<3} {result['name']}  {result['problem']}".rstrip())
    _tell_problems(cache)
    if cache.problems or not all(result["ok"] for result in results):
        raise typer.Exit(1)


@engines_app.command("prune")
def engines_prune(
    older_than: Annotated[
        Optional[str], typer.Option(help="Remove what was not used for so long: `30d`, `12h`.", metavar="AGE")
    ] = None,
    limit: Annotated[
        Optional[str],
        typer.Option(help="Remove the least recently used, until no more is left: `5G`.", metavar="BYTES"),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Remove all engines and timing caches.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove engines and leftovers.

    Leftovers are of interrupted builds and refused engines. Without an option, only they go, and what is beyond the
    cache's own limit.
    """
    cache = _cache()
    age = None if older_than is None else _age(older_than)
    most = None if limit is None else _limit(limit)
    pruned = cache.prune(older_than=age, limit_bytes=most, everything=everything, dry_run=dry_run)
    if as_json:
        facts = {
            "dry_run": dry_run,
            "removed": [entry.name for entry in pruned.removed],
            "in_use": [entry.name for entry in pruned.in_use],
            "leftovers": [str(path) for path in pruned.leftovers],
            "freed_bytes": pruned.freed_bytes,
            "kept_bytes": pruned.kept_bytes,
        }
        print(json.dumps(facts, indent=2))
    else:
        verb = "would be removed" if dry_run else "removed"
        for name in (*(entry.name for entry in pruned.removed), *map(str, pruned.leftovers)):
            print(f"{verb}: {name}")
        for entry in pruned.in_use:
            print(f"in use, kept: {entry.name}")
        freed, kept = _megabytes(pruned.freed_bytes), _megabytes(pruned.kept_bytes)
        print(f"{freed} {'would be freed' if dry_run else 'freed'}, {kept} kept", file=sys.stderr)
    _tell_problems(cache)


@engines_app.command("trust")
def engines_trust(
    files: Annotated[list[Path], typer.Argument(help="Engines; the sidecar lies beside each.", metavar="FILE...")],
    as_json: AsJson = False,
) -> None:
    """Take over engines that were made elsewhere.

    An engine is a program: whoever made it decides what runs here when it is loaded. Only its hash and size are
    checked. It is proved anew when it is first used.
    """
    cache = _cache()
    taken = []
    for path in files:
        entry = cache.trust(path)
        taken.append(entry)
        print(f"{entry.name}: sealed as yours; what it does when loaded was decided by who made it", file=sys.stderr)
        if not as_json:
            print(entry.path)
    if as_json:
        print(json.dumps([entry.as_dict() for entry in taken], indent=2))


def _cache() -> EngineCache:
    from fastrestore.runtime.cache.engines import EngineCache

    return EngineCache()


def _chosen(cache: EngineCache, name: str) -> CachedEngine:
    """Return the engine of a name, or the only one whose name begins so.

    Raises:
        UsageError: If there is none, or several.
    """
    entries = cache.entries()
    exact = [entry for entry in entries if entry.name == name]
    found = exact or [entry for entry in entries if entry.name.startswith(name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{len(found)} engines begin with `{name}`", f"one is `{found[0].name}`; write more of it")
    _tell_problems(cache)
    raise UsageError(f"there is no engine `{name}`", "see `fastrestore engines list`")


def _age(text: str) -> timedelta:
    match = re.fullmatch(r"(\d{1,5})([mhdw])", text.strip().lower(), re.ASCII)
    if match is None:
        raise UsageError(f"`--older-than {text}` is not understood", "use for example `30d`, `12h`, `2w` or `90m`")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _limit(text: str) -> int:
    try:
        return parse_bytes(text)
    except UsageError as error:
        raise UsageError(f"`--limit {text}` is not understood", "use for example `5G` or `800M`") from error


def _state(entry: CachedEngine) -> str:
    if entry.proof is None:
        return "built, not proved"
    return "refused when proved" if entry.proof.get("refusal") else "proved"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def _flat(facts: dict[str, object], prefix: str = "") -> list[tuple[str, object]]:
    """Return nested facts as rows, `key.profile.name`."""
    rows: list[tuple[str, object]] = []
    for key, value in facts.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{key}.")
        else:
            rows.append((prefix + key, "not proved" if key == "proof" else value))
    return rows


def _word(value: object) -> str:
    if value is None or value in ("", []):
        return "-"
    return value if isinstance(value, str) else json.dumps(value)


def _plain(text: str) -> str:
    """Return text that cannot steer a terminal: what was trusted may say anything."""
    return "".join("\ufffd" if category(letter)[0] == "C" else letter for letter in text)


def _tell_problems(cache: EngineCache) -> None:
    for problem in cache.problems:
        print(f"warning: {problem}", file=sys.stderr)
