"""Steadying: known shake goes, what the camera was meant to do stays, and what cannot be known is left alone."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.unit.runtime.treatments.steady.steady_samples import (
    COLOUR,
    FPS,
    SIZE,
    Damage,
    damaged,
    grey,
    poses,
    residual_px,
    seen,
    studied,
    weave,
    window,
    world,
)

from fastrestore.errors import UsageError
from fastrestore.frames import FORMATS, Colour, Picture, Siting
from fastrestore.geometry import Size
from fastrestore.kernels.film_steady import even_contrast, plane_matrix, resample
from fastrestore.kernels.ops import open_ops
from fastrestore.runtime.treatments.steady.camera_path import Smoothing, find_path, needed_zoom
from fastrestore.runtime.treatments.steady.global_motion import (
    ERROR_PX,
    PROBE_NAME,
    TRUST,
    MotionProbe,
    Similarity,
    find_corners,
    match_corners,
)
from fastrestore.runtime.treatments.steady.stage import Border, Steady, SteadySettings, open_treatment, probes
from fastrestore.runtime.treatments.steady.whittaker import smoothed
from fastrestore.runtime.treatments.treatment import Film

_FRAMES = 40
_WORN = Damage(flicker=0.15, grain=4.0, specks=25, walker=True)
_TIME = np.arange(_FRAMES, dtype=np.float64)


def _camera(**columns: NDArray[np.float64]) -> NDArray[np.float64]:
    places = np.zeros((_FRAMES, 4))
    for name, values in columns.items():
        places[:, ("x", "y", "scale", "angle").index(name)] = values
    return places


_MEANT = {
    "stands": _camera(),
    "pans": _camera(x=np.asarray(2.0 * _TIME), y=np.asarray(0.4 * _TIME)),
    "zooms": _camera(scale=np.asarray(0.006 * _TIME)),
}


@pytest.fixture(scope="module")
def scene() -> NDArray[np.float32]:
    return world()


def _shot(scene: NDArray[np.float32], places: NDArray[np.float64], damage: Damage = _WORN) -> list[Picture]:
    return [grey(damaged(seen(scene, pose), index, damage)) for index, pose in enumerate(poses(places))]


def _steadied(places: NDArray[np.float64], film: Film) -> list[Similarity]:
    """Return how the world lies on the frames once they are moved."""
    path = find_path(film.findings[PROBE_NAME], SIZE, Smoothing(2 * float(FPS), 1.0, None))
    return [path.correction(index).after(pose) for index, pose in enumerate(poses(places))]


def _treatment(settings: SteadySettings, film: Film) -> Steady:
    treatment = open_treatment(settings, film, open_ops())
    assert isinstance(treatment, Steady)
    return treatment


def _treated(settings: SteadySettings, film: Film, pictures: list[Picture]) -> list[Picture]:
    treatment = _treatment(settings, film)
    return [treatment.apply(window(film, pictures, i, treatment.radius)).picture for i in range(len(pictures))]


@pytest.mark.parametrize("kind", _MEANT)
def test_shake_is_taken_out_of_a_worn_print(kind: str, scene: NDArray[np.float32]) -> None:
    meant = _MEANT[kind]
    shaken = meant + weave(_FRAMES, 1.5, turn=0.002)
    film = studied(_shot(scene, shaken), [MotionProbe()])
    steady = _steadied(shaken, film)
    assert residual_px(poses(shaken), poses(meant)) > 1.8
    assert residual_px(steady, poses(meant)) < 0.3
    assert (film.findings[PROBE_NAME][:, TRUST] > 0).all()


def test_pans_keep_their_length_and_even_zooms_their_factor(scene: NDArray[np.float32]) -> None:
    for kind, weight in (("pans", 0), ("zooms", 2)):
        shaken = _MEANT[kind] + weave(_FRAMES, 0.7)
        steady = _steadied(shaken, studied(_shot(scene, shaken), [MotionProbe()]))
        values = np.array([(s.shift.real, s.shift.imag, math.log(abs(s.factor))) for s in steady])[:, weight]
        wanted = _MEANT[kind][-1, weight] - _MEANT[kind][0, weight]
        assert abs((values[-1] - values[0]) / wanted - 1) < 0.02


def test_a_pan_that_sets_in_and_stops_is_kept() -> None:
    count = 96
    share = np.clip((np.arange(count) - 30) / 32, 0, 1)
    meant = np.zeros((count, 4))
    meant[:, 0] = 80 * share * share * (3 - 2 * share)
    places = meant + weave(count, 0.7)
    path = find_path(_as_findings(places), SIZE, Smoothing(32, 1.0, None))
    off = places + path.corrections - meant
    assert not path.locked
    assert np.hypot(*(off - off.mean(0))[:, :2].T).max() < 1.6
    assert abs((off[-1, 0] - off[0, 0]) / 80) < 0.02
    jolts, before = np.diff(off[:, :2], axis=0), np.diff((places - meant)[:, :2], axis=0)
    assert np.sqrt((jolts**2).mean()) < 0.1 * np.sqrt((before**2).mean())


def test_a_smooth_camera_is_not_taken_for_a_shaking_one() -> None:
    # What speeds up and slows down within a second, without a jolt, was meant.
    count = 64
    meant = np.zeros((count, 4))
    meant[:, 0] = 4.0 * np.arange(count) + 20 * np.sin(2 * np.pi * np.arange(count) / 40)
    path = find_path(_as_findings(meant + weave(count, 0.2)), SIZE, Smoothing(32, 1.0, None))
    assert np.abs(path.corrections[:, 0]).max() < 4


def test_shake_below_what_can_be_measured_is_left_alone() -> None:
    rows = _as_findings(weave(32, 0.3))
    assert find_path(rows, SIZE, Smoothing(32, 1.0, None)).corrections.any()
    rows[:, ERROR_PX] = 0.3
    assert not find_path(rows, SIZE, Smoothing(32, 1.0, None)).corrections.any()
    assert not find_path(_as_findings(weave(32, 0.05)), SIZE, Smoothing(32, 1.0, None)).corrections.any()


def test_a_hand_held_sway_is_not_frozen() -> None:
    count = 96
    meant = np.zeros((count, 4))
    meant[:, 0] = 15 * np.sin(2 * np.pi * np.arange(count) / 64)
    places = meant + weave(count, 0.7)
    path = find_path(_as_findings(places), SIZE, Smoothing(32, 1.0, None))
    assert not path.locked
    assert np.ptp((places + path.corrections)[:, 0]) > 0.9 * np.ptp(meant[:, 0])


def _as_findings(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what a probe without errors finds of a camera that only shifts."""
    rows = np.zeros((len(places), 7))
    rows[1:, 0] = 1
    rows[1:, 1:3] = np.diff(places[:, :2], axis=0)
    rows[:, TRUST] = 1
    return rows


