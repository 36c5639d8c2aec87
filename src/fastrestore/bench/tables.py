"""Reads small TOML files strictly: what is not known, missing or of another type is an error that names the place."""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from fastrestore.errors import UsageError


class Table:
    """A table of a TOML file. Whatever was not asked for by the end is refused by `close`.

    Args:
        values: What the file says.
        where: What messages call it, such as `fleet.toml, machine 2`.
    """

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self.where = where
        self._values = dict(values)
        self._asked: list[str] = []

    def text(self, key: str, default: str | None = None) -> str:
        """Return a text; without a default it must be there."""
        found = self._take(key, default)
        if not isinstance(found, str) or not found:
            self._refuse(key, found, "a text")
        return found

    def texts(self, key: str) -> list[str]:
        """Return a text, or a list of them, as a list; empty if there is none."""
        found = self._take(key, [])
        found = [found] if isinstance(found, str) else found
        if not isinstance(found, list) or not all(isinstance(each, str) and each for each in found):
            self._refuse(key, found, "a text, or a list of texts")
        return found

    def number(self, key: str, default: float | None = None, *, least: float = 0.0, most: float = math.inf) -> float:
        """Return a number within bounds; without a default it must be there."""
        found = self._take(key, default)
        if isinstance(found, bool) or not isinstance(found, (int, float)) or not least <= found <= most:
            bounds = f"{least:g} or more" if most == math.inf else f"{least:g} to {most:g}"
            self._refuse(key, found, f"a number, {bounds}")
        return float(found)

    def optional(self, key: str, *, least: float = 0.0) -> float | None:
        """Return a number, or None if there is none."""
        return self.number(key, least=least) if key in self._values else self._take(key, None)

    def count(self, key: str, default: int) -> int:
        """Return a whole number above zero."""
        found = self._take(key, default)
        if isinstance(found, bool) or not isinstance(found, int) or found < 1:
            self._refuse(key, found, "a whole number, 1 or more")
        return found

    def table(self, key: str) -> Table:
        """Return a table inside it; an empty one if there is none."""
        found = self._take(key, {})
        if not isinstance(found, dict):
            self._refuse(key, found, "a table")
        return Table(found, f"{self.where}, [{key}]")

    def tables(self, key: str) -> list[Table]:
        """Return a list of tables inside it, `[[key]]`; empty if there is none."""
        found = self._take(key, [])
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            self._refuse(key, found, f"tables, each under `[[{key}]]`")
        return [Table(each, f"{self.where}, {key} {number}") for number, each in enumerate(found, 1)]

    def close(self) -> None:
        """Refuse what nobody asked for.

        Raises:
            UsageError: If there is anything; the message offers the nearest name.
        """
        for key in self._values:
            if key not in self._asked:
                near = difflib.get_close_matches(key, self._asked, n=1)
                meant = f"did you mean `{near[0]}`? " if near else ""
                raise UsageError(f"{self.where}: unknown key `{key}`", f"{meant}known: {', '.join(self._asked)}")

    def _take(self, key: str, default: Any) -> Any:
        self._asked.append(key)
        return self._values.get(key, default)

    def _refuse(self, key: str, found: object, wanted: str) -> NoReturn:
        if found is None:
            near = difflib.get_close_matches(key, [other for other in self._values if other not in self._asked], n=1)
            hint = f"did you mean it by `{near[0]}`?" if near else "add it"
            raise UsageError(f"{self.where}: `{key}` is missing, wanted {wanted}", hint)
        raise UsageError(f"{self.where}: `{key}` is {found!r}, wanted {wanted}", "correct it")


def read_table(path: Path) -> Table:
    """Return a TOML file as a table.

    Raises:
        UsageError: If it cannot be read, or is no TOML.
    """
    try:
        return Table(tomllib.loads(path.read_text(encoding="utf-8")), str(path))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "check its name") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no TOML: {error}", "correct it there") from error
