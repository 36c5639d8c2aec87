"""Small intact files of every kind that is damaged: one per container and codec that the library can write."""

from __future__ import annotations

import os
from dataclasses import replace
from fractions import Fraction
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType

from tests.media_samples import Clip, Lines, Sound, write_clip

from fastrestore.files import digest
from fastrestore.geometry import Size
from fastrestore.kernels.ops import Difference
from fastrestore.models import store
from fastrestore.models.catalog import find
from fastrestore.models.package import ROW_FILE, dump
from fastrestore.models.spec import Artifact
from fastrestore.runtime.journal import Done, Header, Journal
from fastrestore.runtime.manifest import Manifest, SegmentPromise, TrackPromise, VideoPromise
from fastrestore.runtime.media.stamps import Stamps
from fastrestore.runtime.observation import Opening
from fastrestore.runtime.timeline import SegmentStart

_SHORT = Clip(16, options={"g": "6", "bf": "2"})
_QUIET = {"x265-params": "log-level=none:keyint=6"}
_VIDEO: dict[str, Clip] = {
    "h264.mp4": _SHORT,
    "h264.mov": _SHORT,
    "h264.mkv": _SHORT,
    "h264.ts": _SHORT,
    "h264.flv": _SHORT,
    "h264.avi": _SHORT,
    "raw.h264": _SHORT,
    "interlaced.mkv": replace(_SHORT, options={"flags": "+ildct+ilme", "g": "6"}),
    "deep.mkv": replace(_SHORT, layout="yuv420p10le"),
    "hevc.mp4": Clip(16, "libx265", options=_QUIET),
    "hevc.mkv": Clip(16, "libx265", layout="yuv444p10le", options=_QUIET),
    "hevc.ts": Clip(16, "libx265", options=_QUIET),
    "av1.mp4": Clip(12, "libsvtav1", options={"svtav1-params": "keyint=6"}),
    "av1.mkv": Clip(12, "libsvtav1"),
    "vp8.webm": Clip(16, "libvpx", options={"g": "6", "auto-alt-ref": "1", "lag-in-frames": "5"}),
    "vp9.webm": Clip(16, "libvpx-vp9", options={"g": "6"}),
    "mpeg2.ts": Clip(16, "mpeg2video", options={"g": "6", "bf": "2"}),
    "mpeg2.mpg": Clip(16, "mpeg2video", options={"g": "6", "bf": "2"}),
    "mpeg2.mkv": Clip(16, "mpeg2video", options={"g": "6"}),
    "mpeg1.mpg": Clip(16, "mpeg1video", options={"g": "6"}),
    "mpeg4.avi": Clip(16, "mpeg4", options={"g": "6"}),
    "mpeg4.mp4": Clip(16, "mpeg4", options={"g": "6", "bf": "2"}),
    "msmpeg4.avi": Clip(16, "msmpeg4"),
    "wmv2.asf": Clip(16, "wmv2"),
    "h263.3gp": Clip(16, "h263", size=Size(176, 144)),
    "flv1.flv": Clip(16, "flv"),
    "ffv1.mkv": Clip(8, "ffv1", options={"level": "3", "slicecrc": "1"}),
    "ffv1.avi": Clip(8, "ffv1", "gray"),
    "prores.mov": Clip(8, "prores_ks", "yuv422p10le"),
    "huffyuv.avi": Clip(8, "huffyuv", "yuv422p"),
    "raw.nut": Clip(8, "rawvideo"),
    "raw.y4m": Clip(8, "rawvideo"),
    "utvideo.avi": Clip(8, "utvideo", "yuv422p"),
    "variable.mkv": replace(_SHORT, pts=[k * k for k in range(16)]),
}


