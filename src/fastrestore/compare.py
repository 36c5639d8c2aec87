"""Compares two videos: PSNR and SSIM where sizes allow, and one page with a before/after slider."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fastrestore.api import open_video
from fastrestore.errors import EncodeError
from fastrestore.frames import Frame, Picture
from fastrestore.geometry import Size, even
from fastrestore.kernels.ops import Ops, open_ops

PEAK_DB = 100.0
"""PSNR given to identical pictures."""
PAGE_FRAMES = 6
JPEG_QUALITY = 90
_SSIM_WINDOW, _SSIM_SIGMA = (11, 11), 1.5


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two videos held against each other."""

    left: str
    right: str
    left_size: str
    right_size: str
    compared_frames: int
    """Frames shown at the same instant in both."""
    psnr_y_db: float | None
    """Mean over frames, luma; None where sizes or instants never agree."""
    ssim_y: float | None

    def to_json(self) -> str:
        """Return one JSON object."""
        return json.dumps({"schema": "fastrestore.compare/1", **asdict(self)}, indent=2)


def compare(left: str | Path, right: str | Path) -> Comparison:
    """Compare two videos frame by frame at the instants they share.

    Raises:
        DecodeError: If either cannot be read.
    """
    ops = open_ops("cpu")
    scores: list[tuple[float, float]] = []
    with open_video(left) as a, open_video(right) as b:
        sizes = a.info.size, b.info.size
        if sizes[0] == sizes[1]:
            scores = [_score(ops, *pair) for pair in _same_instants(a, b)]
    mean = np.mean(scores, axis=0) if scores else None
    return Comparison(
        str(left),
        str(right),
        str(sizes[0]),
        str(sizes[1]),
        len(scores),
        None if mean is None else float(mean[0]),
        None if mean is None else float(mean[1]),
    )


