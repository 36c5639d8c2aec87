"""Classical motion: recovered shifts, occlusions, and the frames that tempt an estimator to fail."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fastrestore.frames import Motion
from fastrestore.runtime.disflow import DisFlow
from fastrestore.runtime.flowpair import FlowPair

_U8 = NDArray[np.uint8]
_F32 = NDArray[np.float32]
_H, _W = 120, 160


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = cv2.getNumThreads()
    yield
    cv2.setNumThreads(before)


def _texture(seed: int, height: int = _H, width: int = _W) -> _F32:
    """Return `(H, W)` float32 detail at several sizes, mean 128."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(height, width)).astype(np.float32)
    layers = [cv2.GaussianBlur(noise, (0, 0), s) * s for s in (1.5, 4.0, 9.0)]
    total = np.sum(layers, axis=0)
    return np.asarray(128 + 40 * total / total.std(), dtype=np.float32)


def _moved(plane: _F32, dx: float, dy: float) -> _F32:
    """Return the picture moved right by `dx` and down by `dy`, mirrored at its edges."""
    matrix = np.array([[1, 0, dx], [0, 1, dy]], dtype=np.float32)
    size = (plane.shape[1], plane.shape[0])
    moved = cv2.warpAffine(plane, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(moved, dtype=np.float32)


def _u8(plane: _F32) -> _U8:
    return np.clip(np.rint(plane), 0, 255).astype(np.uint8)


def _warp(plane: _U8, flow: _F32) -> _F32:
    height, width = plane.shape
    across = flow[..., 0] + np.arange(width, dtype=np.float32)
    down = flow[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    source = plane.astype(np.float32)
    return np.asarray(cv2.remap(source, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def _between(left: _U8, right: _U8, motion: Motion) -> _F32:
    return motion.mask * _warp(left, motion.flow_to_left) + (1 - motion.mask) * _warp(right, motion.flow_to_right)


def _psnr(one: _F32, other: _F32) -> float:
    return float(10 * np.log10(255**2 / np.mean((one - other) ** 2)))


def _scene(t: float) -> _F32:
    """Return a square that moves right by 8 px over a background that moves left by 3 px."""
    frame = _moved(_texture(1), -3 * t, 0)
    square = np.zeros((_H, _W), dtype=np.float32)
    square[40:84, 50:94] = 1
    cover = _moved(square, 8 * t, 0)
    return frame * (1 - cover) + _moved(_texture(2) + 40, 8 * t, 0) * cover


def _assert_sound(pair: FlowPair, size: tuple[int, int], motion: Motion) -> None:
    mask = motion.mask
    for flow in (pair.forward, pair.backward, motion.flow_to_left, motion.flow_to_right):
        assert flow.shape == (*size, 2)
        assert flow.dtype == np.float32
        assert np.isfinite(flow).all()
        assert np.abs(flow).max() <= max(64, *size) / 8 + 1
    assert mask.shape == size
    assert mask.dtype == np.float32
    assert np.isfinite(mask).all()
    assert mask.min() >= 0
    assert mask.max() <= 1


@pytest.mark.parametrize("t", [0.25, 0.5, 0.8])
def test_translation_is_recovered(t: float) -> None:
    dx, dy = 5.4, -2.7
    texture = _texture(3)
    flow = DisFlow()
    pair = flow.pair(_u8(texture), _u8(_moved(texture, dx, dy)))
    motion = pair.at(t)
    inside = np.s_[16:-16, 16:-16]
    shift = np.array([dx, dy], dtype=np.float32)
    assert np.abs(pair.forward[inside] - shift).mean() < 0.2
    assert np.abs(pair.backward[inside] + shift).mean() < 0.2
    assert np.abs(motion.flow_to_left[inside] + t * shift).mean() < 0.2
    assert np.abs(motion.flow_to_right[inside] - (1 - t) * shift).mean() < 0.2
    assert np.abs(motion.mask[inside] - (1 - t)).mean() < 0.05


@pytest.mark.parametrize("t", [1 / 3, 0.5])
def test_occlusion_beats_both_averages(t: float) -> None:
    left, right, truth = _u8(_scene(0)), _u8(_scene(1)), _scene(t)
    flow = DisFlow()
    pair = flow.pair(left, right)
    rim = np.s_[34:90, 40:108]
    even = np.full((_H, _W), 1 - t, dtype=np.float32)
    still = np.zeros((_H, _W, 2), dtype=np.float32)
    t32 = np.float32(t)
    plain = _between(left, right, Motion(t32 * pair.backward, (1 - t32) * pair.forward, even))
    ours = _psnr(_between(left, right, pair.at(t))[rim], truth[rim])
    assert ours > _psnr(_between(left, right, Motion(still, still, even))[rim], truth[rim]) + 3
    assert ours > _psnr(plain[rim], truth[rim]) + 0.5


def test_the_mask_prefers_the_frame_that_saw_it() -> None:
    """In a pan, what enters is in the right frame only and what leaves is in the left frame only."""
    wide = _texture(11, _H, _W + 40)
    left, right = _u8(wide[:, 20 : 20 + _W]), _u8(wide[:, 10 : 10 + _W])
    flow = DisFlow()
    mask = flow.pair(left, right).at(0.5).mask
    assert mask[:, :4].mean() < 0.4
    assert mask[:, -4:].mean() > 0.6
    assert abs(mask[:, 20:-20].mean() - 0.5) < 0.01


def test_identical_frames_stand_still() -> None:
    frame = _u8(_texture(4))
    flow = DisFlow()
    motion = flow.pair(frame, frame).at(0.3)
    assert np.abs(motion.flow_to_left).max() < 1e-3
    assert np.abs(motion.flow_to_right).max() < 1e-3
    assert np.array_equal(motion.mask, np.full_like(motion.mask, 1 - 0.3))


@pytest.mark.parametrize("t", [0.0, 1e-6, 1 - 1e-6, 1.0])
def test_close_to_a_frame_it_is_that_frame(t: float) -> None:
    left, right = _u8(_scene(0)), _u8(_scene(1))
    flow = DisFlow()
    result = flow.pair(left, right).at(t)
    nearer = left if t < 0.5 else right
    assert np.abs(_between(left, right, result) - nearer).max() < 0.05


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (7, 5), (1, 90), (33, 64), (65, 67)])
def test_any_size_works(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(5)
    left, right = (rng.integers(0, 256, size, dtype=np.uint8) for _ in range(2))
    flow = DisFlow()
    pair = flow.pair(left, right)
    _assert_sound(pair, size, pair.at(0.4))


@pytest.mark.parametrize(("left", "right"), [(0, 0), (0, 255), (255, 0), (0, None), (None, 255), (128, None)])
def test_blank_frames_are_survived(left: int | None, right: int | None) -> None:
    """A black frame or a white flash beside a picture: whatever the motion, it is finite and bounded."""
    picture = _u8(_texture(6))
    first, second = (picture if v is None else np.full_like(picture, v) for v in (left, right))
    flow = DisFlow()
    pair = flow.pair(first, second)
    _assert_sound(pair, (_H, _W), pair.at(0.5))


def test_flicker_is_not_motion() -> None:
    texture = _texture(7)
    dx = 3.0
    right = _moved(texture, dx, 0) * 0.75 - 10
    flow = DisFlow()
    pair = flow.pair(_u8(texture), _u8(right))
    mask = pair.at(0.5).mask
    inside = np.s_[16:-16, 16:-16]
    assert np.abs(pair.forward[inside] - np.array([dx, 0], dtype=np.float32)).mean() < 0.3
    assert np.abs(mask[inside] - 0.5).mean() < 0.05


@pytest.mark.parametrize("threads", [1, 2])
def test_same_input_same_bytes(threads: int) -> None:
    left, right = _u8(_scene(0)), _u8(_scene(1))
    cv2.setNumThreads(1)
    used = DisFlow()
    used.pair(right, _u8(_texture(8)))
    wanted = used.pair(left, right).at(0.4)
    cv2.setNumThreads(threads)
    fresh = DisFlow()
    found = fresh.pair(left, right).at(0.4)
    assert wanted.flow_to_left.tobytes() == found.flow_to_left.tobytes()
    assert wanted.flow_to_right.tobytes() == found.flow_to_right.tobytes()
    assert wanted.mask.tobytes() == found.mask.tobytes()


def test_inputs_stay_untouched() -> None:
    left, right = _u8(_scene(0)), _u8(_scene(1))
    kept = left.copy(), right.copy()
    flow = DisFlow()
    flow.pair(left, right).at(0.5)
    assert np.array_equal(left, kept[0])
    assert np.array_equal(right, kept[1])


def test_a_plain_shift_is_followed() -> None:
    texture = _texture(9)
    pair = DisFlow().pair(_u8(texture), _u8(_moved(texture, 4, 1)))
    assert np.abs(pair.forward[16:-16, 16:-16] - np.array([4, 1], dtype=np.float32)).mean() < 0.3


def test_wrong_input_is_told_apart() -> None:
    flow = DisFlow()
    frame = np.zeros((8, 8), dtype=np.uint8)
    with pytest.raises(ValueError, match="wanted the size of left"):
        flow.pair(frame, np.zeros((8, 9), dtype=np.uint8))
    with pytest.raises(ValueError, match="wanted uint8"):
        flow.pair(frame, frame.astype(np.float32))
    with pytest.raises(ValueError, match="not empty"):
        flow.pair(frame[:0], frame[:0])
    with pytest.raises(ValueError, match="wanted a value within"):
        flow.pair(frame, frame).at(1.5)
