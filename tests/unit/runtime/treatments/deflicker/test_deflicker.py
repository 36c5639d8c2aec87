"""Deflickering: known flicker goes; fades, cuts, flashes, steps of light and what moves stay."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.unit.runtime.treatments.steady.steady_samples import (
    COLOUR,
    Damage,
    damaged,
    grey,
    poses,
    seen,
    studied,
    weave,
    window,
    world,
)

from fastrestore.errors import UsageError
from fastrestore.frames import FORMATS, Colour, Matrix, Picture
from fastrestore.geometry import Size
from fastrestore.kernels.film_tone import KNOTS, level_table, pressed, raised, stored, toned, tones
from fastrestore.kernels.ops import open_ops
from fastrestore.runtime.treatments.deflicker.evening import find_evening
from fastrestore.runtime.treatments.deflicker.exposure import CURVE, FIELD, GAIN, SHARE, ExposureProbe, find_change
from fastrestore.runtime.treatments.deflicker.stage import Deflicker, DeflickerSettings, open_treatment, probes
from fastrestore.runtime.treatments.treatment import Film

Levels = NDArray[np.float64]
_FRAMES = 64
_SIZE = Size(160, 120)
_RNG = np.random.default_rng(1)
_GAIN = 1 + 0.1 * _RNG.uniform(-1, 1, _FRAMES)
_GAMMA = 1 + 0.12 * _RNG.uniform(-1, 1, _FRAMES)
_PHASE = _RNG.uniform(0, 6.28, (_FRAMES, 2))


def _clean(*, walker: bool = False, pan: float = 0.0) -> list[Levels]:
    """Return a grainy, weaving shot as levels."""
    places = weave(_FRAMES, 0.4)
    places[:, 0] += pan * np.arange(_FRAMES)
    scene, damage = world(size=_SIZE), Damage(grain=2.0, walker=walker)
    return [damaged(seen(scene, pose, _SIZE), i, damage) / 255.0 for i, pose in enumerate(poses(places))]


@pytest.fixture(scope="module")
def clean() -> list[Levels]:
    return _clean()


def _picture(levels: Levels) -> Picture:
    return grey(np.clip(np.rint(levels * 219 + 16), 0, 255).astype(np.uint8))


def _levels(picture: Picture) -> Levels:
    return np.asarray((picture.planes[0].astype(np.float64) - 16) / 219)


def _evened(
    bad: Sequence[Levels], words: str = "global", cuts: Sequence[int] = ()
) -> tuple[list[Levels], Film, Deflicker]:
    settings = DeflickerSettings.parse(words)
    pictures = [_picture(levels) for levels in bad]
    film = studied(pictures, [ExposureProbe(places=settings.local)], cuts)
    treatment = open_treatment(settings, film, open_ops())
    assert isinstance(treatment, Deflicker)
    return [_levels(treatment.apply(window(film, pictures, i, 0)).picture) for i in range(len(bad))], film, treatment


def _statistics(shots: Sequence[Levels]) -> Levels:
    """Return the mean and nine quantiles of every frame, `(n, 10)`."""
    return np.array([[levels.mean(), *np.quantile(levels, np.linspace(0.1, 0.9, 9))] for levels in shots])


def _left(out: Sequence[Levels], bad: Sequence[Levels], truth: Sequence[Levels]) -> Levels:
    """Return the share of flicker that is left in each statistic: of its standard deviation about the truth."""
    true = _statistics(truth)
    return np.asarray((_statistics(out) - true).std(0) / (_statistics(bad) - true).std(0))


def _gain(index: int, levels: Levels) -> Levels:
    return np.asarray(levels * _GAIN[index], np.float64)


def _gain_and_gamma(index: int, levels: Levels) -> Levels:
    return np.asarray(_GAIN[index] * levels ** _GAMMA[index], np.float64)


@pytest.mark.parametrize("flicker", [_gain, _gain_and_gamma])
@pytest.mark.parametrize("moving", ["nothing", "walker", "pan"])
def test_flicker_goes_whatever_moves(flicker: Callable[[int, Levels], Levels], moving: str) -> None:
    truth = _clean(walker=moving == "walker", pan=1.0 if moving == "pan" else 0.0)
    bad = [flicker(i, levels) for i, levels in enumerate(truth)]
    left = _left(_evened(bad)[0], bad, truth)
    assert left[0] < 0.2
    assert left.mean() < 0.2


def test_local_flicker_goes_where_it_is_asked_for(clean: list[Levels]) -> None:
    height, width = clean[0].shape
    y, x = np.mgrid[0:height, 0:width] / height
    bad = [
        levels * (1 + 0.12 * np.sin(2.2 * x + _PHASE[i, 0]) * np.cos(2.0 * y + _PHASE[i, 1])) * _GAIN[i]
        for i, levels in enumerate(clean)
    ]

    def off(shown: Sequence[Levels]) -> float:
        cells = [cv2.resize(a - b, (8, 6), interpolation=cv2.INTER_AREA) for a, b in zip(shown, clean, strict=True)]
        return float(np.std(cells, axis=0).mean())

    by_place, film, _ = _evened(bad, "local")
    assert off(by_place) < 0.2 * off(bad)
    assert off(by_place) < 0.5 * off(_evened(bad)[0])
    assert film.findings["exposure-field-1"].shape == (_FRAMES, FIELD + 48)


def test_a_clean_shot_is_returned_as_it_is_also_if_something_walks_through_it(clean: list[Levels]) -> None:
    for shot in (clean, _clean(walker=True)):
        pictures = [_picture(levels) for levels in shot]
        film = studied(pictures, probes(DeflickerSettings(), None))  # type: ignore[arg-type]    # of no matter
        treatment = open_treatment(DeflickerSettings(), film, open_ops())
        assert all(treatment.apply(window(film, pictures, i, 0)).picture is p for i, p in enumerate(pictures))


def test_what_walks_in_does_not_change_the_light_of_the_rest(clean: list[Levels]) -> None:
    # A bright thing that fills a third of the picture within four frames.
    bad, truth = [], []
    for i, levels in enumerate(clean):
        shown = levels.copy()
        width = shown.shape[1] // 3 if i > 34 else max(0, i - 30) * shown.shape[1] // 12
        shown[:, :width] = 0.9
        truth.append(shown)
        bad.append(shown * _GAIN[i])
    out = _evened(bad)[0]
    rest = (slice(None), slice(clean[0].shape[1] // 3, None))
    off = np.array([(o[rest] / t[rest]).mean() for o, t in zip(out, truth, strict=True)])
    around = slice(26, 42)
    assert np.ptp(off[around]) < 0.03


@pytest.mark.parametrize("fade", [lambda i: 1 - 0.5 * i / _FRAMES, lambda i: min(1.0, max(0.02, 1 - (i - 20) / 32))])
def test_fades_are_kept(fade: Callable[[int], float], clean: list[Levels]) -> None:
    truth = [levels * fade(i) for i, levels in enumerate(clean)]
    out = _evened(truth)[0]
    assert np.abs(_statistics(out)[:, 0] - _statistics([_levels(_picture(t)) for t in truth])[:, 0]).max() < 0.002
    bad = [_gain(i, levels) for i, levels in enumerate(truth)]
    out = _evened(bad)[0]
    assert np.abs(_statistics(out) - _statistics(truth))[:, 0].max() < 0.04
    jolts = [np.diff((_statistics(shown) - _statistics(truth))[:, 0]).std() for shown in (out, bad)]
    assert jolts[0] < 0.45 * jolts[1]


def test_a_lamp_that_is_lit_is_not_smeared(clean: list[Levels]) -> None:
    truth = [levels * (0.5 if i < 30 else 1.0) for i, levels in enumerate(clean)]
    bad = [_gain(i, levels) for i, levels in enumerate(truth)]
    out = _evened(bad)[0]
    assert _left(out, bad, truth).mean() < 0.25
    means = _statistics(out)[:, 0]
    assert means[30] / means[29] == pytest.approx(2, rel=0.05)


def test_a_flash_is_left_alone_and_does_not_darken_its_neighbours(clean: list[Levels]) -> None:
    truth = [levels * 0.55 for levels in clean]
    bad = [levels * _GAIN[i] * (1.7 if i == 30 else 1.0) for i, levels in enumerate(truth)]
    out, film, treatment = _evened(bad)
    assert np.array_equal(out[30], _levels(_picture(bad[30])))
    assert treatment.report(film.shots[0])["flashes_kept"] == 1
    others = [i for i in range(_FRAMES) if i != 30]
    without = [[shots[i] for i in others] for shots in (out, bad, truth)]
    assert _left(*without).mean() < 0.2


def test_one_dark_frame_in_a_steady_shot_is_evened(clean: list[Levels]) -> None:
    bad = [levels * (0.88 if i == 30 else 1.0) for i, levels in enumerate(clean)]
    out = _evened(bad)[0]
    means = _statistics(out)[:, 0] / _statistics(clean)[:, 0]
    assert abs(means[30] - 1) < 0.015
    assert np.abs(np.delete(means, 30) - 1).max() < 0.003


def test_shots_do_not_know_of_each_other(clean: list[Levels]) -> None:
    bright = [_gain(i, levels) for i, levels in enumerate(clean[:24])]
    dark = [_gain(i + 24, 0.4 * levels**1.2) for i, levels in enumerate(clean[24:48])]
    both = _evened([*bright, *dark], cuts=[24])[0]
    for one, other in zip(both, [*_evened(bright)[0], *_evened(dark)[0]], strict=True):
        np.testing.assert_array_equal(one, other)
    assert _left(both[:24], bright, clean[:24]).mean() < 0.35


def test_strength_leaves_a_share(clean: list[Levels]) -> None:
    bad = [_gain(i, levels) for i, levels in enumerate(clean)]
    assert _left(_evened(bad, "global,strength=0.5")[0], bad, clean)[0] == pytest.approx(0.5, abs=0.07)


def test_the_flicker_left_is_measured(clean: list[Levels]) -> None:
    bad = [_gain(i, levels) for i, levels in enumerate(clean)]
    _, film, treatment = _evened(bad)
    report = treatment.report(film.shots[0])
    before, after = report["flicker_percent"], report["flicker_left_percent"]
    assert isinstance(before, float) and isinstance(after, float)
    assert before == pytest.approx(100 * _GAIN.std(), rel=0.25)
    assert after < 0.1 * before


def test_black_short_and_single_frames_are_left_alone() -> None:
    black = np.zeros((120, 160))
    bad = [black] * 6 + [np.full((120, 160), 0.3), np.full((120, 160), 0.5)] + [np.full((120, 160), 0.5)]
    out = _evened(bad, cuts=[6, 8])[0]
    for one, other in zip(out, bad, strict=True):
        np.testing.assert_array_equal(one, _levels(_picture(other)))


def test_a_long_shot_is_the_same_in_pieces() -> None:
    # More frames than are worked on at a time.
    rng = np.random.default_rng(3)
    count = 300
    rows = np.zeros((count, FIELD))
    exposure = 0.05 * rng.normal(size=count)
    rows[1:, GAIN] = np.diff(exposure)
    rows[1:, CURVE:FIELD] = np.diff(exposure)[:, None]
    rows[1:, SHARE] = 1
    whole = find_evening(rows, 20, 1.0).curves
    assert np.abs(whole - whole.mean(1, keepdims=True)).max() < 1e-9, "the same gain for all tones"
    evened = exposure + whole.mean(1)
    assert evened.std() < 0.25 * exposure.std()
    assert np.abs(np.diff(evened)).max() < 0.1


def test_a_change_is_found_where_nothing_moves() -> None:
    rng = np.random.default_rng(0)
    before = cv2.GaussianBlur(rng.uniform(0.05, 0.9, (120, 160)), (0, 0), 3)
    before = (before - before.min()) / np.ptp(before) * 0.7 + 0.1
    after = 1.08 * before**1.1
    after[:40] = rng.uniform(0, 1, (40, 160))
    noisy = [tones(levels + 0.004 * rng.normal(size=levels.shape)) for levels in (before, after)]
    change = find_change(*noisy)
    levels = np.linspace(0.2, 0.7, 8)
    np.testing.assert_allclose(raised(levels, change.curve), 1.08 * levels**1.1, rtol=0.02)
    assert 0.5 < change.share < 0.75
    assert find_change(tones(np.zeros((120, 160))), noisy[1]).share == 0


def test_curves_keep_black_the_order_of_tones_and_what_lies_outside() -> None:
    white = 16 + 219
    for gain in (-0.5, -0.1, 0.0, 0.1, 0.3):
        for tilt in (-0.2, 0.0, 0.2):
            curve = gain + tilt * np.linspace(-1, 1, len(KNOTS))
            table = level_table(curve, 16, 219, 256)
            assert (np.diff(table) >= 0).all()
            assert table[16] == pytest.approx(0, abs=1e-12)
            assert (table[:16] == (np.arange(16) - 16) / 219).all()
            assert table[white] <= 1 + 1e-9
    np.testing.assert_allclose(level_table(np.zeros(len(KNOTS)), 16, 219, 256), (np.arange(256) - 16) / 219, atol=1e-12)


@pytest.mark.parametrize("overshoot", [0.02, 0.2, 0.6])
def test_highlights_are_pressed_not_cut(overshoot: float) -> None:
    levels = np.linspace(0, 1 + overshoot, 400)
    out = pressed(levels, overshoot)
    assert out[-1] == pytest.approx(1)
    assert (np.diff(out) > 0).all()
    low = levels < 1 - 3.5 * overshoot
    np.testing.assert_array_equal(out[low], levels[low])


def test_flat_areas_keep_their_mean_and_whole_samples_their_value() -> None:
    values = np.full((64, 64), 100.25, np.float32)
    assert stored(values, 8).mean() == pytest.approx(100.25, abs=0.01)
    whole = np.arange(256, dtype=np.float32).reshape(16, 16)
    np.testing.assert_array_equal(stored(whole, 8), whole)
    assert stored(np.full((8, 8), 1100, np.float32), 10).max() == 1023


_COLOUR_LAYOUTS = ["yuv420p", "yuv422p10le", "yuv444p12le", "yuv420p16le", "gbrp", "gbrp10le", "gray12le"]


@pytest.mark.parametrize("name", _COLOUR_LAYOUTS)
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("size", [Size(16, 16), Size(53, 31), Size(64, 1)])
def test_every_layout_takes_the_same_gain(name: str, full: bool, size: Size) -> None:
    rng = np.random.default_rng(2)
    colour = Colour(Matrix.BT709, full_range=full)
    ops = open_ops()
    rgb = np.repeat(rng.uniform(0.2, 0.5, (3, 1, 1)), size.height, 1).repeat(size.width, 2).astype(np.float32)
    picture = ops.from_rgb(rgb, size, FORMATS[name], colour)
    gain = 1.2
    for field in (None, np.full((6, 8), math.log(1.1), np.float32)):
        out = toned(picture, np.full(len(KNOTS), math.log(gain)), field)
        assert out.format == picture.format and out.colour == picture.colour
        wanted = ops.to_rgb(picture) * gain * (1 if field is None else 1.1)
        np.testing.assert_allclose(ops.to_rgb(out).mean((1, 2)), wanted.mean((1, 2)), atol=0.006)


def test_a_grey_picture_stays_exactly_grey() -> None:
    neutral = np.full((8, 8), 128, np.uint8)
    picture = Picture((np.full((16, 16), 90, np.uint8), neutral, neutral), FORMATS["yuv420p"], COLOUR)
    out = toned(picture, np.full(len(KNOTS), 0.2))
    assert out.planes[1] is neutral and out.planes[2] is neutral
    assert not np.array_equal(out.planes[0], picture.planes[0])


def test_frames_can_be_treated_in_any_order(clean: list[Levels]) -> None:
    pictures = [_picture(_gain(i, levels)) for i, levels in enumerate(clean[:20])]
    film = studied(pictures, [ExposureProbe(places=True)])
    one, other = (open_treatment(DeflickerSettings(local=True), film, open_ops()) for _ in range(2))
    forwards = [one.apply(window(film, pictures, i, 0)).picture for i in range(20)]
    for index in (13, 2, 19, 0):
        assert other.apply(window(film, pictures, index, 0)).picture.same_samples(forwards[index])


def test_what_is_seen_depends_on_the_two_frames_alone(clean: list[Levels]) -> None:
    pictures = [_picture(_gain(i, levels)) for i, levels in enumerate(clean[:4])]
    whole = studied(pictures, [ExposureProbe(places=True)]).findings["exposure-field-1"]
    pair = studied(pictures[2:], [ExposureProbe(places=True)]).findings["exposure-field-1"]
    np.testing.assert_array_equal(whole[3], pair[1])


def test_words_are_read() -> None:
    assert DeflickerSettings.parse("global") == DeflickerSettings()
    assert DeflickerSettings.parse("local, strength=0.5,over=2") == DeflickerSettings(True, 0.5, 2.0)
    assert replace(DeflickerSettings(), local=True) == DeflickerSettings.parse("local")


@pytest.mark.parametrize(
    "words", ["", "on", "global,over", "global,over=x", "local,over=nan", "global,strength=0", "local,x=1"]
)
def test_words_that_mean_nothing_are_refused(words: str) -> None:
    with pytest.raises(UsageError) as refused:
        DeflickerSettings.parse(words)
    assert "--deflicker" in refused.value.message
    assert "global" in refused.value.hint
