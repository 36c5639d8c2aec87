"""Faces are rebuilt in restored pictures of every format: there alone, without flicker, and the same each time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.unit.runtime.treatments.faces.face_samples import PATTERN, frame
from tests.unit.runtime.treatments.faces.test_tracks import row

from fastrestore.errors import EngineError
from fastrestore.frames import FORMATS, Colour, Picture, StreamInfo
from fastrestore.geometry import Size
from fastrestore.kernels.ops import open_ops
from fastrestore.models.spec import FACE_PX, ModelSpec, Task, Tensor
from fastrestore.runtime.treatments.faces.cast import Cast
from fastrestore.runtime.treatments.faces.detector import MOST_FACES, NUMBERS
from fastrestore.runtime.treatments.faces.retouch import FaceRetouch
from fastrestore.runtime.treatments.retouch import Moment, View
from fastrestore.runtime.treatments.treatment import Film, Shot

SIZE = Size(160, 120)
PROBE = "faces"
SPEC = ModelSpec(
    "pattern", "pattern", Task.FACE, "", "", "", inputs=(Tensor("image", 3),), outputs=(Tensor("restored", 3),)
)


class Drawing:
    """An engine that draws a fixed pattern over a face, or does what it is told. See `Engine`."""

    spec = SPEC
    largest = None

    def __init__(self, strength: float = PATTERN) -> None:
        waves = np.cos(2 * np.pi * np.arange(FACE_PX) / 64)
        self._pattern = strength * np.outer(waves, waves).astype(np.float32)
        self.runs = 0

    def run(self, inputs: Mapping[str, NDArray[np.float32]], out: Mapping[str, NDArray[np.float32]]) -> None:
        image = inputs["image"]
        assert image.shape == (1, 3, FACE_PX, FACE_PX) and image.min() >= 0 and image.max() <= 1
        out["restored"][:] = image + self._pattern
        self.runs += 1

    def close(self) -> None:
        pass

    def __enter__(self) -> Drawing:
        return self

    def __exit__(self, *exc: object) -> None:
        pass


def film(faces: Sequence[Sequence[NDArray[np.float64]]], cuts: Sequence[int] = (), repeats: Sequence[int] = ()) -> Film:
    """Return a film in which faces were seen.

    Args:
        faces: Of every frame, each as its numbers.
        cuts: Frames that begin a shot.
        repeats: Frames that show the picture before.
    """
    rows = np.zeros((len(faces), MOST_FACES, NUMBERS))
    for index, seen in enumerate(faces):
        for number, face in enumerate(seen):
            rows[index, number] = face
    begins, ends = [0, *cuts], [*cuts, len(faces)]
    shots = tuple(Shot(number, *ends_of) for number, ends_of in enumerate(zip(begins, ends, strict=True)))
    sums: list[int] = []
    for index in range(len(faces)):
        sums.append(sums[-1] if index in repeats else index)
    info = StreamInfo(SIZE, FORMATS["yuv420p"], Colour(), Fraction(24))
    pts = tuple(Fraction(k, 24) for k in range(len(faces)))
    return Film(info, pts, shots, {PROBE: rows.reshape(len(faces), -1)}, tuple(sums))


def retouch(known: Film, strength: float = 1.0, eyes: float = 12.0, views: Sequence[View] = ()) -> FaceRetouch:
    return FaceRetouch(known, Cast(known, PROBE, eyes, views), strength, open_ops("cpu"))


STILL = film([[row(70 + 60j)]] * 3)


@pytest.mark.parametrize("layout", ["yuv420p", "yuv422p10le", "yuv444p16le", "gray", "gray12le", "gbrp", "gbrp10le"])
@pytest.mark.parametrize("factor", [1, 2])
def test_a_grey_face_changes_in_luma_alone_and_nothing_else_does(layout: str, factor: int) -> None:
    picture = frame(Size(SIZE.width * factor, SIZE.height * factor), [], layout)
    after = retouch(STILL).apply(picture, Moment.of(1), Drawing())
    assert after.neutral_chroma and after.format == picture.format and after is not picture
    changed = np.argwhere(after.planes[0] != picture.planes[0])
    side = FACE_PX / 126 * 24 * factor  # of the upright face, in pixels of this picture
    assert len(changed) > 0.2 * side**2
    assert np.ptp(changed, axis=0).max() <= side
    unit = 1 << (picture.format.bits - 8)
    difference = (after.planes[0].astype(int) - picture.planes[0].astype(int)) / unit
    full = 255 if picture.format.kind == "rgb" else 219
    assert np.abs(difference).max() == pytest.approx(PATTERN * full, rel=0.35)
    assert abs(difference.mean()) < 1, "the tone of the face is kept"


@pytest.mark.parametrize("layout", ["yuv420p", "yuv422p10le", "gbrp"])
def test_a_coloured_face_keeps_its_colours(layout: str) -> None:
    grey = frame(SIZE, [], layout)
    tinted = list(grey.planes)
    tinted[1] = (tinted[1] * 0.9).astype(grey.format.dtype)
    picture = Picture(tuple(tinted), grey.format, grey.colour)
    after = retouch(STILL).apply(picture, Moment.of(1), Drawing())
    assert not np.array_equal(after.planes[0], picture.planes[0])
    for before, now in zip(picture.planes[1:], after.planes[1:], strict=True):
        assert abs(float(now.mean()) - float(before.mean())) < 0.02 * float(before.mean())


@pytest.mark.parametrize("layout", ["yuv420p", "gray", "gbrp"])
def test_a_network_that_changes_nothing_changes_nothing(layout: str) -> None:
    picture = frame(SIZE, [(70, 60, 12)], layout)
    assert retouch(STILL).apply(picture, Moment.of(1), Drawing(0.0)).same_samples(picture)


def test_where_there_is_nothing_to_do_the_picture_is_the_very_same() -> None:
    picture, engine = frame(SIZE, []), Drawing()
    for known in (
        retouch(STILL, strength=0.0),
        retouch(film([[]] * 3)),
        retouch(STILL, eyes=25.0),
        retouch(film([[row(400 + 60j)]] * 3)),
    ):
        assert known.apply(picture, Moment.of(1), engine) is picture
    assert engine.runs == 0


def test_strength_and_size_scale_the_change() -> None:
    picture = frame(SIZE, [])

    def change(known: FaceRetouch) -> float:
        after = known.apply(picture, Moment.of(1), Drawing())
        return float(np.abs(after.planes[0].astype(int) - picture.planes[0]).mean())

    assert change(retouch(STILL, 0.5)) == pytest.approx(change(retouch(STILL)) / 2, rel=0.05)
    assert change(retouch(STILL, eyes=24 / 1.125)) == pytest.approx(change(retouch(STILL)) / 2, rel=0.05)


@pytest.mark.parametrize("middle", [2 + 3j, 158 + 118j, 80 - 20j, 400 + 60j])
def test_faces_at_the_edge_and_beyond(middle: complex) -> None:
    known = retouch(film([[row(middle)]] * 3))
    for layout in ("yuv420p", "yuv422p10le"):
        picture = frame(Size(161, 121), [], layout)
        after = known.apply(picture, Moment.of(1), Drawing())
        assert after.size == picture.size and after.neutral_chroma
        assert np.array_equal(after.planes[0][60], picture.planes[0][60]) or middle.real < 160


def test_a_tiny_picture() -> None:
    known = film([[row(8 + 8j, eyes=14)]] * 3)
    known = replace(known, info=replace(known.info, size=Size(16, 16)))
    after = retouch(known, eyes=8).apply(frame(Size(16, 16), []), Moment.of(0), Drawing())
    assert after.size == Size(16, 16) and after.neutral_chroma


def test_between_two_frames_a_face_is_between() -> None:
    known = Cast(film([[row(60 + 4 * k + 50j)] for k in range(9)]), PROBE, 12.0)
    (placed,) = known.at(Moment(3, 4, 0.25))
    assert placed.pose.middle == pytest.approx(73 + 50j, abs=0.05)
    assert known.at(Moment(3, 4, 0.0)) == known.at(Moment.of(3))


def test_a_repeated_picture_is_retouched_alike() -> None:
    rng = np.random.default_rng(5)
    faces = []
    for k in range(12):
        if k not in (4, 5):
            faces.append([row(60 + 3 * k + 50j, noise=rng.standard_normal(5))])
        else:
            faces.append(faces[-1])
    known = retouch(film(faces, repeats=(4, 5)))
    assert known.alike(3, 4) and known.alike(3, 5) and not known.alike(5, 6) and not known.alike(2, 3)


def test_cuts_divide_faces_and_reports_tell_of_them() -> None:
    faces = [[row(50 + 50j)]] * 6 + [[row(52 + 50j, eyes=9)]] * 6
    known = retouch(film(faces, cuts=(6,)))
    first, second = known._film.shots
    assert known.report(first) == {
        "found": 1,
        "rebuilt": 1,
        "too_small": 0,
        "which": "0.000-0.208 s, 24 px between the eyes, at 50,50",
    }
    assert known.report(second) == {"found": 1, "rebuilt": 0, "too_small": 1}
    assert known._cast.at(Moment.of(5)) and not known._cast.at(Moment.of(6))


def test_faces_go_where_treatments_move_them() -> None:
    shaken = [60 + 50j + complex(3 * (k % 2), 0) for k in range(9)]

    def steadied(index: int) -> NDArray[np.float64]:
        return np.array([[2.0, 0.0, -60 - 6.0 * (index % 2)], [0.0, 2.0, -50.0]])

    known = Cast(film([[row(middle)] for middle in shaken]), PROBE, 12.0, [steadied])
    for index in range(9):
        (placed,) = known.at(Moment.of(index))
        assert placed.pose.middle == pytest.approx(60 + 50j, abs=0.05)
        assert placed.pose.eyes_px == pytest.approx(48, rel=0.01)


def test_a_trembling_detector_makes_no_flicker() -> None:
    rng = np.random.default_rng(1)
    noise = [rng.standard_normal(5) + 1j * rng.standard_normal(5) for _ in range(9)]
    faces = [[row(80 + 60j, noise=each)] for each in noise]
    flicker = {}
    for name, known in {
        "one by one": [retouch(film([face] * 3)) for face in faces],
        "followed": [retouch(film(faces))] * len(faces),
    }.items():
        picture, engine = frame(SIZE, []), Drawing()
        shown = [
            each.apply(picture, Moment.of(1 if name == "one by one" else index), engine).planes[0].astype(float)
            for index, each in enumerate(known)
        ]
        flicker[name] = float(np.sqrt(np.mean(np.diff(shown, axis=0)[:, 40:80, 60:100] ** 2)))
    assert flicker["followed"] < 0.4 * flicker["one by one"], flicker


def test_what_is_not_finite_is_told_of() -> None:
    with pytest.raises(EngineError, match="not finite"):
        retouch(STILL).apply(frame(SIZE, []), Moment.of(1), Drawing(float("nan")))
