"""Lays a new soundtrack under a film: copied if the container can hold it, else encoded to AAC."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet

from fastrestore.errors import DecodeError
from fastrestore.runtime.media.containers import OutputContainerKind, can_hold
from fastrestore.runtime.media.opening import demux, open_file
from fastrestore.runtime.media.translate import reading

T = TypeVar("T")


class Soundtrack:
    """An audio file laid under a film from its first frame on; it ends with the film at the latest, to the packet.

    Args:
        path: A file with an audio stream.
        begin: Seconds of the output at which it starts.
        bit_rate: Bits a second, if it must be encoded.
    """

    def __init__(self, path: Path, begin: Fraction, bit_rate: int) -> None:
        self._path, self._begin, self._bit_rate = path, begin, bit_rate
        if path.is_dir():
            raise DecodeError(f"cannot read {path}: it is a folder", "give an audio file to `--audio`")
        with reading(path):
            self._container: InputContainer = open_file(path)
        if not self._container.streams.audio:
            self._container.close()
            raise DecodeError(f"cannot read {path}: it holds no audio", "give an audio file to `--audio`")
        self._source: AudioStream = self._container.streams.audio[0]
        self._pending: Packet[AudioStream] | None = None
        self._packets: Iterator[Packet[AudioStream]] = iter(())
        self.label = ""

    def attach(self, output: OutputContainer, kind: OutputContainerKind) -> None:
        """Add the stream; before any packet is written."""
        name = self._source.codec_context.name
        if can_hold(kind, self._source) and (kind.plays_pcm or not name.startswith("pcm_")):
            target = output.add_stream_from_template(self._source)
            self._packets = self._copied(target, keep_early=kind.negative_times)
            self.label = f"soundtrack {self._path.name} ({name}, copied)"
        else:
            codec = "libopus" if kind.format == "webm" else "aac"
            known = av.Codec(codec, "w").audio_rates or []
            rate = self._source.rate if self._source.rate in known else 48000
            encoder = output.add_stream(codec, rate=rate)
            assert isinstance(encoder, AudioStream)
            if self._source.codec_context.layout.nb_channels == 1:
                encoder.codec_context.layout = "mono"
            encoder.bit_rate = self._bit_rate
            self._packets = self._encoded(encoder)
            self.label = f"soundtrack {self._path.name} ({name}, encoded to {encoder.codec_context.name})"

    def advance(self, output: OutputContainer, until: Fraction) -> None:
        """Write every packet that starts before `until` (seconds of the output)."""
        while True:
            packet = self._pending or next(self._packets, None)
            self._pending = packet
            if packet is None or Fraction(packet.pts or 0) * packet.time_base >= until:
                return
            self._pending = None
            output.mux_one(packet)

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def _copied(self, target: AudioStream, *, keep_early: bool) -> Iterator[Packet[AudioStream]]:
        # The stream's start is where sound begins; a decoder's run-in before it may have earlier or equal times.
        source = self._source
        heard = max(0, source.start_time or 0) * (source.time_base or Fraction(1))
        for packet in self._read(demux(self._container, source)):
            if packet.dts is None or packet.pts is None:
                continue
            shift = round((self._begin - heard) / packet.time_base)
            packet.pts += shift
            packet.dts += shift
            middle = (packet.pts + Fraction(packet.duration or 0, 2)) * packet.time_base
            if middle < 0 and not keep_early:
                continue  # a time below 0 would move all other tracks
            packet.stream = target
            yield packet

    def _encoded(self, target: AudioStream) -> Iterator[Packet[AudioStream]]:
        context = target.codec_context
        resampler = AudioResampler(context.format, context.layout, context.rate, frame_size=context.frame_size or None)
        position = round(self._begin * context.rate)
        frames: list[AudioFrame | None] = []
        for decoded in self._read(self._container.decode(self._source)):
            decoded.pts = None  # gaps are not kept: the resampler counts samples
            frames += resampler.resample(decoded)
            while frames:
                frame = frames.pop(0)
                position = _stamp(frame, position, context.rate)
                yield from target.encode(frame)
        for frame in resampler.resample(None):
            position = _stamp(frame, position, context.rate)
            yield from target.encode(frame)
        yield from target.encode(None)

    def _read(self, items: Iterator[T]) -> Iterator[T]:
        while True:
            with reading(self._path):
                item = next(items, None)
            if item is None:
                return
            yield item


def _stamp(frame: AudioFrame | None, position: int, rate: int) -> int:
    assert frame is not None
    frame.pts, frame.time_base = position, Fraction(1, rate)
    return position + frame.samples
