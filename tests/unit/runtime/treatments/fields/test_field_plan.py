"""A plan can be kept, and carried out from anywhere on: the same pictures at the same times."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from tests.unit.runtime.treatments.fields.field_samples import (
    FILM,
    NTSC,
    dealt,
    film,
    info_of,
    interlaced,
    repeated,
    timed,
)

from fastrestore.errors import UsageError
from fastrestore.frames import Frame
from fastrestore.kernels.ops import open_ops
from fastrestore.runtime.treatments.fields.cadences import cadences
from fastrestore.runtime.treatments.fields.plan import FieldPlan
from fastrestore.runtime.treatments.fields.planner import Deinterlace, FieldSettings, plan_fields, plan_of
from fastrestore.runtime.treatments.fields.statistics import FieldProbe
from fastrestore.runtime.treatments.treatment import Film, Shot

OPS = open_ops()
TELECINE = Fraction(5, 2)


def mixed() -> list[Frame]:
    """Return a film with every kind of shot; the telecined one begins within its cycle."""
    shots = [
        interlaced(16, NTSC, top_first=False),
        dealt(film(30, FILM, scene=3), 26, TELECINE, phase=3),
        film(6, NTSC, scene=6),
        repeated(film(30, FILM, scene=9), 26, NTSC, FILM),
        interlaced(12, NTSC, scene=12),
    ]
    return timed([picture for shot in shots for picture in shot], NTSC, Fraction(1, 3))


@pytest.mark.parametrize("mode", [Deinterlace.AUTO, Deinterlace.FIELD])
def test_pictures_are_the_same_wherever_the_making_begins(mode: Deinterlace) -> None:
    frames = mixed()
    plan = plan_fields(frames, info_of(frames, NTSC), FieldSettings(mode, detelecine=True), OPS)
    whole = list(plan.applied(frames))
    assert len(whole) == plan.frame_count
    assert {letter for stretch in plan.stretches for letter in stretch.letters} >= {
        "c",
        "x",
        "-",
        "fb"[mode == "field"],
    }
    for begin in range(len(whole)):
        source = plan.source_index(begin)
        resumed = plan.applied(frames[source:], begin)
        for wanted in whole[begin : begin + 4]:
            made = next(resumed)
            assert (made.pts, made.duration) == (wanted.pts, wanted.duration)
            assert made.picture.same_samples(wanted.picture), begin
    assert all(a.pts < b.pts for a, b in pairwise(whole))
    assert next(plan.applied([], plan.frame_count), None) is None


def test_a_plan_comes_back_from_json() -> None:
    frames = mixed()
    plan = plan_fields(frames, info_of(frames, NTSC), FieldSettings(Deinterlace.FIELD, detelecine=True), OPS)
    data = json.loads(json.dumps(plan.to_json()))
    assert FieldPlan.from_json(data) == plan
    assert json.loads(json.dumps(plan.report()))[0]["seen"] == "interlaced, bottom field first"
    with pytest.raises(ValueError, match=r"wanted fastrestore[.]fields/1, got another"):
        FieldPlan.from_json({**data, "schema": "another"})


def test_one_picture_a_field_doubles_the_rate_with_exact_half_steps() -> None:
    frames = timed(interlaced(20, 25), 25, Fraction(1, 7))
    info = info_of(frames, 25, interlaced=True)
    plan = plan_fields(frames, info, FieldSettings(Deinterlace.FIELD), OPS)
    made = list(plan.applied(frames))
    assert [frame.pts for frame in made] == [Fraction(1, 7) + Fraction(k, 50) for k in range(40)]
    assert {frame.duration for frame in made} == {Fraction(1, 50)}
    after = plan.info(info)
    assert (after.rate, after.frame_count, after.interlaced) == (Fraction(50), 40, False)
    assert all(((frame.pts - frames[0].pts) / after.time_base).denominator == 1 for frame in made)
    assert (after.size, after.colour, after.format) == (info.size, info.colour, info.format)


def test_one_picture_a_frame_keeps_the_times() -> None:
    frames = timed(interlaced(20, 25), 25)
    plan = plan_fields(frames, info_of(frames, 25), FieldSettings(Deinterlace.AUTO), OPS)
    made = list(plan.applied(frames))
    assert [(f.pts, f.duration) for f in made] == [(f.pts, f.duration) for f in frames]
    assert plan.rate == 25 and plan.report()[0]["done"] == "one picture a frame"


def test_what_is_not_asked_for_is_told_and_left() -> None:
    frames = timed(interlaced(20, 25), 25)
    info = info_of(frames, 25)
    plan = plan_fields(frames, info, FieldSettings(detelecine=True), OPS)
    assert plan.changes_nothing and plan.info(info) == replace(info, interlaced=True)
    assert "`--deinterlace auto`" in plan.report()[0]["done"]
    film_frames = timed(dealt(film(40, FILM), 40, TELECINE), NTSC)
    plan = plan_fields(film_frames, info_of(film_frames, NTSC), FieldSettings(), OPS)
    assert plan.changes_nothing and "`--detelecine`" in plan.report()[0]["done"]
    plan = plan_fields(film_frames, info_of(film_frames, NTSC), FieldSettings(Deinterlace.AUTO), OPS)
    made = list(plan.applied(film_frames))
    same = [a is b for a, b in zip(made, film_frames, strict=True)]
    assert same == [index % 5 not in (1, 2) for index in range(40)], "only frames of two pictures are deinterlaced"


def test_the_plan_refuses_what_it_does_not_cover() -> None:
    frames = timed(film(10, 25), 25)
    plan = plan_fields(frames, info_of(frames, 25), FieldSettings(Deinterlace.AUTO), OPS)
    with pytest.raises(IndexError, match="there is no picture 10"):
        plan.source_index(10)
    with pytest.raises(IndexError, match="for 10 frames, not for frame 10"):
        list(plan.applied([*frames, replace(frames[-1], pts=Fraction(10))]))


def test_the_option_is_read() -> None:
    assert FieldSettings.parse("Auto", detelecine=False) == FieldSettings(Deinterlace.AUTO)
    assert FieldSettings.parse("off", detelecine=False).does_nothing
    with pytest.raises(UsageError, match="`--deinterlace yes` is not understood: wanted one of `off`, `auto`, `field`"):
        FieldSettings.parse("yes", detelecine=True)


def any_film(seed: int) -> Film:
    """Return a film of random cadences, noisy and with gaps in time: only what a probe finds, without pictures."""
    rng = np.random.default_rng(seed)
    candidates = [cadence for cadence in cadences(NTSC) if not cadence.is_interlaced]
    rows: list[list[float]] = []
    pts, cuts, time = [], [0], Fraction(seed, 7)
    while len(rows) < 120:
        cadence = candidates[rng.integers(len(candidates))]
        phase = int(rng.choice(cadence.phases))
        if rows and rng.random() < 0.5:
            cuts.append(len(rows))
        for index in range(len(rows), len(rows) + int(rng.integers(3, 50))):
            (top_before, bottom_before), (top, bottom) = (
                cadence.pictures(index - 1, phase),
                cadence.pictures(index, phase),
            )
            combing = [6.0 * min(2, abs(a - b)) for a, b in ((top, bottom), (top, bottom_before), (top_before, bottom))]
            rows.append([*combing, 12.0 * (top != top_before), 12.0 * (bottom != bottom_before)])
            pts.append(time)
            time += (3 if rng.random() < 0.02 else 1) / NTSC
    findings = np.array(rows) * rng.uniform(0.7, 1.3, (len(rows), 5)) + 0.1
    findings[cuts] = 0
    frames = timed(film(1, 25), NTSC)
    shots = tuple(Shot(k, b, e) for k, (b, e) in enumerate(pairwise([*cuts, len(rows)])))
    return Film(info_of(frames, NTSC), tuple(pts), shots, {FieldProbe.name: findings})


@pytest.mark.parametrize("seed", range(4))
def test_any_plan_is_whole_and_its_times_rise(seed: int) -> None:
    seen = any_film(seed)
    frames = [Frame(film(1, 25)[0], pts, 1 / NTSC) for pts in seen.pts]
    for settings in (FieldSettings(Deinterlace.AUTO, detelecine=True), FieldSettings(Deinterlace.FIELD)):
        plan = plan_of(seen, settings)
        made = list(plan.applied(frames))
        assert len(made) == plan.frame_count == sum(shot.pictures for shot in plan.shots)
        assert all(a.pts < b.pts for a, b in pairwise(made)) and all(frame.duration > 0 for frame in made)
        begin = len(made) * (seed + 1) // 5
        resumed = list(plan.applied(frames[plan.source_index(begin) :], begin))
        assert [(f.pts, f.duration) for f in resumed] == [(f.pts, f.duration) for f in made[begin:]]
        assert plan.stretches[0].begin == 0 and plan.stretches[-1].end == len(frames)
        assert all(a.end == b.begin for a, b in pairwise(plan.stretches))
