"""Cadences are told from the fields alone; pictures and their instants come back exactly, or nothing is touched."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from importlib.resources import as_file, files
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.runtime.treatments.fields.field_samples import (
    FILM,
    NTSC,
    coded,
    dealt,
    film,
    filtered,
    idet,
    info_of,
    interlaced,
    picture_at,
    repeated,
    timed,
    woven,
)

from fastrestore.frames import Frame, Picture
from fastrestore.kernels.ops import open_ops
from fastrestore.runtime.media.reader import VideoReader
from fastrestore.runtime.treatments.fields.cadences import cadences
from fastrestore.runtime.treatments.fields.film_clock import Showing, film_steps, fit
from fastrestore.runtime.treatments.fields.plan import FieldPlan
from fastrestore.runtime.treatments.fields.planner import Deinterlace, FieldSettings, plan_fields, plan_of
from fastrestore.runtime.treatments.fields.soft_telecine import soft_runs
from fastrestore.runtime.treatments.fields.statistics import FieldProbe
from fastrestore.runtime.treatments.treatment import Film, Shot

OPS = open_ops()
ALL = FieldSettings(Deinterlace.AUTO, detelecine=True)
TELECINE = Fraction(5, 2)


def plan(frames: list[Frame], rate: Fraction | int | None, settings: FieldSettings = ALL) -> FieldPlan:
    """Return the plan of some frames."""
    return plan_fields(frames, info_of(frames, rate), settings, OPS)


def restored(frames: list[Frame], rate: Fraction | int, settings: FieldSettings = ALL) -> list[Frame]:
    """Return the pictures that frames are made into."""
    return list(plan(frames, rate, settings).applied(frames))


def numbers(frames: list[Frame], pictures: list[Picture]) -> list[int | None]:
    """Return which picture each frame shows, sample for sample; None for none of them."""
    known = {picture.crc32: number for number, picture in enumerate(pictures)}
    return [known.get(frame.picture.crc32) for frame in frames]


def rising(frames: list[Frame]) -> bool:
    return all(a.pts < b.pts for a, b in pairwise(frames))


@pytest.mark.parametrize("top_first", [True, False])
@pytest.mark.parametrize("phase", range(5))
def test_telecined_film_comes_back_with_its_own_pictures_and_instants(phase: int, top_first: bool) -> None:
    pictures, field = film(40, FILM), 1 / (2 * NTSC)
    frames = timed(dealt(pictures, 45, TELECINE, phase=phase, top_first=top_first), NTSC)
    made = restored(frames, NTSC)
    # The film began so many fields before the container did; a picture of which but one field is left is made of it.
    first = int(phase / TELECINE)
    assert numbers(made, pictures)[1:-1] == list(range(first + 1, first + len(made) - 1))
    late = [frame.pts - (number + first) / FILM + phase * field for number, frame in enumerate(made)]
    assert len(set(late[1:])) == 1 and 0 <= late[1] < field, "what no container can tell"
    assert late[1] == 0 or phase == 3
    assert made[0].pts == 0 and rising(made)


@pytest.mark.parametrize(
    ("rate", "container"),
    [
        *((r, c) for c in (24, 25, 30, NTSC) for r in (16, 18, 20)),
        (24, 25),
        (24, 30),
        (FILM, NTSC),
        (Fraction(50, 3), 25),
        (25, 30),
    ],
)
def test_pictures_repeated_as_whole_frames_return_to_their_instants(
    rate: Fraction | int, container: Fraction | int
) -> None:
    count = 110 if (rate, container) == (24, 25) else 60
    pictures = film(count, rate)
    frames = timed(repeated(pictures, count, container, rate), container, Fraction(7, 5))
    chosen = plan(frames, container)
    made = list(chosen.applied(frames))
    assert numbers(made, pictures) == list(range(len(made)))
    assert [frame.pts for frame in made] == [Fraction(7, 5) + k / Fraction(rate) for k in range(len(made))]
    assert chosen.rate == rate and made[-1].pts + made[-1].duration == frames[-1].pts + frames[-1].duration
    originals = {id(frame.picture) for frame in frames}
    assert all(id(frame.picture) in originals for frame in made), "pictures are dropped, not made"


@pytest.mark.parametrize(("rate", "container"), [(18, 25), (16, 30), (20, 25), (24, 25)])
def test_silent_film_dealt_out_to_fields(rate: int, container: int) -> None:
    pictures = film(80, rate)
    frames = timed(dealt(pictures, 75, Fraction(2 * container, rate)), container)
    made = restored(frames, container)
    assert numbers(made, pictures)[:-1] == list(range(len(made) - 1)), "of the last there may be one field only"
    assert [frame.pts for frame in made] == [Fraction(k, rate) for k in range(len(made))]


def camcorder(count: int) -> tuple[list[Picture], list[Picture]]:
    """Return film, and frames that it was dealt out to by 2:3:3:2."""
    pictures = film(count, FILM)
    fields = [picture for k, picture in enumerate(pictures) for _ in range((2, 3, 3, 2)[k % 4])]
    return pictures, [woven(*fields[k : k + 2]) for k in range(0, len(fields) - 1, 2)]


def test_film_dealt_out_as_camcorders_do() -> None:
    pictures, frames = camcorder(40)
    made = restored(timed(frames, NTSC), NTSC)
    assert numbers(made, pictures) == list(range(40))
    assert [frame.pts for frame in made] == [k / FILM for k in range(40)]


def test_single_frames_of_two_pictures_are_made_whole() -> None:
    frames = film(40, 25)
    for k in (12, 29):
        frames[k] = woven(frames[k], frames[k - 1])
    chosen = plan(timed(frames, 25), 25, FieldSettings(Deinterlace.AUTO))
    assert [k for k, letter in enumerate(chosen.stretches[0].letters) if letter == "f"] == [12, 29]
    assert chosen.report()[0]["done"] == "2 frames of two pictures made whole"
    assert plan(timed(frames, 25), 25, FieldSettings(detelecine=True)).changes_nothing


def test_frames_lost_or_doubled_within_a_cycle_cost_no_other() -> None:
    pictures = film(60, FILM)
    frames = dealt(pictures, 70, TELECINE)
    for changed in (frames[:33] + frames[34:], frames[:33] + frames[32:]):
        made = restored(timed(changed, NTSC), NTSC)
        told = [number for number in numbers(made, pictures) if number is not None]
        assert told == sorted(set(told)) and len(made) - len(told) <= 1 and len(told) >= 54
        assert rising(made)


@pytest.mark.parametrize("lost", [1, 2, 5])
def test_the_clock_begins_anew_after_a_gap_in_time(lost: int) -> None:
    pictures = film(70, FILM)
    for dealt_out in (dealt(pictures, 80, TELECINE), repeated(pictures, 80, NTSC, FILM)):
        frames = timed(dealt_out, NTSC)
        frames = frames[:40] + frames[40 + lost :]
        made = restored(frames, NTSC)
        told = [(number, frame.pts) for number, frame in zip(numbers(made, pictures), made, strict=True)]
        known = [(number, pts) for number, pts in told if number is not None]
        assert [number for number, _ in known] == sorted({number for number, _ in known})
        assert len(known) >= 60 and len(told) - len(known) <= 2
        assert all(abs(pts - number / FILM) < 1 / NTSC for number, pts in known) and rising(made)


def test_film_shifted_by_a_field_is_put_together() -> None:
    pictures = film(32, 25)
    made = restored(timed(dealt(pictures, 30, Fraction(2), phase=1), 25), 25)
    assert numbers(made, pictures)[1:-1] == list(range(1, 30))
    assert {b.pts - a.pts for a, b in pairwise(made[1:])} == {Fraction(1, 25)}


@pytest.mark.parametrize("crf", [20, 33])
def test_coding_hides_no_cadence(crf: int) -> None:
    pictures = film(60, FILM)
    made = restored(timed(coded(dealt(pictures, 60, TELECINE), NTSC, crf, fields=True), NTSC), NTSC)
    assert [frame.pts for frame in made] == [k / FILM for k in range(48)]
    pictures = film(60, 18)
    made = restored(timed(coded(repeated(pictures, 60, 25, 18), 25, crf), 25), 25)
    assert [frame.pts for frame in made] == [Fraction(k, 18) for k in range(len(made))]


def test_the_embedded_sample_with_its_shake_flicker_and_dirt() -> None:
    with as_file(files("fastrestore.demo") / "sample.mp4") as path, VideoReader(path) as reader:
        pictures = [frame.picture for frame in islice(reader, 40)]
    for frames, rate in (
        (timed(dealt(pictures, 45, TELECINE), NTSC), FILM),
        (timed(repeated(pictures, 55, 24, 16), 24), Fraction(16)),
        (timed(dealt(pictures, 55, Fraction(25, 8)), 25), Fraction(16)),
    ):
        made = restored(frames, 1 / frames[0].duration)
        assert len(made) >= 35 and numbers(made, pictures)[:-1] == list(range(len(made) - 1))
        assert [frame.pts for frame in made] == [k / rate for k in range(len(made))]


@pytest.mark.parametrize("flagged", [False, True])
def test_progressive_frames_are_left_alone(flagged: bool) -> None:
    frames = timed(film(50, 25), 25)
    info = info_of(frames, 25, interlaced=flagged)
    chosen = plan_fields(frames, info, ALL, OPS)
    assert chosen.changes_nothing
    assert all(a is b for a, b in zip(chosen.applied(frames), frames, strict=True))
    assert chosen.info(info) == info_of(frames, 25)
    assert chosen.report()[0]["seen"] == "progressive" and not chosen.report()[0]["done"]


def test_animation_on_twos_and_stills_are_left_alone() -> None:
    for pictures in (repeated(film(40, 12), 40, 24, 12), [picture_at(Fraction(0))] * 40, film(40, 24)[:1]):
        frames = timed(pictures, 24)
        assert plan(frames, 24).changes_nothing


@pytest.mark.parametrize("cut", range(30, 35))
def test_a_cut_within_the_cycle_of_film_that_was_cut_before_it_was_dealt_out(cut: int) -> None:
    pictures = film(cut, FILM) + film(60, FILM, scene=3)[: 60 - cut]
    made = restored(timed(dealt(pictures, 70, TELECINE), NTSC), NTSC)
    assert numbers(made, pictures) == list(range(56))
    assert [frame.pts for frame in made] == [k / FILM for k in range(56)], "one clock for both shots"


@pytest.mark.parametrize("cut", range(30, 35))
def test_a_cut_within_the_cycle_of_what_was_cut_afterwards(cut: int) -> None:
    first, second = film(40, FILM), film(40, FILM, scene=3)
    frames = timed(dealt(first, cut, TELECINE) + dealt(second, 35, TELECINE, phase=1), NTSC)
    made = restored(frames, NTSC)
    seen = numbers(made, [*first, *second])
    assert seen.count(None) <= 2, "pictures of which the cut has left one field"
    told = [number for number in seen if number is not None]
    assert told == sorted(set(told)) and told[-1] >= 40 + 25
    assert rising(made)
    whole = [frame.pts for frame, number in zip(made, seen, strict=True) if number is not None and number > 40]
    assert {b - a for a, b in pairwise(whole)} == {1 / FILM}


def test_each_shot_of_mixed_film_is_treated_by_itself() -> None:
    shots = [
        film(30, NTSC),
        interlaced(30, NTSC, top_first=True, scene=3),
        dealt(film(40, FILM, scene=6), 40, TELECINE),
        repeated(film(40, FILM, scene=9), 40, NTSC, FILM),
    ]
    frames = timed([picture for shot in shots for picture in shot], NTSC)
    chosen = plan(frames, NTSC)
    assert [shot.begin for shot in chosen.shots] == [0, 30, 60, 100]
    made = list(chosen.applied(frames))
    assert [shot.pictures for shot in chosen.shots] == [30, 30, 32, 32]
    assert all(a is b for a, b in zip(made[:30], frames[:30], strict=True))
    assert all(a.pts == b.pts and a.picture is not b.picture for a, b in zip(made[30:60], frames[30:60], strict=True))
    assert [frame.pts for frame in made[60:92]] == [60 / NTSC + k / FILM for k in range(32)]
    words = [shot.seen for shot in chosen.shots]
    assert words[0] == "progressive" and words[1] == "interlaced, top field first"
    assert "5 fields" in words[2] and "5 frames" in words[3]
    assert rising(made) and chosen.rate is None


def test_libavfilter_agrees_on_telecined_film() -> None:
    pictures = film(44, FILM)
    frames = filtered(pictures, ("telecine", "pattern=23:first_field=top"))
    ours = restored(timed(frames, NTSC), NTSC)
    theirs = filtered(frames, ("fieldmatch", "order=tff:combmatch=full"), ("decimate", "cycle=5"))
    known = [picture.crc32 for picture in pictures]
    assert [frame.picture.crc32 for frame in ours] == known[: len(ours)] and len(ours) >= 42
    assert len({picture.crc32 for picture in theirs} & {frame.picture.crc32 for frame in ours}) >= len(theirs) - 2


@pytest.mark.parametrize("top_first", [True, False])
def test_idet_agrees_on_what_is_interlaced(top_first: bool) -> None:
    frames = timed(interlaced(24, 25, top_first=top_first), 25)
    chosen = plan(frames, 25)
    shot = chosen.report()[0]
    assert shot["top_first" if top_first else "bottom_first"] >= 23
    assert set(idet([frame.picture for frame in frames])) == {"tff" if top_first else "bff"}
    assert chosen.report()[0]["seen"].endswith("top field first" if top_first else "bottom field first")
    progressive = film(24, 25)
    assert plan(timed(progressive, 25), 25).report()[0]["progressive"] >= 22
    assert set(idet(progressive)) == {"progressive"}


def plan_of_changes(changes: list[bool], rate: Fraction) -> FieldPlan:
    """Return the plan of frames of which only this is known: whether each is another picture than the one before."""
    moved = np.where(changes, 1.0, 0.0)[:, None]
    findings = moved * np.array([1.0, 6.0, 6.0, 12.0, 12.0])
    frames = timed([picture_at(Fraction(0))], rate)
    pts = tuple(Fraction(5) + k / rate for k in range(len(changes)))
    shots = (Shot(0, 0, len(changes)),)
    return plan_of(Film(info_of(frames, rate), pts, shots, {FieldProbe.name: findings}), ALL)


@pytest.mark.parametrize("rate", [Fraction(16), Fraction(16000, 1001), Fraction(18000, 1001), Fraction(24), FILM])
def test_a_thousandth_is_told_where_film_is_long_enough(rate: Fraction) -> None:
    shown = [int(k / NTSC * rate) for k in range(1800)]
    chosen = plan_of_changes([True, *(a != b for a, b in pairwise(shown))], NTSC)
    (stretch,) = chosen.stretches
    assert stretch.clock is not None
    assert (stretch.clock.origin, 1 / stretch.clock.step) == (Fraction(5), rate)
    assert chosen.frame_count == shown[-1] + 1
    kept = [k for k in range(1800) if stretch.letters[k] == "c"]
    assert sum(shown[k] != number for number, k in enumerate(kept)) <= 4, "where the pattern slips"


@given(
    st.sampled_from([Fraction(r) for r in ("16", "50/3", "18", "20", "24")]),
    st.sampled_from([Fraction(24), Fraction(25), Fraction(30)]),
    st.fractions(0, 1, max_denominator=97),
    st.integers(10, 60),
    st.integers(0, 200),
)
def test_the_clock_goes_on_through_a_cut_in_the_film(
    rate: Fraction, container: Fraction, phase: Fraction, frames: int, after: int
) -> None:
    if rate >= container:
        return
    shown = [int(k / container * rate + phase) for k in range(frames + after + 30)]
    firsts = [k for k in range(1, len(shown)) if shown[k] != shown[k - 1]]
    before = [k for k in firsts if k < frames]
    later = [k for k in firsts if k >= frames]
    step, unit = 1 / rate, 1 / container
    first = fit([Showing(k / container) for k in before], step, unit, None)
    assert first is not None and first.clock.origin == before[0] / container
    second = fit([Showing(k / container) for k in later], step, unit, first)
    assert second is not None
    whole = fit([Showing(k / container) for k in firsts], step, unit, None)
    assert whole is not None, "all of it is on one grid"
    assert (second.clock.origin - first.clock.origin) % step == 0
    assert second.clock.at(0) == whole.clock.at(len(before)), "the cut is not seen in the instants"


def test_soft_telecine_flags_are_evened() -> None:
    pictures = film(24, FILM)
    field = 1 / (2 * NTSC)
    shown = [Fraction(0)]
    for number in range(23):
        shown.append(shown[-1] + field * (2 if number % 2 else 3))
    frames = [Frame(picture, pts) for picture, pts in zip(pictures, shown, strict=True)]
    for rate in (NTSC, None, FILM):
        chosen = plan(frames, rate)
        made = list(chosen.applied(frames))
        assert [frame.pts for frame in made] == [k / FILM for k in range(24)]
        assert [frame.picture for frame in made] == pictures and chosen.rate == FILM
    # Matroska's clock has milliseconds.
    rounded = [Frame(f.picture, Fraction(round(f.pts * 1000), 1000)) for f in frames]
    info = replace(info_of(rounded, NTSC), time_base=Fraction(1, 1000))
    made = list(plan_fields(rounded, info, ALL, OPS).applied(rounded))
    assert [frame.pts for frame in made] == [k / FILM for k in range(24)]
    assert plan_fields(rounded, info, FieldSettings(Deinterlace.AUTO), OPS).changes_nothing


def test_even_and_varying_frame_rates_are_no_soft_telecine() -> None:
    base = Fraction(1, 90000)
    assert soft_runs([k / NTSC for k in range(40)], NTSC, base) == ()
    assert soft_runs([Fraction(k * k, 600) for k in range(40)], None, base) == ()
    uneven = timed(film(30, 25), 25)
    uneven = [replace(f, pts=f.pts + (Fraction(1, 90) if k % 3 else 0)) for k, f in enumerate(uneven)]
    assert plan(uneven, None).changes_nothing


def test_the_soft_telecined_clip(clips: Path) -> None:
    with VideoReader(clips / "interlace_bt601-525_480_telecined_soft.mkv", end=Fraction(3, 2)) as reader:
        frames = list(reader)
        chosen = plan_fields(frames, reader.info, ALL, OPS)
    made = list(chosen.applied(frames))
    assert [frame.pts for frame in made] == [Fraction(1, 20) + k / FILM for k in range(len(frames))]
    assert chosen.rate == FILM and "soft telecine" in chosen.report()[0]["seen"]


@pytest.mark.parametrize(
    "name", ["oldfilm_raywzy_003_16fps.mp4", "davis_blackswan.mp4", "tc_h264_10bits.mp4", "hdr_sunset-hlg.mov"]
)
def test_no_alarm_on_progressive_clips(clips: Path, name: str) -> None:
    with VideoReader(clips / name, end=Fraction(5, 4)) as reader:
        assert plan_fields(reader, reader.info, ALL, OPS).changes_nothing


def test_a_real_old_film_repeats_every_fifth_frame(clips: Path) -> None:
    with VideoReader(clips / "oldfilm_abomb_blast_effects.mp4", end=Fraction(4)) as reader:
        chosen = plan_fields(reader, reader.info, ALL, OPS)
    (stretch,) = chosen.stretches
    assert stretch.letters.startswith("ccc-cccc-cccc-") and chosen.rate == Fraction(29 * 4, 5)


def test_only_patterns_that_a_container_can_hold_are_searched() -> None:
    assert not any(cadence.is_film for cadence in cadences(None))
    shares = {(cadence.unit.value, cadence.share) for cadence in cadences(NTSC)}
    assert {("fields", Fraction(5, 2)), ("frames", Fraction(15, 8)), ("fields", Fraction(2))} <= shares
    assert ("frames", Fraction(5, 4)) in shares and ("fields", Fraction(5, 4)) not in shares


def test_a_thousandth_less_is_likelier_for_television_film() -> None:
    assert film_steps(1 / FILM, NTSC) == (1 / FILM, Fraction(1, 24))
    assert film_steps(Fraction(1001, 16000), NTSC) == (Fraction(1, 16), Fraction(1001, 16000))
    assert film_steps(Fraction(1, 16), Fraction(25)) == (Fraction(1, 16),)
