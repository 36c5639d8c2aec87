"""Says in words what the fields of every shot are and what is done about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from fastrestore.runtime.treatments.fields.cadences import Cadence, Parity, Unit
from fastrestore.runtime.treatments.fields.plan import FieldPlan, ShotFields, Stretch
from fastrestore.runtime.treatments.fields.statistics import Verdict, verdicts
from fastrestore.runtime.treatments.treatment import Film, Shot


@dataclass(frozen=True, slots=True)
class Part:
    """Frames of one kind."""

    stretch: Stretch
    cadence: Cadence | None
    """What they are; None for soft telecine."""

    @property
    def is_left_combed(self) -> bool:
        """Whether frames whose fields are of two pictures are left as they are."""
        fields = self.cadence is not None and self.cadence.unit is Unit.FIELD
        return fields and self.stretch.clock is None and not self.stretch.letters.strip("c")


def described(plan: FieldPlan, parts: Sequence[Part], film: Film) -> tuple[ShotFields, ...]:
    """Return what was found in every shot and what is done about it."""
    looks = verdicts(film)
    return tuple(_described(shot, plan, parts, Counter(looks[shot.begin : shot.end])) for shot in film.shots)


def _described(shot: Shot, plan: FieldPlan, parts: Sequence[Part], looks: Counter[Verdict]) -> ShotFields:
    within = [part for part in parts if part.stretch.begin < shot.end and shot.begin < part.stretch.end]
    after = plan.frame_count if shot.end == plan.stretches[-1].end else plan.number_of(shot.end)
    return ShotFields(
        begin=shot.begin,
        end=shot.end,
        seen=_joined([_seen(part, 1 / plan.step) for part in within]),
        done=_joined([_done(part, shot) for part in within]),
        pictures=after - plan.number_of(shot.begin),
        progressive=looks[Verdict.PROGRESSIVE],
        top_first=looks[Verdict.TOP_FIRST],
        bottom_first=looks[Verdict.BOTTOM_FIRST],
        undetermined=looks[Verdict.UNDETERMINED],
    )


def _joined(texts: Sequence[str]) -> str:
    return "; ".join(dict.fromkeys(text for text in texts if text))


def _seen(part: Part, rate: Fraction) -> str:
    cadence = part.cadence
    if cadence is None:
        return f"soft telecine: whole frames, shown for two and three fields of {per_second(2 * rate)} a second"
    order = "top field first" if cadence.parity is Parity.TOP_FIRST else "bottom field first"
    if cadence.is_interlaced:
        return f"interlaced, {order}"
    if cadence.is_progressive:
        return "progressive"
    if cadence.unit is Unit.FRAME:
        dealt = f"{cadence.share.denominator} pictures in {cadence.share.numerator} frames, repeats between"
    elif cadence.share == 2:
        dealt = f"each picture's fields in two frames, {order}"
    elif cadence.lengths:
        dealt = f"telecined {':'.join(map(str, cadence.lengths))}, {order}"
    else:
        dealt = f"telecined: {cadence.share.denominator} pictures in {cadence.share.numerator} fields, {order}"
    units = rate if cadence.unit is Unit.FRAME else 2 * rate
    return f"film at {per_second(units / cadence.share)} pictures a second, {dealt}"


def _done(part: Part, shot: Shot) -> str:
    stretch, cadence = part.stretch, part.cadence
    film = cadence is None or cadence.is_film
    if stretch.clock is not None:
        letters = stretch.letters[max(0, shot.begin - stretch.begin) : shot.end - stretch.begin]
        single = sum(letters.count(letter) for letter in "fsy")
        rest = f"; {single} of them made of one field" if single else ""
        return f"its own pictures, at {per_second(1 / stretch.clock.step)} a second{rest}"
    if "b" in stretch.letters:
        return "one picture a field"
    if "f" in stretch.letters and cadence is not None and not film and not cadence.is_interlaced:
        letters = stretch.letters[max(0, shot.begin - stretch.begin) : shot.end - stretch.begin]
        return f"{letters.count('f')} frames of two pictures made whole" if "f" in letters else ""
    if "f" in stretch.letters:
        rest = "; `--detelecine` would put its own pictures together" if film else ""
        return f"one picture a frame{rest}"
    if film:
        return "left as it is; `--detelecine` would return it to its own instants"
    if cadence is not None and cadence.is_interlaced:
        return "left as it is; `--deinterlace auto` would make whole pictures"
    return ""


def per_second(rate: Fraction) -> str:
    """Return a rate as people write it, such as `23.976`."""
    return f"{float(rate):.3f}".rstrip("0").rstrip(".")
