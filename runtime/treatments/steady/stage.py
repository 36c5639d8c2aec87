"""Holds the picture still: gate weave and shake are taken out of every shot, pans and zooms are kept."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum
from fractions import Fraction
from functools import partial
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fastrestore.config import FilmOptions
from fastrestore.errors import UsageError
from fastrestore.frames import StreamInfo
from fastrestore.geometry import Size
from fastrestore.kernels.ops import Ops
from fastrestore.runtime.treatments.limits import require_within
from fastrestore.runtime.treatments.steady.border_fill import Source, filled, moved
from fastrestore.runtime.treatments.steady.camera_path import (
    CameraPath,
    Smoothing,
    find_path,
    needed_zoom,
    reach_px,
    taken_out,
)
from fastrestore.runtime.treatments.steady.global_motion import PROBE_NAME, MotionProbe, Similarity
from fastrestore.runtime.treatments.table import PlainStage
from fastrestore.runtime.treatments.treatment import Film, Probe, Shot, Treated, Treatment, Window

_FILL_RADIUS = 5
_NEGLIGIBLE_PX = 0.05
"""A picture that no corner of would move farther is left as it is."""
_HINT = "for example `crop`, `fill`, or `crop,strength=0.8,lock=off,period=3,most=8`"


class Border(Enum):
    """What becomes of the edges that a moved picture lays bare."""

    CROP = "crop"
    """Every shot is enlarged just enough to hide them."""
    FILL = "fill"
    """They are filled from the frames around."""


@dataclass(frozen=True, slots=True)
class SteadySettings:
    """How pictures are steadied."""

    border: Border = Border.CROP
    strength: float = 1.0
    """Share of the shake that is taken out, above 0 to 1."""
    lock: bool | None = None
    """Whether the camera stands on a tripod and is held still; None finds that out for each shot."""
    period: float = 2.0
    """Seconds: movements that take longer, there and back, are meant; quicker ones are shake. 0.2 to 30."""
    most: float = 5.0
    """Percent by which a shot is enlarged at most, 0 to 25; what is still bare then is filled."""

    def __post_init__(self) -> None:
        """Refuse settings that mean nothing.

        Raises:
            UsageError: If a number is out of its range.
        """
        limits = {"strength": (0.01, 1.0), "period": (0.2, 30.0), "most": (0.0, 25.0)}
        require_within("--steady", self, limits, _HINT)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `crop` or `fill`, and after it any of `strength=`, `lock=auto|on|off`, `period=`, `most=`.

        Raises:
            UsageError: If a word is not understood.
        """
        first, *words = (word.strip() for word in text.split(","))
        if first not in [border.value for border in Border]:
            raise UsageError(f"`--steady {text}` does not begin with `crop` or `fill`", _HINT)
        values: dict[str, float | bool | None] = {}
        for word in words:
            name, _, value = word.partition("=")
            if name == "lock" and value in _LOCKS:
                values[name] = _LOCKS[value]
            elif name in {field.name for field in fields(cls)} - {"border", "lock"}:
                values[name] = _number(name, value)
            else:
                raise UsageError(f"`--steady`: `{word}` is not understood", _HINT)
        return cls(Border(first), **values)  # type: ignore[arg-type]    # by name: numbers but for `lock`


_LOCKS = {"auto": None, "on": True, "off": False}


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"`--steady`: `{name}={text}` is no number", _HINT)
    return value


def probes(settings: SteadySettings, info: StreamInfo) -> tuple[Probe, ...]:
    """Return what must be known of a film to steady it."""
    del settings, info
    return (MotionProbe(),)


def open_treatment(settings: SteadySettings, film: Film, ops: Ops) -> Treatment:
    """Return the stage for a film that the probe has looked at."""
    del ops
    return Steady(settings, film)


def asked_for(options: FilmOptions) -> PlainStage | None:
    """Return the stage if a user asked for it.

    Raises:
        UsageError: If its words are not understood.
    """
    if not options.steady:
        return None
    settings = SteadySettings.parse(options.steady)
    return PlainStage(partial(probes, settings), partial(open_treatment, settings))


@dataclass(frozen=True, slots=True)
class _ShotPlan:
    path: CameraPath
    zoom: float
    fills: bool
    """Whether edges show at this zoom."""


