"""Motion training: narrower networks start near the wide one, runs resume exactly, and what is measured is left out."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch trains the networks; the product does not need it")
pytest.importorskip("onnxruntime", reason="figures are measured with ONNX Runtime")

from fastrestore.export.arch.rife.facts import GRAPHS, NARROWER_4_0  # noqa: E402
from fastrestore.export.arch.rife.network import IFNet  # noqa: E402
from fastrestore.export.train.motion.data import TripletPool  # noqa: E402
from fastrestore.export.train.motion.evaluate import CLIPS, means  # noqa: E402
from fastrestore.export.train.motion.recipe import RECIPES, MotionRecipe, training_clips  # noqa: E402
from fastrestore.export.train.motion.scene import PATCH_PX, drawn_triplet  # noqa: E402
from fastrestore.export.train.motion.slim import slimmed  # noqa: E402
from fastrestore.export.train.motion.train import (  # noqa: E402
    MotionTrainer,
    border_shares,
    distil_first_block,
    starting_network,
)

NAMES = sorted(tomllib.loads(RECIPES.read_text(encoding="utf-8")).keys() - {"clips"})
SMALL = MotionRecipe(
    name="small",
    widths=(8, 8, 4, 4),
    init_from="wide",
    distil_steps=2,
    real_share=0.5,
    steps=6,
    warmup_steps=2,
    batch=2,
    learning_rate=1e-3,
    final_learning_rate=1e-5,
    ema=0.9,
    seed=3,
)
WIDE = replace(GRAPHS[0], widths=(16, 12, 8, 4))


def network() -> IFNet:
    torch.manual_seed(0)
    return IFNet(WIDE).eval()


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> TripletPool:
    """A picture that moves by two pixels from one frame to the next."""
    rng = np.random.default_rng(4)
    scene = rng.integers(0, 256, (4, 3, 64, 70), dtype=np.uint8)
    frames = {name: scene[..., 2 * i : 2 * i + 64] for i, name in enumerate(("left", "middle", "right"))}
    path = tmp_path_factory.mktemp("pool") / "pool.npz"
    np.savez(path, allow_pickle=False, t=np.asarray([0.5, 0.25, 0.5, 0.75], np.float32), **frames)
    return TripletPool(path)


def test_a_batch_goes_either_way_in_time(pool: TripletPool) -> None:
    rng, ways = np.random.default_rng(0), set()
    for _ in range(20):
        left, middle, right, t = pool.sample(rng, 1)
        assert left.shape == middle.shape == right.shape == (1, 3, 64, 64)
        assert t.shape == (1, 1, 1, 1)
        moved = [
            np.abs(np.roll(left.numpy(), shift, axes) - right.numpy()).mean() for axes in (2, 3) for shift in (4, -4)
        ]
        assert min(moved) < 0.1  # the same scene, whatever the turn
        ways.add(float(t))
    assert ways == {0.25, 0.5, 0.75}


def test_slimming_to_the_same_widths_changes_nothing(pool: TripletPool) -> None:
    whole = network()
    left, _, right, t = pool.sample(np.random.default_rng(0), 2)
    same = slimmed(whole, WIDE.widths, left, right, t).eval()
    with torch.inference_mode():
        for found, wanted in zip(same(left, right, t), whole(left, right, t), strict=True):
            assert torch.equal(found, wanted)


def test_slimming_leaves_out_what_is_not_used(pool: TripletPool) -> None:
    whole = network()
    unused = [1, 4, 5, 9, 10, 11, 14, 15]
    with torch.no_grad():
        whole.block0.convblock[3][0].weight[unused] = 0.0
        whole.block0.convblock[3][0].bias[unused] = 0.0
        for part in (whole.block0.conv0[1], *whole.block0.convblock[:3], *whole.block0.convblock[4:]):
            part[0].weight[unused] = 0.0
            part[0].bias[unused] = 0.0
        whole.block0.conv0[0][0].weight[[0, 1, 6, 7]] = 0.0
        whole.block0.conv0[0][0].bias[[0, 1, 6, 7]] = 0.0
    left, _, right, t = pool.sample(np.random.default_rng(0), 2)
    small = slimmed(whole, (8, 12, 8, 4), left, right, t).eval()
    with torch.inference_mode():
        found, wanted = small(left, right, t), whole(left, right, t)
    assert float((found[0] - wanted[0]).abs().max()) < 1e-4
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in whole.parameters())


def test_a_narrower_first_block_learns_what_the_wide_one_says(pool: TripletPool) -> None:
    whole, rng = network(), np.random.default_rng(1)
    left, _, right, t = pool.sample(rng, 4)
    small = slimmed(whole, SMALL.widths, left, right, t)

    def apart() -> float:
        with torch.inference_mode():
            seen = torch.cat((left, right), 1)
            return float((small.block0(seen, t, None).flow - whole.block0(seen, t, None).flow).abs().mean())

    before, others = apart(), small.block1.lastconv.weight.clone()
    distil_first_block(small, whole, pool, rng, 20)
    assert apart() < before
    assert torch.equal(small.block1.lastconv.weight, others)


def test_a_recipe_starts_from_the_one_before(pool: TripletPool, tmp_path: Path) -> None:
    torch.save({"average": IFNet(GRAPHS[0]).state_dict()}, tmp_path / "wide.pt")
    start = starting_network(replace(SMALL, widths=(32, 32, 16, 16)), tmp_path, None, pool)
    assert tuple(start.facts.widths) == (32, 32, 16, 16)
    with pytest.raises(ValueError, match="name it by --rife"):
        starting_network(replace(SMALL, init_from="rife-4.0"), tmp_path, None, pool)


def test_a_resumed_run_equals_an_uninterrupted_one(pool: TripletPool, tmp_path: Path) -> None:
    def run(trainer: MotionTrainer, steps: int) -> list[float]:
        return [trainer.step(pool.sample(trainer.rng, 2)) for _ in range(steps)]

    whole, first, second = (MotionTrainer(SMALL, network(), minutes=None) for _ in range(3))
    losses = run(whole, 4)
    begun = run(first, 2)
    first.save(tmp_path / "small.pt")
    second.load(tmp_path / "small.pt")

    assert begun + run(second, 2) == losses
    for name, value in whole.average.state_dict().items():
        assert torch.equal(value, second.average.state_dict()[name]), name


def test_only_the_inside_of_a_picture_counts() -> None:
    shares = border_shares(torch.zeros(1, 3, 64, 80))
    assert float(shares.mean()) == pytest.approx(1.0)
    assert float(shares[:24].abs().max()) == float(shares[:, -24:].abs().max()) == 0.0


def test_drawn_neighbours_are_nearer_to_the_middle_the_nearer_in_time() -> None:
    rng = np.random.default_rng(9)
    stills = [rng.integers(0, 256, (60, 80, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1) for _ in range(2)]
    changes = []
    for _ in range(6):
        left, middle, right, t = drawn_triplet(stills, rng)
        assert left.shape == middle.shape == right.shape == (PATCH_PX, PATCH_PX, 3)
        assert 0.0 < t < 1.0
        before, after = (np.abs(f.astype(float) - middle).mean() for f in (left, right))
        changes.append(abs(before / (before + after) - t) if before + after > 0 else 0.0)
    assert np.mean(changes) < 0.3


def test_nothing_that_motion_is_measured_on_is_trained_on() -> None:
    trained = training_clips()
    assert sum(clip.share for clip in trained.values()) == pytest.approx(1.0)
    for name, (first, count) in CLIPS.items():
        for begin, end in trained[name].spans if name in trained else ():
            assert end <= first or begin >= first + count, name
    assert {"davis_blackswan.mp4", "oldfilm_raywzy_003_16fps.mp4"} <= CLIPS.keys() - trained.keys()


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_fits_its_network(name: str) -> None:
    recipe = MotionRecipe.load(name)
    assert recipe.init_from in (*NAMES, "rife-4.0")
    if name == "motion-base":
        assert recipe.widths == tuple(NARROWER_4_0.widths)
        assert sum(p.numel() for p in IFNet(NARROWER_4_0).parameters()) < 3_000_000


def test_means_count_every_case_alike() -> None:
    case = {"network": {"psnr_y_db": 30.0, "ssim_y": 0.9}}
    other = {"network": {"psnr_y_db": 40.0, "ssim_y": 0.7}}
    assert means({"a 1": case, "a 2": other}) == {"network": {"psnr_y_db": 35.0, "ssim_y": 0.8}}
