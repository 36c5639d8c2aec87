"""Sound stays where it was relative to the picture, in whole films and in ranges."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest
from tests.media_samples import Clip, Lines, Sound, packets_of, restore, write_clip

from fastrestore.runtime.media.reader import VideoReader

MS = Fraction(1, 1000)


def first_times(path: Path) -> tuple[Fraction, Fraction]:
    """Return when the first picture is shown and the first packet of sound that is heard begins."""
    heard = [p for p in packets_of(path, 1) if p.pts >= 0]
    return min(p.pts for p in packets_of(path, 0) if p.pts >= 0), heard[0].pts


@pytest.mark.parametrize("target", [".mp4", ".mkv", ".mov"])
@pytest.mark.parametrize("source", [".mp4", ".mkv"])
@pytest.mark.parametrize(
    ("video_start", "audio_start"),
    [(0, Fraction(0)), (10, Fraction(0)), (10, Fraction(3, 10)), (0, Fraction(1, 10)), (10, Fraction(1, 2))],
)
def test_offset_between_picture_and_sound(
    tmp_path: Path, source: str, target: str, video_start: int, audio_start: Fraction
) -> None:
    clip = Clip(15, pts=range(video_start, video_start + 15), options={"bf": "2"})
    film = write_clip(tmp_path / f"a{source}", clip, [Sound(0.6, start=audio_start)])
    output = tmp_path / f"o{target}"
    restore(film, output, rate=Fraction(60))
    before, after = first_times(film), first_times(output)
    tolerance = 2 * MS if ".mkv" in (source, target) else MS / 48
    assert abs((after[1] - after[0]) - (before[1] - before[0])) <= tolerance
    assert abs(after[0] - before[0]) <= (MS if target == ".mkv" else 0)


@pytest.mark.parametrize("target", [".mp4", ".mkv"])
@pytest.mark.parametrize("source", [".mp4", ".mkv"])
def test_range_keeps_sync_and_drops_nothing_inside(tmp_path: Path, source: str, target: str) -> None:
    lines = [(0, 450, "shown already"), (500, 100, "inside"), (1500, 100, "after")]
    codec = "mov_text" if source == ".mp4" else "subrip"
    film = write_clip(tmp_path / f"a{source}", Clip(50, options={"g": "40"}), [Sound(2), Lines(codec, lines)])
    start, end = Fraction(2, 5), Fraction(6, 5)
    output = tmp_path / f"o{target}"
    restore(film, output, rate=Fraction(60), start=start, end=end)
    # Matroska holds no times below 0: there the packet that the range begins in the middle of is left out.
    inside = [
        p
        for p in packets_of(film, 1)
        if p.pts < end and (p.pts >= start - MS / 2 if target == ".mkv" else p.pts + p.duration > start)
    ]
    copied = packets_of(output, 1)
    assert [p.data for p in copied] == [p.data for p in inside]
    picture = min(p.pts for p in packets_of(output, 0))
    for old, new in zip(inside, copied, strict=True):
        assert abs((new.pts - picture) - (old.pts - start)) <= 2 * MS
    if codec == ("mov_text" if target == ".mp4" else "subrip"):
        texts = [(p.pts - picture, p.duration) for p in packets_of(output, 2) if len(p.data) > 2]
        assert len(texts) == 2
        assert abs(texts[0][0]) <= MS and abs(texts[1][0] - MS * 100) <= MS


def test_chapters_of_a_range(tmp_path: Path) -> None:
    film = write_clip(
        tmp_path / "a.mkv", Clip(50), chapters=[(0, 300, "one"), (300, 1000, "two"), (1000, 2000, "three")]
    )
    restore(film, tmp_path / "o.mkv", start=Fraction(2, 5), end=Fraction(9, 10))
    with VideoReader(tmp_path / "o.mkv") as reader:
        assert len(list(reader)) == 13
    with av.open(str(tmp_path / "o.mkv")) as container:
        chapters = [
            (c["start"] * (c["time_base"] or 0), c["end"] * (c["time_base"] or 0)) for c in container.chapters()
        ]
    assert chapters == [(0, Fraction(1, 2))]


def test_second_picture_track_begins_with_a_key_frame(tmp_path: Path) -> None:
    film = write_clip(tmp_path / "a.mkv", Clip(40), [Clip(40, options={"g": "10", "bf": "0", "sc_threshold": "0"})])
    restore(film, tmp_path / "o.mkv", start=Fraction(13, 25))
    second = packets_of(tmp_path / "o.mkv", 1)
    assert second[0].pts == Fraction(7, 25)
    assert len(second) == 20


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_track_with_nothing_in_the_range_is_reported(tmp_path: Path, suffix: str) -> None:
    codec = "mov_text" if suffix == ".mp4" else "subrip"
    film = write_clip(tmp_path / f"a{suffix}", Clip(30), [Lines(codec, [(0, 100, "early")])])
    summary = restore(film, tmp_path / f"o{suffix}", start=Fraction(2, 5)).tracks
    assert summary.copied == []
    assert len(summary.left_out) == 1 and summary.left_out[0].endswith("it is empty in this range")
