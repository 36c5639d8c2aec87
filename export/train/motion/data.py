"""Triplets for motion networks: two frames and one between them, cut from clips or drawn from photographs.

`python -m fastrestore.export.train.motion.data --clips CLIPS_DIR --stills STILLS_DIR --work WORK_DIR`

writes the pools `motion-real.npz` and `motion-drawn.npz`.
"""

import argparse
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fastrestore.export.train.data import training_stills
from fastrestore.export.train.motion.recipe import ClipShare, training_clips
from fastrestore.export.train.motion.scene import PATCH_PX, drawn_triplet
from fastrestore.export.train.quality import psnr_y
from fastrestore.export.train.resize import Bytes, to_bytes
from fastrestore.frames import Picture
from fastrestore.geometry import Size
from fastrestore.kernels.ops import Ops, open_ops
from fastrestore.runtime.media.reader import VideoReader
from fastrestore.runtime.motion import DisEstimator

LOG = logging.getLogger(__name__)
SEED = 20261133
FARTHEST_FRAMES = 4
"""How far a neighbour may be from the frame between."""
LIKELY_DISTANCES = (0.4, 0.3, 0.15, 0.15)
"""Of neighbours equally far on both sides, which 7 of 10 triplets have: 1, 2, 3 and 4 frames."""
LEAST_CHANGE, MOST_CHANGE = 0.3, 30.0
"""Mean difference of the neighbours in 8-bit levels: less is a still, more is a cut or a flash."""
LEAST_PSNR_DB = 17.0
"""Where classical motion ends below this, the shot was cut."""
LARGE_PX = 960
"""Frames at least so wide are halved one time in two."""


class Triplets(NamedTuple):
    """A batch: neighbours, the frame between them, and when that is."""

    left: Tensor
    """`(N, 3, H, W)`, float32, RGB, range `[0, 1]`."""
    middle: Tensor
    """Likewise."""
    right: Tensor
    """Likewise."""
    t: Tensor
    """`(N, 1, 1, 1)`, float32, in (0, 1): 0 is the left picture's instant."""


class TripletPool:
    """Triplets held in memory, drawn with turns, flips and both directions of time.

    Args:
        path: `.npz` with `left`, `middle`, `right`, `(M, 3, P, P)` uint8, and `t`, `(M,)` float32.
    """

    def __init__(self, path: Path) -> None:
        with np.load(path) as stored:
            self._pictures = [np.asarray(stored[name]) for name in ("left", "middle", "right")]
            self._t = np.asarray(stored["t"])

    def __len__(self) -> int:
        return len(self._t)

    def sample(self, rng: np.random.Generator, count: int) -> Triplets:
        """Draw `count` triplets, every one equally likely; one symmetry of the square for all."""
        chosen, turn, backwards = rng.integers(len(self), size=count), int(rng.integers(8)), rng.random() < 0.5
        parts = [torch.from_numpy(_turned(pictures[chosen], turn)).float().div_(255.0) for pictures in self._pictures]
        t = torch.from_numpy(self._t[chosen]).reshape(-1, 1, 1, 1)
        left, middle, right = parts
        return Triplets(right, middle, left, 1.0 - t) if backwards else Triplets(left, middle, right, t)


def _turned(pictures: Bytes, turn: int) -> Bytes:
    """Apply one of the eight symmetries of the square to `(N, 3, P, P)`."""
    pictures = np.rot90(pictures, turn % 4, axes=(2, 3))
    return np.ascontiguousarray(pictures[..., ::-1] if turn >= 4 else pictures)


class _Pool:
    """A pool that is being filled."""

    def __init__(self) -> None:
        self.parts: dict[str, list[Bytes]] = {"left": [], "middle": [], "right": []}
        self.t: list[float] = []

    def add(self, left: Bytes, middle: Bytes, right: Bytes, t: float) -> None:
        """Add one triplet of `(P, P, 3)` pictures."""
        for name, picture in zip(self.parts, (left, middle, right), strict=True):
            self.parts[name].append(np.ascontiguousarray(picture.transpose(2, 0, 1)))
        self.t.append(t)

    def save(self, path: Path) -> None:
        """Write the pool."""
        stacks = {name: np.stack(pictures) for name, pictures in self.parts.items()}
        np.savez(path, t=np.asarray(self.t, np.float32), allow_pickle=False, **stacks)


