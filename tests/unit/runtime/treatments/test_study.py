"""A film is looked at once: every frame, in order, with the one before it in its shot; what is found is kept whole."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from fastrestore.errors import DecodeError
from fastrestore.frames import FORMATS, Frame, Picture, StreamInfo
from fastrestore.kernels.ops import open_ops
from fastrestore.runtime.treatments.study import load, look_over, save
from fastrestore.runtime.treatments.treatment import Film, Glimpse

OPS = open_ops("cpu")
GREY = FORMATS["gray"]
KEY = {"source": {"bytes": 17}, "probes": ("mean",)}


class Mean:
    """Finds the mean, and whether there is a frame before."""

    name = "mean"

    def look(self, glimpse: Glimpse) -> Sequence[float]:
        return [float(glimpse.luma.mean()), float(glimpse.previous is not None)]


def scene(seed: int, shift: int) -> Picture:
    """Return a textured picture, moved."""
    texture = np.kron(np.random.default_rng(seed).integers(20, 230, (12, 16)), np.ones((8, 8)))
    return Picture((np.ascontiguousarray(np.roll(texture, shift, 1).astype(np.uint8)),), GREY)


def two_shots() -> list[Frame]:
    """Return five frames of one scene and four of another."""
    pictures = [scene(1, 2 * k) for k in range(5)] + [scene(2, 2 * k) for k in range(4)]
    return [Frame(picture, Fraction(k, 18), Fraction(1, 18)) for k, picture in enumerate(pictures)]


def info() -> StreamInfo:
    """Return what the film is."""
    picture = scene(1, 0)
    return StreamInfo(picture.size, GREY, picture.colour, Fraction(18))


def looked_over() -> Film:
    """Return the film, looked at."""
    return look_over(two_shots(), info(), [Mean()], OPS)


def test_every_frame_is_shown_to_every_probe() -> None:
    frames, film = two_shots(), looked_over()
    assert [(shot.begin, shot.end) for shot in film.shots] == [(0, 5), (5, 9)]
    assert film.pts == tuple(frame.pts for frame in frames)
    assert film.checksums == tuple(frame.picture.crc32 for frame in frames)
    means = [frame.picture.planes[0].mean() for frame in frames]
    assert np.allclose(film.findings["mean"][:, 0], means)
    assert film.findings["mean"][:, 1].tolist() == [0, 1, 1, 1, 1, 0, 1, 1, 1]


def test_it_is_told_how_far_it_is() -> None:
    told: list[int] = []
    look_over(two_shots(), info(), [], OPS, told.append)
    assert told == list(range(1, 10))


def test_a_film_without_frames_is_refused() -> None:
    with pytest.raises(DecodeError, match="no frame"):
        look_over([], info(), [Mean()], OPS)


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    film, path = looked_over(), tmp_path / "film"
    save(film, KEY, path)
    again = load(path, KEY, info())
    assert again is not None
    assert (again.pts, again.checksums, again.shots) == (film.pts, film.checksums, film.shots)
    assert np.array_equal(again.findings["mean"], film.findings["mean"])
    assert again.repeats == film.repeats and not any(film.repeats)
    assert [each.name for each in tmp_path.iterdir()] == ["film"]


def test_what_is_of_something_else_or_not_whole_counts_as_absent(tmp_path: Path) -> None:
    film, path = looked_over(), tmp_path / "film"
    assert load(path, KEY, info()) is None
    save(film, KEY, path)
    assert load(path, {**KEY, "probes": ()}, info()) is None
    whole = path.read_bytes()
    for damaged in (whole[:-1], b"", b"\n", whole[:90] + b"x" + whole[91:], whole[:-3] + b"abc"):
        path.write_bytes(damaged)
        assert load(path, KEY, info()) is None
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").write_bytes(whole)
    assert load(path, KEY, info()) is None
