"""Fetches what others publish: over https, resumed where it stopped, and used only if its hash is the right one."""

from __future__ import annotations

import ipaddress
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from fastrestore.errors import ModelError
from fastrestore.files import digest, part_path, sync
from fastrestore.models import pins, store
from fastrestore.models.spec import FILE_NAME, Publication

OnBytes = Callable[[int, int], None]
"""Called with the bytes that are here and how many there will be, 0 if that is not known."""
_CHUNK = 1 << 16
_OK, _PARTIAL, _NOT_SATISFIABLE = 200, 206, 416


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server may do to us."""

    stall_s: float = 60.0
    """Longest wait for a connection, and then for the next bytes."""
    most_bytes: int = 4 << 30
    tries: int = 5
    """Connections in all; another one is opened only after one that brought something and broke off."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A download that is complete and has the right hash."""

    path: Path
    sha256: str
    newly_pinned: bool
    """Whether the hash was taken now, because none is documented: only later pulls are checked against it."""
    downloaded: bool
    """Whether it was fetched now; else it was here already."""


class _BrokenOffError(Exception):
    """A connection ended or stalled before the file was whole; what came is kept."""


def fetch(
    publication: Publication, root: Path, *, on_bytes: OnBytes | None = None, limits: Limits | None = None
) -> Fetched:
    """Fetch a file into `root/downloads`: there whole with the right hash, or not there at all.

    What came before a connection broke off is kept beside it as `.part` and taken up by the next call. Proxies are
    those of the environment (`https_proxy`, `no_proxy` and so on).

    Args:
        publication: What to fetch.
        root: Folder of the user's models, `store.user_folder()`; made if need be.
        on_bytes: Called as it comes.
        limits: What to put up with.

    Raises:
        ModelError: If the address or name is not acceptable, the server cannot be reached or misbehaves, another
            process is fetching the file, the disk refuses, or the hash is wrong; what has a wrong hash is removed.
    """
    _check_address(publication.url)
    if not FILE_NAME.fullmatch(publication.filename):
        raise ModelError(f"{publication.filename!a} cannot be the name of a download", "correct the catalogue")
    folder = root / store.DOWNLOADS
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{publication.filename}.lock", timeout=0):
            return _Download(publication, root, on_bytes or _ignore, limits or Limits()).run()
    except Timeout as error:
        raise ModelError(
            f"another process is fetching {publication.filename} now", "wait for it, then run the command again"
        ) from error
    except OSError as error:
        raise ModelError(
            f"cannot store {publication.filename} in {folder}: {error.strerror or error}",
            f"check the folder and its free space, or set {store.USER_FOLDER_VARIABLE}",
        ) from error