def cut_clips(folder: Path, count: int, rng: np.random.Generator) -> _Pool:
    """Cut about `count` real triplets from the clips of the recipe."""
    pool, ops = _Pool(), open_ops("cpu")
    for name, clip in training_clips().items():
        with VideoReader(folder / name) as video:
            frames = [frame.picture for frame in video]
        wanted = len(pool.t) + round(count * clip.share)
        source = _real_triplets(frames, clip, ops, rng)
        while len(pool.t) < wanted:
            for patch in _patches(*next(source), rng):
                pool.add(*patch)
        LOG.info("%s: %d triplets so far", name, len(pool.t))
    return pool


def _real_triplets(
    frames: Sequence[Picture], clip: ClipShare, ops: Ops, rng: np.random.Generator
) -> Iterator[tuple[Bytes, Bytes, Bytes, float]]:
    """Yield whole triplets of one shot, `(H, W, 3)` uint8, and their instant."""
    estimator = DisEstimator(ops)
    while True:
        begin, end = clip.spans[int(rng.integers(len(clip.spans)))]
        before, after = _distances(rng)
        at = int(rng.integers(begin + before, end - after))
        left, middle, right = (frames[i] for i in (at - before, at, at + after))
        change = np.abs(left.planes[0][::4, ::4].astype(np.float32) - right.planes[0][::4, ::4]).mean()
        if not LEAST_CHANGE < change < MOST_CHANGE:
            continue
        if left.size.width >= LARGE_PX and rng.random() < 0.5:
            left, middle, right = (_halved(picture, ops) for picture in (left, middle, right))
        t = before / (before + after)
        made = ops.synthesize(left, right, estimator.pair(left, right).at(t), t)
        first, between, last = (rgb_bytes(picture, ops) for picture in (left, middle, right))
        if psnr_y(rgb_bytes(made, ops), between) >= LEAST_PSNR_DB:
            yield first, between, last, t


def _distances(rng: np.random.Generator) -> tuple[int, int]:
    """Draw how many frames lie from the left neighbour to the middle, and from there to the right one."""
    if rng.random() < 0.7:
        both = 1 + int(rng.choice(FARTHEST_FRAMES, p=LIKELY_DISTANCES))
        return both, both
    before, after = rng.integers(1, FARTHEST_FRAMES + 1, size=2)
    return int(before), int(after)


def _patches(
    left: Bytes, middle: Bytes, right: Bytes, t: float, rng: np.random.Generator
) -> Iterator[tuple[Bytes, Bytes, Bytes, float]]:
    """Cut two patches, each where most changes of three places tried."""
    height, width = left.shape[:2]
    if min(height, width) < PATCH_PX:
        short = [(0, max(0, PATCH_PX - height)), (0, max(0, PATCH_PX - width)), (0, 0)]
        left, middle, right = (np.pad(picture, short, mode="reflect") for picture in (left, middle, right))
        height, width = left.shape[:2]
    for _ in range(2):
        corners = [
            (int(rng.integers(height - PATCH_PX + 1)), int(rng.integers(width - PATCH_PX + 1))) for _ in range(3)
        ]
        places = [np.s_[y : y + PATCH_PX, x : x + PATCH_PX] for y, x in corners]
        place = max(places, key=lambda p: np.abs(left[p][..., 1].astype(np.int16) - right[p][..., 1]).mean())
        yield left[place], middle[place], right[place], t


def _halved(picture: Picture, ops: Ops) -> Picture:
    size = Size(picture.size.width // 4 * 2, picture.size.height // 4 * 2)
    return ops.from_rgb(ops.to_rgb(picture), size, picture.format, picture.colour)


def rgb_bytes(picture: Picture, ops: Ops) -> Bytes:
    """Return a picture as `(H, W, 3)`, uint8, RGB."""
    return to_bytes(255.0 * ops.to_rgb(picture).transpose(1, 2, 0))


def draw(folder: Path, count: int, rng: np.random.Generator) -> _Pool:
    """Draw `count` triplets from the training photographs."""
    pool, stills = _Pool(), training_stills(folder)
    for _ in range(count):
        pool.add(*drawn_triplet(stills, rng))
    return pool


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and write both pools."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=Path, required=True, help="folder of the clips that the recipe names")
    parser.add_argument("--stills", type=Path, required=True, help="folder of training photographs")
    parser.add_argument("--work", type=Path, required=True, help="the pools go here")
    parser.add_argument("--real", type=int, default=1800, help="triplets from clips; default: %(default)s")
    parser.add_argument("--drawn", type=int, default=800, help="drawn triplets; default: %(default)s")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    rng = np.random.default_rng(SEED)
    cut_clips(options.clips, options.real, rng).save(options.work / "motion-real.npz")
    draw(options.stills, options.drawn, rng).save(options.work / "motion-drawn.npz")


if __name__ == "__main__":
    main()
