"""Takes dust, dirt and upright scratches off a film, and leaves alone what it cannot be sure of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fastrestore.config import FilmOptions
from fastrestore.errors import UsageError
from fastrestore.frames import StreamInfo
from fastrestore.kernels.ops import Ops
from fastrestore.runtime.treatments.clean.dust import DustFinder
from fastrestore.runtime.treatments.clean.dust_sight import Limits
from fastrestore.runtime.treatments.clean.healing import heal
from fastrestore.runtime.treatments.clean.mending import mend
from fastrestore.runtime.treatments.clean.scratch_tracks import scratches_of
from fastrestore.runtime.treatments.clean.scratches import PROBE, Line, ScratchProbe
from fastrestore.runtime.treatments.short_motion import ShortMotion
from fastrestore.runtime.treatments.table import Opened, Tools
from fastrestore.runtime.treatments.treatment import Film, Probe, Shot, Treated, Treatment, Window

_STRENGTHS = {"low": 0.25, "medium": 0.5, "high": 0.8}
_USUAL = _STRENGTHS["medium"]
_KINDS = ("dust", "scratches")
_HINT = "for example `medium`, `high`, `0.6`, or `medium,dust` to leave scratches alone"


@dataclass(frozen=True, slots=True)
class CleanSettings:
    """What is cleaned, and how readily."""

    strength: float = _USUAL
    """0 to 1: at 0 only what stands out most is taken for dirt, at 1 what stands out a little."""
    dust: bool = True
    """Whether marks on single frames are repaired."""
    scratches: bool = True
    """Whether upright scratches are."""

    def __post_init__(self) -> None:
        """Refuse settings that mean nothing.

        Raises:
            UsageError: If the strength is out of its range.
        """
        if not 0 <= self.strength <= 1:
            raise UsageError(f"`--clean`: the strength is {self.strength:g}, wanted 0 to 1", _HINT)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a strength (`low`, `medium`, `high` or 0 to 1) and, if not all is to be cleaned, `dust` or `scratches`.

        Raises:
            UsageError: If a word is not understood.
        """
        strength, kinds = _USUAL, set[str]()
        for number, word in enumerate(part.strip() for part in text.split(",")):
            if number == 0 and word in _STRENGTHS:
                strength = _STRENGTHS[word]
            elif number == 0 and re.fullmatch(r"\d{1,3}(\.\d{1,6})?", word):
                strength = float(word)
            elif word in _KINDS:
                kinds.add(word)
            else:
                raise UsageError(f"`--clean {text}`: `{word}` is not understood", _HINT)
        return cls(strength, not kinds or "dust" in kinds, not kinds or "scratches" in kinds)

    @property
    def least_scratch(self) -> float:
        """Deviations of a picture's finest detail by which a scratch must stand out."""
        return 2.0 - 1.4 * self.strength


def probes(settings: CleanSettings, info: StreamInfo) -> tuple[Probe, ...]:
    """Return what must be known of a film to clean it."""
    del info
    return (ScratchProbe(),) if settings.scratches else ()


def open_treatment(settings: CleanSettings, film: Film, ops: Ops) -> Treatment:
    """Return the stage for a film that the probes have looked at."""
    return Cleaner(settings, film, ops)


@dataclass(frozen=True, slots=True)
class CleanStage:
    """The stage `clean`; see `table.Stage`."""

    settings: CleanSettings

    def probes(self, info: StreamInfo) -> tuple[Probe, ...]:
        """See `table.Stage.probes`."""
        return probes(self.settings, info)

    def info(self, info: StreamInfo) -> StreamInfo:
        """See `table.Stage.info`."""
        return info

    def open(self, film: Film, tools: Tools) -> Opened:
        """See `table.Stage.open`."""
        return Opened(treatment=open_treatment(self.settings, film, tools.ops))


def asked_for(options: FilmOptions) -> CleanStage | None:
    """Return the stage if a user asked for it.

    Raises:
        UsageError: If its words are not understood.
    """
    return CleanStage(CleanSettings.parse(options.clean)) if options.clean else None


class Cleaner:
    """The stage; see `Treatment`. What it keeps from frame to frame changes nothing but the time taken.

    Args:
        settings: What is cleaned.
        film: With what `ScratchProbe` found in it, if scratches are.
        ops: Pixel kernels.
    """

    def __init__(self, settings: CleanSettings, film: Film, ops: Ops) -> None:
        self._settings, self._ops = settings, ops
        self._finder = DustFinder(ShortMotion(ops), Limits.of(settings.strength)) if settings.dust else None
        self._scratches: dict[int, tuple[Line, ...]] = {}
        if settings.scratches:
            size = film.info.size
            for shot in film.shots:
                self._scratches.update(
                    scratches_of(film.findings[PROBE], shot, (size.height, size.width), settings.least_scratch)
                )

    @property
    def name(self) -> str:
        """See `Treatment.name`."""
        return "clean"

    @property
    def radius(self) -> int:
        """See `Treatment.radius`. Two, so that the frames before and after have both of their neighbours as well."""
        return DustFinder.radius if self._finder is not None else 0

    def info(self, info: StreamInfo) -> StreamInfo:
        """See `Treatment.info`."""
        return info

    def apply(self, window: Window) -> Treated:
        """See `Treatment.apply`. Counts `repaired_spots`, `repaired_px` and `scratches`."""
        return self.masked(window)[0]

    def masked(self, window: Window) -> tuple[Treated, NDArray[np.uint8]]:
        """Clean a frame, and show where.

        Returns:
            The frame as `apply` has it, and `(H, W)` uint8: 255 where a sample was replaced, 0 where it was left.
        """
        picture, counts = window.picture, dict[str, float]()
        size = picture.size
        mask = np.zeros((size.height, size.width), np.float32)
        dust = None if self._finder is None else self._finder.find(window.pictures)
        if dust is not None:
            picture, mask = mend(picture, dust)
            counts |= {"repaired_spots": float(len(dust.boxes)), "repaired_px": float(np.count_nonzero(mask))}
        lines = self._scratches.get(window.index, ())
        if lines:
            healed = heal(picture, self._ops.luma8(picture), lines)
            picture, mask = healed.picture, np.maximum(mask, healed.mask)
            counts |= {"scratches": float(healed.count)} if healed.count else {}
        return Treated(picture, counts), np.rint(mask * 255).astype(np.uint8)

    def report(self, shot: Shot) -> Mapping[str, float | str]:
        """See `Treatment.report`. `scratched_frames` is on how many of the shot's frames a scratch was found."""
        if not self._settings.scratches:
            return {}
        return {"scratched_frames": float(sum(index in self._scratches for index in range(shot.begin, shot.end)))}
