"""NVENC given frames where they lie, against the same encoder given them through the host's memory."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.plane import VideoPlane
from numpy.typing import NDArray
from tests.gpu.pipelines import COLOUR, OPS, film
from tests.gpu.setting import Setting

from fastrestore.config import EncodeOptions, Plan
from fastrestore.errors import EncodeError
from fastrestore.frames import FORMATS, Picture, StreamInfo
from fastrestore.geometry import Size
from fastrestore.runtime.handed import HandedFrame
from fastrestore.runtime.media.card_frames import CardFrames
from fastrestore.runtime.media.encoders import ENCODERS
from fastrestore.runtime.media.segment import SegmentWriter, prove_segment
from fastrestore.runtime.media.track import VideoTrack
from fastrestore.runtime.motion import DisEstimator
from fastrestore.runtime.on_device.opening import Task, open_steps
from fastrestore.runtime.on_device.picture import Form
from fastrestore.runtime.parts import Stages
from fastrestore.runtime.pipeline import FramePipeline
from fastrestore.runtime.restorer import Output, Restorer

_FPS = Fraction(60)
_MOST_APART = 1 / 255
"""Of the range, on average, that decoded frames may differ by: the pictures that went in are the same to the byte."""
_DEPTHS = {8: "yuv420p", 10: "yuv420p10le"}
_ON_CARD = {"yuv420p": "nv12", "yuv420p10le": "p010le"}


def encodings(setting: Setting, size: Size, count: int) -> dict[str, Any]:
    """Encode a film both ways with every encoder of cards there is, and hold the results against each other.

    That FFmpeg sees the pictures where they lie is looked at on every card, those without an encoder too.
    """
    found: dict[str, Any] = {f"handed over {name}": _handed(setting, size, name) for name in _DEPTHS.values()}
    for codec, encoder in ENCODERS.items():
        if encoder.on_card:
            for bits in encoder.depths:
                found[f"{codec} {bits} bit"] = _both_ways(setting, size, count, codec, _DEPTHS[bits])
    return {"ran": True, "passed": all(case["passed"] for case in found.values() if case["ran"]), **found}


def _handed(setting: Setting, size: Size, name: str) -> dict[str, Any]:
    """Have FFmpeg bring pictures to the host that it was handed on the card; compare them with those that we bring."""
    source, seen = list(film(4, size, name)), list[bytes]()
    with _stages(setting, size, name, on_card=False) as stages:
        wanted = [frame.picture for frame in FramePipeline(stages, source, None)]
    with _stages(setting, size, name, on_card=True) as stages:
        frames = CardFrames()
        with closing(FramePipeline(stages, source, None).marked()) as handed:
            for frame, _ in handed:
                assert isinstance(frame, HandedFrame)
                here = frames.frame(frame.picture).reformat(format=_ON_CARD[name])
                row_bytes = here.width * frame.picture.format.dtype().itemsize
                seen.append(b"".join(_samples(plane, row_bytes) for plane in here.planes))
    return {"ran": True, "passed": seen == [_as_handed(picture) for picture in wanted], "frames": len(seen)}


def _samples(plane: VideoPlane, row_bytes: int) -> bytes:
    """Return a plane's samples without the gaps behind its rows."""
    stored: NDArray[np.uint8] = np.frombuffer(memoryview(plane), np.uint8)
    return stored.reshape(plane.height, plane.line_size)[:, :row_bytes].tobytes()


def _as_handed(picture: Picture) -> bytes:
    luma, cb, cr = picture.planes
    shift = 6 if picture.format.bits == 10 else 0
    return (luma << shift).tobytes() + (np.stack([cb, cr], axis=-1) << shift).tobytes()


def _both_ways(setting: Setting, size: Size, count: int, codec: str, name: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        paths, seconds = [Path(folder) / "host.nut", Path(folder) / "card.nut"], []
        for path, on_card in zip(paths, (False, True), strict=True):
            try:
                seconds.append(_encode(path, setting, size, count, codec, name, on_card=on_card))
            except EncodeError as error:
                # Where the host's way does not run either, this card has no such encoder; else the new way has failed.
                return {"ran": on_card, "passed": False, "why": error.message}
        mean, frames = _apart(*paths)
        return {
            "ran": True,
            "passed": mean <= _MOST_APART,
            "frames": frames,
            "mean_apart": mean,
            "same_bytes": paths[0].read_bytes() == paths[1].read_bytes(),
            "host_fps": frames / seconds[0],
            "card_fps": frames / seconds[1],
        }


def _encode(path: Path, setting: Setting, size: Size, count: int, codec: str, name: str, *, on_card: bool) -> float:
    """Encode a film into a file and prove it; return the seconds that took without the proof."""
    made, form = size.times(setting.engine.spec.scale), FORMATS[name]
    track = VideoTrack(made, form, COLOUR, StreamInfo(size, form, COLOUR, _FPS), _FPS, Fraction(0))
    source = list(film(count, size, name))
    with _stages(setting, size, name, on_card=on_card) as stages:
        begun = time.perf_counter()
        with (
            closing(FramePipeline(stages, source, _FPS).marked()) as frames,
            SegmentWriter(path, track, EncodeOptions(codec=codec), on_card=on_card) as writer,
        ):
            for frame, _ in frames:
                writer.write(frame)
            encoded = writer.finish()
        seconds = time.perf_counter() - begun
    prove_segment(path, track, encoded)
    return seconds


@contextmanager
def _stages(setting: Setting, size: Size, name: str, *, on_card: bool) -> Iterator[Stages]:
    form, made = FORMATS[name], size.times(setting.engine.spec.scale)
    task = Task(Form(size, form, COLOUR), Form(made, form, COLOUR, for_encoder=on_card), Plan.GUIDED)
    with open_steps([setting.engine], task, image=setting.code) as steps:
        output = Output(made, form, COLOUR)
        yield Stages(OPS, Restorer([], OPS, output), DisEstimator(OPS), Plan.GUIDED, steps)


def _apart(one: Path, other: Path) -> tuple[float, int]:
    """Return the mean difference of two films' luma as a share of its range, and how many frames they have."""
    total, count = 0.0, 0
    with av.open(str(one)) as first, av.open(str(other)) as second:
        for a, b in zip(first.decode(video=0), second.decode(video=0), strict=True):
            luma = [frame.reformat(format="gray").to_ndarray().astype(np.int16) for frame in (a, b)]
            total, count = total + float(np.abs(luma[0] - luma[1]).mean()) / 255, count + 1
    return total / max(1, count), count
