"""Training repeats itself, resumes exactly, starts from smaller networks, and keeps its test pictures apart."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch trains the networks; the product does not need it")
pytest.importorskip("onnxruntime", reason="figures are measured with ONNX Runtime")

from fastrestore.export.arch.plainsr.network import PlainSR  # noqa: E402
from fastrestore.export.arch.srvgg.network import SRVGG  # noqa: E402
from fastrestore.export.train.data import CleanSampler, held_out_names, reduce, validation_names  # noqa: E402
from fastrestore.export.train.evaluate import Case  # noqa: E402
from fastrestore.export.train.gradients import gradient_dissimilarity  # noqa: E402
from fastrestore.export.train.grow import grow, of_smaller_scale  # noqa: E402
from fastrestore.export.train.muon import orthogonal  # noqa: E402
from fastrestore.export.train.narrow import narrowed  # noqa: E402
from fastrestore.export.train.quality import gmsd_y, sharpness  # noqa: E402
from fastrestore.export.train.recipe import RECIPES, LossWeights, Recipe  # noqa: E402
from fastrestore.export.train.thin import START, thinned  # noqa: E402
from fastrestore.export.train.train import Trainer, distance, edge_shares, open_network, to_tensor, train  # noqa: E402

NAMES = tomllib.loads(RECIPES.read_text(encoding="utf-8")).keys() - {"degradation"}
SHIPPED = [name for name in NAMES if name.endswith(("-tiny", "-base"))]
SMALL = Recipe(
    name="small",
    data="clean",
    scale=2,
    channels=16,
    convs=3,
    steps=6,
    warmup_steps=2,
    batch=2,
    lr_patch_px=12,
    learning_rate=1e-3,
    final_learning_rate=1e-5,
    ema=0.9,
    seed=3,
    init_from="",
    loss=LossWeights(original=1.0, teacher=0.0, log_error=0.1),
    optimiser="muon",
    error_share=0.5,
    edge_weight=0.1,
)


@pytest.fixture(scope="module")
def stills() -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    return [rng.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(3)]


def run(trainer: Trainer, sampler: CleanSampler, steps: int) -> list[float]:
    return [trainer.step(sampler.sample(trainer.rng)) for _ in range(steps)]


@pytest.mark.parametrize(("network", "optimiser"), [("plain", "adam"), ("plain", "muon"), ("srvgg", "muon")])
def test_a_resumed_run_equals_an_uninterrupted_one(
    network: Literal["plain", "srvgg"], optimiser: Literal["adam", "muon"], stills: list[np.ndarray], tmp_path: Path
) -> None:
    recipe = replace(SMALL, network=network, optimiser=optimiser)
    sampler = CleanSampler(stills, recipe)
    whole, first, second = (Trainer(recipe, minutes=None) for _ in range(3))
    losses = run(whole, sampler, 6)

    begun = run(first, sampler, 3)
    first.save(tmp_path / "small.pt")
    second.load(tmp_path / "small.pt")

    assert begun + run(second, sampler, 3) == losses
    assert second.progress.step == whole.progress.step
    for name, value in whole.average.state_dict().items():
        assert torch.equal(value, second.average.state_dict()[name]), name


def test_training_lowers_the_loss_and_ends_with_a_checkpoint(stills: list[np.ndarray], tmp_path: Path) -> None:
    recipe = replace(SMALL, steps=40, learning_rate=3e-3)
    sampler = CleanSampler(stills, recipe)
    trainer = Trainer(recipe, minutes=None)
    before = run(Trainer(replace(recipe, learning_rate=0.0, final_learning_rate=0.0), None), sampler, 40)
    cases = [Case("noise", reduce(stills[0], 2), stills[0])]

    train(trainer, sampler, tmp_path / "small.pt", cases)

    again = Trainer(recipe, minutes=None)
    again.load(tmp_path / "small.pt")
    assert again.progress.step == 40
    assert np.mean(run(again, sampler, 20)) < np.mean(before)


@pytest.mark.parametrize(("scale", "channels", "convs"), [(2, 16, 3), (4, 16, 3), (2, 32, 3), (2, 16, 6), (4, 48, 5)])
def test_a_grown_network_begins_with_the_results_of_the_small_one(scale: int, channels: int, convs: int) -> None:
    torch.manual_seed(0)
    small, large = PlainSR(2, 16, 3), PlainSR(scale, channels, convs)
    torch.nn.init.normal_(small.last.weight, std=0.05)
    image = torch.rand(1, 3, 9, 11)

    large.load_state_dict(grow(small.state_dict(), large.state_dict()))

    with torch.inference_mode():
        wanted = small(image)
        found = large(image)
    wanted = wanted.repeat_interleave(scale // 2, 2).repeat_interleave(scale // 2, 3)
    assert float((found - wanted).abs().max()) < 1e-5


def test_new_channels_of_a_grown_network_learn() -> None:
    torch.manual_seed(0)
    small, large = PlainSR(2, 16, 3), PlainSR(2, 32, 4)
    large.load_state_dict(grow(small.state_dict(), large.state_dict()))
    large(torch.rand(1, 3, 12, 12)).square().mean().backward()
    assert float(large.last.weight.grad[:, 16:].abs().max()) > 0.0


def test_narrowing_leaves_out_channels_that_are_constant_or_unused() -> None:
    torch.manual_seed(0)
    network, pictures = PlainSR(2, 16, 3), torch.rand(2, 3, 12, 12)
    torch.nn.init.normal_(network.last.weight, std=0.05)
    with torch.no_grad():
        network.body[2].weight[[1, 7]] = 0.0
        network.body[2].bias[1], network.body[2].bias[7] = 0.3, -1.0  # always 0.3, and never alive
        network.last.weight[:, [0, 4, 5, 9, 12, 15]] *= 1e-6
        network.last.weight[:, 1] *= 1e-2
    small = PlainSR(2, 16, 3, last_channels=8)

    small.load_state_dict(narrowed(network, 8, pictures))

    with torch.inference_mode():
        inside = (small(pictures) - network(pictures))[:, :, 2:-2, 2:-2]  # padding is seen by what is left out, too
    assert float(inside.abs().max()) < 1e-4


def test_a_recipe_may_start_from_a_network_whose_last_layer_is_wider(stills: list[np.ndarray]) -> None:
    recipe = replace(SMALL, last_channels=8)
    batch = CleanSampler(stills, recipe).sample(np.random.default_rng(0))
    wide = PlainSR(2, 16, 3)
    trainer = Trainer(recipe, minutes=None)

    trainer.start_from(wide.state_dict(), batch)

    assert trainer.network.last.in_channels == 8
    assert torch.equal(trainer.network.body[0].weight, wide.body[0].weight)
    assert np.isfinite(trainer.step(batch))


def test_thinning_loses_nothing_where_channels_are_unused_or_alike() -> None:
    torch.manual_seed(0)
    network, pictures = SRVGG(16, 2, 2), torch.rand(8, 3, 20, 20)
    with torch.no_grad():
        for convolution in list(network.body)[::2]:
            convolution.weight *= 3.0
            if convolution.out_channels == 16:
                convolution.weight[8:] = 0.05 * convolution.weight[:8]
                convolution.bias[8:] = 0.05 * convolution.bias[:8]
        wanted = network(pictures)

        small = thinned(network, 8, pictures)

        assert sum(p.numel() for p in small.parameters()) < 0.4 * sum(p.numel() for p in network.parameters())
        # Exactly so but for the ridge; the fresh network is far off.
        assert float((small(pictures) - wanted).abs().max()) < 0.01 * float(wanted.std())
        assert float((SRVGG(8, 2, 2)(pictures) - wanted).abs().max()) > 0.5 * float(wanted.std())


def test_a_network_of_smaller_scale_begins_with_the_means_of_pixels(stills: list[np.ndarray]) -> None:
    large = SRVGG(8, 1, 4)
    recipe = replace(SMALL, network="srvgg", channels=8)
    trainer, pictures = Trainer(recipe, minutes=None), torch.rand(2, 3, 9, 11)

    trainer.start_from(large.state_dict(), CleanSampler(stills, recipe).sample(np.random.default_rng(0)))

    with torch.inference_mode():
        wanted = torch.nn.functional.avg_pool2d(large(pictures), 2)
        assert float((trainer.average(pictures) - wanted).abs().max()) < 1e-5
    same = of_smaller_scale(large.state_dict(), 4)
    assert all(torch.equal(value, same[name]) for name, value in large.state_dict().items())


@pytest.mark.parametrize("shape", [(8, 24), (24, 8), (16, 16)])
def test_orthogonal_brings_singular_values_near_one(shape: tuple[int, int]) -> None:
    torch.manual_seed(1)
    values = torch.linalg.svdvals(orthogonal(torch.randn(shape)))
    assert 0.5 < float(values.min()) <= float(values.max()) < 1.3


def test_edge_shares_have_mean_one_and_cover_what_sees_padding() -> None:
    shares = edge_shares(24, 24, SMALL)
    rim = SMALL.convs * SMALL.scale
    assert float(shares.mean()) == pytest.approx(1.0)
    assert float(shares[0, 0] / shares[12, 12]) == pytest.approx(SMALL.edge_weight)
    assert float(shares[rim, rim]) == float(shares[12, 12])
    assert float(shares[rim - 1, 12]) < float(shares[12, 12])


def test_patches_are_drawn_where_bicubic_errs() -> None:
    still = np.full((160, 160, 3), 128, dtype=np.uint8)
    still[100:140, 20:60] = np.random.default_rng(0).integers(0, 256, (40, 40, 3))
    sampler = CleanSampler([still], replace(SMALL, error_share=1.0, batch=16))

    patches = sampler.sample(np.random.default_rng(1)).original

    assert all(patch.std() > 5.0 for patch in patches)


def test_validation_and_held_out_stills_are_disjoint() -> None:
    assert len(held_out_names()) == 20
    assert len(validation_names()) == 8
    assert not set(held_out_names()) & set(validation_names())


def test_sharpness_is_one_for_the_original_and_less_for_a_softer_picture() -> None:
    original = np.random.default_rng(2).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    softer = (original // 2).astype(np.uint8)
    assert sharpness(original, original) == pytest.approx(1.0)
    assert sharpness(softer, original) == pytest.approx(0.5, abs=0.02)


def test_gmsd_tells_blur_and_false_texture_from_a_change_of_brightness() -> None:
    import cv2

    original = np.zeros((64, 64, 3), np.uint8)
    original[16:48, 20:44] = 180
    blurred = cv2.GaussianBlur(original, (0, 0), 2.0)
    texture = (np.indices((64, 64)).sum(axis=0) // 4 % 2 * 40).astype(np.uint8)[..., None] + original
    assert gmsd_y(original, original) == 0.0
    assert gmsd_y(original + np.uint8(20), original) == pytest.approx(0.0, abs=1e-9)
    assert min(gmsd_y(blurred, original), gmsd_y(texture, original)) > 0.05


def test_gradients_of_the_teacher_cannot_be_had_by_blur_nor_by_texture() -> None:
    wanted = torch.zeros(1, 3, 32, 32)
    wanted[..., 16:] = 0.7
    blurred = torch.nn.functional.avg_pool2d(wanted, 5, 1, 2, count_include_pad=False)
    texture = wanted + 0.1 * (torch.arange(32) // 2 % 2)
    assert float(gradient_dissimilarity(wanted, wanted)) == pytest.approx(0.0, abs=1e-6)
    assert float(gradient_dissimilarity(wanted + 0.1, wanted)) == pytest.approx(0.0, abs=1e-5)
    for worse in (blurred, texture):
        assert float(gradient_dissimilarity(worse, wanted)) > 0.02


def test_a_film_recipe_learns_from_the_teachers_gradients(stills: list[np.ndarray]) -> None:
    recipe = replace(SMALL, loss=LossWeights(original=0.2, teacher=0.8, gradient=0.5))
    drawn = CleanSampler(stills, recipe).sample(np.random.default_rng(0))
    batch = replace(drawn, teacher=drawn.original)
    trainer = Trainer(recipe, minutes=None)
    plain = distance(
        trainer.network(to_tensor(batch.low, trainer.device)), batch, replace(recipe, loss=LossWeights(0.2, 0.8))
    )

    loss = trainer.step(batch)

    assert float(plain.detach()) < loss <= float(plain.detach()) + 0.5


def test_a_finished_run_becomes_a_file_of_each_precision(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="torch exports through onnxscript")
    from fastrestore.export.train.to_onnx import export_network

    torch.manual_seed(0)
    network = PlainSR(2, 16, 3)
    torch.nn.init.normal_(network.last.weight, std=0.02)

    paths = export_network(network.state_dict(), tmp_path / "small")

    assert sorted(path.name for path in (tmp_path / "small").iterdir()) == ["model.fp16.onnx", "model.fp32.onnx"]
    assert paths[1].stat().st_size < paths[0].stat().st_size


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    from fastrestore.export.train.to_onnx import export_network

    with pytest.raises(ValueError, match="of no network that is trained here"):
        export_network({"encoder.weight": torch.zeros(3, 3)}, tmp_path)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_recipe_fits_its_network(name: str) -> None:
    recipe = Recipe.load(name)
    parameters = sum(p.numel() for p in open_network(recipe).parameters())
    if name in SHIPPED:  # the others are parts of their training
        assert parameters <= (700_000 if name.endswith("-base") else 60_000)
    assert recipe.init_from in ("", START, *NAMES)
    assert recipe.pool == "" or Recipe.load(recipe.pool).scale == recipe.scale


def test_large_networks_store_their_weights_in_half_precision_and_compute_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript", reason="torch exports through onnxscript")
    import onnxruntime

    from fastrestore.export.train import to_onnx

    torch.manual_seed(0)
    network = PlainSR(2, 16, 3)
    torch.nn.init.normal_(network.last.weight, std=0.02)
    small = to_onnx.export_network(network.state_dict(), tmp_path / "small", ["fp32"])[0]
    monkeypatch.setattr(to_onnx, "LARGE_PARAMETERS", 100)

    large = to_onnx.export_network(network.state_dict(), tmp_path / "large", ["fp32"])[0]

    assert large.stat().st_size < 0.7 * small.stat().st_size
    stored = {tensor.data_type for tensor in onnx.load(large).graph.initializer if tensor.name.endswith(".half")}
    assert stored == {onnx.TensorProto.FLOAT16}
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(parameter.half())
        image = torch.rand(1, 3, 12, 10)
        wanted = network(image).numpy()
    session = onnxruntime.InferenceSession(large, providers=["CPUExecutionProvider"])
    assert np.abs(session.run(None, {"image": image.numpy()})[0] - wanted).max() < 1e-5
