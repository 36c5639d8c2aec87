"""The record beside a finished film: complete, readable, and strict when it is read."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from tests.provenance_samples import plain, record

from fastrestore.errors import DecodeError
from fastrestore.files import digest
from fastrestore.models.catalog import find
from fastrestore.runtime.provenance import (
    SCHEMA,
    ColourRecord,
    Invented,
    Network,
    Provenance,
    read_record,
    record_path,
    write_record,
)


def written(tmp_path: Path) -> Path:
    film = tmp_path / "film.mp4"
    film.write_bytes(b"pictures")
    write_record(record(), film)
    return film


def test_it_comes_back_as_it_was_written(tmp_path: Path) -> None:
    film = written(tmp_path)
    read = read_record(film)
    assert read is not None
    assert record_path(film).name == "film.mp4.provenance.json"
    assert read["output"] == {"name": "film.mp4", "bytes": 8, "sha256": digest(film)}
    assert read["signed"] is False
    told = record().facts()
    assert {key: read[key] for key in told} == json.loads(json.dumps(told))
    assert read["schema"] == SCHEMA
    assert read["frames"]["synthesised"] == {"count": 80, "frames": "0-99/5:1.2.3.4", "motion": "dis"}
    assert read["frames"]["rate"] == "60"
    assert read["networks"][0]["sha256"] == {"fp32": "ab" * 32}
    assert [network["trained"] for network in read["networks"]] == [True, False]
    assert read["stages"][0]["shots"][0]["clean.repaired_px"] == 1234.0


def test_it_can_be_written_before_the_film_has_its_name(tmp_path: Path) -> None:
    joined = tmp_path / "work"
    joined.write_bytes(b"pictures")
    path = write_record(record(), joined, tmp_path / "film.mp4", signed=True)
    assert path == tmp_path / "film.mp4.provenance.json"
    read = read_record(tmp_path / "film.mp4")
    assert read is not None
    assert read["output"]["name"] == "film.mp4"
    assert read["signed"] is True


def test_the_summary_says_what_is_invented() -> None:
    assert record().summary() == (
        "Restored with fastrestore 0.1.0. 80 of 100 frames are synthesised between frames of the source along the "
        "motion found by dis. Every frame was redrawn from 64x48 to 256x192 by film-x4-tiny. Also: clean, grain. "
        "The colours of some shots are invented, after hand.png@2.5."
    )
    assert plain().summary() == (
        "Restored with fastrestore 0.1.0. All 40 frames are the source's. No colour is invented."
    )
    assert record().learned
    assert record().invents
    assert not plain().learned
    assert not plain().invents
    assert replace(plain(), colour=ColourRecord(Invented.ALL, "chroma-tiny")).invents


def test_networks_are_told_from_the_catalogue() -> None:
    told = Network.of(find("film-x2-tiny"))
    assert (told.role, told.trained) == ("restore", True)
    assert set(told.sha256) >= {"fp32"}
    assert all(len(value) == 64 for value in told.sha256.values())
    assert told.licence
    classical = Network.of(find("dis"))
    assert (classical.role, classical.trained) == ("motion", False)


def test_text_to_be_signed_is_the_same_each_time() -> None:
    def backwards(made: Provenance) -> Provenance:
        return replace(made, settings=dict(reversed(list(made.settings.items()))))

    assert record().to_text() == backwards(record()).to_text()
    assert json.loads(record().to_text()) == json.loads(json.dumps(record().facts()))


def test_no_record_is_no_error(tmp_path: Path) -> None:
    assert read_record(tmp_path / "film.mp4") is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schema": "fastrestore.provenance/9"}, "its schema is not"),
        ({"frames": {"total": 100}}, "synthesised"),
        ({"frames": {"total": 50, "synthesised": {"count": 80, "frames": "0-99/5:1.2.3.4"}}}, "do not add up"),
        ({"frames": {"total": 100, "synthesised": {"count": 3, "frames": "0-99/5:1.2.3.4"}}}, "do not add up"),
        ({"frames": {"total": 100, "synthesised": {"count": 3, "frames": "many"}}}, "names no frames"),
        ({"frames": None}, "record"),
        ({"colour": {"invented": "maybe"}}, "maybe"),
        ({"output": {"bytes": 1, "sha256": "xyz"}}, "hex"),
        ({"output": {"bytes": "1", "sha256": "ab"}}, "no length"),
    ],
)
def test_a_damaged_record_is_refused(tmp_path: Path, change: dict[str, object], reason: str) -> None:
    film = written(tmp_path)
    path = record_path(film)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(DecodeError, match=reason):
        read_record(film)


def test_what_is_no_json_is_refused(tmp_path: Path) -> None:
    film = written(tmp_path)
    for content in (b"", b"[]", b"\xff\xfe", b"[" * 100_000):
        record_path(film).write_bytes(content)
        with pytest.raises(DecodeError, match="cannot be read"):
            read_record(film)


def test_frames_are_where_the_rate_puts_them() -> None:
    frames = record().frames
    assert frames.rate is not None
    times = [frames.first_s + number / frames.rate for number in frames.synthesised][:4]
    assert times == [Fraction(1, 60), Fraction(2, 60), Fraction(3, 60), Fraction(4, 60)]
