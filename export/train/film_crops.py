"""Show what the film networks, and what they are compared with, make of frames of real old film.

`python -m fastrestore.export.train.film_crops --clips CLIPS_DIR --models MODELS_DIR --weights WEIGHTS_DIR --out DIR`

writes `film-x2.png` and `film-x4.png`: a row for each place of a frame, a column for each method.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from fastrestore.export.train.evaluate import Method, open_methods, open_teacher
from fastrestore.export.train.motion.data import rgb_bytes
from fastrestore.export.train.recipe import Recipe
from fastrestore.export.train.resize import Bytes
from fastrestore.kernels.ops import open_ops
from fastrestore.runtime.media.reader import VideoReader

SIDE_PX = 256
"""Of what is shown of each result."""
AROUND_PX = 16
"""Of the frame, beyond what is shown: networks see their neighbourhood."""
TITLE_PX = 26


class Place(NamedTuple):
    """A place of a frame."""

    clip: str
    frame: int
    across: float
    """Middle of what is shown, as a share of the width."""
    down: float


PLACES = (
    Place("oldfilm_abomb_blast_effects.mp4", 40, 0.34, 0.40),
    Place("oldfilm_abomb_blast_effects.mp4", 200, 0.20, 0.52),
    Place("oldfilm_raywzy_003_16fps.mp4", 12, 0.76, 0.60),
)
"""Of two public-domain films; nothing was trained on their pictures."""


def contact_sheet(clips: Path, methods: dict[str, Method], scale: int) -> Bytes:
    """Return `(H, W, 3)`, uint8, RGB: every method's result at every place, with titles above."""
    rows = [_titles(list(methods))]
    for place in PLACES:
        given, rim = _cut(clips, place, SIDE_PX // scale)
        inside = np.s_[rim * scale : rim * scale + SIDE_PX, rim * scale : rim * scale + SIDE_PX]
        rows.append(np.concatenate([method(given)[inside] for method in methods.values()], axis=1))
    return np.concatenate(rows)


def _cut(clips: Path, place: Place, side: int) -> tuple[Bytes, int]:
    """Cut a square of `side` and a rim out of a frame; the second result is the width of the rim."""
    with VideoReader(clips / place.clip) as video:
        frame = next(frame for index, frame in enumerate(video) if index == place.frame)
    picture, rim = rgb_bytes(frame.picture, open_ops("cpu")), AROUND_PX
    height, width = picture.shape[:2]
    top = int(np.clip(place.down * height - side / 2, rim, height - side - rim))
    left = int(np.clip(place.across * width - side / 2, rim, width - side - rim))
    return picture[top - rim : top + side + rim, left - rim : left + side + rim], rim


def _titles(names: Sequence[str]) -> Bytes:
    bar = np.zeros((TITLE_PX, SIDE_PX * len(names), 3), np.uint8)
    for index, name in enumerate(names):
        at = (SIDE_PX * index + 8, TITLE_PX - 8)
        cv2.putText(bar, name, at, cv2.FONT_HERSHEY_SIMPLEX, 0.55, (255, 255, 255), 1, cv2.LINE_AA)
    return bar


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and write both pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=Path, required=True, help="folder of the clips")
    parser.add_argument("--models", type=Path, required=True, help="folder of the shipped networks")
    parser.add_argument("--weights", type=Path, required=True, help="folder of the teacher's checkpoints")
    parser.add_argument("--out", type=Path, required=True, help="the pictures go here; it is made")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    for scale in (2, 4):
        recipe = Recipe.load(f"film-x{scale}-base")
        methods = open_methods(recipe, options.models, 1)
        shown = {name: methods[name] for name in ("bicubic", f"clean-x{scale}-tiny", f"film-x{scale}-tiny")}
        shown |= {recipe.name: methods["network"], "teacher": open_teacher(recipe, options.weights)}
        sheet = contact_sheet(options.clips, shown, scale)
        cv2.imwrite(str(options.out / f"film-x{scale}.png"), sheet[..., ::-1])


if __name__ == "__main__":
    main()
