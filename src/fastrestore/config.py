"""What a run is asked to do: frozen options, parsed from the words a user types."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

from fastrestore.errors import UsageError
from fastrestore.geometry import Size, fit_inside, scaled

MAX_DIMENSION_PX = 16384
"""Largest width or height; beyond it no encoder here accepts a picture."""
MOST_FPS = 1000
"""Largest frame rate; Matroska's clock has no finer instants."""
NAMED_BOXES = {
    "8k": Size(7680, 4320),
    "4k": Size(3840, 2160),
    "1440p": Size(2560, 1440),
    "1080p": Size(1920, 1080),
    "720p": Size(1280, 720),
}


class Plan(StrEnum):
    """Order of work; see the design notes on guided interpolation."""

    GUIDED = "guided"
    UPSCALE_FIRST = "upscale-first"
    INTERPOLATE_FIRST = "interpolate-first"


class OnError(StrEnum):
    """What to do about a fault in the source."""

    REPAIR = "repair"
    """Show the picture before it again, tell of it, and fail above a hundredth of all frames."""
    FAIL = "fail"
    """End the run at the first one."""


class Media(StrEnum):
    """What decodes and encodes a film that is restored on a card."""

    HOST = "host"
    """The CPU: frames are copied to the card and back."""
    CARD = "card"
    """The card's own circuits, where it has them: frames stay there."""


@dataclass(frozen=True, slots=True)
class Target:
    """A wanted size: a factor, or a box that the shown picture must fit."""

    factor: Fraction | None = None
    box: Size | None = None

    def __str__(self) -> str:
        return str(self.box) if self.factor is None else f"x{self.factor}"

    @classmethod
    def parse(cls, text: str) -> Target:
        """Parse `4k`, `1440p`, `1080p`, `WxH` (a box; the shape is kept) or `xN`.

        Raises:
            UsageError: If the text is none of these or the size is impossible.
        """
        word = text.strip().lower()
        if word in NAMED_BOXES:
            return cls(box=NAMED_BOXES[word])
        if match := re.fullmatch(r"(\d{1,6})x(\d{1,6})", word):
            width, height = int(match[1]), int(match[2])
            if not (2 <= width <= MAX_DIMENSION_PX and 2 <= height <= MAX_DIMENSION_PX):
                raise UsageError(
                    f"impossible target size `{text}`: wanted 2 to {MAX_DIMENSION_PX} pixels a side",
                    "use for example `--to 4k`",
                )
            return cls(box=Size(width, height))
        if match := re.fullmatch(r"x(\d{1,4}(?:\.\d{1,6})?|\d{1,4}/\d{1,4})", word):
            factor = _fraction(match[1])
            if factor:
                return cls(factor=factor)
        raise UsageError(
            f"target size `{text}` is not understood",
            f"use {', '.join(f'`{name}`' for name in NAMED_BOXES)}, `WIDTHxHEIGHT` or a factor such as `x2`",
        )

    def apply(self, size: Size, pixel_aspect: Fraction, rotation: int) -> Size:
        """Return the coded output size for a source.

        Args:
            size: Coded source size.
            pixel_aspect: Width of a pixel over its height.
            rotation: Degrees by which a player turns the picture.

        Raises:
            UsageError: If the result is larger than any encoder accepts.
        """
        if self.factor is not None:
            wanted = size if self.factor == 1 else scaled(size, self.factor)
        else:
            assert self.box is not None
            box = self.box.transposed if rotation % 180 else self.box
            upright = size.height > size.width * pixel_aspect
            # A named box is meant for the long side: a portrait clip gets a portrait box.
            if self.box in NAMED_BOXES.values() and upright != (box.height > box.width):
                box = box.transposed
            wanted = fit_inside(size, box, pixel_aspect)
        if max(wanted.width, wanted.height) > MAX_DIMENSION_PX:
            raise UsageError(
                f"impossible target size {wanted} from a {size} source: at most {MAX_DIMENSION_PX} pixels a side",
                "use a smaller `--to`",
            )
        return wanted


