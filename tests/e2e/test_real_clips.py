"""The main job on real film: exact frames and instants, every track, every tag."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import av
import pytest

from fastrestore import convert, open_video
from fastrestore.config import ConvertOptions, EncodeOptions, RateTarget, Target
from fastrestore.frames import Matrix
from fastrestore.runtime.media.reader import VideoReader

QUICK = EncodeOptions(preset="ultrafast")
END = Fraction(3, 4)


def options(fps: str = "60", to: str = "x2", end: Fraction | None = END) -> ConvertOptions:
    return ConvertOptions(to=Target.parse(to), fps=RateTarget.parse(fps), encode=QUICK, end=end)


def stamps(path: Path) -> list[Fraction]:
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        assert video.time_base is not None
        return sorted(p.pts * video.time_base for p in container.demux(video) if p.pts is not None)


LARGE = {"hdr_sunset-hlg.mov", "tc_bt709_full_range.mp4"}
"""Clips large enough as they are."""
CLIPS = [
    "oldfilm_abomb_blast_effects.mp4",
    "oldfilm_raywzy_003_16fps.mp4",
    "tc_var_fps_video.mp4",
    "tc_nasa_13013.mp4",
    "tc_h264_10bits.mp4",
    "hdr_sunset-hlg.mov",
    "tc_bt709_full_range.mp4",
    "interlace_bt601-525_480_telecined_soft.mkv",
]


@pytest.mark.parametrize("name", CLIPS)
def test_exactly_the_frames_that_duration_times_sixty_asks_for(clips: Path, tmp_path: Path, name: str) -> None:
    to = "x1" if name in LARGE else "x2"
    out = tmp_path / "out.mp4"
    if name.endswith(".mkv"):
        out = tmp_path / "out.mkv"
    report = convert(clips / name, out, options(to=to))
    with VideoReader(clips / name) as source:
        frames = [f for f in source if f.pts < END]
        first, matrix = frames[0].pts, source.info.colour.matrix
        end = min(frames[-1].pts + frames[-1].duration, END)
    wanted = [first + Fraction(k, 60) for k in range(math.ceil((end - first) * 60))]
    found = stamps(out)
    if out.suffix == ".mkv":
        assert [round(s * 1000) for s in wanted] == [round(s * 1000) for s in found]
    else:
        assert found == wanted
    assert report.output_frames == len(wanted)
    with open_video(out) as result:
        assert result.info.colour.matrix is matrix
        means = [float(shown.picture.planes[0].mean()) for shown in result]
    known = [float(f.picture.planes[0].mean()) for f in frames]
    slack = 3 << (0 if frames[0].picture.format.bits == 8 else 2)
    assert min(known) - slack <= min(means), "no frame is darker than the source ever is, let alone black"
    assert max(means) <= max(known) + slack


def test_old_film_to_4k_at_sixty(clips: Path, tmp_path: Path) -> None:
    source, out = clips / "oldfilm_abomb_blast_effects.mp4", tmp_path / "out.mkv"
    report = convert(source, out, options(to="4k", end=Fraction(1, 5)))
    with open_video(out) as result:
        assert str(result.info.size) == "2916x2160"
        assert [f.pts for f in result] == [Fraction(round(Fraction(1000 * k, 60)), 1000) for k in range(12)]
    assert (report.source_frames, report.output_frames) == (6, 12)


def test_variable_rate_keeps_every_source_instant(clips: Path, tmp_path: Path) -> None:
    source, out = clips / "tc_var_fps_video.mp4", tmp_path / "out.mp4"
    convert(source, out, options("source", "x1", None))
    assert stamps(out) == stamps(source)


def test_all_six_streams_are_accounted_for(clips: Path, tmp_path: Path) -> None:
    source, out = clips / "tc_nasa_13013.mp4", tmp_path / "out.mp4"
    report = convert(source, out, options("source", "x1", None))
    with av.open(str(out)) as container:
        kinds = sorted(s.type for s in container.streams)
        languages = [s.metadata.get("language") for s in container.streams]
    assert kinds == ["audio", "audio", "subtitle", "subtitle", "video", "video"]
    assert languages == ["eng"] * 6
    assert len(report.copied_tracks) == 5
    in_mkv = convert(source, tmp_path / "out.mkv", options("source", "x1", Fraction(1)))
    assert len(in_mkv.copied_tracks) + len([w for w in in_mkv.warnings if w.startswith("left out")]) == 5


def test_ten_bits_stay_ten_bits(clips: Path, tmp_path: Path) -> None:
    convert(clips / "tc_h264_10bits.mp4", tmp_path / "out.mp4", options())
    with open_video(tmp_path / "out.mp4") as result:
        assert result.info.format.name == "yuv420p10le"


def test_hlg_stays_hlg(clips: Path, tmp_path: Path) -> None:
    report = convert(clips / "hdr_sunset-hlg.mov", tmp_path / "out.mov", options("source", "x1"))
    with open_video(tmp_path / "out.mov") as result:
        info = result.info
    assert (info.colour.matrix, info.colour.primaries, info.colour.transfer) == (Matrix.BT2020_NCL, 9, 18)
    assert info.format.name == "yuv420p10le"
    assert any("Dolby Vision" in warning for warning in report.warnings)


def test_full_range_stays_full_range_and_keeps_its_level(clips: Path, tmp_path: Path) -> None:
    source, out = clips / "tc_bt709_full_range.mp4", tmp_path / "out.mp4"
    convert(source, out, options("source", "x2", Fraction(1, 5)))
    with open_video(source) as before, open_video(out) as after:
        assert before.info.colour.full_range
        assert after.info.colour.full_range
        for a, b in zip(before, after, strict=False):
            assert abs(float(a.picture.planes[0].mean()) - float(b.picture.planes[0].mean())) < 1.0
