"""Law 2: exact instants, frames that are themselves, nothing across a cut; and even motion from held frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastrestore.config import Spans
from fastrestore.frames import EXACT_S, FORMATS, Colour, Frame, Picture, StreamInfo
from fastrestore.geometry import Size
from fastrestore.kernels.ops import open_ops
from fastrestore.runtime.timeline import Instant, Interval, Rules, Timeline

OPS = open_ops("cpu")
GREY = FORMATS["gray"]


def scene(step: float, seed: int = 0, gain: float = 1.0) -> Picture:
    """Return a textured picture moved by `step` pixels: neighbours correlate, other seeds do not."""
    rng = np.random.default_rng(seed)
    texture = np.kron(rng.integers(30, 220, (12, 20)), np.ones((8, 8)))
    shift = round(step) % texture.shape[1]
    return Picture(((np.roll(texture, shift, 1)[:64, :96] * gain).astype(np.uint8),), GREY)


def film(pictures: list[Picture], rate: Fraction, start: Fraction = Fraction(0)) -> list[Frame]:
    return [Frame(p, start + i / rate, 1 / rate) for i, p in enumerate(pictures)]


def moving(count: int, seed: int = 0) -> list[Picture]:
    return [scene(3 * i, seed) for i in range(count)]


def instants(frames: list[Frame], rate: Fraction | None) -> list[tuple[Interval, Instant]]:
    return [(v, i) for v in Timeline(frames, OPS, rate) for i in v.instants]


rates = st.sampled_from(
    [Fraction(n) for n in (16, 18, 24, 25, 30, 50, 60)] + [Fraction(24000, 1001), Fraction(30000, 1001)]
)
targets = st.sampled_from([Fraction(60), Fraction(60000, 1001), Fraction(24), Fraction(48), Fraction(120), Fraction(7)])


@settings(deadline=None)
@given(rates, targets, st.integers(1, 12), st.fractions(0, 10, max_denominator=90000))
def test_instants_are_exactly_t0_plus_k_over_fps(
    source: Fraction, target: Fraction, count: int, start: Fraction
) -> None:
    frames = film(moving(count), source, start)
    found = instants(frames, target)
    end = start + count / source
    wanted: list[Fraction] = []
    while start + len(wanted) / target < end:
        wanted.append(start + len(wanted) / target)
    assert [i.pts for _, i in found] == wanted
    assert [i.index for _, i in found] == list(range(len(wanted)))
    assert all(i.duration == 1 / target for _, i in found)


@settings(deadline=None)
@given(rates, targets, st.integers(2, 12))
def test_instants_lie_where_they_say(source: Fraction, target: Fraction, count: int) -> None:
    frames = film(moving(count), source)
    stamps = [f.pts for f in frames]
    for interval, instant in instants(frames, target):
        near = [p for p in stamps if abs(p - instant.pts) <= EXACT_S]
        if near:
            assert instant.t is None, "an instant of a source frame is that frame itself"
            assert interval.left.time == near[0]
        elif instant.t is not None:
            assert interval.right is not None
            assert interval.left.time < instant.pts < interval.right.time
            exact = (instant.pts - interval.left.time) / (interval.right.time - interval.left.time)
            assert instant.t == pytest.approx(float(exact))
        else:
            assert instant.pts > stamps[-1], "only after the last frame is a frame held"


def test_variable_rate_source_keeps_its_instants() -> None:
    stamps = [Fraction(0), Fraction(1, 30), Fraction(1, 10), Fraction(1, 9), Fraction(1, 2)]
    frames = [Frame(p, t) for p, t in zip(moving(5), stamps, strict=True)]
    found = instants(frames, None)
    assert [i.pts for _, i in found] == stamps
    assert [i.t for _, i in found] == [None] * 5
    assert [i.duration for _, i in found][:4] == [b - a for a, b in pairwise(stamps)]


def test_nothing_is_interpolated_across_a_cut() -> None:
    frames = film(moving(6) + moving(6, seed=9), Fraction(16))
    timeline = Timeline(frames, OPS, Fraction(60))
    cut = frames[6].pts
    for interval in timeline:
        for instant in interval.instants:
            if frames[5].pts <= instant.pts < cut:
                assert instant.t is None
                assert interval.left.index == 5, "until the cut the old shot is shown"
            elif instant.t is not None:
                assert (interval.left.index < 6) == (interval.right is not None and interval.right.index < 6)
    assert timeline.stats.cuts == 1


def test_a_cut_told_by_the_source_is_believed() -> None:
    frames = film(moving(4), Fraction(16))
    frames[2] = Frame(frames[2].picture, frames[2].pts, frames[2].duration, cut_before=True)
    held = [v.left.index for v, i in instants(frames, Fraction(64)) if frames[1].pts < i.pts < frames[2].pts]
    assert held == [1, 1, 1]


def test_flicker_and_flash_of_exposure_are_no_cut() -> None:
    pictures = [scene(3 * i, gain=1.0 if i % 2 else 0.6) for i in range(12)]
    timeline = Timeline(film(pictures, Fraction(16)), OPS, Fraction(60))
    list(timeline)
    assert timeline.stats.cuts == 0


def anchor_times(timeline: Timeline) -> list[Fraction]:
    times = []
    for interval in timeline:
        for anchor in (interval.left, interval.right):
            if anchor is not None and anchor.time not in times:
                times.append(anchor.time)
    return times


def test_animation_on_twos_moves_evenly() -> None:
    drawings = moving(10)
    frames = film([p for p in drawings for _ in range(2)], Fraction(24))
    timeline = Timeline(frames, OPS, Fraction(60))
    assert anchor_times(timeline) == [Fraction(2 * i, 24) for i in range(10)]
    assert timeline.stats.held_frames == 10
    assert timeline.stats.output_frames == 50


def test_pull_up_is_put_back_at_equal_distances() -> None:
    """16 pictures a second in 24: A A B C C D ... are first shown at 0, 2, 3, 5 and were taken at 0, 1.5, 3, 4.5."""
    pictures = moving(24)
    frames = film([pictures[n * 16 // 24] for n in range(36)], Fraction(24))
    times = anchor_times(Timeline(frames, OPS, Fraction(60)))
    assert times[2:20] == [Fraction(n, 16) for n in range(2, 20)]


def test_motion_of_a_pull_up_is_even_in_the_output() -> None:
    pictures = moving(24)
    frames = film([pictures[n * 16 // 24] for n in range(36)], Fraction(24))
    positions = [
        3 * (v.left.index * 16 // 24 + (i.t or 0.0))
        for v, i in instants(frames, Fraction(48))
        if Fraction(1, 4) < i.pts < Fraction(5, 4)
    ]
    steps = np.diff(positions)
    assert steps.max() - steps.min() < 1e-9


def test_held_frames_can_be_kept() -> None:
    frames = film([p for p in moving(6) for _ in range(2)], Fraction(24))
    timeline = Timeline(frames, OPS, Fraction(48), Rules(keep_holds=True))
    assert len(anchor_times(timeline)) == 12
    assert timeline.stats.held_frames == 0


def test_a_title_card_stands_still() -> None:
    """A long hold is no animation: every frame stays where it is, and motion starts where it starts."""
    frames = film([scene(0)] * 12 + moving(6)[1:], Fraction(24))
    found = instants(frames, Fraction(24))
    assert [v.left.index for v, i in found] == list(range(17))


def test_a_single_dropped_frame_is_bridged() -> None:
    pictures = moving(8)
    pictures[4] = pictures[3]
    frames = film(pictures, Fraction(24))
    spans = {(v.left.index, v.right.index) for v in Timeline(frames, OPS, Fraction(60)) if v.right}
    assert (3, 5) in spans
    assert (3, 4) not in spans


@pytest.mark.parametrize("speed_px", [0, 3])
def test_memory_is_bounded(speed_px: int) -> None:
    """Reading stays a bounded number of frames ahead of what is given out, whether the film moves or stands still."""
    read = 0

    def source() -> Iterator[Frame]:
        nonlocal read
        for i in range(400):
            read += 1
            yield Frame(scene(speed_px * i), Fraction(i, 24), Fraction(1, 24))

    ahead = [read - interval.left.index for interval in Timeline(source(), OPS, Fraction(60))]
    assert max(ahead) <= 16


def patterned(counts: list[int], seed: int = 0) -> list[Picture]:
    """Return pictures that are each held for as many frames as `counts` says, over and over."""
    pictures = moving(24, seed)
    return [p for i, p in enumerate(pictures) for _ in range(counts[i % len(counts)])]


@pytest.mark.parametrize(
    "counts", [[2, 1], [1, 2], [1, 1, 1, 2], [2, 1, 1, 1], [1, 1, 2, 1], [3, 2], [2, 3], [1, 1, 1, 1, 2]]
)
def test_every_phase_of_a_pattern_is_evened_and_nothing_is_seen_before_it_is_there(counts: list[int]) -> None:
    first_shot, second_shot = patterned(counts), patterned(counts[::-1], seed=9)
    frames = film(first_shot + second_shot, Fraction(24))
    cut = frames[len(first_shot)].pts
    timeline = Timeline(frames, OPS, Fraction(60))
    shown = [(v, i) for v in timeline for i in v.instants]
    assert timeline.stats.cuts == 1
    assert shown[0][1].t is None
    assert shown[0][0].left.index == 0, "the film begins with its first frame, not between two"
    for interval, instant in shown:
        assert (interval.left.index >= len(first_shot)) == (instant.pts >= cut)
    # Away from the ends of a shot, where a pattern cannot be seen to repeat, pictures lie at equal distances.
    times = anchor_times(Timeline(film(first_shot, Fraction(24)), OPS, Fraction(60)))[3:18]
    steps = {b - a for a, b in pairwise(times)}
    assert steps == {Fraction(sum(counts), len(counts)) / 24}


def test_a_busy_shot_is_not_cut_to_pieces() -> None:
    wild = [scene(0, seed=100 + i) for i in range(12)]
    timeline = Timeline(film(moving(6) + wild, Fraction(24)), OPS, Fraction(60))
    list(timeline)
    assert 1 <= timeline.stats.cuts <= 2


def info(rate: Fraction | None, time_base: Fraction) -> StreamInfo:
    return StreamInfo(Size(96, 64), GREY, Colour(), rate, time_base=time_base)


def test_a_frame_rounded_by_its_container_is_still_itself() -> None:
    """Matroska's milliseconds: at 23.976 frames a second no timestamp is exact, yet every one must be met."""
    rate, tick = Fraction(24000, 1001), Fraction(1, 1000)
    frames = [Frame(p, round(i / rate / tick) * tick, 1 / rate) for i, p in enumerate(moving(24))]
    timeline = Timeline(frames, OPS, 2 * rate, Rules(near=info(rate, tick).near))
    alone = [i.t is None for v in timeline for i in v.instants]
    assert sum(alone) >= 24
    assert info(Fraction(25), Fraction(1, 25)).near == EXACT_S, "a clock that tells the instants is believed"


