"""How far guessed chroma is from the truth, and how far it would be without a network.

`python -m fastrestore.export.train.colour.evaluate --stills STILLS_DIR --work WORK_DIR`
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from fastrestore.export.arch.colournet.network import ColourNet
from fastrestore.export.train.colour.data import reduced, split
from fastrestore.export.train.data import held_out_names, read_rgb, training_stills
from fastrestore.export.train.resize import Bytes, Floats

LONG_SIDE_PX = 192
"""At which pictures are guessed: what `--colorize` gives a network by default."""
_LEVELS = 255.0
_TONES = 16


@dataclass(frozen=True)
class Case:
    """A still made grey."""

    name: str
    luma: Floats
    """`(H, W)`, float32, range `[0, 1]`; sides are multiples of 16."""
    chroma: Floats
    """`(H, W, 2)`, float32, Cb and Cr in `[-0.5, 0.5]`: what it was."""


@dataclass(frozen=True)
class ColourError:
    """Mean distance of chroma from the truth in 8-bit levels; every still counts alike."""

    network: float
    grey: float
    """Of leaving the picture grey."""
    mean: float
    """Of one chroma everywhere, the mean of the training stills."""
    mean_of_tone: float
    """Of the training stills' mean chroma at each pixel's luma."""
    better_than_grey: float
    """Share of the stills on which the network's error is less than that of grey."""
    saturation: float
    """Mean length of the guessed chroma as a share of the true one's."""
    sure_half: float
    """Error of the network on the half of each still's pixels of which it is surer."""
    sure_half_grey: float
    """Of grey on the same pixels."""
    gain: float
    """By how much the network's error is less than that of the mean chroma at each luma."""
    gain_error: float
    """Standard error of that."""


def open_cases(stills: Path, names: Sequence[str]) -> list[Case]:
    """Read stills and take their colour away."""
    return [_case(name, read_rgb(stills / name)) for name in names]


def _case(name: str, still: Bytes) -> Case:
    small = reduced(still, LONG_SIDE_PX)
    height, width = (max(16, round(side / 16) * 16) for side in small.shape[:2])
    rgb = cv2.resize(still, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / np.float32(_LEVELS)
    return Case(name, *split(rgb))


def chroma_of_tones(stills: Sequence[Bytes]) -> tuple[Floats, Floats]:
    """Return the mean chroma of stills, `(2,)`, and by luma in 16 steps, `(16, 2)`."""
    cases = [_case("", still) for still in stills]
    luma = np.concatenate([case.luma.ravel() for case in cases])
    chroma = np.concatenate([case.chroma.reshape(-1, 2) for case in cases])
    tone = np.minimum((luma * _TONES).astype(np.int64), _TONES - 1)
    count = np.bincount(tone, minlength=_TONES).astype(np.float64)
    sums = np.stack([np.bincount(tone, chroma[:, i], _TONES) for i in range(2)], axis=1)
    by_tone = sums / np.maximum(count, 1)[:, None]
    return chroma.mean(axis=0).astype(np.float32), by_tone.astype(np.float32)


@torch.inference_mode()
def guess(network: ColourNet, case: Case) -> tuple[Floats, Floats]:
    """Return a network's chroma, `(H, W, 2)`, and spread, `(H, W)`."""
    chroma, spread = network.guess(torch.from_numpy(case.luma)[None, None])
    size = (case.luma.shape[1], case.luma.shape[0])
    found = cv2.resize(chroma[0].permute(1, 2, 0).numpy(), size, interpolation=cv2.INTER_LINEAR)
    return np.asarray(found, np.float32), np.asarray(cv2.resize(spread[0, 0].numpy(), size), np.float32)


def chroma_error(network: ColourNet, cases: Sequence[Case], tones: tuple[Floats, Floats] | None = None) -> ColourError:
    """Measure a network.

    Args:
        network: The network.
        cases: On what.
        tones: What `chroma_of_tones` returns; zeros where absent.
    """
    mean, by_tone = tones if tones is not None else (np.zeros(2, np.float32), np.zeros((_TONES, 2), np.float32))
    rows = []
    for case in cases:
        chroma, spread = guess(network, case)
        tone = np.minimum((case.luma * _TONES).astype(np.int64), _TONES - 1)
        ours, grey, flat, toned = (
            np.linalg.norm(case.chroma - other, axis=2) * _LEVELS for other in (chroma, 0.0, mean, by_tone[tone])
        )
        sure = spread <= np.median(spread)
        lengths = [float(np.linalg.norm(c, axis=2).mean()) for c in (chroma, case.chroma)]
        rows.append((ours.mean(), grey.mean(), flat.mean(), toned.mean(), float(ours.mean() < grey.mean()),
                     lengths[0] / max(lengths[1], 1e-6), ours[sure].mean(), grey[sure].mean()))  # fmt: skip
    columns = np.array(rows)
    gains = columns[:, 3] - columns[:, 0]
    doubt = gains.std(ddof=1) / np.sqrt(len(gains)) if len(gains) > 1 else np.inf
    return ColourError(*(round(float(value), 4) for value in (*columns.mean(axis=0), gains.mean(), doubt)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the best network of a training run on the held-out stills and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stills", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--work", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--name", default="colour-tiny", help="of the recipe; default: %(default)s")
    options = parser.parse_args(arguments)
    network = ColourNet()
    state = torch.load(options.work / f"{options.name}.pt", map_location="cpu", weights_only=True)
    network.load_state_dict(state["best"])
    cases = open_cases(options.stills, held_out_names())
    found = chroma_error(network, cases, chroma_of_tones(training_stills(options.stills)))
    print(json.dumps({"steps": state["steps"], "minutes": state["seconds"] / 60, **asdict(found)}, indent=2))


if __name__ == "__main__":
    main()
