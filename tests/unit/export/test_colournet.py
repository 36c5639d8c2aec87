"""The colour network, what it is trained on, and that training it teaches it something."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fastrestore.export import onnx_export, parity
from fastrestore.export.arch.colournet.network import ColourNet
from fastrestore.export.detect import detect
from fastrestore.export.train.colour.data import ColourSampler, split
from fastrestore.export.train.colour.evaluate import Case, chroma_error, chroma_of_tones
from fastrestore.export.train.colour.train import ColourRecipe, ColourTrainer, unlikelihood
from fastrestore.models.spec import Task


def still(seed: int = 0) -> np.ndarray:
    """Draw a blue sky over green ground."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((96, 128, 3), np.float32)
    picture[:48], picture[48:] = (110, 150, 220), (60, 110, 40)
    return np.clip(picture + rng.normal(0, 12, (96, 128, 1)), 0, 255).astype(np.uint8)


def test_colours_keep_the_luma_that_was_given() -> None:
    torch.manual_seed(1)
    network = ColourNet().eval()
    torch.nn.init.normal_(network.last.weight, std=0.1)
    image = torch.rand(2, 1, 32, 48).expand(2, 3, 32, 48)
    with torch.inference_mode():
        coloured, confidence = network(image)
    luma = (coloured * torch.tensor([0.299, 0.587, 0.114]).reshape(1, 3, 1, 1)).sum(1)
    assert torch.allclose(luma, image[:, 0], atol=1e-5)
    assert coloured.std(dim=1).max() > 0.001
    assert confidence.shape == (2, 1, 32, 48) and 0 < float(confidence.min()) <= float(confidence.max()) < 1


def test_a_checkpoint_is_known_for_what_it_is() -> None:
    found = detect(ColourNet().state_dict())
    assert (found.task, found.multiple_px) == (Task.COLOUR, 16)
    assert [(tensor.channels, tensor.scale) for tensor in found.outputs] == [(3, 1), (1, 1)]


@pytest.mark.slow  # tracing takes ten seconds; whoever exports proves it anyway
def test_the_export_computes_the_same(tmp_path: Path) -> None:
    torch.manual_seed(2)
    network = ColourNet()
    torch.nn.init.normal_(network.last.weight, std=0.05)
    exported = onnx_export.write(detect(network.state_dict()), tmp_path / "net.onnx", "fp32")
    assert all(found.holds for found in parity.prove(detect(network.state_dict()), exported))


def test_samples_are_worn_and_their_chroma_is_not() -> None:
    sampler = ColourSampler([still()], batch=4, patch_px=32)
    one, other = (sampler.sample(np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(one.luma, other.luma)
    assert one.luma.shape == (4, 1, 32, 32) and one.chroma.shape == (4, 2, 16, 16)
    assert one.luma.min() >= 0 and one.luma.max() <= 1 and len(np.unique(one.luma.mean(axis=(1, 2, 3)))) == 4
    truth = split(still().astype(np.float32) / np.float32(255))[1].reshape(-1, 2)
    assert one.chroma.min() >= truth.min() - 0.01 and one.chroma.max() <= truth.max() + 0.01


def test_the_likeliest_guess_is_the_truth() -> None:
    wanted = torch.full((1, 2, 4, 4), 0.1)
    tight, wide = torch.full((1, 1, 4, 4), 0.02), torch.full((1, 1, 4, 4), 0.2)
    right = unlikelihood(wanted, tight, wanted, 1.0)
    assert right < unlikelihood(wanted, wide, wanted, 1.0) < unlikelihood(wanted * 0, tight, wanted, 1.0)
    assert unlikelihood(wanted * 0, wide, wanted, 1.0) < unlikelihood(wanted * 0, tight, wanted, 1.0)


@pytest.fixture(scope="module")
def trained() -> ColourTrainer:
    recipe = ColourRecipe.load()
    trainer = ColourTrainer(replace(recipe, steps=40, warmup_steps=4, batch=4, patch_px=32, ema=0.8), None)
    sampler = ColourSampler([still(seed) for seed in range(4)], 4, 32)
    while trainer.share_done < 1:
        trainer.step(sampler.sample(trainer.rng))
    return trainer


def test_training_beats_grey_on_pictures_of_its_kind(trained: ColourTrainer) -> None:
    case = Case("new", *split(still(99).astype(np.float32) / np.float32(255)))
    found = chroma_error(trained.average, [case], chroma_of_tones([still(1)]))
    assert found.network < 0.7 * found.grey and found.better_than_grey == 1
    assert found.mean_of_tone < found.mean < found.grey * 1.2


def test_a_run_goes_on_where_it_was_saved(trained: ColourTrainer, tmp_path: Path) -> None:
    trained.keep_best(3.0)
    trained.keep_best(4.0)
    trained.save(tmp_path / "run.pt")
    again = ColourTrainer(trained.recipe, None)
    again.load(tmp_path / "run.pt")
    assert (again.progress.step, again.best_error) == (40, 3.0)
    assert again.rng.bit_generator.state == trained.rng.bit_generator.state
    for one, other in zip(again.best.parameters(), trained.average.parameters(), strict=True):
        assert torch.equal(one, other)
