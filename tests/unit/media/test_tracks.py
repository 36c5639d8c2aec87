"""Every other track of a source is in the output, bit for bit and in time, or there is a line that says it is not."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.stream import Disposition
from tests.media_samples import Clip, Heard, Lines, Sound, packets_of, restore, write_clip

from fastrestore.errors import DecodeError
from fastrestore.runtime.media.containers import CONTAINERS
from fastrestore.runtime.media.tags import lost_tags
from fastrestore.runtime.media.tracks import TrackCopier

BFRAMES = {"bf": "2"}
MS = Fraction(1, 1000)


@pytest.fixture(scope="module")
def matroska(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(
        tmp_path_factory.mktemp("source") / "full.mkv",
        Clip(20, options=BFRAMES),
        [
            Sound(0.8, tags={"language": "eng", "title": "Main"}),
            Sound(0.8, "flac", tags={"language": "ger"}, disposition=Disposition.comment),
            Lines(tags={"language": "fre"}, disposition=Disposition.forced),
            Lines("ass", tags={"language": "spa"}),
            Clip(20, options=BFRAMES),
        ],
        tags={"title": "Film", "artist": "Me", "my_tag": "x"},
        chapters=[(0, 300, "one"), (300, 800, "two")],
        attachments=[("f.ttf", "font/ttf", b"font" * 9), ("n.txt", "text/plain", b"words")],
    )


@pytest.fixture(scope="module")
def mp4(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(
        tmp_path_factory.mktemp("source") / "full.mp4",
        Clip(20, options=BFRAMES),
        [
            Sound(0.8, tags={"language": "eng", "title": "Main", "handler_name": "Mine"}),
            Sound(0.8, "libmp3lame", tags={"language": "ger"}),
            Lines("mov_text", tags={"language": "fre"}),
            Clip(20, "libx265", options={"x265-params": "log-level=none"}),
        ],
        tags={"title": "Film", "artist": "Me"},
        chapters=[(0, 300, "one"), (300, 800, "two")],
    )


def same(source: list[Heard], output: list[Heard], tolerance: Fraction) -> bool:
    return [p.data for p in source] == [p.data for p in output] and all(
        abs(a.pts - b.pts) <= tolerance for a, b in zip(source, output, strict=True)
    )


def titles(path: Path) -> list[tuple[Fraction, str]]:
    with av.open(str(path)) as container:
        return [(c["start"] * (c["time_base"] or Fraction(1)), c["metadata"]["title"]) for c in container.chapters()]


def test_matroska_keeps_everything(matroska: Path, tmp_path: Path) -> None:
    output = tmp_path / "o.mkv"
    summary = restore(matroska, output, rate=Fraction(60)).tracks
    assert summary.left_out == []
    for index in range(1, 6):
        assert same(packets_of(matroska, index), packets_of(output, index), Fraction(0))
    with av.open(str(matroska)) as a, av.open(str(output)) as b:
        for old, new in zip(a.streams, b.streams, strict=True):
            assert (old.type, old.disposition, old.language) == (new.type, new.disposition, new.language)
            assert old.metadata.get("title") == new.metadata.get("title")
        fonts = [s for s in b.streams if s.type == "attachment"]
        assert [getattr(s, "data", None) for s in fonts] == [b"font" * 9, b"words"]
        assert [s.metadata["filename"] for s in fonts] == ["f.ttf", "n.txt"]
        tags = {key.lower(): value for key, value in b.metadata.items()}
    assert (tags["title"], tags["artist"], tags["my_tag"]) == ("Film", "Me", "x")
    assert titles(output) == titles(matroska) == [(0, "one"), (300 * MS, "two")]


def test_mp4_keeps_everything(mp4: Path, tmp_path: Path) -> None:
    output = tmp_path / "o.mp4"
    summary = restore(mp4, output, rate=Fraction(60)).tracks
    assert summary.left_out == []
    assert len(summary.copied) == 5
    for index in range(1, 5):
        assert same(packets_of(mp4, index), packets_of(output, index), Fraction(0))
    with av.open(str(output)) as container:
        sound = container.streams[1]
        assert (sound.language, sound.metadata["name"], sound.metadata["handler_name"]) == ("eng", "Main", "Mine")
        assert container.metadata["title"] == "Film"
    assert titles(output) == titles(mp4)


def test_mp4_to_matroska(mp4: Path, tmp_path: Path) -> None:
    output = tmp_path / "o.mkv"
    summary = restore(mp4, output, rate=Fraction(60)).tracks
    assert summary.left_out == ["stream 3 subtitle mov_text fre: matroska cannot hold it"]
    assert min(p.pts for p in packets_of(output, 0)) == 0
    heard = [p for p in packets_of(mp4, 1) if p.pts >= 0]  # the encoder's run-in cannot be held there
    assert same(heard, packets_of(output, 1), MS)
    assert same(packets_of(mp4, 4), packets_of(output, 3), MS)
    with av.open(str(output)) as container:
        assert container.streams[1].metadata["title"] == "Main"


def test_one_line_for_each_thing_left_out(matroska: Path, tmp_path: Path) -> None:
    output = tmp_path / "o.mp4"
    summary = restore(matroska, output).tracks
    assert summary.left_out == [
        "stream 3 subtitle srt fre: mp4 cannot hold it",
        "stream 4 subtitle ssa spa: mp4 cannot hold it",
        "stream 6 attachment: mp4 cannot hold it",
        "stream 7 attachment: mp4 cannot hold it",
        "tag MY_TAG: mp4 cannot hold it",
    ]
    for index, where in ((1, 1), (2, 2), (5, 3)):
        assert same(packets_of(matroska, index), packets_of(output, where), MS)


def test_tags_of_other_names_are_found_out() -> None:
    tags = {"title": "a", "comment": "b", "foo": "c"}
    assert lost_tags(CONTAINERS[".mp4"], tags) == ["foo"]
    assert lost_tags(CONTAINERS[".mov"], tags) == ["foo"]
    assert lost_tags(CONTAINERS[".mkv"], tags) == []


def test_timecode_track_is_not_doubled(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mov", Clip(5), tags={"timecode": "01:00:00:00"})
    for suffix in (".mp4", ".mov"):
        summary = restore(source, tmp_path / f"o{suffix}").tracks
        assert summary.left_out == []
        with av.open(str(tmp_path / f"o{suffix}")) as container:
            assert [s.metadata.get("timecode") for s in container.streams] == ["01:00:00:00"] * 2
    cut = restore(source, tmp_path / "c.mov", start=Fraction(2, 25)).tracks
    assert cut.left_out == ["timecode: it counts from the start of the whole film"]


def test_failing_times_of_a_copied_track_are_lifted(tmp_path: Path) -> None:
    source = tmp_path / "a.nut"
    with av.open(str(source), "w") as output:
        video, sound = Clip(10, "ffv1", "gray"), Sound(0.4, "pcm_s16le")
        streams = video.add(output), sound.add(output)
        packets = [*video.packets(streams[0]), *sound.packets(streams[1])]
        for packet in sorted(packets, key=lambda p: Fraction(p.dts or 0) * p.time_base):
            output.mux_one(packet)
    copier = TrackCopier(source, 0)
    packet = next(p for p in copier._container.demux(copier._container.streams[1]) if p.dts is not None)
    packet.dts = packet.pts = 5
    copier._last_dts[1] = 9
    copier._keep_rising(packet, copier._container.streams[1])
    assert (packet.pts, packet.dts) == (10, 10)
    copier.close()
    copier.close()


def test_missing_source() -> None:
    with pytest.raises(DecodeError, match="No such file"):
        TrackCopier(Path("/nowhere/film.mkv"), 0)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_audio_is_interleaved_with_video(mp4: Path, tmp_path: Path, suffix: str) -> None:
    output = tmp_path / f"o{suffix}"
    restore(mp4, output, rate=Fraction(60))
    with av.open(str(output)) as container:
        seen = [(p.pos, p.stream_index, p.dts * p.time_base) for p in container.demux() if p.pos and p.dts is not None]
    order = [(index, at) for _, index, at in sorted(seen) if index in (0, 1)]
    last_video = 0.0
    for index, at in order:
        if index == 0:
            last_video = float(at)
        else:
            assert abs(float(at) - last_video) < 0.25 or at > 0.7  # video of this clip ends at 0.8 s
    kinds = [index for index, _ in order]
    assert kinds.index(1) < len(kinds) // 2 and 0 in kinds[kinds.index(1) :]


def test_real_film_with_many_streams(clips: Path, tmp_path: Path) -> None:
    source = clips / "tc_nasa_13013.mp4"
    with av.open(str(source)) as container:
        kinds = sorted(s.type for s in container.streams)
    output = tmp_path / "o.mp4"
    summary = restore(source, output, end=Fraction(1, 4)).tracks
    assert summary.left_out == []
    with av.open(str(output)) as container:
        assert sorted(s.type for s in container.streams) == kinds