def test_the_picture_itself_stands_still(scene: NDArray[np.float32]) -> None:
    shaken = weave(12, 2.0, turn=0.002)
    pictures = _shot(scene, shaken, Damage(grain=2.0))
    film = studied(pictures, [MotionProbe()])
    out = _treated(SteadySettings.parse("crop,most=10"), film, pictures)
    assert all(picture.size == SIZE for picture in out)

    def wander(shown: list[Picture]) -> float:
        images = [even_contrast(picture.planes[0]) for picture in shown]
        corners = find_corners(images[0])
        found = [match_corners(images[0], corners, image, Similarity()) for image in images[1:]]
        shifts = [match.motion.shift for match in found if match is not None]
        assert len(shifts) == len(images) - 1
        return float(np.std(shifts))

    assert wander(pictures) > 1.5
    assert wander(out) < 0.15


def test_a_cropped_shot_shows_no_edge_and_a_filled_one_the_neighbours(scene: NDArray[np.float32]) -> None:
    shaken = weave(10, 2.0)
    pictures = _shot(scene, shaken, Damage())
    film = studied(pictures, [MotionProbe()])
    path = find_path(film.findings[PROBE_NAME], SIZE, Smoothing(32, 1.0, None))
    zoom = needed_zoom(path, SIZE)
    assert 1.01 < zoom < 1.06
    for number in range(10):
        source = Similarity(zoom + 0j).after(path.correction(number)).inverse
        half = complex(SIZE.width, SIZE.height) / 2
        for corner in (half, -half, half.conjugate(), -half.conjugate()):
            place = source.factor * corner + source.shift
            assert abs(place.real) <= half.real + 1e-6 and abs(place.imag) <= half.imag + 1e-6

    treatment = _treatment(SteadySettings(Border.FILL), film)
    assert treatment.radius > 0
    treated = treatment.apply(window(film, pictures, 4, treatment.radius))
    assert treated.counts["filled_px"] > 0
    truth = seen(scene, path.correction(4).after(poses(shaken)[4]))
    off = np.abs(treated.picture.planes[0].astype(float) - truth)
    rim = np.ones(off.shape, bool)
    rim[6:-6, 6:-6] = False
    assert off[rim].mean() < 1.5, "the rim is drawn from neighbours that do show it"
    alone = treatment.apply(replace(window(film, pictures, 4, treatment.radius), pictures=(pictures[4],)))
    assert np.abs(alone.picture.planes[0].astype(float) - truth)[rim].mean() > 2 * off[rim].mean()


