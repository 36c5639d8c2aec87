"""Grain that is removed before restoration: most of it goes, edges and what moves stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from tests.unit.runtime.treatments.grain.grain_samples import film_of, grainy, grey, noise, picture_of, shading, stored

from fastrestore.frames import FORMATS, Colour, Picture
from fastrestore.geometry import Size
from fastrestore.kernels.cpu import CpuOps
from fastrestore.runtime.treatments.grain.degrain import Degrain
from fastrestore.runtime.treatments.treatment import Film, Treated, Treatment, Window


def removing(film: Film) -> Treatment:
    return Degrain(film, 1.0, CpuOps())


def treated(made: Treatment, film: Film, pictures: Sequence[Picture], index: int) -> Treated:
    shot = film.shot_of(index)
    around = tuple(pictures[at] if shot.begin <= at < shot.end else None for at in range(index - 1, index + 2))
    return made.apply(Window(index, shot, around))


def test_most_grain_goes() -> None:
    pictures = [grey(grainy(index, 4.0, 0.75)) for index in range(6)]
    film = film_of(pictures)
    made = removing(film)
    for index in (0, 2, 5):  # at both ends of a shot one neighbour must do
        clean, result = shading(index), treated(made, film, pictures, index)
        before = (pictures[index].planes[0] - clean).std()
        assert (result.picture.planes[0] - clean).std() < 0.5 * before
        assert result.counts["matched_frames"] > 0.9


def test_what_moves_without_a_trace_in_the_neighbours_stays() -> None:
    """A bright bar that jumps: no motion explains it, and it must neither vanish nor leave ghosts."""
    frames = []
    for index in range(5):
        samples = shading(0) * 0.5 + 20 + 3 * noise(index, 0.6)
        left = 40 + 55 * index
        samples[60:180, left : left + 12] = 220
        frames.append(grey(stored(samples)))
    film = film_of(frames)
    result = treated(removing(film), film, frames, 2).picture.planes[0].astype(np.float64)
    bar = result[70:170, 152:160]
    assert bar.mean() == pytest.approx(220, abs=1.5)
    for index in (1, 3):  # where its neighbours have it
        left = 40 + 55 * index
        there = result[70:170, left + 2 : left + 10] - (shading(0)[70:170, left + 2 : left + 10] * 0.5 + 20)
        assert np.abs(there.mean()) < 1.5


def test_edges_stay_sharp() -> None:
    edge = np.where(np.arange(320) < 160, 60.0, 180.0)[None].repeat(240, 0)
    frames = [grey(stored(edge + 3 * noise(index, 0.6))) for index in range(3)]
    film = film_of(frames)
    result = treated(removing(film), film, frames, 1).picture.planes[0].astype(np.float64).mean(0)
    assert np.abs(result[:158] - 60).max() < 1.5
    assert np.abs(result[162:] - 180).max() < 1.5
    assert result[160] - result[159] > 100


def test_a_clean_film_is_left_alone() -> None:
    pictures = [grey(stored(shading(index))) for index in range(4)]
    film = film_of(pictures)
    made = removing(film)
    assert treated(made, film, pictures, 1).picture is pictures[1]
    assert made.report(film.shots[0]) == {"done": "none found"}


def test_what_came_before_changes_nothing() -> None:
    pictures = [grey(grainy(index, 4.0, 0.75)) for index in range(5)]
    film = film_of(pictures)
    one, two = removing(film), removing(film)
    forwards = [treated(one, film, pictures, index).picture.crc32 for index in range(5)]
    assert treated(two, film, pictures, 3).picture.crc32 == forwards[3]
    assert treated(one, film, pictures, 1).picture.crc32 == forwards[1]


def _coloured(name: str) -> Callable[[int], Picture]:
    layout = FORMATS[name]
    unit = 1 << (layout.bits - 8)

    def make(index: int) -> Picture:
        base = picture_of(grainy(index, 4.0, 0.75, Size(161, 121)), name, Colour())
        planes = list(base.planes)
        if layout.kind == "yuv":
            for plane in (1, 2):
                size = layout.plane_size(base.size, plane)
                samples = (128 + 3 * noise(100 * plane + index, 0.6, size)) * unit
                planes[plane] = np.rint(samples).astype(layout.dtype)
        return Picture(tuple(planes), layout, base.colour)

    return make


@pytest.mark.parametrize("name", ["gray10le", "yuv420p", "yuv422p10le", "yuv444p12le", "gbrp", "gbrp16le"])
def test_every_layout_is_calmed_in_all_its_planes(name: str) -> None:
    pictures = [_coloured(name)(index) for index in range(5)]
    film = film_of(pictures)
    result = treated(removing(film), film, pictures, 1).picture
    assert result.format == pictures[1].format
    unit = 1 << (result.format.bits - 8)
    for number, (before, after) in enumerate(zip(pictures[1].planes, result.planes, strict=True)):
        assert after.dtype == before.dtype
        clean = shading(1, Size(161, 121)) if number == 0 or result.format.kind == "rgb" else np.float32(128)
        assert (after / unit - clean).std() < 0.6 * (before / unit - clean).std()


@pytest.mark.parametrize("size", [Size(2, 1), Size(16, 16), Size(33, 17)])
def test_tiny_pictures_are_treated_without_complaint(size: Size) -> None:
    film = film_of([grey(grainy(index, 4.0, 0.75)) for index in range(4)])
    pictures = [picture_of(grainy(index, 4.0, 0.6, size), "yuv420p") for index in range(4)]
    assert treated(removing(film), film, pictures, 1).picture.size == size
