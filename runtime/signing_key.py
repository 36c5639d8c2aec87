"""A certificate and its key, with which finished films are signed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final, Self

from fastrestore.errors import UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from cryptography.x509 import Certificate

_LARGEST_BYTES: Final = 1 << 20
_CURVES: Final = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
_HINT: Final = "use `--c2pa CERT.pem,KEY.pem`, with a key that needs no password"


def load_library() -> ModuleType:
    """Return the public `c2pa` library.

    Raises:
        UsageError: If it is not installed.
    """
    try:
        import c2pa
    except ImportError as error:
        raise UsageError(
            f"content credentials need the c2pa library: {error}", "`pip install 'fastrestore[provenance]'`"
        ) from error
    library: ModuleType = c2pa
    return library


@dataclass(frozen=True, slots=True)
class SigningKey:
    """With what a film is signed."""

    certificates: bytes
    """PEM: the signer's own certificate first, then those that vouch for it."""
    secret: bytes = field(repr=False)
    """PEM, PKCS #8, not encrypted."""
    algorithm: str
    """As C2PA names it, such as `es256`."""

    @classmethod
    def load(cls, words: str) -> Self:
        """Read `CERT.pem,KEY.pem`, or `CERT.pem` that holds both, and check that they can sign together today.

        Raises:
            UsageError: If they cannot, or cannot be read, or the library is missing.
        """
        load_library()
        from cryptography import x509  # comes with the c2pa library
        from cryptography.hazmat.primitives.serialization import (
            Encoding,
            NoEncryption,
            PrivateFormat,
            load_pem_private_key,
        )

        first, _, second = (word.strip() for word in words.partition(","))
        chain = _pem(Path(first))
        try:
            certificates = x509.load_pem_x509_certificates(chain)
            key = load_pem_private_key(_pem(Path(second)) if second else chain, None)
        except (ValueError, TypeError) as error:  # TypeError: it is encrypted
            reason = str(error).split("\n", 1)[0]
            raise UsageError(f"`--c2pa {words}` holds no certificate with its key: {reason}", _HINT) from error
        _require_valid(certificates[0], key, words)
        return cls(
            # Not the file itself: a key that lies in it must not get into the film.
            certificates=b"".join(each.public_bytes(Encoding.PEM) for each in certificates),
            secret=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            algorithm=_algorithm(key, words),
        )


def _require_valid(certificate: Certificate, key: PrivateKeyTypes, words: str) -> None:
    """Refuse a certificate that is not the key's, or not valid today."""
    if key.public_key() != certificate.public_key():
        raise UsageError(f"`--c2pa {words}`: the key is not that of the certificate", "name two that belong together")
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not begin <= datetime.now(UTC) <= end:
        raise UsageError(
            f"`--c2pa {words}`: the certificate is valid from {begin:%Y-%m-%d} to {end:%Y-%m-%d}, not today",
            "use one that is valid",
        )


def _algorithm(key: PrivateKeyTypes, words: str) -> str:
    """Return by which algorithm a key signs."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return _CURVES[key.curve.name]
    if isinstance(key, rsa.RSAPrivateKey):
        return "ps256"
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    raise UsageError(f"`--c2pa {words}`: keys of this kind cannot sign", "use P-256, P-384, P-521, RSA or Ed25519")


def _pem(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_BYTES)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", _HINT) from error
    if b"-----BEGIN " not in content:
        raise UsageError(f"{path} is no PEM file", _HINT)
    return content