def media(folder: Path) -> dict[str, Path]:
    """Write a small file of every kind."""
    os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 reads once how much to print, and other tests want silence
    made = {name: write_clip(folder / name, clip, format=_format(name)) for name, clip in _VIDEO.items()}
    made["full.mkv"] = write_clip(
        folder / "full.mkv",
        _SHORT,
        [Sound(seconds=0.6), Lines(), Sound(seconds=0.6, codec="flac")],
        tags={"title": "a film", "comment": "x" * 200},
        chapters=[(0, 300, "one"), (300, 600, "two")],
        attachments=[("font.ttf", "font/ttf", b"font" * 100)],
    )
    made["full.mp4"] = write_clip(
        folder / "full.mp4",
        replace(_SHORT, matrix=(0, 65536, 0, -65536, 0, 0, 48 * 65536, 0, 1 << 30)),
        [Sound(seconds=0.6, codec="aac"), Lines("mov_text")],
        tags={"title": "a film"},
        chapters=[(0, 300, "one"), (300, 600, "two")],
    )
    return made


def _format(name: str) -> str | None:
    return {"mpg": "mpeg", "y4m": "yuv4mpegpipe"}.get(name.rpartition(".")[2])


def clip(source: Path, folder: Path) -> str:
    """Copy a real file so that its damaged copies may lie beside it; return its name."""
    (folder / source.name).write_bytes(source.read_bytes())
    return source.name


def manifest(folder: Path) -> str:
    """Write a manifest; return its name."""
    video = VideoPromise(64, 48, "yuv420p", 1, 1, 1, False, Fraction(60), Fraction(1, 1000), "0" * 64)
    parts = tuple(SegmentPromise(60, Fraction(k), k + Fraction(59, 60), f"{k:064x}") for k in range(3))
    tracks = (
        TrackPromise("audio", "aac", "eng", 141, Fraction(0), Fraction(3)),
        TrackPromise("subtitle", "subrip", "", 0, None, None),
    )
    text = Manifest(video, parts, tracks, 2, {"codec": "x264"}, "0.1.0").to_text()
    (folder / "manifest.json").write_text(text, encoding="utf-8")
    return "manifest.json"


def journal(folder: Path) -> str:
    """Write the journal of a run that was half done; return its name."""
    record = Journal(folder / "journal")
    record.begin(Header({"codec": "x264", "to": "4k"}, {"bytes": 1000, "changed_ns": 1}))
    recent = (Difference(0.01, 0.1, 0.99),) * 3
    for number in range(5):
        pts = Fraction(10 * (number + 1))
        start = SegmentStart(Opening(240 * (number + 1), pts, False, Fraction(1, 24), recent, 7), Fraction(0))
        stamps = Stamps.of([600 * number + k for k in range(600)], 1)
        record.append(
            Done(f"{number:06}.mkv", 1000, "0" * 64, "1" * 64, 2, stamps, 240 * number, 240 * (number + 1), start)
        )
    return "journal"


def package(folder: Path) -> str:
    """Write the row of a model's package beside its network; return the package's name."""
    spec = find("film-x2-tiny")
    source = store.locate(spec, "fp32")
    for name in ("mine", "damaged/mine"):
        (folder / name).mkdir(parents=True)
        (folder / name / source.name).write_bytes(source.read_bytes())
    artifact = Artifact(Path("mine", source.name), digest(source))
    mine = replace(spec, name="mine", family="mine", folder=folder, artifacts=MappingProxyType({"fp32": artifact}))
    (folder / "mine" / ROW_FILE).write_text(dump(mine), encoding="utf-8")
    return "mine"


def network(folder: Path) -> str:
    """Copy a network that ships; return its name."""
    spec = find("film-x2-tiny")
    (folder / "film-x2-tiny.onnx").write_bytes(store.locate(spec, "fp32").read_bytes())
    return "film-x2-tiny.onnx"


def catalogue(folder: Path) -> str:
    """Copy the catalogue that ships; return its name."""
    (folder / "catalog.toml").write_bytes(files("fastrestore.models").joinpath("catalog.toml").read_bytes())
    return "catalog.toml"
