"""What the default path promises about pictures, measured on real photographs and film."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from fastrestore import Frame, Picture
from fastrestore.compare import psnr
from fastrestore.config import Plan, cpu_count
from fastrestore.export.train import evaluate
from fastrestore.export.train.recipe import Recipe
from fastrestore.geometry import Size
from fastrestore.kernels.ops import open_ops
from fastrestore.models.catalog import find
from fastrestore.runtime.engine import choose_backend
from fastrestore.runtime.media.reader import VideoReader
from fastrestore.runtime.motion import DisEstimator
from fastrestore.runtime.parts import Stages
from fastrestore.runtime.pipeline import FramePipeline
from fastrestore.runtime.restorer import Output, Restorer

OPS = open_ops("cpu")
MODELS = Path(__file__).resolve().parents[2] / "models"


def first_frames(clip: Path, count: int) -> list[Frame]:
    with VideoReader(clip) as video:
        return [frame for _, frame in zip(range(count), video, strict=False)]


def halved(frame: Frame) -> Picture:
    size = frame.picture.size
    rgb = OPS.to_rgb(frame.picture)
    return OPS.from_rgb(rgb, Size(size.width // 2, size.height // 2), frame.picture.format, frame.picture.colour)


def luma(picture: Picture) -> np.ndarray:
    return np.asarray(picture.planes[0] / np.float32(255), np.float32)


@pytest.fixture(scope="module")
def plan_scores(clips: Path) -> dict[Plan, float]:
    """PSNR-Y of held-out middle frames, x2 with the shipped network, per order of work."""
    frames = first_frames(clips / "davis_blackswan.mp4", 17)
    rate, full = Fraction(15), frames[0].picture
    source = [Frame(halved(f), i / rate, 1 / rate) for i, f in enumerate(frames[::2])]
    scores = {}
    for plan in Plan:
        with choose_backend("auto").backend.open(find("clean-x2-tiny"), threads=0) as engine:
            restorer = Restorer([engine], OPS, Output(full.size, full.format, full.colour))
            pipeline = FramePipeline(Stages(OPS, restorer, DisEstimator(OPS), plan), source, 2 * rate)
            between = [f.picture for f in pipeline][1 : 2 * len(source) - 1 : 2]
        truth = [f.picture for f in frames[1::2]]
        scores[plan] = float(np.mean([psnr(luma(a), luma(b)) for a, b in zip(between, truth, strict=True)]))
    return scores


def test_guided_is_as_good_as_upscale_first(plan_scores: dict[Plan, float]) -> None:
    assert plan_scores[Plan.GUIDED] >= plan_scores[Plan.UPSCALE_FIRST] - 0.1


def test_guided_is_better_than_interpolate_first(plan_scores: dict[Plan, float]) -> None:
    assert plan_scores[Plan.GUIDED] > plan_scores[Plan.INTERPOLATE_FIRST]


EVERY_STILL = 20
A_FEW_STILLS = 6
"""Film damage takes long to undo by the classical methods that the networks are held against."""


def means(data: Path, network: str, stills: int) -> dict[str, float]:
    """Return mean PSNR-Y by method on stills left out of training, as the shipped figures are made."""
    recipe = Recipe.load(network)
    methods = evaluate.open_methods(recipe, MODELS, cpu_count())
    cases = evaluate.open_cases(recipe, data / "stills")
    assert len(cases) == EVERY_STILL
    return {
        name: row["psnr_y_db"] for name, row in evaluate.summarise(evaluate.measure(cases[:stills], methods)).items()
    }


def test_clean_x2_beats_bicubic_by_two_and_a_half_decibels(data: Path) -> None:
    scores = means(data, "clean-x2-tiny", EVERY_STILL)
    assert scores["network"] >= scores["bicubic"] + 2.5


@pytest.mark.parametrize("scale", [2, 4])
def test_the_base_film_networks_show_more_than_the_tiny_ones_and_are_as_true_as_their_teacher(scale: int) -> None:
    """Of the shipped figures: measured by the command that each names, on the very file that ships."""
    name = f"film-x{scale}-base"
    report = json.loads((MODELS / name / "figures.json").read_text(encoding="utf-8"))
    assert report["sha256"] == find(name).artifact("fp32").sha256
    ours, tiny, teacher = (report["mean"][method] for method in ("network", f"film-x{scale}-tiny", "teacher"))
    assert ours["gmsd_y"] < tiny["gmsd_y"]
    assert ours["sharpness"] > tiny["sharpness"]
    assert ours["psnr_y_db"] > teacher["psnr_y_db"] - 0.3
    assert ours["ssim_y"] > teacher["ssim_y"] - 0.01


@pytest.mark.parametrize(
    "stills", [A_FEW_STILLS, pytest.param(EVERY_STILL, marks=pytest.mark.slow)], ids=["some", "all"]
)
@pytest.mark.parametrize("network", ["film-x2-tiny", "film-x4-tiny", "film-x2-base", "film-x4-base"])
def test_film_beats_bicubic_denoising_and_the_clean_network(data: Path, network: str, stills: int) -> None:
    scores = {name: score for name, score in means(data, network, stills).items() if not name.startswith("film-")}
    ours = scores.pop("network")
    assert len(scores) == 3
    assert ours > max(scores.values()), scores
