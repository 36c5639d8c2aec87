"""Makes the trees that tell dust from what moves, from drawn dust on films that have none.

`python -m fastrestore.export.train.dust --out FILE.json CLIP[@FIRST-LAST]...`

What is learned from: half of the frames of each shot of the sample that comes with the package, aged by other seeds
than the sample itself, and the clips that are named, on which specks, flakes and hairs are drawn, and things as
small that fly past. The same clips give the same file.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from fastrestore.demo.ageing import AgeingSettings, age
from fastrestore.demo.scene import CUT_INDEX, FPS, FRAME_COUNT, draw
from fastrestore.frames import FORMATS, Colour, Matrix, Picture
from fastrestore.kernels.ops import open_ops
from fastrestore.runtime.media.reader import VideoReader
from fastrestore.runtime.treatments.clean.dust_forest import DEPTH, Forest
from fastrestore.runtime.treatments.clean.dust_sight import Limits, Sight, Spots
from fastrestore.runtime.treatments.clean.dust_traits import TRAITS, Cutting, cheap_traits, left, sought
from fastrestore.runtime.treatments.short_motion import ShortMotion

Image = NDArray[np.float32]
F64 = NDArray[np.float64]

_SEEDS: Final = (1, 2, 3, 4, 6, 8, 9, 10)  # of the sample's ageing; the sample's own is 1896
_SAMPLE: Final = AgeingSettings(specks=6.0)
_VISIBLE: Final = 12.0  # levels: three deviations of the sample's grain
_SPECKS, _FLAKES, _HAIRS = 6, 4, 1  # on every frame of a clip
_FLIERS: Final = 4  # things that cross a clip, as small and dark as dust
_ROWS: Final = 480
_TREES: Final = 140
_RATE: Final = 0.15
_RIDGE: Final = 2.0
_BINS: Final = 48


@dataclass(frozen=True)
class Soiled:
    """A frame and where dust can be seen on it."""

    luma: NDArray[np.uint8]
    dust: NDArray[np.bool_]
    spoiled: NDArray[np.bool_]
    """Where something else is wrong: nothing is learned there."""


def sample_shots(seeds: Sequence[int], *, second_half: bool = False) -> Iterator[list[Soiled]]:
    """Draw half of each shot of the embedded sample, with more dust."""
    for begin, end in ((0, CUT_INDEX), (CUT_INDEX, FRAME_COUNT)):
        middle = (begin + end) // 2
        numbers = range(middle - 1, end) if second_half else range(begin, middle + 1)
        scenes = [draw(float(index / FPS)) for index in numbers]
        for seed in seeds:
            yield [_aged(scene, index, seed) for scene, index in zip(scenes, numbers, strict=True)]


def _aged(scene: Image, index: int, seed: int) -> Soiled:
    settings = {name: getattr(_SAMPLE, name) for name in AgeingSettings.__dataclass_fields__} | {"seed": seed}
    dusty = age(scene, index, AgeingSettings(**settings))
    plain = age(scene, index, AgeingSettings(**settings | {"specks": 0.0, "hairs": 0.0}))
    change = cv2.absdiff(dusty.pixels, plain.pixels)
    return Soiled(dusty.pixels, change > _VISIBLE, dusty.scratched)


def clip_shot(clip: str, seed: int) -> list[Soiled]:
    """Read part of a clip and soil it. A frame of more than 670 rows is shrunken to 480."""
    name, _, part = clip.partition("@")
    first, last = (int(word) for word in part.split("-")) if part else (0, 10**9)
    ops, frames = open_ops(), []
    with VideoReader(Path(name)) as reader:
        for number, frame in enumerate(reader):
            if number > last:
                break
            if number >= first:
                luma = _crossed(_shrunken(ops.luma8(frame.picture)), number, seed)
                frames.append(_soiled(luma, np.random.default_rng([seed, number])))
    return frames


def _shrunken(luma: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = luma.shape
    if height <= 1.4 * _ROWS:
        return luma
    size = round(width * _ROWS / height), _ROWS
    return np.asarray(cv2.resize(luma, size, interpolation=cv2.INTER_AREA), np.uint8)


def _crossed(luma: NDArray[np.uint8], number: int, seed: int) -> NDArray[np.uint8]:
    """Draw what flies past: the same in every frame, but elsewhere."""
    picture = luma.astype(np.float32)
    for flier in range(_FLIERS):
        rng = np.random.default_rng([seed, flier, 1 << 20])
        heading, speed = rng.uniform(0, 2 * math.pi), rng.uniform(2, 12)
        way = rng.uniform(0, 1, 2) * luma.shape[::-1] + number * speed * np.array(
            [math.cos(heading), math.sin(heading)]
        )
        shape = _blob(luma.shape, 10.0, way % luma.shape[::-1], rng)
        picture += shape * np.float32(rng.uniform(0.5, 0.95)) * (np.float32(_tone(rng)) - picture)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def _soiled(luma: NDArray[np.uint8], rng: np.random.Generator) -> Soiled:
    picture = luma.astype(np.float32)
    dust = np.zeros(luma.shape, np.bool_)
    for number in range(_SPECKS + _FLAKES + _HAIRS):
        longest = 6.0 if number < _SPECKS else 30.0
        middle = rng.uniform(0, 1, 2) * luma.shape[::-1]
        blob = number < _SPECKS + _FLAKES
        shape = _blob(luma.shape, longest, middle, rng) if blob else _hair(luma.shape, middle, rng)
        change = shape * np.float32(rng.uniform(0.15, 0.95)) * (np.float32(_tone(rng)) - picture)
        picture += change
        dust |= np.abs(change) > _VISIBLE
    return Soiled(np.clip(np.rint(picture), 0, 255).astype(np.uint8), dust, np.zeros_like(dust))


def _tone(rng: np.random.Generator) -> float:
    return rng.uniform(205, 250) if rng.uniform() < 0.4 else rng.uniform(5, 50)


def _blob(shape: tuple[int, ...], longest_px: float, middle: F64, rng: np.random.Generator) -> Image:
    mask = np.zeros(shape, np.uint8)
    reach = 0.5 * math.exp(rng.uniform(math.log(1.6), math.log(longest_px)))
    turns = np.linspace(0, 2 * math.pi, 9)[:-1]
    stretch = rng.uniform(0.3, 1.0)
    around = np.stack([np.cos(turns), np.sin(turns) * stretch], 1) * rng.uniform(0.6, 1.2, (8, 1)) * reach
    turn = rng.uniform(0, math.pi)
    around = around @ np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    corners = middle + around
    cv2.fillPoly(mask, [np.rint(corners * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return np.asarray(mask, np.float32) / np.float32(255)


def _hair(shape: tuple[int, ...], start: F64, rng: np.random.Generator) -> Image:
    mask = np.zeros(shape, np.uint8)
    bend = np.cumsum(rng.uniform(-0.3, 0.3, 20)) + rng.uniform(0, 2 * math.pi)
    steps = np.cumsum(np.stack([np.cos(bend), np.sin(bend)], 1) * rng.uniform(1.2, 3.0), 0)
    way = start + steps
    cv2.polylines(mask, [np.rint(way * 16).astype(np.int32)], False, 255, 1, cv2.LINE_AA, 4)
    return np.asarray(mask, np.float32) / np.float32(255)


def measured(frames: Sequence[Soiled]) -> tuple[F64, NDArray[np.bool_]]:
    """Measure every mark of a shot.

    Returns:
        `(marks, traits)`, and which of them are dust.
    """
    motion, limits, grey = ShortMotion(open_ops()), Limits(), Colour(Matrix.SMPTE170M, full_range=True)
    pictures = [Picture((frame.luma,), FORMATS["gray"], grey) for frame in frames]
    rows, truths = [np.zeros((0, len(TRAITS)))], [np.zeros(0, np.bool_)]
    square = np.ones((5, 5), np.uint8)
    for index in range(1, len(frames) - 1):
        sight = Sight.of(motion, *pictures[index - 1 : index + 2])
        spots = sight.spots(limits)
        if not len(spots.marked):
            continue
        near, spoiled = (
            _share(spots, cv2.dilate(mask.view(np.uint8), square))[spots.marked]
            for mask in (frames[index].dust, frames[index].spoiled)
        )
        others = motion.luma(pictures[index - 1]), motion.luma(pictures[index + 1])
        cheap = cheap_traits(sight, spots, spots.marked)
        cuttings = [Cutting.of(spots, int(number)) for number in spots.marked]
        dear = [np.concatenate([sought(sight, others, each), left(sight, others, each)]) for each in cuttings]
        clear = ((near == 0) | (near > 0.5)) & (spoiled == 0)
        rows.append(np.hstack([cheap, np.array(dear)])[clear])
        truths.append((near > 0.5)[clear])
    return np.vstack(rows), np.concatenate(truths)


def _share(spots: Spots, mask: NDArray[np.generic]) -> F64:
    """Return what share of each spot is masked."""
    covered = np.bincount(spots.labels.reshape(-1), mask.reshape(-1), len(spots.stats))
    return covered / spots.stats[:, cv2.CC_STAT_AREA]


def grown(traits: F64, dust: NDArray[np.bool_], trees: int = _TREES) -> Forest:
    """Grow trees by gradient boosting: each takes a step against the errors of those before it."""
    cuts = [_cuts(column) for column in traits.T]
    bins = np.stack([np.searchsorted(c, column) for c, column in zip(cuts, traits.T, strict=True)], 1)
    bias = round(math.log(dust.mean() / (1 - dust.mean())), 3)
    odds = np.full(len(dust), bias)
    asked, above, leaves = [], [], []
    for _ in range(trees):
        chance = 1 / (1 + np.exp(-odds))
        tree = _tree(bins, [len(c) for c in cuts], dust - chance, chance * (1 - chance))
        questions, at, add = tree
        odds += add[at]
        asked.append([trait for trait, _ in questions])
        above.append([float(cuts[trait][place]) for trait, place in questions])
        leaves.append(add)
    return Forest(bias, np.array(asked, np.intp), np.array(above), np.array(leaves))


def _cuts(column: F64) -> F64:
    """Return the values that a trait may be held against, each of four digits."""
    values = np.quantile(column, np.linspace(0, 1, _BINS + 2)[1:-1])
    return np.unique([float(f"{value:.4g}") for value in values])


def _tree(
    bins: NDArray[np.intp], cuts: list[int], slope: F64, bend: F64
) -> tuple[list[tuple[int, int]], NDArray[np.intp], F64]:
    """Return the questions, as trait and number of the cut; the leaf of each mark; and what each leaf adds."""
    at = np.zeros(len(bins), np.intp)
    questions: list[tuple[int, int]] = []
    for depth in range(DEPTH):
        gains = [(_gain(at << 6 | bins[:, trait], 1 << depth, n, slope, bend), trait) for trait, n in enumerate(cuts)]
        (_, place), trait = max(gains)
        questions.append((trait, place))
        at |= (bins[:, trait] > place).astype(np.intp) << depth
    total, weight = np.bincount(at, slope, 1 << DEPTH), np.bincount(at, bend, 1 << DEPTH)
    return questions, at, np.round(_RATE * np.asarray(total / (weight + _RIDGE), np.float64), 4)


def _gain(cells: NDArray[np.intp], leaves: int, cuts: int, slope: F64, bend: F64) -> tuple[float, int]:
    """Return by how much the best cut of a trait lessens the loss, and which it is."""
    if not cuts:
        return -math.inf, 0
    total, weight = (np.cumsum(np.bincount(cells, v, leaves << 6).reshape(leaves, 64), 1) for v in (slope, bend))
    right, right_weight = total[:, -1:] - total, weight[:, -1:] - weight
    gains = (total**2 / (weight + _RIDGE) + right**2 / (right_weight + _RIDGE)).sum(0)[:cuts]
    best = int(np.argmax(gains))
    return float(gains[best]), best


def main() -> None:
    """Make the trees and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("clips", nargs="*", help="films without dust, of one shot each, such as `swan.mp4@0-30`")
    options = parser.parse_args()
    shots = [*sample_shots(_SEEDS), *(clip_shot(clip, 31 + number) for number, clip in enumerate(options.clips))]
    rows, truths = zip(*(measured(shot) for shot in shots), strict=True)
    for row, truth in zip(rows, truths, strict=True):
        print(f"{len(row)} marks, {int(truth.sum())} of them dust")
    forest = grown(np.vstack(rows), np.concatenate(truths))
    options.out.write_text(forest.written(TRAITS), encoding="utf-8")


if __name__ == "__main__":
    main()
