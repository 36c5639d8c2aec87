"""Content credentials (C2PA): a signed manifest inside a finished film, made and read by the public `c2pa` library.

It is the last thing that is put into a file, because it vouches for every byte of it, our own manifest included. That
one vouches for packets, which signing does not touch. Nothing is fetched: neither certificates nor remote manifests.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from fastrestore.errors import DecodeError, EncodeError, UsageError
from fastrestore.files import sync
from fastrestore.runtime.media.translate import reading, writing
from fastrestore.runtime.provenance import Invented, Provenance
from fastrestore.runtime.signing_key import SigningKey, load_library

ASSERTION: Final = "org.fastrestore.provenance"
"""Under which the manifest holds our record, as text: what it holds as numbers comes back changed."""
KINDS: Final[Mapping[str, str]] = {".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/quicktime"}
"""What can be signed, by extension."""
UNTRUSTED: Final = "signingCredential.untrusted"
_BOX: Final = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
_MOST_BOXES: Final = 64  # the manifest is among the first: it stands before the content
_SETTINGS: Final = {
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
    "builder": {"thumbnail": {"enabled": False}},
}
_SOURCE_TYPE: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/"
_LEARNED: Final = _SOURCE_TYPE + "compositeWithTrainedAlgorithmicMedia"
_SYNTHETIC: Final = _SOURCE_TYPE + "compositeSynthetic"
_ENHANCED: Final = _SOURCE_TYPE + "algorithmicallyEnhanced"
_STAGE_ACTIONS: Final = {"deflicker": "c2pa.color_adjustments", "grain": "c2pa.filtered"}


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a film's signed manifest says, and whether that holds."""

    state: str
    """`Invalid`, `Valid`, or `Trusted` where the certificate is known too."""
    failures: tuple[tuple[str, str], ...]
    """Code and explanation of each thing that does not hold."""
    signer: str
    record: str | None
    """Our record as it was signed; None if the manifest holds none."""


def require_signable(output: Path) -> None:
    """Refuse an output that no manifest can be put into, before any work.

    Raises:
        UsageError: If it is of another kind.
    """
    if output.suffix.lower() not in KINDS:
        raise UsageError(
            f"`--c2pa` cannot sign {output.name}: content credentials have no place in such a file",
            f"name an output that ends in {', '.join(KINDS)}; for several, add `--container mp4`",
        )


def sign(film: Path, record: Provenance, key: SigningKey, *, name: Path, source: Path | None = None) -> None:
    """Put a signed manifest into a finished film: in full, or the film stays as it was.

    Args:
        film: The file; our own manifest must be in it already.
        record: What was done to it.
        key: With what to sign.
        name: What the film is going to be called.
        source: What it was made from: by its content the manifest names it, and takes over a manifest that it has.

    Raises:
        EncodeError: If it cannot be written, or the library refuses.
    """
    require_signable(name)
    c2pa = load_library()
    kind = KINDS[name.suffix.lower()]
    signed = film.with_name(film.name + ".signing")
    definition = manifest_of(record, name, opened=source is not None)
    try:
        with writing(film), _refusing(c2pa, EncodeError, f"cannot sign {film}"), ExitStack() as held:
            context = held.enter_context(c2pa.Context.from_dict(_SETTINGS))
            builder = held.enter_context(c2pa.Builder(json.dumps(definition), context=context))
            if source is not None:
                builder.set_intent(c2pa.C2paBuilderIntent.EDIT)
                parent = {"title": source.name, "relationship": "parentOf"}
                builder.add_ingredient(parent, _kind_of(source), held.enter_context(source.open("rb")))
            info = c2pa.C2paSignerInfo(key.algorithm.encode(), key.certificates, key.secret, None)
            signer = held.enter_context(c2pa.Signer.from_info(info))
            with film.open("rb") as content, signed.open("w+b") as target:
                builder.sign(signer, kind, content, target)
        with writing(film):
            sync(signed)
            signed.replace(film)
    finally:
        signed.unlink(missing_ok=True)


def manifest_of(record: Provenance, name: Path, *, opened: bool) -> dict[str, Any]:
    """Return what is signed.

    Args:
        record: What was done.
        name: What the film is called.
        opened: Whether the source is named by its content; if not, the film begins with itself.
    """
    program = {"name": "fastrestore", "version": record.versions.get("fastrestore", "")}
    actions = list(_actions(record))
    if not opened:
        actions.insert(0, {"action": "c2pa.created", "digitalSourceType": _source_type(record)})
    return {
        "claim_generator_info": [program],
        "title": name.name,
        "format": KINDS[name.suffix.lower()],
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": [{**each, "softwareAgent": program} for each in actions]}},
            {"label": ASSERTION, "data": {"json": record.to_text()}},
        ],
    }


