"""Decodes one video stream of a file, and notices which of its packets gave no picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.format import Flags
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from fastrestore.errors import DecodeError
from fastrestore.runtime.media.card_reading import ON_HOST, CardDecoder
from fastrestore.runtime.media.checksums import SliceChecksums
from fastrestore.runtime.media.limits import MOST_PIXELS, believable_rate, check_stream
from fastrestore.runtime.media.opening import demux, open_file
from fastrestore.runtime.media.tags import is_cover
from fastrestore.runtime.media.translate import no_video, reading
from fastrestore.runtime.media.trouble import Trouble, TroubleFinder, index_times
from fastrestore.runtime.media.watchdog import Watchdog

_SEEK_MARGINS_S = (0, 2, 10, 60)
_LONGEST_SILENCE = 20_000
"""Packets in a row without a picture; a recording that begins between key frames has a few hundred."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A frame as it left the decoder, and what went wrong since the one before."""

    frame: VideoFrame
    time: Fraction | None
    """Seconds by its own timestamp, or None."""
    corrupt: bool
    """Whether it was decoded with errors, or from a packet that lacks bytes or does not match its checksum."""
    since: Trouble


class StreamDecoder:
    """The video stream of a file that is meant as the film, decoded in one thread.

    Several threads would decode intact files faster, but what they make of damaged ones differs from run to run
    (measured with H.264, HEVC and ProRes): the order in which they conceal errors is a matter of luck.

    Args:
        path: The file.
        watchdog: Watches over every call into FFmpeg.
        max_memory: Bytes that decoding may need, or None.
        card: What decodes, where it is a card; None for the CPU.

    Raises:
        DecodeError: If the file cannot be read, holds no film, or is beyond the limits.
    """

    def __init__(
        self, path: Path, watchdog: Watchdog, max_memory: int | None = None, card: CardDecoder | None = None
    ) -> None:
        self._path, self._watchdog, self._max_memory, self._card = path, watchdog, max_memory, card
        self._container: InputContainer | None = None
        self._last_seen: Fraction | None = None
        self._begins_late = False
        self._trouble = TroubleFinder()
        self._open()

    stream: VideoStream

    @property
    def container(self) -> InputContainer:
        """The open file."""
        if self._container is None:
            raise DecodeError(f"cannot read {self._path}: it has been closed", "open it again")
        return self._container

    @property
    def closed(self) -> bool:
        """Whether `close` has been called."""
        return self._container is None

    @property
    def time_base(self) -> Fraction:
        """Unit of the stream's timestamps, in seconds."""
        return self.stream.time_base or Fraction(1, 90000)

    @property
    def rate(self) -> Fraction | None:
        """The steady rate, or None: the average alone would call a varying rate steady."""
        average, base = self.stream.average_rate, self.stream.base_rate
        if not average or not base:
            return believable_rate(average or self.stream.guessed_rate or None)
        # The base rate is the finest the timestamps show: a whole multiple of a steady one (twice it for fields).
        ratio = base / average
        steady = ratio > Fraction(9, 10) and abs(ratio - round(ratio)) <= Fraction(2, 100) * ratio
        return believable_rate(average) if steady else None

    @property
    def step(self) -> Fraction:
        """Usual seconds from one frame to the next."""
        return 1 / (self.rate or believable_rate(self.stream.average_rate) or Fraction(25))

    @property
    def is_broadcast(self) -> bool:
        """Whether the file is a transport or program stream: it has no index, and each picture follows the last."""
        return bool(Flags(self.container.format.flags) & Flags.ts_discont)

    @property
    def begins_late(self) -> bool:
        """Whether the file begins between two key frames: a recording's first pictures cannot be decoded."""
        return self._begins_late

    @property
    def trouble_at_end(self) -> Trouble:
        """What went wrong after the last frame, once all have been read."""
        return self._trouble.at_end

    def frames(self, start: Fraction | None) -> Iterator[Decoded]:
        """Yield decoded frames from a key frame at or before `start` on, or from the beginning.

        Seeking is a guess: many formats seek by decoding time, some by bytes, some not at all. Where it lands too
        late it is tried again from further back, at last from the beginning.

        Raises:
            DecodeError: If the file cannot be read any further.
        """
        for margin in self._margins(start):
            assert start is not None
            frames = self._after_seek(max(Fraction(0), start - margin))
            # What comes before the first key frame refers to frames that were not decoded.
            key = next((each for each in frames if each.frame.key_frame), None)
            # A key frame with errors is shown as the picture before it, which is not known here.
            if key is not None and key.time is not None and key.time <= start and not key.corrupt:
                yield Decoded(key.frame, key.time, key.corrupt, Trouble())
                yield from frames
                return
            self._open()
        yield from self._decode()

    def close(self) -> None:
        """Close the file. Closing twice is fine."""
        if self._container is not None:
            self._container.close()
            self._container = None
        self.__dict__.pop("stream", None)

    def _open(self) -> None:
        """Open the file, again if it is open."""
        self.close()
        with self._watchdog.call(f"opening {self._path}"):
            self._container = open_file(self._path) if self._card is None else self._card.open(self._path)
        try:
            self.stream = self._choose_stream(self._container)
            check_stream(self._path, self.stream, self._max_memory)
            told = {} if self._card is None else self._card.options(self.stream)
        except DecodeError:
            self.close()
            raise
        self.stream.thread_type = "NONE"
        self.stream.codec_context.options = {"max_pixels": str(MOST_PIXELS), **told}

    def _choose_stream(self, container: InputContainer) -> VideoStream:
        videos = [s for s in container.streams.video if not is_cover(s)]
        if not videos:
            raise no_video(self._path, sorted({s.type for s in container.streams}))
        best = container.streams.best("video")
        stream = best if isinstance(best, VideoStream) and best in videos else videos[0]
        if stream.codec_context is None or stream.codec_context.width < 1:
            raise DecodeError(
                f"cannot read {self._path}: no decoder for its video", "convert it with another tool first"
            )
        return stream

    def _margins(self, start: Fraction | None) -> tuple[int, ...]:
        """Return how many seconds before `start` to seek, one after the other; none where seeking is of no use."""
        if not start or self._clock_jumps_before(start):
            return ()
        # Where a broadcast is entered, its first picture may have its neighbour's timestamp.
        return _SEEK_MARGINS_S[1:] if self.is_broadcast else _SEEK_MARGINS_S

    def _clock_jumps_before(self, start: Fraction) -> bool:
        """Whether a broadcast's clock goes back before `start`: then the same time comes twice, and seeking lies.

        Finding out means reading packets from the beginning, without decoding them.
        """
        if not self.is_broadcast:
            return False
        jumps, previous = False, None
        for packet in self._packets("searching"):
            if packet.dts is None:
                continue
            jumps = previous is not None and packet.dts < previous
            if jumps or packet.dts * self.time_base > start:
                break
            previous = packet.dts
        self._open()
        return jumps

    def _after_seek(self, target: Fraction) -> Iterator[Decoded]:
        try:
            with self._watchdog.call(f"seeking in {self._path}"):
                self.container.seek(int(target / self.time_base), stream=self.stream, backward=True)
        except (av.error.FFmpegError, OverflowError):
            return iter(())  # this format or file cannot seek, or not that far
        return self._decode()

    def _decode(self) -> Iterator[Decoded]:
        with self._watchdog.call(f"opening {self._path}"):
            finder = self._trouble = TroubleFinder(index_times(self._path, self.container, self.stream))
        checksums = SliceChecksums(self.stream.codec_context)
        first = True
        for packet in self._packets("reading"):
            if first and packet.size:
                first, self._begins_late = False, not packet.is_keyframe
            finder.sees(packet, intact=checksums.intact(packet))
            for frame in self._pictures(packet, finder):
                corrupt = frame.is_corrupt or finder.is_damaged(frame.pts)
                time = None if frame.pts is None else frame.pts * (frame.time_base or self.time_base)
                trouble = finder.before(frame.pts, self.time_base)
                self._last_seen = time
                yield Decoded(frame, time, corrupt, trouble)
            if finder.silence > _LONGEST_SILENCE:
                raise DecodeError(
                    f"cannot read {self._path}{self._position()}: {finder.silence} packets gave no picture",
                    "the file is damaged, or its codec is not supported; try to play it",
                )
        finder.finish(self.time_base)

    def _packets(self, doing: str) -> Iterator[Packet[VideoStream]]:
        packets = demux(self.container, self.stream)
        while True:
            with reading(self._path, self._position()), self._watchdog.call(f"{doing} {self._path}{self._position()}"):
                packet = next(packets, None)
            if packet is None:
                return
            yield packet

    def _pictures(self, packet: Packet[VideoStream], finder: TroubleFinder) -> list[VideoFrame]:
        try:
            with self._watchdog.call(f"decoding {self._path}{self._position()}"):
                return packet.decode()
        except av.error.FFmpegError as error:  # decoders report damage with many codes, even that of too little memory
            if self._card is not None:  # what else it makes of damage is not known
                message = f"the card cannot decode {self._path}{self._position()}: {error.strerror}"
                raise DecodeError(message, ON_HOST) from error
            finder.refused += 1
        return []

    def _position(self) -> str:
        return "" if self._last_seen is None else f" after {float(self._last_seen):.3f} s"