shots = st.lists(
    st.tuples(
        st.integers(1, 14),
        st.sampled_from([[1], [2], [1, 2], [3, 2], [1, 1, 1, 2], [9]]),
        st.booleans(),
    ),
    min_size=1,
    max_size=6,
)


def cut_film(plan: list[tuple[int, list[int], bool]], rate: Fraction) -> list[Frame]:
    """Return shots of some pictures each, held by a repeating pattern, some busy and some smooth."""
    pictures = []
    for seed, (count, pattern, busy) in enumerate(plan):
        for k in range(count):
            picture = scene(40 * k if busy else 3 * k, seed)
            pictures += [picture] * pattern[k % len(pattern)]
    return film(pictures, rate)


@settings(deadline=None, max_examples=60)
@given(shots, rates, st.one_of(targets, st.none()), st.fractions(Fraction(1, 20), 1), st.booleans())
def test_a_reading_that_begins_at_a_segment_goes_on_exactly(
    plan: list[tuple[int, list[int], bool]], source: Fraction, target: Fraction | None, most: Fraction, keep: bool
) -> None:
    frames = cut_film(plan, source)
    rules = Rules(keep_holds=keep, spans=Spans(most / 3, most))
    whole = Timeline(frames, OPS, target, rules)
    intervals = list(whole)
    assert intervals[0].start is not None
    for position, interval in enumerate(intervals):
        if (start := interval.start) is None:
            continue
        again = Timeline(frames[start.opening.index :], OPS, target, rules, start)
        # The first one's frames may lie before it: what it says of itself is in its start.
        assert list(again) == intervals[position:]
        assert again.stats == whole.stats


