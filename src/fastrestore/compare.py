"""Compares two videos: PSNR and SSIM where sizes allow, and one page with a before/after slider."""

from __future__ import annotations

import base64
import contextlib
import html
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fastrestore.api import open_video
from fastrestore.errors import DecodeError, EncodeError, UsageError
from fastrestore.files import write_whole
from fastrestore.frames import Frame, Matrix, Picture, StreamInfo
from fastrestore.geometry import Size, even
from fastrestore.kernels.colour import luma_weights, samples_from_grey
from fastrestore.kernels.ops import Ops, open_ops

PEAK_DB = 100.0
"""PSNR given to identical pictures."""
PAGE_FRAMES = 6
JPEG_QUALITY = 90
PAGE_SUFFIXES = (".html", ".htm")
_LOOK_BACK_S = (1, 10)
_SAME_S = Fraction(1, 1000)
"""Instants this close are the same: the coarsest clock of a container, in seconds."""
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
        UsageError: If the page has another extension than HTML's.
        EncodeError: If the page cannot be written.
    """
    check_page(page)
    ops = open_ops("cpu")
    paths = Path(left), Path(right)
    infos = [_info(path) for path in paths]
    shots = []
    for at in _spread_instants(*infos):
        jpegs = [_jpeg(ops, _shown_at(path, at), info) for path, info in zip(paths, infos, strict=True)]
        shots.append({"time": f"{float(at):.2f} s", "left": jpegs[0], "right": jpegs[1]})
    names = [path.name for path in paths]
    words = {
        "title": html.escape(title or f"{names[0]} and {names[1]}"),
        "left": html.escape(names[0]),
        "right": html.escape(names[1]),
        "figures": html.escape(_figures(infos, score)),
        "ratio": f"{float(_shown_ratio(infos[1])):.6f}",
        "shots": json.dumps(shots).replace("</", "<\\/"),
    }
    template = files("fastrestore").joinpath("compare.html").read_text(encoding="utf-8")
    write_whole(page, re.sub(r"{{(\w+)}}", lambda match: words[match[1]], template))


def check_page(page: Path) -> None:
    """Refuse a page that must not or cannot be written, before any work.

    Raises:
        UsageError: If its extension is another than HTML's: a slip must not overwrite a video.
        EncodeError: If its folder does not exist.
    """
    if page.suffix.lower() not in PAGE_SUFFIXES:
        raise UsageError(f"page {page} does not end in {PAGE_SUFFIXES[0]}", "give it a name such as `-o page.html`")
    if page.is_dir() or not page.parent.is_dir():
        raise EncodeError(f"cannot write {page}: it needs a file name in a folder that exists", "make the folder first")


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
    planes = [_luma(ops, p) for p in (left, right)]
    return psnr(*planes), ssim(*planes)


def _luma(ops: Ops, picture: Picture) -> NDArray[np.float32]:
    """Return luma with black at 0 and white at 1, whatever depth and range it is stored in."""
    if picture.format.kind == "rgb":
        weights = np.array(luma_weights(Matrix.BT709), np.float32)
        return np.asarray(np.tensordot(weights, ops.to_rgb(picture), 1), np.float32)
    scale, offset = samples_from_grey(picture.colour, picture.format.bits)
    return np.asarray((picture.planes[0] - np.float32(offset)) / np.float32(scale), np.float32)


def _same_instants(left: Iterable[Frame], right: Iterable[Frame]) -> Iterator[tuple[Picture, Picture]]:
    """Yield pairs whose timestamps agree."""
    others = iter(right)
    other = next(others, None)
    for frame in left:
        while other is not None and other.pts < frame.pts - _SAME_S:
            other = next(others, None)
        if other is None:
            return
        if abs(other.pts - frame.pts) <= _SAME_S:
            yield frame.picture, other.picture


def _on_screen(left: Iterable[Frame], right: Iterable[Frame]) -> Iterator[tuple[Frame, Frame]]:
    olds = iter(left)
    old = next(olds, None)
    following = next(olds, None)
    for new in right:
        while following is not None and following.pts <= new.pts + _SAME_S:
            old, following = following, next(olds, None)
        if old is not None:
            yield old, new


def _info(path: Path) -> StreamInfo:
    with open_video(path) as video:
        return video.info


def _spread_instants(left: StreamInfo, right: StreamInfo) -> list[Fraction]:
    """Return a few instants, evenly spread over the shorter video."""
    lengths = [info.duration for info in (left, right) if info.duration]
    length = min(lengths) if lengths else Fraction(1)
    return [length * (2 * index + 1) / (2 * PAGE_FRAMES) for index in range(PAGE_FRAMES)]


def _shown_at(path: Path, instant: Fraction) -> Frame:
    """Return the frame that is on screen at an instant; the first or the last one beyond the ends."""
    for back in _LOOK_BACK_S:
        if instant <= back:
            break
        # No frame begins in so short a range: look further back.
        with contextlib.suppress(DecodeError), open_video(path, start=instant - back) as video:
            frame = _last_until(video, instant)
            if frame.pts <= instant:
                return frame
    with open_video(path) as video:
        return _last_until(video, instant)


def _last_until(video: Iterable[Frame], instant: Fraction) -> Frame:
    frames = iter(video)
    shown = next(frames)  # an open video holds at least one frame
    for frame in frames:
        if frame.pts > instant:
            break
        shown = frame
    return shown


def _figures(infos: list[StreamInfo], score: Comparison | None) -> str:
    words = [" and ".join(str(info.shown_upright) for info in infos) + " pixels"]
    if score is not None and score.psnr_y_db is not None and score.ssim_y is not None:
        words.append(f"PSNR {score.psnr_y_db:.2f} dB, SSIM {score.ssim_y:.4f} over {score.compared_frames} frames")
    return "; ".join(words)


def _shown_ratio(info: StreamInfo) -> Fraction:
    """Return width over height as a player shows it."""
    coded = Fraction(info.size.width, info.size.height) * info.pixel_aspect
    return 1 / coded if info.rotation % 180 else coded


def _jpeg(ops: Ops, frame: Frame, info: StreamInfo) -> str:
    rgb = np.rot90(ops.to_rgb(frame.picture), info.rotation // 90, axes=(1, 2))
    bgr = np.clip(rgb[::-1].transpose(1, 2, 0) * 255 + 0.5, 0, 255).astype(np.uint8)
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    assert done
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")
