"""Whether what a film's record and its content credentials say is of this film, and the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastrestore.errors import DecodeError, UsageError
from fastrestore.files import digest
from fastrestore.runtime.credentials import UNTRUSTED, Credentials, is_signed, read_credentials
from fastrestore.runtime.media.translate import reading
from fastrestore.runtime.provenance import parse_record, read_record, record_path
from fastrestore.runtime.verify.findings import Finding, warning


def check_provenance(film: Path) -> list[Finding]:
    """Return what is wrong with the record beside a film and with the credentials in it; nothing if it has neither.

    Raises:
        DecodeError: If the film itself cannot be read.
    """
    findings: list[Finding] = []
    try:
        record = read_record(film)
    except DecodeError as error:
        record = None
        findings.append(Finding("record", error.message))
    if record is not None:
        findings += _of_this_film(record, film)
    signed = is_signed(film)
    if record is not None and record.get("signed") and not signed:
        findings.append(Finding("c2pa-missing", "its record says that it was signed, and it holds no credentials"))
    if signed:
        findings += _credentials(film, record)
    return findings


def _of_this_film(record: dict[str, Any], film: Path) -> Iterator[Finding]:
    output = record.get("output")
    if output is None:
        yield Finding("record", f"the record {record_path(film)} does not say of which film it is")
        return
    with reading(film):
        size = film.stat().st_size
        if size != output["bytes"]:
            yield Finding("record-film", f"the film has {size} bytes, and its record is of one with {output['bytes']}")
        elif digest(film) != output["sha256"]:
            yield Finding("record-film", "the film is not the one that its record was written for: its sha256 differs")


def _credentials(film: Path, record: dict[str, Any] | None) -> Iterator[Finding]:
    try:
        credentials = read_credentials(film)
    except UsageError as error:
        yield warning("c2pa-unchecked", f"its content credentials were not checked: {error.message} ({error.hint})")
        return
    except DecodeError as error:
        yield Finding("c2pa", error.message)
        return
    if credentials is None:
        return
    broken = [f"{code} ({words})" for code, words in credentials.failures if code != UNTRUSTED]
    if broken or credentials.state == "Invalid":
        yield Finding("c2pa", f"its content credentials do not hold: {'; '.join(broken) or credentials.state}")
        return
    if any(code == UNTRUSTED for code, _ in credentials.failures):
        signer = credentials.signer or "somebody"
        yield warning("c2pa-signer", f"it was signed by {signer}, whose certificate nobody here vouches for")
    yield from _same_record(film, credentials, record)


def _same_record(film: Path, credentials: Credentials, record: dict[str, Any] | None) -> Iterator[Finding]:
    if credentials.record is None:
        yield warning("c2pa-record", "its content credentials are not ours: they hold no record of fastrestore")
        return
    try:
        signed = parse_record(credentials.record, film)
    except DecodeError as error:
        yield Finding("c2pa-record", error.message)
        return
    if record is not None and {key: record.get(key) for key in signed} != signed:
        names = ", ".join(sorted(key for key in signed if record.get(key) != signed[key]))
        yield Finding("c2pa-record", f"the record beside it says something else than what was signed ({names})")
