"""Evens the exposure of every shot: flicker is taken out, fades and changes of light are kept."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Self

import numpy as np

from fastrestore.config import FilmOptions
from fastrestore.errors import UsageError
from fastrestore.frames import StreamInfo
from fastrestore.kernels.film_tone import black_and_span, level_table, toned
from fastrestore.kernels.ops import Ops
from fastrestore.runtime.treatments.deflicker.evening import Evening, find_evening, usual_flicker
from fastrestore.runtime.treatments.deflicker.exposure import CELLS, ExposureProbe, probe_name
from fastrestore.runtime.treatments.limits import require_within
from fastrestore.runtime.treatments.table import PlainStage
from fastrestore.runtime.treatments.treatment import Film, Probe, Shot, Treated, Treatment, Window

_LEAST_CHANGE = 0.5 / 255
"""Of white: a picture of which no level changes by more is left as it is."""
_MOST_REACH = 64
_HINT = "for example `global`, `local`, or `global,strength=0.8,over=2`"


@dataclass(frozen=True, slots=True)
class DeflickerSettings:
    """How the exposure is evened."""

    local: bool = False
    """Whether exposure may be off differently in different parts of the picture."""
    strength: float = 1.0
    """Share of the flicker that is taken out, above 0 to 1."""
    over: float = 4.0
    """Seconds of film, half before and half after, that a frame is held against; 0.2 to 20."""

    def __post_init__(self) -> None:
        """Refuse settings that mean nothing.

        Raises:
            UsageError: If a number is out of its range.
        """
        require_within("--deflicker", self, {"strength": (0.01, 1.0), "over": (0.2, 20.0)}, _HINT)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `global` or `local`, and after it any of `strength=`, `over=`.

        Raises:
            UsageError: If a word is not understood.
        """
        first, *words = (word.strip() for word in text.split(","))
        if first not in ("global", "local"):
            raise UsageError(f"`--deflicker {text}` does not begin with `global` or `local`", _HINT)
        numbers: dict[str, float] = {}
        for word in words:
            name, _, value = word.partition("=")
            if name not in ("strength", "over"):
                raise UsageError(f"`--deflicker`: `{word}` is not understood", _HINT)
            try:
                numbers[name] = float(value)
            except ValueError:
                raise UsageError(f"`--deflicker`: `{word}` has no number", _HINT) from None
        return cls(first == "local", **numbers)


def probes(settings: DeflickerSettings, info: StreamInfo) -> tuple[Probe, ...]:
    """Return what must be known of a film to even it."""
    del info
    return (ExposureProbe(places=settings.local),)


def open_treatment(settings: DeflickerSettings, film: Film, ops: Ops) -> Treatment:
    """Return the stage for a film that the probe has looked at."""
    del ops
    return Deflicker(settings, film)


def asked_for(options: FilmOptions) -> PlainStage | None:
    """Return the stage if a user asked for it.

    Raises:
        UsageError: If its words are not understood.
    """
    if not options.deflicker:
        return None
    settings = DeflickerSettings.parse(options.deflicker)
    return PlainStage(partial(probes, settings), partial(open_treatment, settings))


class Deflicker:
    """The stage; see `Treatment`. All that is done to a film is decided when it is opened.

    Args:
        settings: How.
        film: With what `ExposureProbe` found in it.
    """

    def __init__(self, settings: DeflickerSettings, film: Film) -> None:
        rows = film.findings[probe_name(places=settings.local)]
        self._evenings: list[Evening] = []
        for shot in film.shots:
            spans = film.pts[shot.begin : shot.end]
            step_s = float(spans[-1] - spans[0]) / (len(spans) - 1) if len(spans) > 1 else math.inf
            reach = min(_MOST_REACH, max(1, round(settings.over / 2 / max(step_s, 1e-3))))
            self._evenings.append(find_evening(rows[shot.begin : shot.end], reach, settings.strength))

    @property
    def name(self) -> str:
        """See `Treatment.name`."""
        return "deflicker"

    @property
    def radius(self) -> int:
        """See `Treatment.radius`."""
        return 0

    def info(self, info: StreamInfo) -> StreamInfo:
        """See `Treatment.info`."""
        return info

    def apply(self, window: Window) -> Treated:
        """See `Treatment.apply`. Counts `evened_frames`."""
        evening, number = self._evenings[window.shot.number], window.index - window.shot.begin
        curve, picture = evening.curves[number], window.picture
        cells = evening.fields[number]
        field = cells.reshape(CELLS).astype(np.float32) if cells.size else None
        black, span = black_and_span(picture)
        samples = 1 << picture.format.bits
        change = np.abs(level_table(curve, black, span, samples) - (np.arange(samples) - black) / span).max()
        if max(float(change), float(np.abs(cells).max(initial=0))) < _LEAST_CHANGE:
            return Treated(picture)
        return Treated(toned(picture, curve, field), {"evened_frames": 1.0})

    def report(self, shot: Shot) -> Mapping[str, float | str]:
        """See `Treatment.report`.

        Flicker is how far the exposure of frames is off those around, RMS; frames left alone as flashes do not count.
        """
        evening = self._evenings[shot.number]
        counted = ~evening.flashes
        return {
            "flicker_percent": round(usual_flicker(evening.flicker[counted]), 2),
            "flicker_left_percent": round(usual_flicker(evening.rest[counted]), 2),
            "flashes_kept": int(evening.flashes.sum()),
        }
