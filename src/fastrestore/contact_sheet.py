"""A contact sheet of a film with and without its stages: frames side by side, and what one line shows over time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from numpy.typing import NDArray

from fastrestore.api import open_video
from fastrestore.config import FilmOptions
from fastrestore.errors import EncodeError, UsageError
from fastrestore.files import part_path
from fastrestore.frames import Frame, Picture
from fastrestore.kernels.ops import Ops, open_ops
from fastrestore.runtime.media.reader import VideoReader
from fastrestore.runtime.source import Source
from fastrestore.runtime.treatments.colour.example import ExampleWord
from fastrestore.runtime.treatments.fields.fielding import Fielding
from fastrestore.runtime.treatments.film_work import FilmWork, open_film_work
from fastrestore.runtime.treatments.study import look_over
from fastrestore.runtime.treatments.treating import Treating
from fastrestore.runtime.treatments.treatment import Masking, Window

AROUND_S = Fraction(10)
"""Seconds of film looked over before and after the times asked for."""
LINE_S = Fraction(3, 2)
"""Seconds before and after a time that its line over time shows."""
WIDEST_PX = 720
"""Frames are made smaller to be no wider than this, unless told otherwise."""
SUFFIXES = (".png", ".jpg", ".jpeg")
_HINT = "give for example `--stages clean,deflicker,steady`"
_GAP_PX, _TITLE_PX, _GAIN = 6, 22, 8
_PAPER, _INK = 245, 30

_Image = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class _Look:
    """What is seen around one time."""

    time: Fraction
    before: Picture
    after: Picture
    line_before: _Image
    line_after: _Image
    mask: _Image | None
    """Where the first stage changed the picture, if it can tell."""


def write_sheet(
    film: Path,
    output: Path,
    times: Sequence[Fraction],
    options: FilmOptions,
    *,
    around: Fraction = AROUND_S,
    widest_px: int = WIDEST_PX,
    mask: Path | None = None,
) -> None:
    """Write a contact sheet of a film with and without its stages.

    Only the film around the times is looked over: a shot that is longer is judged by that part of it.

    Args:
        film: A video file.
        output: The sheet, PNG or JPEG by its extension.
        times: Seconds on the film's clock; the frames shown then become rows.
        options: The stages. What comes after restoration, such as grain, is left out.
        around: Seconds before and after the times that are looked over.
        widest_px: Frames are made smaller to be no wider than this.
        mask: Picture to write too: where `clean` changed the frame of the first time, white on black, full size.

    Raises:
        UsageError: If a time is not in the film, no stage is given, or the sheet is no picture file.
        DecodeError: If the film cannot be read.
        EncodeError: If the sheet cannot be written.
    """
    if not options:
        raise UsageError("there is no stage to show", _HINT)
    inputs = {path.resolve() for path in (film, *(ExampleWord.parse(word).path for word in options.color_from))}
    for picture in filter(None, (output, mask)):
        check_sheet(picture)
        if picture.resolve() in inputs:
            raise UsageError(f"contact sheet {picture} would replace a file that it is made of", "choose another name")
    if mask is not None and mask.resolve() == output.resolve():
        raise UsageError(f"the sheet and the mask are both {output}", "name two files")
    begin = max(Fraction(0), min(times) - around)
    with open_video(film, start=begin or None, end=max(times) + around) as reader:
        looks = _looks(reader, times, options)
    if mask is not None:
        if looks[0].mask is None:
            raise UsageError("there is no mask: only `clean` makes one", "add `clean` to the stages")
        _write(mask, looks[0].mask)
    ops = open_ops("cpu")
    rows = [_row(ops, look, widest_px) for look in looks]
    width = max(row.shape[1] for row in rows)
    sheet = np.vstack([_padded(row, width) for row in rows])
    _write(output, sheet)


def check_sheet(output: Path) -> None:
    """Refuse a sheet that could not be written, before any work.

    Raises:
        UsageError: If its extension is not that of a picture, or its folder does not exist.
    """
    if output.suffix.lower() not in SUFFIXES:
        raise UsageError(f"contact sheet {output} is no picture", f"use one of {', '.join(SUFFIXES)}")
    if not output.parent.is_dir():
        raise UsageError(f"there is no folder {output.parent} for the contact sheet", "make it first")


def _looks(reader: VideoReader, times: Sequence[Fraction], options: FilmOptions) -> list[_Look]:
    source = Source.of_file(reader, options)
    with TemporaryDirectory(prefix="fastrestore-") as folder:
        work = open_film_work(source, options, Path(folder), open_ops("cpu"))
        if source.fields is None and (work is None or not work.treating.treatments):
            raise UsageError("these stages do not show on a contact sheet: they come after restoration", _HINT)
        if work is None:  # only fields are seen to
            with source.visited(None) as frames:
                work = FilmWork(Treating(look_over(frames, source.info, (), open_ops("cpu")), ()), ())
        return [_look(source, work, time) for time in times]


def _look(source: Source, work: FilmWork, time: Fraction) -> _Look:
    film = work.treating.film
    shown = [number for number, pts in enumerate(film.pts) if pts <= time]
    if not shown or time > film.pts[-1] + 1:
        raise UsageError(
            f"there is no frame at {float(time):.3f} s", f"the film ends {float(film.pts[-1]):.3f} s after its begin"
        )
    wanted, shot = shown[-1], film.shot_of(shown[-1])
    span = [k for k in range(shot.begin, shot.end) if abs(film.pts[k] - film.pts[wanted]) <= LINE_S]
    first = work.treating.treatments[0] if work.treating.treatments else None
    masking = first if isinstance(first, Masking) else None
    radius = 0 if masking is None else masking.radius
    with source.visited(film.place_of(span[0]), work.treating) as frames:
        treated = _seen(frames, span, range(wanted - radius, wanted + radius + 1))
    around = tuple(treated.near[k].untreated if k in treated.near else None for k in treated.kept)
    mask = None if masking is None else masking.masked(Window(wanted, shot, around))[1]
    here = treated.near[wanted]
    before, lines = here.untreated, treated.untreated
    if source.fields is not None:
        before, lines = _own(source, source.fields, film.pts[span[0]], film.pts[span[-1]], time)
    return _Look(film.pts[wanted], before, here.picture, lines, treated.lines, mask)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is kept of frames: they may be many and large."""

    kept: range
    """Numbers of those that are kept as they are, as far as there are such."""
    near: Mapping[int, Frame]
    lines: _Image
    """The middle columns of all side by side, 8 bit."""
    untreated: _Image
    """Those of the pictures before the stages."""


