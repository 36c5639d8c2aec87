"""`--audio FILE`: a new soundtrack begins with the film and ends with it."""

from __future__ import annotations

import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from tests.media_samples import Clip, Sound, packets_of, restore, write_clip

from fastrestore.errors import DecodeError
from fastrestore.runtime.media.soundtrack import Soundtrack

KINDS = {"wav": "", "flac": "flac", "aac": "aac", "m4a": "aac", "mp3": "libmp3lame", "ogg": "libopus"}
FORMATS = {"aac": "adts", "m4a": "mp4"}
RUN_IN_S = {"aac": 0.025, "m4a": 0.025, "mp3": 0.025}
"""Raw AAC does not say how long the encoder's run-in is; in Matroska it is cut off, and the first packet fades in."""


def make_sound(folder: Path, kind: str, seconds: float) -> Path:
    path = folder / f"sound.{kind}"
    if kind != "wav":
        return write_clip(path, None, [Sound(seconds, KINDS[kind])], format=FORMATS.get(kind, kind))
    times = np.arange(round(seconds * 44100)) / 44100
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(44100)
        file.writeframes((np.sin(2 * np.pi * 440 * times) * 13000).astype("<i2").tobytes())
    return path


def heard(path: Path) -> tuple[float, float]:
    """Return the seconds between which there is sound."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        pieces = [(float(f.pts * f.time_base), np.abs(f.to_ndarray().astype(float)).reshape(-1))
                  for f in container.decode(stream) if f.pts is not None and f.time_base is not None]  # fmt: skip
        channels = 1 if stream.codec_context.format.is_planar else stream.channels
        rate = stream.rate * channels
    peak = max(piece.max() for _, piece in pieces)
    loud = [(at + np.flatnonzero(piece > 0.2 * peak) / rate) for at, piece in pieces if piece.max() > 0.2 * peak]
    return float(loud[0][0]), float(loud[-1][-1])


@pytest.mark.parametrize("first", [0, 10])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
@pytest.mark.parametrize("kind", KINDS)
def test_begins_and_ends_with_the_film(tmp_path: Path, kind: str, suffix: str, first: int) -> None:
    film = write_clip(tmp_path / "film.mkv", Clip(15, pts=range(first, first + 15)))
    codec = "svtav1" if suffix == ".webm" else "x264"
    begin = first / 25
    for seconds in (0.3, 2.0):
        sound, output = make_sound(tmp_path, kind, seconds), tmp_path / f"o{suffix}"
        writer = restore(film, output, codec=codec, audio=sound)
        assert len(writer.tracks.copied) == 1 and sound.name in writer.tracks.copied[0]
        pictures = packets_of(output, 0)
        assert abs(min(p.pts for p in pictures) - Fraction(first, 25)) <= Fraction(1, 1000)
        start, end = heard(output)
        assert -0.001 <= start - begin <= RUN_IN_S.get(kind, 0) + 0.003
        assert abs(end - begin - min(seconds, 0.6)) <= 0.1  # to one packet: 96 ms in FLAC
        assert packets_of(output, 1)[-1].pts < begin + 0.6


def test_replaces_the_films_own_sound(tmp_path: Path) -> None:
    film = write_clip(tmp_path / "film.mkv", Clip(5), [Sound(0.2, "flac")])
    summary = restore(film, tmp_path / "o.mkv", audio=make_sound(tmp_path, "mp3", 0.2)).tracks
    assert summary.left_out == ["stream 1 audio flac: replaced by the new soundtrack"]


def test_encoded_only_where_it_must_be(tmp_path: Path) -> None:
    film, sound = write_clip(tmp_path / "film.mkv", Clip(5)), make_sound(tmp_path, "wav", 0.2)
    assert "copied" in restore(film, tmp_path / "o.mkv", audio=sound).tracks.copied[0]
    assert "encoded to aac" in restore(film, tmp_path / "o.mp4", audio=sound).tracks.copied[0]
    with av.open(str(tmp_path / "o.mp4")) as container:
        stream = container.streams.audio[0]
        assert (stream.rate, stream.channels) == (44100, 1)  # as in the source: neither resampled nor spread


def test_files_without_sound(tmp_path: Path) -> None:
    film = write_clip(tmp_path / "film.mkv", Clip(2))
    for path, words in ((film, "no audio"), (tmp_path, "folder"), (tmp_path / "none.wav", "No such file")):
        with pytest.raises(DecodeError, match=words) as caught:
            Soundtrack(path, Fraction(0), 96000)
        assert caught.value.hint
