"""Decoding on the card: FFmpeg's way there, held against its own on the CPU, picture by picture."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.video.stream import VideoStream
from tests.gpu.pipelines import COLOUR, OPS, film
from tests.gpu.setting import Setting

from fastrestore.config import Spans
from fastrestore.errors import DecodeError
from fastrestore.frames import FORMATS
from fastrestore.geometry import Size
from fastrestore.runtime.devices.counting import CountingDevice
from fastrestore.runtime.media import pixels
from fastrestore.runtime.media.card_reading import CardDecoder, CardReading, Nvdec
from fastrestore.runtime.media.reader import VideoReader
from fastrestore.runtime.observation import Observer, Opening
from fastrestore.runtime.on_device.decoded import DecodedIntake
from fastrestore.runtime.on_device.lanes import Lanes
from fastrestore.runtime.on_device.picture import Form
from fastrestore.runtime.on_device.pool import Pool
from fastrestore.runtime.source import Source

_ENCODERS = {
    "h264": ("libx264", {"preset": "veryfast", "bf": "2", "g": "30"}),
    "hevc": ("libx265", {"preset": "ultrafast", "x265-params": "log-level=none"}),
    "vp9": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}),
}
_FORMATS = {"h264": ("yuv420p", "yuv420p10le"), "hevc": ("yuv420p", "yuv420p10le"), "vp9": ("yuv420p",)}
"""FFmpeg's VP9 encoder is built for 8 bits."""
_SMALLEST = Size(128, 96)
"""Of pictures that every card decodes; x265 writes beyond its memory for much smaller ones."""
_ROOM = 24


def decoding(setting: Setting, size: Size, count: int) -> dict[str, Any]:
    """Decode a film of every codec and depth both ways; say whether samples and cuts are the same, and how fast it is.

    What the card does not decode is told with its reason and does not count as different.
    """
    size = Size(max(size.width, _SMALLEST.width), max(size.height, _SMALLEST.height))
    found: dict[str, Any] = {"size": str(size), "frames": count}
    with tempfile.TemporaryDirectory() as folder:
        for codec in _ENCODERS:
            for name in _FORMATS[codec]:
                path = Path(folder) / f"{codec}-{name}.mkv"
                _write(path, codec, size, name, count)
                found[f"{codec} {name}"] = _compared(setting, path)
    ran = [each for each in found.values() if isinstance(each, dict) and each["ran"]]
    found["ran"] = bool(ran)
    found["passed"] = all(each["different"] == 0 and each["same_cuts"] for each in ran)
    # FFmpeg was lent the context: closing its decoders must not have taken it along.
    with setting.device.buffer(1 << 20), setting.device.stream() as stream:
        stream.synchronize()
    return found


def _compared(setting: Setting, path: Path) -> dict[str, Any]:
    with VideoReader(path) as reader, ExitStack() as stack:
        lanes = stack.enter_context(Lanes(setting.device, setting.code, 1))
        pool = stack.enter_context(Pool(lanes))
        form = Form(reader.info.size, reader.info.format, reader.info.colour)
        decoded = stack.enter_context(DecodedIntake(lanes, pool, form, _ROOM))
        card = CardReading(_decoder(stack, setting), decoded.adopt, decoded.forsake, decoded)
        source = Source.of_file(reader)
        try:
            with source.on_card(card) as on_card:
                begun = time.perf_counter()
                count = sum(1 for _ in on_card.frames)
                rate = count / (time.perf_counter() - begun)
            with source.on_card(card) as on_card, source.again() as on_host:
                return {"ran": True, "frames_per_s": rate, **_apart(on_card, on_host, card)}
        except DecodeError as error:
            return {"ran": False, "why": error.message}


def _apart(on_card: Source, on_host: Source, card: CardReading) -> dict[str, Any]:
    spans, count, different, cuts = Spans(), 0, 0, []
    there = Observer(card.comparer, spans, Opening()).observe(on_card.frames)
    here = Observer(OPS, spans, Opening()).observe(on_host.frames)
    for one, other in zip(there, here, strict=True):
        count += 1
        same = one.frame.pts == other.frame.pts and other.frame.picture.same_samples(one.frame.picture)
        different += not same
        cuts.append((one.cut_before, one.repeats) == (other.cut_before, other.repeats))
    return {"compared": count, "different": different, "same_cuts": all(cuts)}


def _decoder(stack: ExitStack, setting: Setting) -> CardDecoder:
    if not isinstance(setting.device, CountingDevice):
        return Nvdec(setting.device)
    from tests.unit.runtime.on_device.played_decoder import PlayedDecoder

    played = PlayedDecoder(setting.device)
    stack.callback(played.close)
    return played


def _write(path: Path, codec: str, size: Size, name: str, count: int) -> None:
    encoder, options = _ENCODERS[codec]
    with av.open(str(path), "w") as output:
        stream = output.add_stream(encoder, rate=Fraction(24), options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = size.width, size.height, FORMATS[name].name
        for index, frame in enumerate(film(count, size, name)):
            raw = pixels.frame_from_picture(frame.picture)
            pixels.tag(raw, COLOUR)
            raw.pts = index
            output.mux(stream.encode(raw))
        output.mux(stream.encode(None))