def psnr(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    """Return the peak signal-to-noise ratio in dB of two planes with white at 1; `PEAK_DB` if they are equal."""
    error = float(np.mean((left.astype(np.float64) - right) ** 2))
    return PEAK_DB if error == 0 else min(PEAK_DB, -10 * float(np.log10(error)))


def ssim(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    """Return the mean structural similarity of two planes with white at 1 (Wang et al. 2004, Gaussian window)."""

    def blur(plane: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.GaussianBlur(plane, _SSIM_WINDOW, _SSIM_SIGMA), np.float32)

    mean_l, mean_r = blur(left), blur(right)
    var_l, var_r = blur(left * left) - mean_l**2, blur(right * right) - mean_r**2
    both = blur(left * right) - mean_l * mean_r
    c1, c2 = np.float32(0.01**2), np.float32(0.03**2)
    value = ((2 * mean_l * mean_r + c1) * (2 * both + c2)) / ((mean_l**2 + mean_r**2 + c1) * (var_l + var_r + c2))
    return float(np.mean(value))


def write_page(
    left: str | Path, right: str | Path, page: Path, *, title: str = "", score: Comparison | None = None
) -> None:
    """Write one self-contained HTML page with a before/after slider; it opens from disk, without a network.

    Raises:
        DecodeError: If either video cannot be read.
        EncodeError: If the page cannot be written.
    """
    ops = open_ops("cpu")
    shots = [
        {"time": f"{float(a.pts):.2f} s", "left": _jpeg(ops, a.picture), "right": _jpeg(ops, b.picture)}
        for a, b in _spread_frames(Path(left), Path(right))
    ]
    template = files("fastrestore").joinpath("compare.html").read_text(encoding="utf-8")
    names = [Path(left).name, Path(right).name]
    figures = ""
    if score is not None and score.psnr_y_db is not None and score.ssim_y is not None:
        figures = f"PSNR {score.psnr_y_db:.2f} dB, SSIM {score.ssim_y:.4f} over {score.compared_frames} frames"
    text = (
        template.replace("{{title}}", html.escape(title or f"{names[0]} and {names[1]}"))
        .replace("{{left}}", html.escape(names[0]))
        .replace("{{right}}", html.escape(names[1]))
        .replace("{{figures}}", html.escape(figures))
        .replace("{{shots}}", json.dumps(shots).replace("</", "<\\/"))
    )
    try:
        page.write_text(text, encoding="utf-8")
    except OSError as error:
        raise EncodeError(f"cannot write {page}: {error.strerror}", "choose another file") from error


def side_by_side(left: Path, right: Path, *, shrink: int = 1) -> Iterator[Frame]:
    """Yield frames with the left video on the left half and the right one on the right half.

    At each instant of the right video the left one shows the frame that is on screen then.

    Args:
        left: A video; it is resized to the right one.
        right: A video.
        shrink: The result is the right video's size divided by this.
    """
    ops = open_ops("cpu")
    with open_video(left) as a, open_video(right) as b:
        size = Size(even(Fraction(b.info.size.width, shrink)), even(Fraction(b.info.size.height, shrink)))
        shown: tuple[Frame, Picture] | None = None
        for old, new in _on_screen(a, b):
            if shown is None or shown[0] is not old:
                before = ops.from_rgb(ops.to_rgb(old.picture), size, b.info.format, b.info.colour)
                shown = old, before
            yield Frame(_halves(shown[1], _shrunk(new.picture, size)), new.pts, new.duration)


def _shrunk(picture: Picture, size: Size) -> Picture:
    """Return a picture made smaller plane by plane: quick, and good enough to look at."""
    planes = []
    for index, plane in enumerate(picture.planes):
        target = picture.format.plane_size(size, index)
        planes.append(cv2.resize(plane, (target.width, target.height), interpolation=cv2.INTER_AREA))
    return Picture(tuple(planes), picture.format, picture.colour)


def _halves(left: Picture, right: Picture) -> Picture:
    planes = []
    for index, (a, b) in enumerate(zip(left.planes, right.planes, strict=True)):
        joined = b.copy()
        middle = joined.shape[1] // 2
        joined[:, :middle] = a[:, :middle]
        if index == 0:
            joined[:, middle - 1 : middle + 1] = (1 << left.format.bits) - 1  # a thin white line
        planes.append(joined)
    return Picture(tuple(planes), right.format, right.colour)


def _score(ops: Ops, left: Picture, right: Picture) -> tuple[float, float]:
    planes = [np.asarray(ops.luma8(p) / np.float32(255), np.float32) for p in (left, right)]
    return psnr(*planes), ssim(*planes)


def _same_instants(left: Iterable[Frame], right: Iterable[Frame]) -> Iterator[tuple[Picture, Picture]]:
    """Yield pairs whose timestamps agree to a millisecond, the coarsest clock of a container."""
    tolerance = Fraction(1, 1000)
    others = iter(right)
    other = next(others, None)
    for frame in left:
        while other is not None and other.pts < frame.pts - tolerance:
            other = next(others, None)
        if other is None:
            return
        if abs(other.pts - frame.pts) <= tolerance:
            yield frame.picture, other.picture


def _on_screen(left: Iterable[Frame], right: Iterable[Frame]) -> Iterator[tuple[Frame, Frame]]:
    olds = iter(left)
    old = next(olds, None)
    following = next(olds, None)
    for new in right:
        while following is not None and following.pts <= new.pts + Fraction(1, 1000):
            old, following = following, next(olds, None)
        if old is not None:
            yield old, new


def _spread_frames(left: Path, right: Path) -> list[tuple[Frame, Frame]]:
    """Return a few pairs, evenly spread over the shorter video, of frames on screen at one instant."""
    with open_video(left) as a, open_video(right) as b:
        lengths = [info.duration for info in (a.info, b.info) if info.duration]
    length = min(lengths) if lengths else Fraction(1)
    pairs = []
    for index in range(PAGE_FRAMES):
        at = length * (2 * index + 1) / (2 * PAGE_FRAMES)
        with open_video(left, start=at) as a, open_video(right, start=at) as b:
            pairs.append((next(iter(a)), next(iter(b))))
    return pairs


def _jpeg(ops: Ops, picture: Picture) -> str:
    bgr = np.clip(ops.to_rgb(picture)[::-1].transpose(1, 2, 0) * 255 + 0.5, 0, 255).astype(np.uint8)
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    assert done
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")
