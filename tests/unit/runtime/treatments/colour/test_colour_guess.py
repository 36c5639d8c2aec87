"""Colours that a network guesses, carried like those of an example."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.unit.runtime.treatments.colour.colour_samples import COLOUR, ball_film, chroma_of, open_stage, picture

from fastrestore.errors import UsageError
from fastrestore.frames import StreamInfo
from fastrestore.geometry import Size
from fastrestore.models import catalog
from fastrestore.models.spec import ModelSpec, Task, Tensor
from fastrestore.runtime.engine import BackendChoice
from fastrestore.runtime.treatments.colour import guess
from fastrestore.runtime.treatments.colour.guess import ColourGuesser, GuessSettings
from fastrestore.runtime.treatments.treatment import Shot

F32 = NDArray[np.float32]


class Painter:
    """A network that paints its upper half blue and its lower half red, and is surer of the blue."""

    def __init__(self, spec: ModelSpec) -> None:
        self.spec, self.largest = spec, None
        self.shown: list[F32] = []
        self.closed = False

    name = "painter"

    def unavailable_because(self) -> str | None:
        return None

    def describe(self) -> str:
        return "a painter"

    def open(self, spec: ModelSpec, *, threads: int, size: Size | None = None) -> Self:
        return self

    def run(self, inputs: Mapping[str, F32], out: Mapping[str, F32]) -> None:
        grey = inputs["image"]
        self.shown.append(grey.copy())
        half = grey.shape[2] // 2
        out["coloured"][:] = grey
        out["coloured"][:, 2, :half] += 0.1
        out["coloured"][:, 0, half:] += 0.1
        if "confidence" in out:
            out["confidence"][:, :, :half] = 0.9
            out["confidence"][:, :, half:] = 0.4

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def spec_of(*outputs: Tensor, task: Task = Task.COLOUR) -> ModelSpec:
    return ModelSpec(
        "painter", "painter", task, "s", "l", "s", multiple_px=16, inputs=(Tensor("image", 3),), outputs=outputs
    )


SURE = spec_of(Tensor("coloured", 3), Tensor("confidence", 1))


@pytest.fixture
def painter(monkeypatch: pytest.MonkeyPatch) -> Painter:
    painter = Painter(SURE)
    monkeypatch.setattr(catalog, "find", lambda name: painter.spec)
    monkeypatch.setattr(guess, "choose_backend", lambda name, networks: BackendChoice(painter, "the test's"))
    return painter


def test_a_shot_is_guessed_once_and_carried(painter: Painter, tmp_path: Path) -> None:
    film = ball_film((160, 120), 10)
    pictures = [picture(luma) for luma in film.luma]
    opened = open_stage(pictures, tmp_path, guess="painter,every=20")
    report = opened.treatment.report(opened.film.shots[0])
    assert report["from"] == "painter" and report["at_s"] == f"{5 / 16:.3f}"
    assert len(painter.shown) == 1 and painter.closed
    for index in (0, 5, 9):
        chroma = chroma_of(opened.apply(index))
        assert chroma[:20, :, 0].mean() > 5 and chroma[-20:, :, 1].mean() > 5
    again = open_stage(pictures, tmp_path, guess="painter,every=20")
    assert not again.reads and len(painter.shown) == 1
    open_stage(pictures, tmp_path, guess="painter,every=5")
    assert len(painter.shown) == 3


def test_the_network_sees_grey_of_the_size_it_takes(painter: Painter) -> None:
    info = StreamInfo(Size(640, 350), picture(np.zeros((350, 640), np.uint8)).format, COLOUR)
    guesser = ColourGuesser(GuessSettings("painter", side=100), info)
    luma = np.full((175, 320), 16 + 219 // 2, np.uint8)
    anchor = guesser.anchor(luma)
    assert painter.shown[0].shape == (1, 3, 48, 96)
    np.testing.assert_allclose(painter.shown[0], 109 / 219, atol=1e-6)
    assert anchor.chroma.shape == (175, 320, 2)
    np.testing.assert_allclose(anchor.chroma[20, 20], (0.1 * 112, -0.1 * 0.114 / 1.402 * 224), atol=0.05)
    assert anchor.trust[20, 20] == pytest.approx(0.9) and anchor.trust[-20, 20] == pytest.approx(0.4)
    guesser.close()


def test_key_frames_lie_in_the_middle_of_equal_stretches(painter: Painter) -> None:
    info = StreamInfo(Size(64, 64), picture(np.zeros((64, 64), np.uint8)).format, COLOUR)
    guesser = ColourGuesser(GuessSettings("painter", every=10), info)
    assert guesser.key_frames(Shot(0, 100, 101)) == (100,)
    assert guesser.key_frames(Shot(0, 100, 110)) == (105,)
    assert guesser.key_frames(Shot(0, 100, 120)) == (105, 115)
    assert guesser.key_frames(Shot(0, 100, 121)) == (103, 110, 117)


def test_where_colours_did_not_last_it_guesses_again(painter: Painter, tmp_path: Path) -> None:
    # What is filmed changes into something else, which is no cut.
    film, other = ball_film((160, 120), 12), ball_film((160, 120), 12, speed=4)
    shares = np.clip((np.arange(12) - 6) / 4, 0, 1)
    pictures = [
        picture(np.rint(a * (1 - share) + b[::-1, ::-1] * share).astype(np.uint8))
        for a, b, share in zip(film.luma, other.luma, shares, strict=True)
    ]
    opened = open_stage(pictures, tmp_path, guess="painter,every=100")
    (shot,) = opened.film.shots
    times = str(opened.treatment.report(shot)["at_s"]).split(", ")
    assert len(times) >= 2 and len(opened.reads) == 2
    assert len(list((tmp_path / "colour").glob("*.zip"))) == 1
    again = open_stage(pictures, tmp_path, guess="painter,every=100")
    assert not again.reads and str(again.treatment.report(shot)["at_s"]).split(", ") == times


@pytest.mark.parametrize("word", ["m,every", "m,every=0", "m,every=x", "m,side=32", "m,more=1", "m,side=-4"])
def test_words_that_mean_nothing(word: str) -> None:
    with pytest.raises(UsageError) as caught:
        GuessSettings.parse(word)
    assert "MODEL" in caught.value.hint


def test_words_that_do() -> None:
    assert GuessSettings.parse("m, every=12,side=256") == GuessSettings("m", 12, 256)


@pytest.mark.parametrize("spec", [
    spec_of(Tensor("flow", 2)),
    spec_of(Tensor("coloured", 3, scale=2), task=Task.RESTORE),
    spec_of(Tensor("flow", 3), task=Task.MOTION),
])  # fmt: skip
def test_a_network_that_gives_no_colours(painter: Painter, spec: ModelSpec) -> None:
    painter.spec = spec
    info = StreamInfo(Size(64, 64), picture(np.zeros((64, 64), np.uint8)).format, COLOUR)
    with pytest.raises(UsageError, match="no colours"):
        ColourGuesser(GuessSettings("painter"), info)


def test_a_network_that_tells_nothing_of_its_confidence(painter: Painter) -> None:
    painter.spec = spec_of(Tensor("coloured", 3), task=Task.RESTORE)
    info = StreamInfo(Size(64, 64), picture(np.zeros((64, 64), np.uint8)).format, COLOUR)
    anchor = ColourGuesser(GuessSettings("painter"), info).anchor(np.full((64, 64), 90, np.uint8))
    assert (anchor.trust == anchor.trust[0, 0]).all() and 0.5 < anchor.trust[0, 0] < 1
