"""Make the pool of a film network: degraded patches, their originals, and the teacher's results.

`python -m fastrestore.export.train.teacher --recipe film-x2-tiny --stills STILLS_DIR
--weights WEIGHTS_DIR --work WORK_DIR`
"""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from fastrestore.export.arch.srvgg.network import SRVGG, load_srvgg, read_state
from fastrestore.export.train.data import busyness, training_stills
from fastrestore.export.train.degrade import LUMA, Degradation, degrade
from fastrestore.export.train.recipe import Recipe
from fastrestore.export.train.resize import Bytes, Floats, to_bytes

LOG = logging.getLogger(__name__)
PATCH_PX = 64
"""Side of a degraded patch."""
STRONG_SHARE = 0.7
"""Share of the strongly denoising checkpoint in the teacher; the rest is the weakly denoising one."""
REDUCTIONS = (1.0, 1.0, 0.75, 0.5)
"""Sizes, equally likely, at which a still is cut into patches."""
CHUNK = 8
"""Patches per run of the teacher."""


class Teacher:
    """The published x4 network, brought to another scale and to the tone of the original.

    Args:
        weights: Folder with `realesr-general-x4v3.pth` and `realesr-general-wdn-x4v3.pth`.
        scale: Enlargement wanted, 4 or a divisor of it.
    """

    def __init__(self, weights: Path, scale: int) -> None:
        self._network = load_teacher(weights)
        self._reduction = self._network.scale // scale

    @torch.inference_mode()
    def __call__(self, low: Bytes) -> Bytes:
        """Restore `(N, H, W, 3)` uint8 RGB to `(N, H * scale, W * scale, 3)` uint8 RGB, in its own tone."""
        return to_bytes(self._enlarge(low))

    @torch.inference_mode()
    def restore(self, low: Bytes, original: Bytes) -> Bytes:
        """Restore patches and give them the tone of the original.

        Args:
            low: `(N, P, P, 3)`, uint8, RGB.
            original: `(N, P * scale, P * scale, 3)`, uint8, RGB: gives the tone.

        Returns:
            As `original`.
        """
        return np.stack([_in_tone(r, o) for r, o in zip(self._enlarge(low), original, strict=True)])

    def _enlarge(self, low: Bytes) -> Floats:
        """Return the network's result, reduced to the scale wanted, `(N, H, W, 3)`, float32, `[0, 255]`."""
        given = torch.from_numpy(low).permute(0, 3, 1, 2).float().div(255.0)
        large = nn.functional.avg_pool2d(self._network(given), self._reduction)
        results: Floats = large.mul(255.0).permute(0, 2, 3, 1).numpy()
        return results


def load_teacher(weights: Path) -> SRVGG:
    """Return the published network, mixed of its two checkpoints in the folder `weights`."""
    strong = read_state(weights / "realesr-general-x4v3.pth")
    weak = read_state(weights / "realesr-general-wdn-x4v3.pth")
    return load_srvgg({STRONG_SHARE: strong, 1.0 - STRONG_SHARE: weak})


def make_pool(stills: list[Bytes], recipe: Recipe, teacher: Teacher, size: int) -> dict[str, Bytes]:
    """Make `size` patches; the keys are those that `PoolSampler` reads."""
    rng, ranges = np.random.default_rng(recipe.seed), Degradation.load()
    parts: dict[str, list[Bytes]] = {"low": [], "original": [], "teacher": []}
    for first in range(0, size, CHUNK):
        pairs = [
            degrade(cut_patch(stills, PATCH_PX * recipe.scale, rng), recipe.scale, ranges, rng)
            for _ in range(min(CHUNK, size - first))
        ]
        low, original = (np.stack(side) for side in zip(*pairs, strict=True))
        parts["low"].append(low)
        parts["original"].append(original)
        parts["teacher"].append(teacher.restore(low, original))
        if first % (CHUNK * 25) == 0:
            LOG.info("%d of %d patches", first, size)
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def cut_patch(stills: list[Bytes], side_px: int, rng: np.random.Generator) -> Bytes:
    """Cut a square out of a random still at a random size; of three candidates the busiest is taken."""
    still = stills[int(rng.integers(len(stills)))]
    reduction = float(rng.choice(REDUCTIONS))
    wide_px = round(side_px / reduction)
    if min(still.shape[:2]) < wide_px:
        reduction, wide_px = 1.0, side_px
    candidates = []
    for _ in range(3):
        y = int(rng.integers(still.shape[0] - wide_px + 1))
        x = int(rng.integers(still.shape[1] - wide_px + 1))
        candidates.append(still[y : y + wide_px, x : x + wide_px])
    patch = max(candidates, key=busyness)
    if reduction < 1.0:
        small = cv2.resize(patch, (side_px, side_px), interpolation=cv2.INTER_AREA)
        return np.asarray(small, dtype=np.uint8)
    return patch


def _in_tone(result: Floats, original: Bytes) -> Bytes:
    """Give `(H, W, 3)` `result`, range `[0, 255]`, the local mean of the original, and its greyness."""
    if bool((original == original[..., :1]).all()):
        result = np.repeat((result @ LUMA)[..., None], 3, axis=2)
    wanted = original.astype(np.float32)
    sigma = original.shape[0] / 16.0
    return to_bytes(np.asarray(result + cv2.GaussianBlur(wanted - result, (0, 0), sigma), np.float32))


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and write `pool-NAME.npz`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", required=True, help="a film recipe of recipes.toml")
    parser.add_argument("--stills", type=Path, required=True, help="folder of training photographs")
    parser.add_argument("--weights", type=Path, required=True, help="folder of the checkpoints")
    parser.add_argument("--work", type=Path, required=True, help="where the pool is written")
    parser.add_argument("--size", type=int, default=2000, help="number of patches")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    recipe = Recipe.load(options.recipe)
    teacher = Teacher(options.weights, recipe.scale)
    pool = make_pool(training_stills(options.stills), recipe, teacher, options.size)
    np.savez(options.work / recipe.pool_name, **pool)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