def _seen(frames: Iterator[Frame], numbers: Sequence[int], kept: range) -> _Seen:
    """Look at frames, of which the numbers are given."""
    near: dict[int, Frame] = {}
    lines, untreated = list[_Image](), list[_Image]()
    for index, frame in zip(numbers, frames, strict=False):
        lines.append(_line(frame.picture))
        untreated.append(_line(frame.untreated))
        if index in kept:
            near[index] = frame
    return _Seen(kept, near, np.stack(lines, axis=1), np.stack(untreated, axis=1))


def _own(source: Source, fields: Fielding, begin: Fraction, end: Fraction, time: Fraction) -> tuple[Picture, _Image]:
    """Return the file's own frame that is shown at a time, and the lines of those from one time to another."""
    first, wanted, last = (max(0, bisect_right(fields.film.pts, at) - 1) for at in (begin, time, end))
    with replace(source, fields=None).visited(fields.film.place_of(first)) as frames:
        seen = _seen(frames, range(first, max(wanted, last) + 1), range(wanted, wanted + 1))
    return seen.near[wanted].picture, seen.lines


def _line(picture: Picture) -> _Image:
    """Return the middle column of a picture's luma, `(H,)` 8 bit."""
    plane = picture.planes[0]
    return (plane[:, plane.shape[1] // 2] >> (picture.format.bits - 8)).astype(np.uint8)


def _row(ops: Ops, look: _Look, widest_px: int) -> _Image:
    """Return one row: the frame before and after, what changed, and the middle column over time before and after."""
    before, after = (_bgr(ops, picture, widest_px) for picture in (look.before, look.after))
    changed = cv2.absdiff(before, after).astype(np.int32) * _GAIN
    height = before.shape[0]
    cells = [
        (f"{float(look.time):.2f} s, source", before),
        ("with stages", after),
        (f"what changed, x{_GAIN}", np.minimum(changed, 255).astype(np.uint8)),
        *([] if look.mask is None else [("what was repaired", _fitted(look.mask, before))]),
        ("middle column over time: source", _strip(look.line_before, height)),
        ("with stages", _strip(look.line_after, height)),
    ]
    return np.hstack([_titled(title, image) for title, image in cells])


def _bgr(ops: Ops, picture: Picture, widest_px: int) -> _Image:
    """Return a picture as `(H, W, 3)` uint8, made smaller if need be."""
    planes = ops.to_rgb(picture)[::-1]
    image = (np.clip(planes, 0, 1) * 255).round().astype(np.uint8).transpose(1, 2, 0)
    if image.shape[1] > widest_px:
        height = round(image.shape[0] * widest_px / image.shape[1])
        image = np.asarray(cv2.resize(image, (widest_px, height), interpolation=cv2.INTER_AREA), np.uint8)
    return np.ascontiguousarray(image)


def _fitted(mask: _Image, like: _Image) -> _Image:
    size = like.shape[1], like.shape[0]
    return np.repeat(np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_AREA))[:, :, None], 3, axis=2)


def _strip(lines: _Image, height: int) -> _Image:
    """Return lines over time as a picture, two pixels a frame."""
    image = cv2.resize(lines, (2 * lines.shape[1], height), interpolation=cv2.INTER_AREA)
    return np.repeat(np.asarray(image, np.uint8)[:, :, None], 3, axis=2)


def _titled(title: str, image: _Image) -> _Image:
    height, width = image.shape[:2]
    cell = np.full((height + _TITLE_PX + _GAP_PX, max(width, 7 * len(title)) + _GAP_PX, 3), _PAPER, np.uint8)
    cell[_TITLE_PX : _TITLE_PX + height, :width] = image
    cv2.putText(cell, title, (2, _TITLE_PX - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (_INK,) * 3, 1, cv2.LINE_AA)
    return cell


def _padded(row: _Image, width: int) -> _Image:
    return np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=_PAPER)


def _write(output: Path, sheet: _Image) -> None:
    done, data = cv2.imencode(output.suffix.lower(), sheet)
    if not done:
        raise EncodeError(f"cannot write {output}: OpenCV does not encode it", "use a `.png` file")
    part = part_path(output)
    try:
        part.write_bytes(data.tobytes())
        part.replace(output)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise EncodeError(f"cannot write {output}: {error.strerror}", "choose another folder") from error
