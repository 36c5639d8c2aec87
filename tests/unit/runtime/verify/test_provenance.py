"""A record that is not of its film, or not what was signed, is found."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from tests.media_samples import Clip, write_clip
from tests.provenance_samples import certificate, record

from fastrestore.runtime.credentials import sign
from fastrestore.runtime.provenance import record_path, write_record
from fastrestore.runtime.signing_key import SigningKey
from fastrestore.runtime.verify.findings import Finding
from fastrestore.runtime.verify.provenance import check_provenance


def film(folder: Path) -> Path:
    return write_clip(folder / "film.mp4", Clip(3))


def signed(folder: Path) -> Path:
    pytest.importorskip("c2pa")
    path = film(folder)
    sign(path, record(), SigningKey.load(certificate(folder)), name=path)
    write_record(record(), path, signed=True)
    return path


def codes(findings: list[Finding]) -> list[str]:
    return [finding.code for finding in findings]


def test_a_film_with_neither_is_in_order(tmp_path: Path) -> None:
    assert check_provenance(film(tmp_path)) == []


def test_a_film_with_its_record_is_in_order(tmp_path: Path) -> None:
    path = film(tmp_path)
    write_record(record(), path)
    assert check_provenance(path) == []


def test_a_record_of_another_film_is_found(tmp_path: Path) -> None:
    path = film(tmp_path)
    write_record(record(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert codes(check_provenance(path)) == ["record-film"]
    path.write_bytes(whole + b"\0")
    (finding,) = check_provenance(path)
    assert str(len(whole) + 1) in finding.message
    assert finding.is_error


def test_a_damaged_record_is_found(tmp_path: Path) -> None:
    path = film(tmp_path)
    record_path(path).write_text("{")
    assert codes(check_provenance(path)) == ["record"]
    record_path(path).write_text(record().to_text())
    assert codes(check_provenance(path)) == ["record"]


def test_credentials_that_were_taken_out_are_missed(tmp_path: Path) -> None:
    path = film(tmp_path)
    write_record(record(), path, signed=True)
    assert codes(check_provenance(path)) == ["c2pa-missing"]


def test_a_signed_film_is_in_order_but_for_who_signed_it(tmp_path: Path) -> None:
    (finding,) = check_provenance(signed(tmp_path))
    assert finding.code == "c2pa-signer"
    assert "Test signer" in finding.message
    assert not finding.is_error


def test_a_record_that_says_something_else_than_was_signed_is_found(tmp_path: Path) -> None:
    path = signed(tmp_path)
    told = json.loads(record_path(path).read_text())
    told["colour"]["invented"] = "none"
    record_path(path).write_text(json.dumps(told))
    findings = check_provenance(path)
    assert codes(findings) == ["c2pa-signer", "c2pa-record"]
    assert "(colour)" in findings[1].message


def test_a_film_that_was_changed_after_it_was_signed_is_found(tmp_path: Path) -> None:
    path = signed(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:])
    assert codes(check_provenance(path)) == ["record-film", "c2pa"]


def test_without_the_library_one_is_told_that_it_was_not_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = film(tmp_path)
    box = (24 + 4).to_bytes(4, "big") + b"uuid" + bytes.fromhex("d8fec3d61b0e483c92975828877ec481") + b"\0\0\0\0"
    whole = path.read_bytes()
    head = int.from_bytes(whole[:4], "big")
    path.write_bytes(whole[:head] + box + whole[head:])
    monkeypatch.setitem(sys.modules, "c2pa", None)
    (finding,) = check_provenance(path)
    assert finding.code == "c2pa-unchecked"
    assert not finding.is_error
