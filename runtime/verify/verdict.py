"""Says whether a finished file is whole, from all that can be found out about it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fastrestore.errors import DecodeError
from fastrestore.runtime.manifest import Manifest
from fastrestore.runtime.media.decodecheck import Look, Screening, Trouble
from fastrestore.runtime.media.survey import Survey, manifest_text, survey
from fastrestore.runtime.verify.against import same_film, same_tracks, span_of
from fastrestore.runtime.verify.findings import Finding, at, warning
from fastrestore.runtime.verify.provenance import check_provenance
from fastrestore.runtime.verify.screening import Beside, alone
from fastrestore.runtime.verify.verification import check, soundness

SCHEMA = "fastrestore.verify/1"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found out about a file."""

    file: str
    findings: tuple[Finding, ...]
    frames: int = 0
    duration_s: float = 0.0
    """From the first frame to the last."""
    segments: int = 0
    tracks: int = 0
    """Tracks beside the video."""
    promised: bool = False
    """Whether the file held a manifest to be checked against."""
    decoded: bool = False
    against: str | None = None
    """The source it was held against."""
    compared: int = 0
    """Pictures that were held against the source's."""

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong with it; warnings do not count."""
        return not any(finding.is_error for finding in self.findings)

    def facts(self) -> dict[str, object]:
        """Return it as it is printed in JSON."""
        fields = ("file", "frames", "duration_s", "segments", "tracks", "promised", "decoded", "against", "compared")
        return {
            "passed": self.passed,
            **{name: getattr(self, name) for name in fields},
            "findings": [finding.facts() for finding in self.findings],
        }


def as_json(verdicts: Iterable[Verdict]) -> str:
    """Return the schema `fastrestore.verify/1`."""
    listed = list(verdicts)
    whole = all(verdict.passed for verdict in listed)
    return json.dumps({"schema": SCHEMA, "passed": whole, "files": [each.facts() for each in listed]}, indent=2)


def verify(path: Path, *, against: Path | None = None, decode: bool = True) -> Verdict:
    """Check a file: against the manifest in it, against its source if given, and by decoding it from end to end.

    A file that cannot be read at all gets a verdict like any other.

    Raises:
        DecodeError: If the source cannot be opened or holds no video.
    """
    source = None if against is None else survey(against, best=True)
    try:
        manifest, findings = _promise(path)
        found = survey(path, seams=manifest.seams if manifest else (), best=manifest is None)
    except DecodeError as error:
        return Verdict(str(path), (Finding("unreadable", error.message),))
    findings += check(found, manifest) if manifest else list(soundness(found))
    if source is not None:
        findings += [*same_film(found.video, source.video, manifest), *same_tracks(found, source, manifest)]
    compared = 0
    if decode:
        seen, compared = _decode(found, source, manifest)
        findings += seen
    findings += check_provenance(path)
    stamps = found.video.stamps
    return Verdict(
        file=str(path),
        findings=tuple(findings),
        frames=found.video.packets,
        duration_s=float((stamps[-1] - stamps[0]) * found.video.unit) if stamps else 0.0,
        segments=len(manifest.segments) if manifest else 0,
        tracks=len(found.tracks),
        promised=manifest is not None,
        decoded=decode,
        against=None if against is None else str(against),
        compared=compared,
    )


def _promise(path: Path) -> tuple[Manifest | None, list[Finding]]:
    """Return the manifest in a file, or None and why there is none."""
    try:
        text = manifest_text(path)
        if text is None:
            words = "it holds no manifest: frames, times and content could not be held against what was written"
            return None, [warning("no-manifest", words)]
        return Manifest.from_text(text), []
    except DecodeError as error:
        return None, [Finding("manifest", error.message)]


def _decode(found: Survey, source: Survey | None, manifest: Manifest | None) -> tuple[list[Finding], int]:
    """Decode a file to its end; return what is wrong with its pictures and tracks, and how many were compared."""
    film = Screening(found.path, found.video.index)
    findings: list[Finding] = []
    compared = 0
    span = None if source is None else span_of(source.video, manifest)
    try:
        if source is None or span is None:
            findings += alone(film)
        else:
            beside = Beside(span.shift, found.video.unit)
            findings += beside.compare(iter(film), _readable(source, findings))
            compared = beside.compared
    except DecodeError as error:
        findings.append(Finding("unreadable", error.message))
    findings += _troubles(film, source)
    if film.frames != found.video.packets:
        findings.append(
            Finding("decoded-frames", f"{film.frames} frames could be decoded of {found.video.packets} packets")
        )
    return findings, compared


def _readable(source: Survey, findings: list[Finding]) -> Iterator[Look]:
    """Yield looks at a source for as long as it can be read: its own faults are not the file's."""
    screening = Screening(source.path, source.video.index, others=False)
    try:
        yield from screening
    except DecodeError as error:
        findings.append(warning("source-damaged", error.message))
    findings += [warning("source-damaged", f"the source: {_words(t)}", t.first) for t in screening.troubles.values()]


def _troubles(film: Screening, source: Survey | None) -> Iterator[Finding]:
    damaged: list[Trouble] = []
    if source is not None and any(trouble.errors for index, trouble in film.troubles.items() if index != film.index):
        original = Screening(source.path, source.video.index, pictures=False)
        original.finish()
        damaged = list(original.troubles.values())
    for index, trouble in film.troubles.items():
        if trouble.no_decoder:
            yield warning("no-decoder", f"{trouble.label}: there is no decoder for it")
        elif index != film.index and any(
            each.kind == trouble.kind and each.errors >= trouble.errors for each in damaged
        ):
            yield warning("decode", f"{_words(trouble)}; the source has as many", trouble.first)
        else:
            yield Finding("decode", _words(trouble), trouble.first)


def _words(trouble: Trouble) -> str:
    where = "" if trouble.first is None else f", first at {at(trouble.first)}"
    return f"{trouble.label}: {trouble.errors} errors while decoding{where}: {trouble.reason}"