def test_what_little_crop_hides_is_filled(scene: NDArray[np.float32]) -> None:
    pictures = _shot(scene, weave(8, 3.0), Damage())
    film = studied(pictures, [MotionProbe()])
    assert _treatment(SteadySettings.parse("crop,most=1"), film).radius > 0
    assert _treatment(SteadySettings.parse("crop,most=20"), film).radius == 0
    assert _treatment(SteadySettings.parse("crop,most=1"), film).report(film.shots[0])["crop_percent"] == pytest.approx(
        100 - 100 / 1.01, abs=0.01
    )


def test_strength_leaves_a_share_of_the_shake(scene: NDArray[np.float32]) -> None:
    shaken = weave(24, 2.0)
    rows = studied(_shot(scene, shaken, Damage()), [MotionProbe()]).findings[PROBE_NAME]
    whole = find_path(rows, SIZE, Smoothing(32, 1.0, None)).corrections
    half = find_path(rows, SIZE, Smoothing(32, 0.5, None)).corrections
    np.testing.assert_allclose(half, whole / 2, atol=1e-9)


def test_a_still_shot_is_returned_as_it_is(scene: NDArray[np.float32]) -> None:
    pictures = _shot(scene, np.zeros((8, 4)), Damage(flicker=0.1))
    film = studied(pictures, probes(SteadySettings(), None))  # type: ignore[arg-type]    # the stream does not matter
    assert all(a is b for a, b in zip(_treated(SteadySettings(), film, pictures), pictures, strict=True))


def test_nothing_is_known_of_black_of_noise_and_of_a_single_frame(scene: NDArray[np.float32]) -> None:
    rng = np.random.default_rng(1)
    shape = (SIZE.height, SIZE.width)
    black = [grey(np.full(shape, 16, np.uint8))] * 3
    noise = [grey(np.clip(rng.normal(60, 12, shape), 0, 255).astype(np.uint8)) for _ in range(8)]
    single = [grey(damaged(seen(scene, Similarity()), 0, Damage()))]
    pictures = [*black, *noise, *single]
    film = studied(pictures, [MotionProbe()], cuts=[3, 11])
    treatment = _treatment(SteadySettings(), film)
    assert all(
        treatment.apply(window(film, pictures, i, treatment.radius)).picture is picture
        for i, picture in enumerate(pictures)
    )
    reports = [treatment.report(shot) for shot in film.shots]
    assert [report["camera"] for report in reports] == ["left alone"] * 3
    assert reports[0]["untrusted_frames"] == 3
    assert reports[2]["untrusted_frames"] == 0


def test_one_frame_that_is_lost_breaks_nothing(scene: NDArray[np.float32]) -> None:
    shaken = weave(24, 1.5)
    pictures = _shot(scene, shaken, Damage())
    pictures[9] = grey(np.full((SIZE.height, SIZE.width), 235, np.uint8))
    film = studied(pictures, [MotionProbe()])
    path = find_path(film.findings[PROBE_NAME], SIZE, Smoothing(32, 1.0, None))
    assert np.flatnonzero(~path.trusted).tolist() == [9]
    assert (path.piece == 0).all()
    steady = [path.correction(i).after(pose) for i, pose in enumerate(poses(shaken)) if i != 9]
    assert residual_px(steady, [Similarity()] * 23) < 0.1


