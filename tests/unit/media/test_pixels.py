"""Samples come through exactly, whatever the layout they are stored in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from tests.media_samples import Clip, noise, raw_frame, write_clip

from fastrestore.errors import DecodeError
from fastrestore.frames import FORMATS, Colour, Matrix, Plane, Siting
from fastrestore.runtime.media import pixels
from fastrestore.runtime.media.reader import VideoReader

Split = Callable[[list[Plane]], list[Any]]


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "gbrp"])
def test_lossless_file_is_read_exactly(tmp_path: Path, name: str) -> None:
    clip = Clip(3, "ffv1", name, pictures="noise")
    with VideoReader(write_clip(tmp_path / "a.mkv", clip)) as reader:
        frames = list(reader)
        assert reader.info.format == FORMATS[name]
    assert [frame.picture.same_samples(clip.picture(i)) for i, frame in enumerate(frames)] == [True] * 3


def test_planar_rgb_is_read_exactly(tmp_path: Path) -> None:
    clip = Clip(2, "utvideo", "gbrp", pictures="noise")
    with VideoReader(write_clip(tmp_path / "a.avi", clip)) as reader:
        assert [f.picture.same_samples(clip.picture(i)) for i, f in enumerate(reader)] == [True] * 2
        assert reader.info.colour.matrix is Matrix.RGB and reader.info.colour.full_range


def _random_frame(name: str, mask: int) -> tuple[VideoFrame, list[Plane]]:
    """Return a frame of random samples and its planes, rows as stored."""
    frame = VideoFrame(64, 48, name)
    dtype = np.uint16 if mask > 255 else np.uint8
    rng = np.random.default_rng(7)
    planes = []
    for plane in frame.planes:
        samples = np.frombuffer(memoryview(plane), dtype)
        samples[:] = rng.integers(0, 1 << (8 * dtype().itemsize), samples.size) & mask
        pitch = plane.line_size // dtype().itemsize
        planes.append(samples[: pitch * plane.height].reshape(plane.height, pitch))
    return frame, planes


def _semi_planar(shift: int, chroma: int) -> Split:
    return lambda p: [p[0][:, :64] >> shift, p[1][:, : 2 * chroma : 2] >> shift, p[1][:, 1 : 2 * chroma : 2] >> shift]


def _packed_rgb(step: int, red: int, green: int, blue: int) -> Split:
    return lambda p: [p[0][:, k : 64 * step : step] for k in (green, blue, red)]


REPACKED: dict[str, tuple[str, int, Split]] = {
    "nv12": ("yuv420p", 0xFF, _semi_planar(0, 32)),
    "nv16": ("yuv422p", 0xFF, _semi_planar(0, 32)),
    "nv24": ("yuv444p", 0xFF, _semi_planar(0, 64)),
    "p010le": ("yuv420p10le", 0xFFC0, _semi_planar(6, 32)),
    "p012le": ("yuv420p12le", 0xFFF0, _semi_planar(4, 32)),
    "p016le": ("yuv420p16le", 0xFFFF, _semi_planar(0, 32)),
    "p210le": ("yuv422p10le", 0xFFC0, _semi_planar(6, 32)),
    "p410le": ("yuv444p10le", 0xFFC0, _semi_planar(6, 64)),
    "yuyv422": ("yuv422p", 0xFF, lambda p: [p[0][:, 0:128:2], p[0][:, 1:128:4], p[0][:, 3:128:4]]),
    "uyvy422": ("yuv422p", 0xFF, lambda p: [p[0][:, 1:128:2], p[0][:, 0:128:4], p[0][:, 2:128:4]]),
    "rgb24": ("gbrp", 0xFF, _packed_rgb(3, 0, 1, 2)),
    "bgr24": ("gbrp", 0xFF, _packed_rgb(3, 2, 1, 0)),
    "bgr0": ("gbrp", 0xFF, _packed_rgb(4, 2, 1, 0)),
    "rgba": ("gbrp", 0xFF, _packed_rgb(4, 0, 1, 2)),
    "rgb48le": ("gbrp16le", 0xFFFF, _packed_rgb(3, 0, 1, 2)),
    "gbrap": ("gbrp", 0xFF, lambda p: [q[:, :64] for q in p[:3]]),
    "gbrap12le": ("gbrp12le", 0xFFF, lambda p: [q[:, :64] for q in p[:3]]),
    "yuva444p10le": ("yuv444p10le", 0x3FF, lambda p: [q[:, :64] for q in p[:3]]),
    "gray16be": ("gray16le", 0xFFFF, lambda p: [p[0][:, :64].byteswap()]),
    "ya8": ("gray", 0xFF, lambda p: [p[0][:, :128:2]]),
    "yuvj422p": ("yuv422p", 0xFF, lambda p: [p[0][:, :64], p[1][:, :32], p[2][:, :32]]),
}


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("name", REPACKED)
def test_repacking_loses_nothing(name: str, full_range: bool) -> None:
    layout, mask, split = REPACKED[name]
    frame, planes = _random_frame(name, mask)
    frame.color_range = 2 if full_range else 1
    wanted = [plane.copy() for plane in split(planes)]
    picture = pixels.picture_from_frame(frame, Colour())
    assert picture.format.name == layout
    for found, plane in zip(picture.planes, wanted, strict=True):
        np.testing.assert_array_equal(found, plane)


def test_repacking_a_large_picture_loses_nothing() -> None:
    """With threads of its own libswscale damaged most frames of this size."""
    rng = np.random.default_rng(5)
    for _ in range(12):
        frame = VideoFrame(720, 576, "p010le")
        for plane in frame.planes:
            stored = np.frombuffer(memoryview(plane), np.uint16)
            stored[:] = rng.integers(0, 1024, stored.size, np.uint16) << 6
        pairs = np.frombuffer(memoryview(frame.planes[1]), np.uint16).reshape(288, -1)[:, :720] >> 6
        picture = pixels.picture_from_frame(frame, Colour())
        np.testing.assert_array_equal(picture.planes[1], pairs[:, 0::2])
        np.testing.assert_array_equal(picture.planes[2], pairs[:, 1::2])


def test_odd_depths_are_shifted_up() -> None:
    frame, planes = _random_frame("yuv420p9le", 0x1FF)
    frame.color_range = 1
    luma = planes[0][:, :64] << 1
    picture = pixels.picture_from_frame(frame, Colour())
    assert picture.format.name == "yuv420p10le"
    np.testing.assert_array_equal(picture.planes[0], luma)


def test_full_range_stays_full_where_chroma_must_be_spread() -> None:
    frame, planes = _random_frame("yuvj411p", 0xFF)
    luma = planes[0][:, :64].copy()
    np.testing.assert_array_equal(pixels.picture_from_frame(frame, Colour()).planes[0], luma)


def test_palette_is_resolved() -> None:
    frame = VideoFrame(64, 48, "pal8")
    indices = np.frombuffer(memoryview(frame.planes[0]), np.uint8)
    indices[:] = np.arange(indices.size) % 256
    expected = frame.reformat(format="rgb24").to_ndarray()
    picture = pixels.picture_from_frame(frame, Colour())
    for plane, channel in zip(picture.planes, (1, 2, 0), strict=True):
        np.testing.assert_array_equal(plane, expected[:, :, channel])


@pytest.mark.parametrize("name", ["gbrpf32le", "grayf32le"])
def test_float_samples_are_refused(name: str) -> None:
    with pytest.raises(DecodeError, match="32 bits") as caught:
        pixels.layout_for(av.VideoFormat(name))
    assert caught.value.hint


@pytest.mark.parametrize("name", FORMATS)
def test_frames_for_the_encoder_hold_the_same_samples(name: str) -> None:
    picture = noise(name)
    back = pixels.picture_from_frame(pixels.frame_from_picture(picture), picture.colour)
    assert back.same_samples(picture)


@pytest.mark.parametrize(
    ("height", "code", "matrix"),
    [
        (480, 2, Matrix.SMPTE170M),
        (576, 2, Matrix.SMPTE170M),
        (578, 2, Matrix.BT709),
        (720, 2, Matrix.BT709),
        (720, 5, Matrix.BT470BG),
        (480, 1, Matrix.BT709),
        (480, 9, Matrix.BT2020_NCL),
    ],
)
def test_unspecified_matrix_is_guessed_by_height(height: int, code: int, matrix: Matrix) -> None:
    frame = VideoFrame(64, height, "yuv420p")
    frame.colorspace, frame.color_range = code, 1
    colour = pixels.colour_of(frame, "h264")
    assert colour.matrix is matrix and not colour.full_range
    assert colour.siting is (Siting.TOP_LEFT if matrix is Matrix.BT2020_NCL else Siting.LEFT)


def test_constant_luminance_is_refused() -> None:
    frame = raw_frame(noise("yuv420p"))
    frame.colorspace = 10
    with pytest.raises(DecodeError, match="matrix 10"):
        pixels.colour_of(frame, "h264")


def test_centred_chroma_of_old_codecs() -> None:
    assert pixels.colour_of(raw_frame(noise("yuv420p")), "mpeg1video").siting is Siting.CENTER