@dataclass(frozen=True, slots=True)
class RateTarget:
    """A wanted frame rate: a number, a factor on the source's rate, or the source's own instants."""

    rate: Fraction | None = None
    factor: Fraction | None = None

    def __str__(self) -> str:
        if self.factor is not None:
            return f"x{self.factor}"
        return "source" if self.rate is None else str(self.rate)

    @classmethod
    def parse(cls, text: str) -> RateTarget:
        """Parse `60`, `60000/1001`, `59.94`, `xN` or `source`.

        Raises:
            UsageError: If the text is none of these or the rate is outside 1 to 1000.
        """
        word = text.strip().lower()
        if word == "source":
            return cls()
        hint = "use for example `--fps 60`, `--fps 60000/1001`, `--fps x2` or `--fps source`"
        if match := re.fullmatch(r"(x?)(\d{1,6}(?:\.\d{1,6})?|\d{1,7}/\d{1,6})", word):
            value = _fraction(match[2])
            if match[1] and value and 1 <= value <= 100:
                return cls(factor=value)
            if not match[1] and value and 1 <= value <= MOST_FPS:
                return cls(rate=_broadcast_rate(value))
        raise UsageError(f"frame rate `{text}` is not understood: wanted 1 to 1000", hint)

    def apply(self, source_rate: Fraction | None) -> Fraction | None:
        """Return frames a second, or None for the source's own instants.

        Raises:
            UsageError: If a factor is asked of a source without a steady rate, or leads beyond 1 to 1000.
        """
        if self.factor is None:
            return self.rate
        if source_rate is None:
            raise UsageError(
                f"`--fps x{self.factor}` needs a source with a steady frame rate",
                "give the rate itself, for example `--fps 60`",
            )
        rate = source_rate * self.factor
        if not 1 <= rate <= MOST_FPS:
            raise UsageError(
                f"`--fps x{self.factor}` of {source_rate} is {rate}: wanted 1 to {MOST_FPS}", "use a smaller factor"
            )
        return rate


@dataclass(frozen=True, slots=True)
class Spans:
    """How long the segments of a run are, in seconds of the source."""

    least: Fraction = Fraction(4)
    """From here on a cut ends a segment."""
    most: Fraction = Fraction(12)
    """From here on the next picture that is no repeat ends it, cut or not; twice as long ends it in any case."""

    def __str__(self) -> str:
        return f"{self.least} to {self.most} s"


@dataclass(frozen=True, slots=True)
class EncodeOptions:
    """How the output is encoded."""

    codec: str = "x264"
    crf: int | None = None
    preset: str | None = None
    bit_depth: int | None = None
    """8 or 10; None keeps the source's."""
    threads: int = 0
    """0 lets the encoder choose."""
    audio_bit_rate: int = 192_000
    """For a new soundtrack that must be encoded, in bits a second."""


USUAL_STAGES = MappingProxyType(
    {
        "deinterlace": "auto",
        "detelecine": "on",
        "clean": "medium",
        "deflicker": "global",
        "steady": "crop",
        "grain": "keep",
    }
)
"""Stages for old film, with the word that is usually wanted."""


@dataclass(frozen=True, slots=True)
class FilmOptions:
    """What is done to old film beside restoring it, in the words of the command line; an empty word does nothing."""

    deinterlace: str = ""
    """`auto` or `field`."""
    detelecine: bool = False
    """Return frames that were repeated or woven to fit another rate to their own instants."""
    clean: str = ""
    """Dust, dirt and scratches."""
    color_from: tuple[str, ...] = ()
    """Coloured frames, `FILE` or `FILE@TIME`."""
    colorize: str = ""
    """A colour network."""
    deflicker: str = ""
    steady: str = ""
    grain: str = ""
    faces: str = ""
    """A face network."""

    def __bool__(self) -> bool:
        return self != FilmOptions()

    @classmethod
    def parse(cls, text: str) -> FilmOptions:
        """Parse `clean,deflicker=local,steady=fill,most=8`: stages, each with its words or as it is usually wanted.

        Raises:
            UsageError: If a stage is unknown. What its words mean is for the stage to say.
        """
        words: dict[str, str] = {}
        colours: list[str] = []
        latest = ""
        for item in filter(None, (part.strip() for part in text.split(","))):
            name, _, word = item.partition("=")
            if name == "color-from":
                colours.append(word)
            elif name in USUAL_STAGES:
                latest, words[name] = name, word or USUAL_STAGES[name]
            elif latest:
                words[latest] += f",{item}"
            else:
                known = ", ".join(f"`{each}`" for each in (*USUAL_STAGES, "color-from=FILE"))
                raise UsageError(f"there is no stage `{name}`", f"known: {known}")
        detelecine = bool(words.pop("detelecine", ""))
        return cls(**words, detelecine=detelecine, color_from=tuple(colours))


