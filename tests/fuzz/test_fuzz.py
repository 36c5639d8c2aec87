"""Whatever a file holds: it is taken, or refused with a message. Never a crash, a hang or a heap of memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fuzz import samples
from tests.fuzz.conftest import Try
from tests.fuzz.mutations import mutate
from tests.fuzz.pool import Worker


def test_media_of_every_kind(tmp_path: Path, attempt: Try) -> None:
    attempt("read", list(samples.media(tmp_path)), 1)


def test_real_clips(tmp_path: Path, clips: Path, attempt: Try) -> None:
    attempt("read", [samples.clip(path, tmp_path) for path in sorted(clips.iterdir())], 0.01)


def test_conversion(tmp_path: Path, attempt: Try) -> None:
    attempt("convert", list(samples.media(tmp_path)), 0.02)


def test_verification(tmp_path: Path, attempt: Try) -> None:
    attempt("verify", list(samples.media(tmp_path)), 0.1)


@pytest.mark.parametrize("kind", ["manifest", "journal", "package", "catalogue"])
def test_text(tmp_path: Path, attempt: Try, kind: str) -> None:
    attempt(kind, [getattr(samples, kind)(tmp_path)], 0.5)


def test_networks(tmp_path: Path, attempt: Try) -> None:
    attempt("network", [samples.network(tmp_path)], 0.1)


REGRESSIONS = [
    # A stream that appears in the middle of a file: PyAV looked it up among those it knew.
    ("flv1.flv", "8537"),
]


@pytest.mark.parametrize(("sample", "seed"), REGRESSIONS)
def test_what_was_found_before(tmp_path: Path, sample: str, seed: str) -> None:
    samples.media(tmp_path)
    with Worker("read", tmp_path) as worker:
        assert not worker.run([(sample, seed)]).findings


@pytest.mark.parametrize("deed", ["crash", "hang", "spin", "hog", "raise"])
def test_the_harness_sees_what_it_looks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deed: str) -> None:
    monkeypatch.setattr("tests.fuzz.pool.LONGEST_S", 1.0)
    monkeypatch.setattr("tests.fuzz.pool.LONGEST_WAIT_S", 10.0)
    with Worker("misbehave", tmp_path) as worker:
        outcome = worker.run([("behave", "0"), (deed, "0"), ("behave", "1")])
    assert outcome.counts["ok"] == 2
    assert len(outcome.findings) == 1 and f"misbehave {deed} 0" in outcome.findings[0]


def test_the_same_number_does_the_same_damage() -> None:
    data = bytes(range(256)) * 100
    assert mutate(data, "a 1") == mutate(data, "a 1")
    assert len({mutate(data, f"a {number}") for number in range(100)}) > 90
    assert mutate(b"", "a 1") == b""
