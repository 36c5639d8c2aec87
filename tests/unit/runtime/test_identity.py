"""Whatever the output depends on is part of what a run is known by; what it does not depend on is not."""

from __future__ import annotations

import os
from dataclasses import fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from tests.media_samples import Clip, Sound, write_clip

from fastrestore.config import ConvertOptions, EncodeOptions, FilmOptions, OnError, Plan, RateTarget, Spans, Target
from fastrestore.errors import DecodeError
from fastrestore.models.catalog import find
from fastrestore.runtime import identity as identity_module
from fastrestore.runtime.identity import header_for, identity
from fastrestore.runtime.journal import Header, Journal
from fastrestore.runtime.media.reader import VideoReader
from fastrestore.runtime.plan import make_plan

OPTIONS = ConvertOptions(to=Target.parse("x2"), fps=RateTarget.parse("60"))
OTHERS: dict[str, Any] = {
    "to": Target.parse("x4"),
    "fps": RateTarget.parse("50"),
    "sr": "clean",
    "plan": Plan.UPSCALE_FIRST,
    "tile": 64,
    "start": Fraction(1, 10),
    "end": Fraction(1, 10),
    "keep_holds": True,
    "threads": 1,
    "batch": 2,
    "streams": 2,
    "tuned": "fastest here",
    "spans": Spans(Fraction(1), Fraction(2)),
    "on_error": OnError.FAIL,
    "film": FilmOptions(steady="crop"),
}
HARMLESS: dict[str, Any] = {
    "overwrite": True,
    "restart": True,
    "verify": False,
    "max_memory": 1 << 30,
    "provenance": True,
    "c2pa": "cert.pem",
}
ELSEWHERE = {"encode", "audio", "backend", "vfi", "media"}
"""Options that the tests below look at one by one, and one that plans refuse without a card (test_card_media.py)."""
ENCODINGS: dict[str, Any] = {
    "codec": "ffv1",
    "crf": 30,
    "preset": "slow",
    "bit_depth": 10,
    "threads": 1,
    "audio_bit_rate": 64_000,
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A clip."""
    return write_clip(tmp_path / "clip.mkv", Clip(10))


def header(source: Path, options: ConvertOptions = OPTIONS, backend: str = "one") -> Header:
    """Return what a run is known by."""
    with VideoReader(source) as reader:
        return header_for(make_plan(reader.info, options), options, backend, source)


def test_every_option_is_looked_at() -> None:
    assert {field.name for field in fields(ConvertOptions)} == {*OTHERS, *HARMLESS, *ELSEWHERE}
    assert {field.name for field in fields(EncodeOptions)} == {*ENCODINGS}


@pytest.mark.parametrize("name", OTHERS)
def test_options_that_matter(source: Path, name: str) -> None:
    assert header(source).settings != header(source, replace(OPTIONS, **{name: OTHERS[name]})).settings


@pytest.mark.parametrize("name", HARMLESS)
def test_options_that_do_not(source: Path, name: str) -> None:
    assert header(source) == header(source, replace(OPTIONS, **{name: HARMLESS[name]}))


@pytest.mark.parametrize("name", ENCODINGS)
def test_how_it_is_encoded(source: Path, name: str) -> None:
    encode = replace(OPTIONS.encode, **{name: ENCODINGS[name]})
    assert header(source).settings != header(source, replace(OPTIONS, encode=encode)).settings


def test_backend_and_versions(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = header(source)
    assert before.settings != header(source, backend="another").settings
    monkeypatch.setattr(identity_module, "version", lambda package: "0.0.1")
    assert before.settings != header(source).settings


def test_a_new_soundtrack(source: Path, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "sound.flac", None, [Sound(codec="flac")])
    heard = replace(OPTIONS, audio=path)
    before = header(source, heard)
    assert before.settings != header(source).settings
    os.utime(path, ns=(1, 1))
    assert before.settings != header(source, heard).settings
    path.unlink()
    with pytest.raises(DecodeError):
        header(source, heard)


def test_it_survives_the_journal(source: Path, tmp_path: Path) -> None:
    wanted = header(source)
    Journal(tmp_path / "journal").begin(wanted)
    record = Journal(tmp_path / "journal").read()
    assert record is not None and record.header == wanted


@pytest.mark.parametrize("size", [0, 1, 1000, 1 << 16, (1 << 16) + 1, 1 << 20])
def test_every_byte_of_a_small_file_counts(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    content = bytes(size)
    path.write_bytes(content)
    os.utime(path, ns=(7, 7))
    known = identity(path)
    assert known == identity(path)
    assert (known["bytes"], known["changed_ns"]) == (size, 7)
    for at in {0, size // 3, size // 2, size - 1} if size else ():
        path.write_bytes(content[:at] + b"\1" + content[at + 1 :])
        os.utime(path, ns=(7, 7))
        assert identity(path) != known


def test_length_and_time_count(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    known = identity(path)
    os.utime(path, ns=(7, 7))
    assert identity(path) != known
    path.write_bytes(b"abc\0")
    os.utime(path, ns=(7, 7))
    assert identity(path)["sample_sha256"] != known["sample_sha256"]


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DecodeError):
        identity(tmp_path / "none")
    with pytest.raises(DecodeError):
        identity(tmp_path)


def test_coloured_frames_are_known_by_what_is_in_them_and_by_their_times(tmp_path: Path) -> None:
    for name, content in (("a.png", b"one"), ("moved.png", b"one"), ("b.png", b"two")):
        (tmp_path / name).write_bytes(content)

    def asked(words: str) -> dict[str, str]:
        return identity_module.wishes(ConvertOptions(film=FilmOptions(color_from=(str(tmp_path / words),))))

    assert asked("a.png@2") == asked("moved.png@0:02")
    assert len({str(asked(words)) for words in ("a.png", "a.png@2", "b.png", "b.png@2")}) == 4


def test_a_colour_network_is_known_by_its_files(monkeypatch: pytest.MonkeyPatch) -> None:
    options = ConvertOptions(film=FilmOptions(colorize="clean-x2-tiny,every=9"))
    before, spec = identity_module.wishes(options), find("clean-x2-tiny")
    changed = {name: replace(artifact, sha256="0" * 64) for name, artifact in spec.artifacts.items()}
    monkeypatch.setattr(identity_module, "find", lambda name: replace(spec, artifacts=changed))
    after = identity_module.wishes(options)
    assert {name for name in after if before[name] != after[name]} == {"colour network"}
