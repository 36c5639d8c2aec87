"""Hashes of downloads whose publishers document none: taken at the first pull, enforced ever after."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from filelock import FileLock

from fastrestore.errors import ModelError
from fastrestore.files import sync
from fastrestore.models.spec import SHA256

FILE = "pins.toml"
_HEAD = "# sha256 of downloads for which the catalogue has none, as they were when first pulled. Enforced ever after.\n"


def pinned(root: Path, url: str) -> str:
    """Return the hash that an address was pinned to, or an empty string.

    Args:
        root: Folder of the user's models.
        url: The address.

    Raises:
        ModelError: If the pins cannot be read: a lost pin must not pass for one that never was.
    """
    return _read(root / FILE).get(url, "")


def pin(root: Path, url: str, sha256: str) -> None:
    """Pin an address to the hash of what it gave.

    Raises:
        ModelError: If the pins cannot be read, or the address is pinned to something else.
        OSError: If they cannot be written.
    """
    with FileLock(root / f".{FILE}.lock"):
        path = root / FILE
        pins = _read(path)
        if pins.setdefault(url, sha256) != sha256:
            raise ModelError(f"{url} is pinned to another file: sha256 {pins[url][:12]}...", "pull it again")
        part = path.with_name(FILE + ".part")
        # A JSON string is a TOML string too, as long as it is ASCII.
        rows = (f"{json.dumps(address)} = {json.dumps(found)}\n" for address, found in sorted(pins.items()))
        part.write_text(_HEAD + "[pins]\n" + "".join(rows), encoding="ascii")
        sync(part)
        part.replace(path)


def _read(path: Path) -> dict[str, str]:
    hint = "repair or remove it; without it the next pull pins anew"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}", hint) from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is damaged: {ascii(str(error))[1:121]}", hint) from error
    pins = table.get("pins")
    if not isinstance(pins, dict) or not all(isinstance(v, str) and SHA256.fullmatch(v) for v in pins.values()):
        raise ModelError(f"{path} is damaged: it must hold a table `pins` of sha256 values", hint)
    return pins
