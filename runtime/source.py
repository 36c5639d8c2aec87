"""Where a conversion's frames come from, and how its reading is taken up at a place in the middle."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from fastrestore.config import FilmOptions
from fastrestore.frames import Frame, StreamInfo
from fastrestore.runtime.media.card_reader import CardReader
from fastrestore.runtime.media.card_reading import CardReading
from fastrestore.runtime.media.reader import VideoReader
from fastrestore.runtime.observation import Opening
from fastrestore.runtime.resume import Entered, frames_from, known
from fastrestore.runtime.treatments.fields.fielding import Fielding, fielding_of
from fastrestore.runtime.treatments.treating import Treating
from fastrestore.runtime.turn import Turn, in_turn


@dataclass(frozen=True, slots=True)
class Source:
    """Where frames come from."""

    frames: Iterable[Frame]
    info: StreamInfo
    first_pts: Fraction
    reader: VideoReader | None = None
    """The file whose other tracks go along, or None for frames that come from elsewhere."""
    turn: Turn | None = None
    """When it may be read, where several runs go side by side; None at any time."""
    fields: Fielding | None = None
    """What becomes of the file's frames before anything else is done to them, or None."""
    card: CardReading | None = None
    """How pictures are made that stay on a card, whenever the file is opened again; None reads as the reader does."""

    @classmethod
    def of_file(
        cls,
        reader: VideoReader,
        film: FilmOptions | None = None,
        folder: Path | None = None,
        on_frame: Callable[[int], object] | None = None,
    ) -> Source:
        """Return a file as a source.

        Args:
            reader: The file, not read yet.
            film: Stages for old film. Where they see to fields, all of the file is read beforehand.
            folder: The work folder, where an earlier run may have left what it saw.
            on_frame: Called with the number of frames seen after each.

        Raises:
            UsageError: If a stage's words are not understood.
            DecodeError: If the file cannot be read.
        """
        fields = None if film is None else fielding_of(reader, film, folder, on_frame)
        if fields is None:
            return cls(reader, reader.info, reader.first_pts, reader)
        reader.see_to_fields()
        with reader.again() as again:
            first = next(iter(fields.pictures(again, 0)))
        return cls(pictures_of(reader, fields), fields.plan.info(reader.info), first.pts, reader, fields=fields)

    @contextmanager
    def entered(self, opening: Opening | None, treating: Treating | None, *, sequential: bool) -> Iterator[Entered]:
        """Read from an opening on, or from the beginning.

        Args:
            opening: The first frame wanted; None for the source's first. Only files can be entered elsewhere.
            treating: What is done to the frames before they are restored, if anything.
            sequential: Do not seek; see `frames_from`.

        Raises:
            JobError: If the frame is not found: the source is not what it was.
            DecodeError: If the source cannot be read.
        """
        first = 0 if opening is None else opening.index
        begin = opening if treating is None else treating.place_before(first)
        with self._read(begin, sequential=sequential) as entered:
            frames = entered.frames if self.turn is None else in_turn(entered.frames, self.turn)
            if treating is None:
                yield Entered(entered.reader, frames)
            else:
                at = 0 if begin is None else begin.index
                yield Entered(entered.reader, treating.frames(frames, at, first))

    @contextmanager
    def _read(self, begin: Opening | None, *, sequential: bool) -> Iterator[Entered]:
        if begin is None or begin.index == 0 or self.reader is None:
            yield Entered(self.reader, iter(self.frames))
            return
        fields = self.fields
        place = begin if fields is None else fields.place_before(begin.index)
        with self._file_from(place, sequential=sequential) as entered:
            if fields is None:
                yield entered
            else:
                pictures = fields.pictures(entered.frames, begin.index)
                yield Entered(entered.reader, known(pictures, begin, self.reader.path))

    @contextmanager
    def _file_from(self, place: Opening | None, *, sequential: bool) -> Iterator[Entered]:
        """Read the file's own frames from a place on; None for its beginning."""
        reader = self.reader
        assert reader is not None, "only files are entered elsewhere"
        if place is None:
            yield Entered(reader, iter(reader))
            return
        with frames_from(
            reader, lambda opening: reader.again(opening.pts, opening.index), place, sequential=sequential
        ) as entered:
            yield entered

    @contextmanager
    def visited(self, opening: Opening | None, treating: Treating | None = None) -> Iterator[Iterator[Frame]]:
        """Read from an opening on without using up the source; only files can be.

        Raises:
            JobError: If the frame is not found: the source is not what it was.
            DecodeError: If the source cannot be read.
        """
        with self.again() as other, other.entered(opening, treating, sequential=False) as entered:
            yield entered.frames

    @contextmanager
    def again(self) -> Iterator[Source]:
        """Open the file once more, at its beginning. What reads it then is nobody else's turn.

        Raises:
            DecodeError: If it cannot be read.
        """
        assert self.reader is not None, "only files are opened again"
        with self.reader.again() if self.card is None else CardReader(self.reader, self.card) as reader:
            yield replace(self, frames=pictures_of(reader, self.fields), reader=reader, turn=None)

    @contextmanager
    def on_card(self, card: CardReading) -> Iterator[Source]:
        """Open the file once more, its pictures to stay on a card; give all of them back on the way out.

        Raises:
            DecodeError: If it cannot be read there.
        """
        with replace(self, card=card).again() as source:
            try:
                yield replace(source, turn=self.turn)
            finally:
                card.forsake()


def pictures_of(reader: VideoReader, fields: Fielding | None) -> Iterable[Frame]:
    """Return the pictures of a file, from its beginning."""
    return reader if fields is None else fields.pictures(reader, 0)