@dataclass(frozen=True, slots=True)
class ConvertOptions:
    """Everything `convert` can be told. None means: the default described at each field."""

    to: Target = Target(box=NAMED_BOXES["4k"])
    fps: RateTarget = RateTarget(rate=Fraction(60))
    sr: str = "film"
    """A restoration network, or a family (`film`, `clean`) from which the factor chooses."""
    vfi: str = "dis"
    backend: str = "auto"
    plan: Plan = Plan.GUIDED
    encode: EncodeOptions = EncodeOptions()
    audio: Path | None = None
    tile: int | None = None
    """Side of a tile in source pixels; None chooses it from memory."""
    start: Fraction | None = None
    end: Fraction | None = None
    overwrite: bool = False
    keep_holds: bool = False
    """Show held duplicates where the source does, instead of spreading motion evenly."""
    threads: int = 0
    """Threads for the network; 0 uses every core."""
    batch: int | None = None
    """Tiles that an engine on a card is given at once, at most; None takes as many as it was built for."""
    streams: int | None = None
    """Pictures restored side by side on a card; None chooses."""
    tuned: str = ""
    """By what backend, tile and threads were chosen that the user had left open, in words; empty if by nothing."""
    on_error: OnError = OnError.REPAIR
    max_memory: int | None = None
    """Bytes that a run may need, as far as can be told before it begins; None sets no limit."""
    restart: bool = False
    """Begin anew, whatever an interrupted run has left."""
    verify: bool = True
    """Decode every segment to prove it."""
    spans: Spans = Spans()
    """How much of the film is at stake when a run is interrupted."""
    film: FilmOptions = FilmOptions()
    """Stages for old film."""
    media: Media = Media.HOST
    """What decodes and encodes."""
    provenance: bool = False
    """Write a record of what was done beside the output; with stages for old film that is done in any case."""
    c2pa: str = ""
    """`CERT.pem[,KEY.pem]`, to sign the output with; empty signs nothing."""


def parse_time(text: str) -> Fraction:
    """Parse `12.5`, `1:02.5` or `1:01:02.5` into seconds.

    Raises:
        UsageError: If the text is no time.
    """
    parts = text.strip().split(":")
    if 1 <= len(parts) <= 3 and all(re.fullmatch(r"\d+(\.\d+)?", part) for part in parts):
        seconds = Fraction(0)
        for part in parts:
            seconds = seconds * 60 + Fraction(part)
        return seconds
    raise UsageError(f"time `{text}` is not understood", "use seconds (`12.5`) or `[HH:]MM:SS[.fraction]`")


def parse_bytes(text: str) -> int:
    """Parse `6000000000`, `800M` or `6G` (binary units).

    Raises:
        UsageError: If the text is no number of bytes.
    """
    match = re.fullmatch(r"(\d{1,15})([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE | re.ASCII)
    if match is None or not int(match[1]):
        raise UsageError(f"amount of memory `{text}` is not understood", "use for example `8G` or `800M`")
    return int(match[1]) << {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}[match[2].upper()]


def cpu_count() -> int:
    """Return the number of cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def memory_bytes() -> int:
    """Return the memory of this machine, or of the container that the process is confined to, in bytes.

    Not what is free at the moment: tiles chosen from it must be the same when a run is repeated.
    """
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text(encoding="ascii").strip() if limit.is_file() else "max"
    return min(total, int(text)) if text.isdigit() else total


def _fraction(text: str) -> Fraction | None:
    try:
        return Fraction(text)
    except ZeroDivisionError:
        return None


def _broadcast_rate(value: Fraction) -> Fraction:
    """Return 30000/1001 for 29.97 and so on: what the short decimal stands for."""
    for whole in (24, 30, 48, 60, 120, 240):
        exact = Fraction(whole * 1000, 1001)
        if abs(value - exact) < Fraction(1, 100) and value != whole:
            return exact
    return value