@settings(deadline=None, max_examples=60)
@given(shots, rates, targets, st.fractions(Fraction(1, 20), 1))
def test_segments_change_neither_instants_nor_cuts(
    plan: list[tuple[int, list[int], bool]], source: Fraction, target: Fraction, most: Fraction
) -> None:
    frames = cut_film(plan, source)
    plain, divided = (Timeline(frames, OPS, target, Rules(spans=s)) for s in (Spans(), Spans(most / 3, most)))
    assert [i for v in plain for i in (j.pts for j in v.instants)] == [i.pts for v in divided for i in v.instants]
    assert (plain.stats.source_frames, plain.stats.cuts) == (divided.stats.source_frames, divided.stats.cuts)


def test_segments_end_at_cuts_and_never_grow_long() -> None:
    pictures = [p for seed in range(4) for p in moving(10, seed)] + moving(100, 9) + [scene(0, 5)] * 100
    frames = film(pictures, Fraction(24))
    frames = [replace(frame, cut_before=index in (10, 20, 30, 40, 140)) for index, frame in enumerate(frames)]
    rules = Rules(spans=Spans(Fraction(1, 2), Fraction(1)))
    starts = [v.start for v in Timeline(frames, OPS, Fraction(60), rules) if v.start]
    # 10 frames are too short for a segment, 20 reach a cut; then a second each; a standing picture two seconds.
    assert [start.opening.index for start in starts] == [0, 20, 40, 64, 88, 112, 136, 184, 232]
    assert [start.opening.cut_before for start in starts[:4]] == [False, True, True, False]


def test_a_cut_that_is_told_forgets_the_shot_before() -> None:
    """Else the calm of the last shot would make the first busy frames of the next one look like a cut."""
    calm = [scene(0.5 * i, 1) for i in range(14)]
    busy = [scene(40 * i, 2) for i in range(18)]
    frames = film(calm + busy, Fraction(16))
    told = [replace(frame, cut_before=index == 14) for index, frame in enumerate(frames)]
    for each in (frames, told):
        timeline = Timeline(each, OPS, Fraction(24))
        assert len(list(timeline)) > 0
        assert timeline.stats.cuts == 1
