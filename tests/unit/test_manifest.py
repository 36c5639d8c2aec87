"""A manifest comes back as it was, and nothing that is not one is taken for one."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastrestore.errors import DecodeError
from fastrestore.runtime.manifest import (
    Manifest,
    SegmentPromise,
    TrackPromise,
    VideoPromise,
    stamp_of,
    times_digest,
)

VIDEO = VideoPromise(64, 48, "yuv420p", 1, 1, 1, False, Fraction(60000, 1001), Fraction(1, 1000), "ab" * 32)
SEGMENTS = (
    SegmentPromise(10, Fraction(0), Fraction(9 * 1001, 60000), "cd" * 32),
    SegmentPromise(5, Fraction(10 * 1001, 60000), Fraction(14 * 1001, 60000), "ef" * 32),
)
TRACKS = (
    TrackPromise("audio", "aac", "eng", 7, Fraction(-1, 48000), Fraction(1), "01" * 32),
    TrackPromise("attachment", "ttf", "", 0, None, None),
)
WHOLE = Manifest(VIDEO, SEGMENTS, TRACKS, 3, {"encode": "x264 crf 18", "start": "5/2"}, "0.2.0")


@pytest.mark.parametrize(
    "manifest",
    [
        WHOLE,
        Manifest(replace(VIDEO, rate=None), SEGMENTS),
        Manifest(replace(VIDEO, codec="h264", pixel_aspect=Fraction(4, 3), rotation=-90), SEGMENTS),
    ],
)
def test_comes_back(manifest: Manifest) -> None:
    text = manifest.to_text()
    assert "\n" not in text
    assert Manifest.from_text(text) == manifest
    assert Manifest.from_text(text).to_text() == text


def test_what_follows_from_it() -> None:
    assert WHOLE.frames == 15
    assert WHOLE.seams == (Fraction(19 * 1001, 120000),)
    assert (WHOLE.start, WHOLE.end) == (Fraction(5, 2), None)


def test_manifests_from_before_these_fields_are_read() -> None:
    data = json.loads(WHOLE.to_text())
    for name in ("codec", "pixel_aspect", "rotation"):
        del data["video"][name]
    for track in data["tracks"]:
        del track["sha256"]
    assert Manifest.from_text(json.dumps(data)).video == VIDEO


def changed(path: str, value: Any) -> str:
    data: Any = json.loads(WHOLE.to_text())
    inner = data
    *way, last = path.split(".")
    for step in way:
        inner = inner[int(step)] if step.isdigit() else inner[step]
    inner[last] = value
    return json.dumps(data)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("schema", "fastrestore.manifest/2"),
        ("video.rate", "1e999999999"),
        ("video.rate", 60.0),
        ("video.rate", "-1"),
        ("video.unit", "0"),
        ("video.unit", None),
        ("video.unit", "1/0"),
        ("video.width", "64"),
        ("video.width", True),
        ("video.width", -1),
        ("video.height", 1 << 70),
        ("video.full_range", 1),
        ("video.rotation", 1000),
        ("video.unknown", 1),
        ("segments", None),
        ("segments.0.first", None),
        ("segments.0.frames", 1.5),
        ("segments.1.sha256", 5),
        ("tracks.0.kind", None),
        ("tracks", {"a": 1}),
        ("chapters", "many"),
        ("settings", [1]),
        ("settings", {"a": 1}),
        ("settings.start", "soon"),
        ("unknown", 1),
    ],
)
def test_edited(path: str, value: Any) -> None:
    with pytest.raises(DecodeError, match="manifest cannot be read"):
        Manifest.from_text(changed(path, value))


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", "{", '{"schema": "fastrestore.manifest/1"}', "[" * 100_000])
def test_no_manifest(text: str) -> None:
    with pytest.raises(DecodeError):
        Manifest.from_text(text)


@given(st.text())
def test_any_text(text: str) -> None:
    with pytest.raises(DecodeError):
        Manifest.from_text(text)


def test_times_digest() -> None:
    assert times_digest([]) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert times_digest([0, 17, 33]) == times_digest(iter((0, 17, 33))) != times_digest([0, 17, 34])


@pytest.mark.parametrize(
    ("time", "unit", "stamp"),
    [
        (Fraction(1, 60), Fraction(1, 1000), 17),
        (Fraction(1, 2000), Fraction(1, 1000), 1),
        (Fraction(-1, 2000), Fraction(1, 1000), -1),
        (Fraction(5, 2000), Fraction(1, 1000), 3),
        (Fraction(-2), Fraction(1, 3), -6),
    ],
)
def test_stamps_are_rounded_as_muxers_do(time: Fraction, unit: Fraction, stamp: int) -> None:
    assert stamp_of(time, unit) == stamp