def test_a_cut_that_was_not_seen_begins_a_new_path(scene: NDArray[np.float32]) -> None:
    pictures = _shot(scene, weave(12, 1.0), Damage()) + _shot(world(9), weave(12, 1.0, seed=8), Damage())
    film = studied(pictures, [MotionProbe()])
    path = find_path(film.findings[PROBE_NAME], SIZE, Smoothing(32, 1.0, None))
    assert path.piece[0] == 0 and path.piece[-1] == 1
    assert path.between(2, 20) is None
    places = weave(12, 1.0)
    after = [path.correction(i).after(pose) for i, pose in enumerate(poses(places))]
    assert residual_px(after, [Similarity()] * 12) < 0.1


def test_frames_can_be_treated_in_any_order(scene: NDArray[np.float32]) -> None:
    pictures = _shot(scene, weave(9, 1.5), Damage(grain=2.0))
    film = studied(pictures, [MotionProbe()])
    forwards = _treated(SteadySettings(Border.FILL), film, pictures)
    again = _treatment(SteadySettings(Border.FILL), film)
    for index in (5, 0, 8, 3):
        alone = again.apply(window(film, pictures, index, again.radius)).picture
        assert alone.same_samples(forwards[index])


_LAYOUTS = [
    ("yuv420p", SIZE),
    ("yuv420p10le", Size(181, 131)),
    ("yuv422p12le", Size(180, 121)),
    ("yuv444p16le", Size(160, 120)),
    ("gbrp", Size(160, 120)),
    ("gray10le", Size(161, 121)),
]