def is_signed(film: Path) -> bool:
    """Return whether a film has a place for content credentials, whatever is in it.

    Raises:
        DecodeError: If it cannot be read.
    """
    with reading(film), film.open("rb") as file:
        size, at = file.seek(0, os.SEEK_END), 0
        for _ in range(_MOST_BOXES):
            file.seek(at)
            head = file.read(32)
            length, begin = int.from_bytes(head[:4], "big"), 8
            if length == 1:
                length, begin = int.from_bytes(head[8:16], "big"), 16
            if head[4:8] == b"uuid" and head[begin : begin + 16] == _BOX:
                return True
            if length < begin or at + length >= size:
                return False
            at += length
    return False


def read_credentials(film: Path) -> Credentials | None:
    """Read a film's signed manifest and check it against the film; None if there is none.

    Raises:
        DecodeError: If the film cannot be read, or what is there is no manifest.
        UsageError: If the library is missing.
    """
    if not is_signed(film):
        return None
    c2pa = load_library()
    kind = KINDS.get(film.suffix.lower(), "video/mp4")
    with (
        reading(film),
        _refusing(c2pa, DecodeError, f"cannot read the content credentials of {film}"),
        c2pa.Context.from_dict(_SETTINGS) as context,
        film.open("rb") as file,
        c2pa.Reader(kind, file, context=context) as reader,
    ):
        state = reader.get_validation_state()
        results, manifest = reader.get_validation_results() or {}, reader.get_active_manifest() or {}
    failed = results.get("activeManifest", {}).get("failure", [])
    return Credentials(
        state=str(state),
        failures=tuple((str(each.get("code")), str(each.get("explanation", ""))) for each in failed),
        signer=str(manifest.get("signature_info", {}).get("common_name", "")),
        record=_record_in(manifest),
    )


def _record_in(manifest: Mapping[str, Any]) -> str | None:
    for assertion in manifest.get("assertions", []):
        if assertion.get("label") == ASSERTION and isinstance(assertion.get("data"), dict):
            text = assertion["data"].get("json")
            return text if isinstance(text, str) else None
    return None


def _actions(record: Provenance) -> Iterator[dict[str, Any]]:
    """Yield what was done in C2PA's words, those that invent something marked as such."""
    for stage in record.stages:
        told = f"{stage.name}: {stage.words}" if stage.words else stage.name
        if stage.name not in ("colour", "faces"):
            action = _STAGE_ACTIONS.get(stage.name, "c2pa.edited")
            yield {"action": action, "digitalSourceType": _ENHANCED, "description": told}
    if record.colour.invented is not Invented.NONE:
        learned = any(network.trained and network.role == "colour" for network in record.networks)
        told = f"colours invented ({record.colour.invented}), after {record.colour.how or 'examples'}"
        kind = _LEARNED if learned else _SYNTHETIC
        yield {"action": "c2pa.color_adjustments", "digitalSourceType": kind, "description": told}
    for network in record.networks:
        if network.trained and network.role == "faces" and record.faces_rebuilt:
            told = f"faces rebuilt by {network.name} in {record.faces_rebuilt_in}, their likeness invented"
            yield {"action": "c2pa.edited", "digitalSourceType": _LEARNED, "description": told}
        if network.trained and network.role not in ("motion", "colour", "faces", "detect"):
            told = f"every frame redrawn by {network.name} ({network.role})"
            yield {"action": "c2pa.edited", "digitalSourceType": _LEARNED, "description": told}
    if record.enlarged:
        yield {"action": "c2pa.resized", "digitalSourceType": _ENHANCED, "description": record.enlarged}
    if made := len(record.frames.synthesised):
        learned = any(network.trained and network.role == "motion" for network in record.networks)
        told = f"{made} of {record.frames.total} frames synthesised between frames of the source"
        kind = _LEARNED if learned or record.learned else _SYNTHETIC
        yield {"action": "c2pa.edited", "digitalSourceType": kind, "description": told}
    yield {"action": "c2pa.transcoded"}


def _source_type(record: Provenance) -> str:
    return _LEARNED if record.learned else _SYNTHETIC if record.invents else _ENHANCED


def _kind_of(source: Path) -> str:
    return KINDS.get(source.suffix.lower(), "application/octet-stream")


@contextmanager
def _refusing(c2pa: ModuleType, kind: type[EncodeError] | type[DecodeError], what: str) -> Iterator[None]:
    """Raise our error for the library's."""
    try:
        yield
    except c2pa.C2paError as error:
        reason = " ".join(str(error).split())
        raise kind(f"{what}: {reason[:300]}", "check the certificate, its chain and its key usage") from error
