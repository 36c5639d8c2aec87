"""A record of a restored film, and certificates to sign one with."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import pytest

from fastrestore.runtime.frame_set import FrameSet
from fastrestore.runtime.provenance import ColourRecord, Frames, Invented, Network, Provenance, StageRecord

LEARNED = Network("film-x4-tiny", "restore", "Apache-2.0", "export/train", {"fp32": "ab" * 32})
_OTHER_USES = (
    *("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only"),
    "decipher_only",
)
DIS = Network("dis", "motion", "Apache-2.0", "OpenCV")


def record() -> Provenance:
    """Return a record with everything in it."""
    return Provenance(
        settings={"restore": "film-x4-tiny", "motion": "dis", "order": "guided"},
        source={"name": "reel.mkv", "bytes": 123456, "sample_sha256": "cd" * 32},
        frames=Frames(100, FrameSet.from_flags([k % 5 > 0 for k in range(100)]), "dis", Fraction(0), Fraction(60)),
        networks=(LEARNED, DIS),
        stages=(
            StageRecord("clean", "medium", ({"shot": 0, "begin_s": 0.0, "frames": 40, "clean.repaired_px": 1234.0},)),
            StageRecord("grain", "keep"),
        ),
        colour=ColourRecord(Invented.PART, "hand.png@2.5", ({"shot": 0, "confidence": 0.8},)),
        enlarged="64x48 to 256x192",
        versions={"fastrestore": "0.1.0", "numpy": "2.0"},
    )


def plain() -> Provenance:
    """Return a record of a film that nothing was invented in."""
    return replace(
        record(), networks=(), stages=(), colour=ColourRecord(), enlarged="", frames=Frames(40, rate=Fraction(24))
    )


def certificate(folder: Path, *, days: int = 30, together: bool = False, password: bytes | None = None) -> str:
    """Write a certificate that a root of our own vouches for, and its key; return the words of `--c2pa`."""
    pytest.importorskip("cryptography")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def name(text: str) -> x509.Name:
        organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Nobody")
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text), organisation])

    now = datetime.now(UTC)
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    signs = dict.fromkeys(_OTHER_USES, False)
    identity = x509.SubjectKeyIdentifier.from_public_key(root_key.public_key())
    root = (
        x509.CertificateBuilder()
        .subject_name(name("Test root"))
        .issuer_name(name("Test root"))
        .public_key(root_key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=90))
        .not_valid_after(now + timedelta(days=90))
        .add_extension(x509.BasicConstraints(True, None), True)
        .add_extension(x509.KeyUsage(False, key_cert_sign=True, crl_sign=True, **signs), True)
        .add_extension(identity, False)
        .sign(root_key, hashes.SHA256())
    )
    leaf = (
        x509.CertificateBuilder()
        .subject_name(name("Test signer"))
        .issuer_name(name("Test root"))
        .public_key(key.public_key())
        .serial_number(2)
        .not_valid_before(now - timedelta(days=60))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(False, None), True)
        .add_extension(x509.KeyUsage(True, key_cert_sign=False, crl_sign=False, **signs), True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identity), False)
        .sign(root_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    hidden = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    secret = key.private_bytes(pem, serialization.PrivateFormat.TraditionalOpenSSL, hidden)
    chain = leaf.public_bytes(pem) + root.public_bytes(pem)
    folder.mkdir(exist_ok=True)
    if together:
        (folder / "both.pem").write_bytes(chain + secret)
        return str(folder / "both.pem")
    (folder / "cert.pem").write_bytes(chain)
    (folder / "key.pem").write_bytes(secret)
    return f"{folder / 'cert.pem'},{folder / 'key.pem'}"
