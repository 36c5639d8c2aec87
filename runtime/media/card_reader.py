"""Reads the frames of a video file whose pictures stay on a card."""

from __future__ import annotations

from fractions import Fraction

from av.video.frame import VideoFrame

from fastrestore.errors import DecodeError
from fastrestore.frames import Picture
from fastrestore.runtime.media.card_reading import ON_HOST, CardReading
from fastrestore.runtime.media.decoding import StreamDecoder
from fastrestore.runtime.media.faults import FaultCount, FaultKind
from fastrestore.runtime.media.reader import Seen, VideoReader
from fastrestore.runtime.media.standins import Shown


class CardReader(VideoReader):
    """A video file that is decoded on a card: the same frames at the same times as the host's, or an error.

    What a card makes of damage is not known, and nothing is mended here: the first fault ends the reading.

    Args:
        model: The same file, read by the host. What it has seen of the first frame holds; it may be closed.
        card: How pictures are made.
        start: Seconds to begin at; None begins where the model does.
        read: Frames before that, none of which was found faulty.

    Raises:
        DecodeError: If it cannot be read there.
    """

    def __init__(self, model: VideoReader, card: CardReading, start: Fraction | None = None, read: int = 0) -> None:
        self._model, self._card = model, card
        super().__init__(
            model.path,
            start=model.start if start is None else start,
            end=model.end,
            on_error=model.notes.faults.policy,
            before=FaultCount(read),
            watchdog=model.watchdog,
        )

    def again(self, start: Fraction | None = None, read: int = 0) -> VideoReader:
        """See `VideoReader.again`: on the card, too."""
        return CardReader(self._model, self._card, start, read)

    def _open(self, max_memory: int | None) -> StreamDecoder:
        return StreamDecoder(self.path, self.watchdog, max_memory, self._card.decoder)

    def _inspect(self, frame: VideoFrame) -> Seen:  # its samples are not here to be looked at
        return self._model.seen

    def _is_like(self, raw: VideoFrame) -> bool:  # where it is not, no picture is made of it
        return True

    def _picture(self, raw: VideoFrame, *, changed: bool) -> Picture:  # none is
        return self._card.picture(self.path, raw, self.info)

    def _note(self, shown: Shown, *, changed: bool) -> None:
        if shown.fault is not None or shown.refused:
            fault = shown.fault or FaultKind.UNDECODABLE
            at = f"{float(shown.pts):.3f} s"
            raise DecodeError(f"{self.path} is faulty at {at} ({fault}): a card shows damage in its own way", ON_HOST)
        super()._note(shown, changed=changed)