class Steady:
    """The stage; see `Treatment`. All that is done to a film is decided when it is opened.

    Args:
        settings: How.
        film: With what `MotionProbe` found in it.
    """

    def __init__(self, settings: SteadySettings, film: Film) -> None:
        self._settings, self._film = settings, film
        rows = film.findings[PROBE_NAME]
        self._plans = [self._plan(shot, rows[shot.begin : shot.end]) for shot in film.shots]

    @property
    def name(self) -> str:
        """See `Treatment.name`."""
        return "steady"

    @property
    def radius(self) -> int:
        """See `Treatment.radius`."""
        return _FILL_RADIUS if any(plan.fills for plan in self._plans) else 0

    def info(self, info: StreamInfo) -> StreamInfo:
        """See `Treatment.info`."""
        return info

    def apply(self, window: Window) -> Treated:
        """See `Treatment.apply`. Counts `moved_frames` and `filled_px`."""
        plan, number = self._plans[window.shot.number], window.index - window.shot.begin
        picture = window.picture
        view = self._seen_from(plan, number)
        if _farthest_px(view, picture.size) < _NEGLIGIBLE_PX:
            return Treated(picture)
        base = moved(Source(picture, view))
        counts = {"moved_frames": 1.0}
        if plan.fills:
            base, lacking = filled(base, [Source(picture, view), *self._neighbours(window, plan, view)])
            counts["filled_px"] = float(lacking)
        return Treated(base, counts)

    def placed(self, index: int) -> NDArray[np.float64]:
        """See `Moving.placed`."""
        shot, size = self._film.shot_of(index), self._film.info.size
        view = self._seen_from(self._plans[shot.number], index - shot.begin)
        still = _farthest_px(view, size) < _NEGLIGIBLE_PX
        return (Similarity() if still else view.inverse).matrix(size.width, size.height)

    def report(self, shot: Shot) -> Mapping[str, float | str]:
        """See `Treatment.report`.

        `shake_px` is how far frames lie off the steadied path, RMS over frames and pixels; `shake_left_px` is what
        strength and the accuracy of the measurement leave of it.
        """
        plan = self._plans[shot.number]
        before, after = taken_out([plan.path], self._settings.strength, self._film.info.size)
        moves = bool(plan.path.corrections.any())
        return {
            "camera": "left alone" if not moves else "stands" if plan.path.locked else "moves",
            "shake_px": round(before, 3),
            "shake_left_px": round(after if moves else before, 3),
            "crop_percent": round(100 * (1 - 1 / plan.zoom), 2),
            "untrusted_frames": int((~plan.path.trusted).sum()),
        }

    def _plan(self, shot: Shot, rows: NDArray[np.float64]) -> _ShotPlan:
        settings, size = self._settings, self._film.info.size
        frames = settings.period / _step_s(self._film.pts[shot.begin : shot.end])
        path = find_path(rows, size, Smoothing(frames, settings.strength, settings.lock))
        if float(reach_px(path.corrections, size).max(initial=0)) < _NEGLIGIBLE_PX:
            return _ShotPlan(path, 1.0, fills=False)
        if settings.border is Border.FILL:
            return _ShotPlan(path, 1.0, fills=True)
        wanted, most = needed_zoom(path, size), 1 + settings.most / 100
        return _ShotPlan(path, min(wanted, most), fills=wanted > most)

    def _seen_from(self, plan: _ShotPlan, number: int) -> Similarity:
        """Return the map from places of the result to places of a frame."""
        return Similarity(plan.zoom + 0j).after(plan.path.correction(number)).inverse

    def _neighbours(self, window: Window, plan: _ShotPlan, view: Similarity) -> list[Source]:
        """Return the frames around one as its result sees them, the nearest in time first."""
        number, radius = window.index - window.shot.begin, len(window.pictures) // 2
        found = []
        for offset in sorted(range(-radius, radius + 1), key=lambda o: (abs(o), o)):
            picture = window.pictures[radius + offset]
            if not offset or picture is None:
                continue
            way = plan.path.between(number, window.number(radius + offset) - window.shot.begin)
            if way is not None:
                found.append(Source(picture, way.after(view)))
        return found


def _farthest_px(view: Similarity, size: Size) -> float:
    half = complex(size.width, size.height) / 2
    corners = (half, -half, half.conjugate(), -half.conjugate())
    return max(abs((view.factor - 1) * corner + view.shift) for corner in corners)


def _step_s(pts: tuple[Fraction, ...]) -> float:
    """Return the usual time from frame to frame; a second where there is but one."""
    steps = sorted(later - earlier for earlier, later in pairwise(pts))
    return max(1e-3, float(steps[len(steps) // 2])) if steps else 1.0
