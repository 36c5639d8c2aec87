"""Signing finished films, and what of it can be relied on. What needs the c2pa library skips without it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from tests.media_samples import Clip, write_clip
from tests.provenance_samples import certificate, plain, record
from tests.verify_samples import Film, finished, source

from fastrestore.errors import EncodeError, UsageError
from fastrestore.runtime.credentials import ASSERTION, is_signed, manifest_of, read_credentials, require_signable, sign
from fastrestore.runtime.signing_key import SigningKey
from fastrestore.runtime.verify.verdict import verify

_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/"


def film(folder: Path, name: str = "film.mp4") -> Path:
    finished(Film(folder / "segments"), folder / name)
    return folder / name


def key(folder: Path) -> SigningKey:
    pytest.importorskip("c2pa")
    return SigningKey.load(certificate(folder / "keys"))


def test_without_the_library_one_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "c2pa", None)
    with pytest.raises(UsageError, match="need the c2pa library") as caught:
        SigningKey.load("cert.pem,key.pem")
    assert "fastrestore[provenance]" in caught.value.hint


@pytest.mark.parametrize("name", ["film.mkv", "film.webm", "film"])
def test_what_cannot_be_signed_is_refused_beforehand(name: str) -> None:
    with pytest.raises(UsageError, match="cannot sign") as caught:
        require_signable(Path(name))
    assert ".mp4" in caught.value.hint
    require_signable(Path("FILM.MP4"))


def test_the_manifest_marks_what_is_invented() -> None:
    manifest = manifest_of(record(), Path("film.mp4"), opened=True)
    actions, ours = (each["data"] for each in manifest["assertions"])
    told = {each.get("description", ""): each.get("digitalSourceType", "") for each in actions["actions"]}
    learned, synthetic, enhanced = (
        _TYPE + each
        for each in ("compositeWithTrainedAlgorithmicMedia", "compositeSynthetic", "algorithmicallyEnhanced")
    )
    assert told["every frame redrawn by film-x4-tiny (restore)"] == learned
    assert told["80 of 100 frames synthesised between frames of the source"] == learned
    assert told["colours invented (part), after hand.png@2.5"] == synthetic
    assert told["clean: medium"] == told["grain: keep"] == enhanced
    assert manifest["assertions"][1]["label"] == ASSERTION
    assert json.loads(ours["json"]) == json.loads(json.dumps(record().facts()))
    begun = manifest_of(plain(), Path("film.mov"), opened=False)["assertions"][0]["data"]["actions"]
    assert [each["action"] for each in begun] == ["c2pa.created", "c2pa.transcoded"]
    assert begun[0]["digitalSourceType"] == enhanced


def test_an_unsigned_film_has_no_credentials(tmp_path: Path) -> None:
    for name in ("film.mp4", "film.mkv"):
        path = write_clip(tmp_path / name, Clip(2))
        assert not is_signed(path)
        assert read_credentials(path) is None
    (tmp_path / "empty.mp4").write_bytes(b"")
    assert not is_signed(tmp_path / "empty.mp4")


@pytest.mark.parametrize("name", ["film.mp4", "film.mov"])
def test_a_signed_film_holds_all_it_held_before(tmp_path: Path, name: str) -> None:
    path = film(tmp_path, name)
    assert verify(path).passed
    sign(path, record(), key(tmp_path), name=path)
    assert is_signed(path)
    verdict = verify(path)
    assert verdict.passed, verdict.findings
    assert verdict.promised
    credentials = read_credentials(path)
    assert credentials is not None
    assert credentials.state == "Valid"
    assert [code for code, _ in credentials.failures] == ["signingCredential.untrusted"]
    assert credentials.signer == "Test signer"
    assert credentials.record == record().to_text()
    assert [each.name for each in tmp_path.iterdir() if "signing" in each.name] == []


def test_the_source_is_named_by_its_content(tmp_path: Path) -> None:
    path, old = film(tmp_path), source(tmp_path / "reel.mkv")
    sign(path, record(), key(tmp_path), name=path, source=old)
    assert b"reel.mkv" in path.read_bytes()
    credentials = read_credentials(path)
    assert credentials is not None
    assert credentials.state == "Valid"


def test_any_changed_byte_is_found(tmp_path: Path) -> None:
    path = film(tmp_path)
    sign(path, record(), key(tmp_path), name=path)
    whole = path.read_bytes()
    for place in (len(whole) // 2, len(whole) - 20):  # in a picture, and in our own manifest
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        credentials = read_credentials(path)
        assert credentials is not None
        assert credentials.state == "Invalid"
        assert any("Hash" in code for code, _ in credentials.failures)


def test_a_refusal_leaves_the_film_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"this is no film at all")
    with pytest.raises(EncodeError, match="cannot sign"):
        sign(path, record(), key(tmp_path), name=path)
    assert path.read_bytes() == b"this is no film at all"
    assert {each.name for each in tmp_path.iterdir()} == {"film.mp4", "keys"}


def test_the_key_stays_secret(tmp_path: Path) -> None:
    pytest.importorskip("c2pa")
    both = SigningKey.load(certificate(tmp_path, together=True))
    assert b"PRIVATE" not in both.certificates
    assert both.certificates.count(b"BEGIN CERTIFICATE") == 2
    assert both.algorithm == "es256"
    assert "PRIVATE" not in repr(both)


def test_keys_that_cannot_sign_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("c2pa")
    good, other = certificate(tmp_path / "a"), certificate(tmp_path / "b")
    expired = certificate(tmp_path / "c", days=-1)
    locked = certificate(tmp_path / "d", password=b"secret")
    (tmp_path / "text.pem").write_text("nothing")
    wrong = {
        f"{good.split(',')[0]},{other.split(',')[1]}": "not that of the certificate",
        expired: "not today",
        locked: "no certificate with its key",
        good.split(",")[0]: "no certificate with its key",
        f"{tmp_path / 'text.pem'}": "is no PEM file",
        f"{tmp_path / 'absent.pem'}": "cannot read",
    }
    for words, reason in wrong.items():
        with pytest.raises(UsageError, match=reason):
            SigningKey.load(words)
