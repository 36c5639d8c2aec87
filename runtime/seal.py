"""Tells a user's own files from all others, by a secret that only this user can read."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path

from fastrestore.errors import EngineError
from fastrestore.runtime.locks import exclusive
from fastrestore.runtime.state_files import read_bounded, write_synced

SEAL_VARIABLE = "FASTRESTORE_SEAL"
SECRET_BYTES = 32
TAG_LENGTH = 64
"""Characters of a tag: a sha256 in hexadecimal."""
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def secret_path() -> Path:
    """Return where the secret lies, which need not exist: `FASTRESTORE_SEAL`, or the platform's place for data."""
    if chosen := os.environ.get(SEAL_VARIABLE):
        return Path(chosen).absolute()
    import platformdirs

    return platformdirs.user_data_path("fastrestore", appauthor=False) / "seal.key"


class Seal:
    """Signs content, and knows again what it signed.

    An engine is a program: whoever can put one where it will be loaded has it run. A checksum beside it says nothing
    about who made it; a tag by a secret does.

    Args:
        path: File of the secret, made when something is first signed; None takes `secret_path()`.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or secret_path()
        self._secret: bytes | None = None

    def sign(self, purpose: str, content: bytes) -> str:
        """Return the tag of some content, in lower-case hexadecimal.

        Args:
            purpose: What kind of content it is: a tag of one kind is none of another.
            content: What is signed.

        Raises:
            EngineError: If the secret cannot be read or made, or others can read it.
        """
        return _tag(self._read() or self._made(), purpose, content)

    def holds(self, purpose: str, content: bytes, tag: str) -> bool:
        """Return whether a tag is ours, of this very content. No secret yet means: nothing is ours.

        Raises:
            EngineError: If the secret is there and cannot be read, or others can read it.
        """
        secret = self._read()
        return secret is not None and hmac.compare_digest(_tag(secret, purpose, content).encode(), tag.encode())

    def _read(self) -> bytes | None:
        if self._secret is None:
            try:
                facts = self.path.stat()
                content = read_bounded(self.path.resolve(), SECRET_BYTES)
            except FileNotFoundError:
                return None
            except OSError as error:
                raise self._unusable(f"cannot be read: {error.strerror}", "check its permissions") from error
            if facts.st_mode & _OTHERS or facts.st_uid not in (os.geteuid(), 0):
                raise self._unusable(
                    f"belongs to user {facts.st_uid} with mode {stat.S_IMODE(facts.st_mode):o}, wanted only you to "
                    "read it",
                    f"`chmod 600 {self.path}`; if others may have read it, remove it: engines are then built anew",
                )
            if content is None or len(content) != SECRET_BYTES:
                raise self._unusable(
                    f"is no file of {SECRET_BYTES} bytes",
                    f"remove it, and engines are built anew; or correct {SEAL_VARIABLE}",
                )
            self._secret = content
        return self._secret

    def _made(self) -> bytes:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with exclusive(self.path.with_name(self.path.name + ".lock")):
                if (secret := self._read()) is not None:
                    return secret  # another process has made it meanwhile
                write_synced(self.path, secrets.token_bytes(SECRET_BYTES), mode=0o600)
        except OSError as error:
            raise self._unusable(
                f"cannot be made: {error.strerror}",
                f"check the folder and its free space, or name another file by {SEAL_VARIABLE}",
            ) from error
        secret = self._read()
        assert secret is not None
        return secret

    def _unusable(self, what: str, hint: str) -> EngineError:
        return EngineError(f"the secret that marks your own engines, {self.path}, {what}", hint)


def _tag(secret: bytes, purpose: str, content: bytes) -> str:
    return hmac.new(secret, purpose.encode() + b"\0" + content, hashlib.sha256).hexdigest()