class _Download:
    """One download, under its lock."""

    def __init__(self, publication: Publication, root: Path, on_bytes: OnBytes, limits: Limits) -> None:
        self._publication, self._root, self._on_bytes, self._limits = publication, root, on_bytes, limits
        self._url = publication.url
        self._path = root / store.DOWNLOADS / publication.filename
        self._part = part_path(self._path)
        self._tag_path = self._path.with_name(self._path.name + ".part.tag")
        self._wanted = publication.sha256 or pins.pinned(root, publication.url)

    def run(self) -> Fetched:
        if self._wanted and self._path.is_file() and digest(self._path) == self._wanted:
            return Fetched(self._path, self._wanted, newly_pinned=False, downloaded=False)
        for left in reversed(range(self._limits.tries)):
            before = self._size()
            try:
                self._receive()
                break
            except _BrokenOffError as error:
                if not left or self._size() <= before:
                    raise ModelError(
                        f"the download of {self._publication.filename} broke off after {self._size()} bytes: {error}",
                        "check the connection and run the command again: it goes on where it stopped",
                    ) from error
        return self._accept()

    def _size(self) -> int:
        return self._part.stat().st_size if self._part.is_file() else 0

    def _discard(self) -> None:
        self._part.unlink(missing_ok=True)
        self._tag_path.unlink(missing_ok=True)

    def _receive(self) -> None:
        """Bring the part up to the whole file, or raise `_BrokenOffError` with what came kept."""
        expected = self._publication.size_bytes
        if expected and self._size() > expected:
            self._discard()
        offset = self._size()
        if expected and offset == expected:
            return
        tag = self._tag()
        if offset and not (tag or self._wanted):  # without a hash, nothing would show that two files were mixed
            self._discard()
            offset = 0
        try:
            response = self._open(offset, tag)
        except urllib.error.HTTPError as error:
            self._refused_by_server(error, offset)
            return
        with response:
            total = self._start(response, offset)
            with self._part.open("ab") as file:
                self._copy(response, file, total)

    def _open(self, offset: int, tag: str) -> Any:
        headers = {"User-Agent": "fastrestore", "Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
            if tag:
                headers["If-Range"] = tag
        opener = urllib.request.build_opener(_Redirects())
        try:
            with self._network():
                return opener.open(urllib.request.Request(self._url, headers=headers), timeout=self._limits.stall_s)
        except ValueError as error:  # from urllib, for an address to be redirected to
            raise self._misbehaved(f"leads to an address that is none: {error}") from error

    @contextmanager
    def _network(self) -> Iterator[None]:
        """Translate what goes wrong between us and the server, so that what goes wrong on the disk stays apart."""
        try:
            yield
        except urllib.error.HTTPError:
            raise
        except urllib.error.URLError as error:
            if not isinstance(error.reason, TimeoutError):
                raise ModelError(
                    f"cannot reach {urllib.parse.urlsplit(self._url).hostname}: {error.reason}",
                    "check the connection; a proxy is named by the environment variable `https_proxy`",
                ) from error
            raise _BrokenOffError(f"no answer within {self._limits.stall_s:g} s") from error
        except TimeoutError as error:
            raise _BrokenOffError(f"nothing came for {self._limits.stall_s:g} s") from error
        except (HTTPException, OSError) as error:
            raise _BrokenOffError(str(error) or type(error).__name__) from error

    def _start(self, response: Any, offset: int) -> int:
        """Take up the part, or begin anew where the server does; return the size of the whole file.

        Raises:
            ModelError: If that size is not known, not the documented one, or too large.
        """
        length = _whole_number(response.headers.get("Content-Length"))
        if response.status == _PARTIAL:
            first, total = _content_range(response.headers)
            if first != offset:
                raise self._misbehaved(f"was asked for the bytes from {offset}, and sends those from {first}")
            if offset and self._tag() not in ("", _strong_tag(response.headers)):
                self._discard()
                raise _BrokenOffError("the file was replaced meanwhile")
        elif response.status == _OK:
            self._discard()
            total = length
            if tag := _strong_tag(response.headers):
                self._tag_path.write_text(json.dumps([self._url, tag]), encoding="utf-8")
        else:
            raise self._misbehaved(f"answers with status {response.status}")
        expected = self._publication.size_bytes
        if expected and total not in (0, expected):
            self._discard()
            raise self._misbehaved(f"offers {total} bytes, where {expected} are documented")
        total = total or expected
        if not total and not self._wanted:
            raise self._misbehaved("does not say how long the file is")
        if total > self._limits.most_bytes:
            raise self._misbehaved(f"offers {total} bytes, more than {self._limits.most_bytes}")
        return total

    def _copy(self, response: Any, file: IO[bytes], total: int) -> None:
        here = file.tell()
        most = total or self._limits.most_bytes
        self._on_bytes(here, total)
        while chunk := self._next(response):
            here += len(chunk)
            if here > most:
                file.truncate(0)
                raise self._misbehaved(f"sends more than {most} bytes")
            file.write(chunk)
            self._on_bytes(here, total)
        file.flush()
        os.fsync(file.fileno())
        if here < total:
            raise _BrokenOffError(f"{total} were to come")

    def _next(self, response: Any) -> bytes:
        with self._network():
            chunk: bytes = response.read1(_CHUNK)
            return chunk

    def _accept(self) -> Fetched:
        """Give the file its name if its hash is right."""
        found = digest(self._part)
        if self._wanted and found != self._wanted:
            self._discard()
            why = "its address is pinned to" if not self._publication.sha256 else "documented is"
            raise ModelError(
                f"{self._publication.filename} is not the file that was meant: sha256 {found}, {why} {self._wanted}",
                "it was removed; pull it again, and if that ends the same way, the publisher has replaced the file",
            )
        newly_pinned = not self._wanted
        if newly_pinned:
            pins.pin(self._root, self._url, found)
        self._part.replace(self._path)
        self._tag_path.unlink(missing_ok=True)
        sync(self._path.parent)
        return Fetched(self._path, found, newly_pinned, downloaded=True)

    def _tag(self) -> str:
        """Return the tag under which the server sent the part, if it was this address."""
        try:
            url, tag = json.loads(self._tag_path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError, TypeError):
            return ""
        return tag if url == self._url and isinstance(tag, str) else ""

    def _refused_by_server(self, error: urllib.error.HTTPError, offset: int) -> None:
        error.close()
        if error.code == _NOT_SATISFIABLE and offset:
            self._discard()  # the part is not the beginning of what is there now
            self._receive()
            return
        reason = str(error.reason).splitlines()[:1] or [""]
        raise self._misbehaved(f"answers {error.code}: {reason[0]}") from error

    def _misbehaved(self, what: str) -> ModelError:
        host = urllib.parse.urlsplit(self._url).hostname
        return ModelError(
            f"{host}, asked for {self._publication.filename}, {what}",
            f"try again later, or fetch {self._url} yourself and run `fastrestore export` on it",
        )


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a few redirects, none of which leaves https."""

    max_redirections = 5
    max_repeats = 5

    def redirect_request(  # the signature is the base class's
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        _check_address(newurl, redirected_from=req.full_url)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check_address(url: str, redirected_from: str = "") -> None:
    """Refuse all but https; a machine may talk to itself without.

    Raises:
        ModelError: If it is refused.
    """
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        parts = urllib.parse.SplitResult("", "", "", "", "")
    plain_before = not redirected_from or urllib.parse.urlsplit(redirected_from).scheme == "http"
    plain = parts.scheme == "http" and _is_loopback(parts.hostname or "") and plain_before
    if not plain and (parts.scheme != "https" or not parts.hostname):
        source = f", where {redirected_from} leads," if redirected_from else ""
        raise ModelError(f"{url!a}{source} is no https address", "a model is fetched over https only")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _whole_number(text: str | None) -> int:
    return int(text) if text and len(text) < 20 and text.isascii() and text.isdigit() else 0


def _content_range(headers: HTTPMessage) -> tuple[int, int]:
    """Return the first byte and the size of the whole file; -1 for the first if the server says neither."""
    unit, _, rest = str(headers.get("Content-Range", "")).partition(" ")
    span, _, total = rest.partition("/")
    first = span.partition("-")[0]
    return (_whole_number(first) if unit == "bytes" and first.isdigit() else -1), _whole_number(total)


def _strong_tag(headers: HTTPMessage) -> str:
    """Return what names the exact bytes: a strong ETag. A date does not, to the second."""
    tag = str(headers.get("ETag", ""))
    return tag if tag.startswith('"') else ""


def _ignore(here: int, total: int) -> None:
    """Show nothing."""