@pytest.mark.parametrize(("name", "size"), _LAYOUTS)
@pytest.mark.parametrize("border", Border)
def test_planes_of_every_layout_move_together(name: str, size: Size, border: Border) -> None:
    # Every plane shows the same ramp, so each must say the same place after the move.
    pixel_format = FORMATS[name]
    moved_px = complex(3.0, -2.0)
    rows = np.zeros((6, 7))
    rows[1:, 0] = 1
    rows[:, TRUST] = 1
    rows[3, 1:3], rows[4, 1:3] = (moved_px.real, moved_px.imag), (-moved_px.real, -moved_px.imag)
    picture = _ramp(name, size)
    pictures = [picture] * 6
    film = replace(studied(pictures, []), findings={PROBE_NAME: rows})
    treatment = _treatment(SteadySettings(border, most=0.0 if border is Border.FILL else 25.0), film)
    out = treatment.apply(window(film, pictures, 3, treatment.radius)).picture
    assert out.format == pixel_format and out.size == size
    kept = treatment.apply(window(film, pictures, 0, treatment.radius)).picture
    peak = (1 << pixel_format.bits) - 1
    rise = 0.5 * moved_px.real / size.width + 0.25 * moved_px.imag / size.height
    for before, after in zip(kept.planes, out.planes, strict=True):
        inner = (
            slice(before.shape[0] // 4, -(before.shape[0] // 4)),
            slice(before.shape[1] // 4, -(before.shape[1] // 4)),
        )
        shift = (after.astype(float) - before)[inner].mean() / peak
        assert shift == pytest.approx(rise, rel=0.06)


def _ramp(name: str, size: Size) -> Picture:
    pixel_format = FORMATS[name]
    colour = Colour(COLOUR.matrix, siting=Siting.TOP_LEFT)
    peak = (1 << pixel_format.bits) - 1
    planes = []
    for index in range(pixel_format.planes):
        plane_size = pixel_format.plane_size(size, index)
        step = (1, 1) if index == 0 or pixel_format.kind != "yuv" else tuple(1 << s for s in pixel_format.chroma_shift)
        x = np.arange(plane_size.width) * step[0] / size.width
        y = np.arange(plane_size.height) * step[1] / size.height
        planes.append(np.rint(peak * (0.1 + 0.5 * x[None, :] + 0.25 * y[:, None])).astype(pixel_format.dtype))
    return Picture(tuple(planes), pixel_format, colour)


@pytest.mark.parametrize("siting", Siting)
def test_chroma_is_taken_from_where_it_lies(siting: Siting) -> None:
    picture = replace(_ramp("yuv420p", Size(64, 48)), colour=Colour(COLOUR.matrix, siting=siting))
    matrix = Similarity(1.1 + 0.02j, 2 - 1j).matrix(64, 48)
    place = np.array([5.0, 7.0])
    first = np.array(siting.value)
    luma = matrix[:, :2] @ (2 * place + first) + matrix[:, 2]
    chroma = plane_matrix(matrix, picture, 1)
    np.testing.assert_allclose(2 * (chroma[:, :2] @ place + chroma[:, 2]) + first, luma, atol=1e-12)


def test_constant_chroma_is_the_same_plane_and_the_smallest_picture_can_be_moved() -> None:
    neutral = np.full((8, 8), 128, np.uint8)
    luma = np.arange(256, dtype=np.uint8).reshape(16, 16)
    picture = Picture((luma, neutral, neutral), FORMATS["yuv420p"], COLOUR)
    rows = np.zeros((5, 7))
    rows[1:, 0], rows[:, TRUST] = 1, 1
    rows[2, 1], rows[3, 1] = 0.5, -0.5
    for words in ("crop,lock=on", "fill,lock=on"):
        film = replace(studied([picture] * 5, []), findings={PROBE_NAME: rows})
        treatment = _treatment(SteadySettings.parse(words), film)
        out = treatment.apply(window(film, [picture] * 5, 2, treatment.radius)).picture
        assert out is not picture
        assert out.planes[1] is neutral and out.planes[2] is neutral
    assert studied([picture] * 3, [MotionProbe()]).findings[PROBE_NAME].shape == (3, 7)


def test_resampling_overshoots_no_sample() -> None:
    plane = np.zeros((32, 32), np.uint16)
    plane[:, 16:] = 1023
    matrix = Similarity(1 + 0j, 0.4 + 0j).matrix(32, 32)
    assert resample(plane, matrix, 10).max() == 1023


def test_the_smoother_solves_its_equations() -> None:
    rng = np.random.default_rng(0)
    for count in (1, 2, 3, 4, 30):
        places, weight, stiffness = rng.normal(size=(count, 2)), rng.uniform(0.1, 1, count), rng.uniform(1, 300, count)
        bend = np.diff(np.eye(count), 2, axis=0) if count > 2 else np.zeros((0, count))
        left = np.diag(weight) + bend.T @ np.diag(stiffness[1:-1]) @ bend
        wanted = np.linalg.solve(left, weight[:, None] * places)
        np.testing.assert_allclose(smoothed(places, weight, stiffness), wanted, atol=1e-9)


def test_similarities_are_a_group() -> None:
    one, other = Similarity(1.1 + 0.2j, 3 - 1j), Similarity(0.9 - 0.1j, -2 + 4j)
    both = one.after(other)
    for z in (0j, 1 + 2j, -5 + 1j):
        assert both.factor * z + both.shift == pytest.approx(one.factor * (other.factor * z + other.shift) + one.shift)
    back = one.inverse.after(one)
    assert back.factor == pytest.approx(1) and back.shift == pytest.approx(0)
    matrix = one.matrix(33, 17)
    z = one.factor * complex(4, 3) + one.shift
    np.testing.assert_allclose(matrix @ [16 + 4, 8 + 3, 1], [16 + z.real, 8 + z.imag])


def test_a_probe_is_blind_to_exposure(scene: NDArray[np.float32]) -> None:
    frame = seen(scene, Similarity())
    views = [even_contrast(np.clip(np.rint(frame * gain), 0, 255).astype(np.uint8)) for gain in (1.0, 0.7)]
    off = cv2.absdiff(*views)
    assert float(off.mean()) < 2.5
    assert all(abs(float(view.mean()) - 128) < 3 for view in views)


def test_words_are_read() -> None:
    assert SteadySettings.parse("crop") == SteadySettings()
    assert SteadySettings.parse("fill, strength=0.5,lock=off,period=3,most=8") == SteadySettings(
        Border.FILL, 0.5, False, 3.0, 8.0
    )
    assert SteadySettings.parse("crop,lock=auto").lock is None


@pytest.mark.parametrize(
    "words", ["", "on", "crop,strenght=1", "crop,strength=x", "crop,strength=2", "fill,period=nan"]
)
def test_words_that_mean_nothing_are_refused(words: str) -> None:
    with pytest.raises(UsageError) as refused:
        SteadySettings.parse(words)
    assert "--steady" in refused.value.message
    assert "crop" in refused.value.hint
