"""Faults in a source are mended, told of and bounded; the same file always gives the same frames."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

import av
import pytest
from av.packet import Packet
from hypothesis import given
from hypothesis import strategies as st
from tests.media_samples import Clip, write_clip

from fastrestore.config import OnError
from fastrestore.errors import DecodeError
from fastrestore.frames import Frame
from fastrestore.geometry import Size
from fastrestore.runtime.media.faults import FEW_FRAMES, MOST_LISTED, FaultCount, FaultKind, FaultLog
from fastrestore.runtime.media.reader import VideoReader

Packets: TypeAlias = "list[Packet[Any]]"
INTRA = Clip(60, "mpeg4", pictures="noise", options={"g": "1"})
STEP = Fraction(1, 25)


def write_changed(path: Path, clip: Clip, change: Callable[[Packets], Packets]) -> Path:
    """Write a clip whose packets were changed between encoder and file."""
    with av.open(str(path), "w") as output:
        stream = clip.add(output)
        for packet in change(clip.packets(stream)):
            output.mux_one(packet)
    return path


def with_payload(packet: Packet[Any], data: bytes) -> Packet[Any]:
    """Return a packet with the times of another."""
    new: Packet[Any] = Packet(data)
    new.stream, new.pts, new.dts, new.time_base = packet.stream, packet.pts, packet.dts, packet.time_base
    new.duration, new.is_keyframe = packet.duration, packet.is_keyframe
    return new


def garbage(*numbers: int) -> Callable[[Packets], Packets]:
    return lambda packets: [with_payload(p, b"\1" * 50) if k in numbers else p for k, p in enumerate(packets)]


def without(*numbers: int) -> Callable[[Packets], Packets]:
    return lambda packets: [p for k, p in enumerate(packets) if k not in numbers]


def read(path: Path, **how: Any) -> tuple[list[Frame], FaultLog]:
    with VideoReader(path, **how) as reader:
        return list(reader), reader.notes.faults


def found(log: FaultLog) -> list[tuple[FaultKind, int, int]]:
    """Return kind, number of the first frame and how many, of each fault."""
    return [(fault.kind, round(fault.at / STEP), fault.frames) for fault in log.listed]


CLIP = Clip(60, "mpeg4", pictures="noise", options={"g": "10", "bf": "0"})


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".avi", ".mov"])
def test_what_does_not_decode_is_held(tmp_path: Path, suffix: str) -> None:
    whole, _ = read(write_clip(tmp_path / f"a{suffix}", CLIP))
    frames, log = read(write_changed(tmp_path / f"b{suffix}", CLIP, garbage(20, 33, 34)))
    assert found(log) == [(FaultKind.UNDECODABLE, 20, 1), (FaultKind.UNDECODABLE, 33, 2)]
    assert [f.pts for f in frames] == [f.pts for f in whole]
    for k in (20, 33, 34):
        assert frames[k].picture is frames[k - 1].picture
    assert all(a.picture.same_samples(b.picture) for a, b in zip(frames[:20], whole[:20], strict=True))
    assert frames[40].picture.same_samples(whole[40].picture)


@pytest.mark.parametrize("first", [0, 1])
def test_first_frames_are_stood_in_for_by_the_first_good_one(tmp_path: Path, first: int) -> None:
    clip = Clip(60, "mpeg4", pictures="noise", options={"g": "1"})
    whole, _ = read(write_clip(tmp_path / "a.mkv", clip))
    frames, log = read(write_changed(tmp_path / "b.mkv", clip, garbage(*range(first + 1))))
    assert found(log) == [(FaultKind.UNDECODABLE, 0, first + 1)]
    assert [f.pts for f in frames] == [f.pts for f in whole]
    assert all(f.picture.same_samples(whole[first + 1].picture) for f in frames[: first + 2])


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_last_frames_are_held(tmp_path: Path, suffix: str) -> None:
    whole, _ = read(write_clip(tmp_path / f"a{suffix}", CLIP))
    frames, log = read(write_changed(tmp_path / f"b{suffix}", CLIP, garbage(57, 58, 59)))
    assert found(log) == [(FaultKind.UNDECODABLE, 57, 3)]
    assert [f.pts for f in frames] == [f.pts for f in whole]


def test_packets_missing_from_a_broadcast_are_seen_by_its_clock(tmp_path: Path) -> None:
    frames, log = read(write_changed(tmp_path / "a.ts", CLIP, without(25, 26)))
    assert len(frames) == 60
    assert found(log) == [(FaultKind.MISSING, 25, 2)]


def test_a_gap_of_a_file_that_lists_all_its_frames_is_meant(tmp_path: Path) -> None:
    for suffix in (".mp4", ".mkv"):
        frames, log = read(write_changed(tmp_path / f"a{suffix}", INTRA, without(25, 26)))
        assert len(frames) == 58
        assert not log.listed


def test_a_damaged_cluster_is_missed_by_the_index(tmp_path: Path) -> None:
    clip = Clip(400, "mpeg4", options={"g": "5"})
    path = write_clip(tmp_path / "a.mkv", clip, options={"cluster_time_limit": "400"})
    data = bytearray(path.read_bytes())
    starts = [k for k in range(len(data) - 4) if data[k : k + 4] == b"\x1f\x43\xb6\x75"]
    data[starts[10] : starts[10] + 4] = bytes(4)
    path.write_bytes(data)
    with VideoReader(path) as reader, pytest.raises(DecodeError, match="missing"):
        list(reader)
    with VideoReader(path, before=FaultCount(10_000, 0)) as reader:
        frames = list(reader)
    assert [f.pts for f in frames] == [k * STEP for k in range(400)]
    assert {f.kind for f in reader.notes.faults.listed} == {FaultKind.MISSING}


def test_ffv1_checksums_are_believed(tmp_path: Path) -> None:
    clip = Clip(60, "ffv1", pictures="noise", options={"level": "3", "slicecrc": "1", "g": "1"})

    def flip(packets: Packets) -> Packets:
        data = bytearray(bytes(packets[30]))
        data[len(data) // 2] ^= 1
        packets[30] = with_payload(packets[30], bytes(data))
        return packets

    frames, log = read(write_changed(tmp_path / "a.mkv", clip, flip))
    assert found(log) == [(FaultKind.CORRUPT, 30, 1)]
    assert frames[30].picture is frames[29].picture
    plain = Clip(60, "ffv1", pictures="noise", options={"level": "3", "slicecrc": "0", "g": "1"})
    assert not read(write_clip(tmp_path / "b.mkv", plain))[1].listed


def test_a_flagged_frame_is_held(tmp_path: Path) -> None:
    clip = Clip(60, "mpeg2video", pictures="noise", options={"g": "1"})

    def cut(packets: Packets) -> Packets:
        packets[30] = with_payload(packets[30], bytes(packets[30])[: packets[30].size // 2])
        return packets

    frames, log = read(write_changed(tmp_path / "a.mkv", clip, cut))
    assert found(log) == [(FaultKind.CORRUPT, 30, 1)]
    assert frames[30].picture is frames[29].picture


@pytest.mark.parametrize(
    "change", [garbage(20), lambda packets: [*packets[:20], with_payload(packets[20], b""), *packets[21:]]]
)
def test_fail_ends_at_the_first_fault(tmp_path: Path, change: Callable[[Packets], Packets]) -> None:
    path = write_changed(tmp_path / "a.ts", CLIP, change)
    with VideoReader(path, on_error=OnError.FAIL) as reader, pytest.raises(DecodeError, match=r"0\.(76|80)") as caught:
        list(reader)
    assert "--on-error repair" in caught.value.hint


def test_fail_passes_what_is_intact(tmp_path: Path) -> None:
    for suffix in (".mp4", ".mkv", ".avi", ".ts", ".h264"):
        clip = Clip(30, "libx264", options={"bf": "2"})
        assert len(read(write_clip(tmp_path / f"a{suffix}", clip), on_error=OnError.FAIL)[0]) == 30


def test_too_many_faults_are_an_error(tmp_path: Path) -> None:
    few = range(10, 10 + FEW_FRAMES)
    assert read(write_changed(tmp_path / "a.mkv", INTRA, garbage(*few)))[1].faulty == FEW_FRAMES
    path = write_changed(tmp_path / "b.mkv", INTRA, garbage(*few, 40))
    with VideoReader(path) as reader, pytest.raises(DecodeError, match="6 of 60 frames are faulty") as caught:
        list(reader)
    assert "0.400 s" in caught.value.message and caught.value.hint
    assert len(read(path, before=FaultCount(600, 0))[0]) == 60
    with VideoReader(path, before=FaultCount(600, 1)) as reader, pytest.raises(DecodeError, match="7 of 660"):
        list(reader)


def test_a_short_change_of_size_is_converted(tmp_path: Path) -> None:
    path = join(tmp_path, [(Size(64, 48), 20), (Size(96, 80), 3), (Size(64, 48), 20)])
    frames, log = read(path)
    assert {frame.picture.size for frame in frames} == {Size(64, 48)}
    assert found(log) == [(FaultKind.CHANGED, 20, 3)]
    assert "96x80 yuv420p, not 64x48" in log.words()[0]
    with VideoReader(path, on_error=OnError.FAIL) as reader, pytest.raises(DecodeError, match="96x80"):
        list(reader)


def test_a_lasting_change_of_size_is_an_error_with_a_hint(tmp_path: Path) -> None:
    path = join(tmp_path, [(Size(64, 48), 20), (Size(96, 80), 20)])
    with VideoReader(path) as reader, pytest.raises(DecodeError, match="96x80 yuv420p, not 64x48") as caught:
        list(reader)
    assert "--end 0.800" in caught.value.hint


def test_a_change_of_range_is_converted(tmp_path: Path) -> None:
    path = tmp_path / "a.h264"
    parts = [
        write_clip(tmp_path / f"{k}.h264", Clip(3, colour={"color_range": k, "colorspace": 6}, options={"qp": "1"}))
        for k in (1, 2)
    ]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    frames, log = read(path)
    assert found(log) == [(FaultKind.CHANGED, 3, 3)]
    luma = [int(frame.picture.planes[0].mean()) for frame in frames]
    assert luma[3] == pytest.approx(16 + luma[0] * 219 / 255, abs=2)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts", ".avi"])
def test_reading_from_anywhere_gives_the_same_frames(tmp_path: Path, suffix: str) -> None:
    broken = (10, 11, 24, 25, 40, 58)
    path = write_changed(tmp_path / f"a{suffix}", CLIP, garbage(*broken))
    allowed = FaultCount(10_000, 0)
    whole, log = read(path, before=allowed)
    # In a stream without packets of its own, what is broken also damages the picture before it.
    damaged = {b - k for b in broken for k in ((0, 1) if suffix == ".ts" else (0,))}
    assert log.faulty == len(damaged)
    for k in (1, 9, 10, 11, 12, 20, 25, 26, 39, 40, 41, 45, 58, 59):
        part, part_log = read(path, start=whole[k].pts, before=allowed)
        assert [f.pts for f in part] == [f.pts for f in whole[k:]]
        assert all(a.picture.same_samples(b.picture) for a, b in zip(part, whole[k:], strict=True))
        assert part_log.faulty == sum(b >= k for b in damaged)


def test_a_clock_that_goes_back_is_not_sought_in(tmp_path: Path) -> None:
    one = [write_clip(tmp_path / f"{k}.ts", Clip(50, pictures=kind)) for k, kind in enumerate(("ramp", "noise"))]
    path = tmp_path / "a.ts"
    path.write_bytes(b"".join(each.read_bytes() for each in one))
    whole, log = read(path)
    assert len(whole) == 100 and log.counts[FaultKind.BACKWARD] == 50
    assert log.faulty <= 1  # the first packet after the joint does not continue the one before
    for k in (20, 60, 90):
        part, _ = read(path, start=whole[k].pts)
        assert [f.pts for f in part] == [f.pts for f in whole[k:]]
        assert part[0].picture.same_samples(whole[k].picture)


def test_frames_before_the_first_key_frame_of_a_recording_are_left_out(tmp_path: Path) -> None:
    clip = Clip(60, "mpeg2video", options={"g": "12", "bf": "0"})
    path = write_changed(tmp_path / "a.ts", clip, lambda packets: packets[7:])
    with VideoReader(path) as reader:
        assert len(list(reader)) == 60 - 12
        assert not reader.notes.faults.listed
        assert any("before the first key frame" in text for text in reader.notes.warnings)


def test_log_merges_neighbours_and_stays_bounded(tmp_path: Path) -> None:
    log = FaultLog(tmp_path / "a.mkv", promised=10**9)
    for k in range(2 * MOST_LISTED):
        log.count_frame(good=False)
        log.record(FaultKind.CORRUPT, k * STEP)
        log.count_frame(good=False)
        log.record(FaultKind.CORRUPT, k * STEP + STEP / 2)
        log.count_frame(good=True)
    assert len(log.listed) == MOST_LISTED
    assert log.faulty == 4 * MOST_LISTED
    assert all(fault.frames == 2 for fault in log.listed)
    assert len(log.words()) == 11 and f"{4 * MOST_LISTED} frames in all" in log.words()[-1]


@given(st.lists(st.booleans(), max_size=1200))
def test_the_limit_is_one_in_a_hundred(good: list[bool]) -> None:
    log = FaultLog(Path("a.mkv"))
    for number, each in enumerate(good):
        log.count_frame(good=each)
        if not each:
            log.record(FaultKind.MISSING, number * STEP)
    faulty = good.count(False)
    if faulty > FEW_FRAMES and faulty * 100 > len(good):
        with pytest.raises(DecodeError):
            log.finish()
    else:
        log.finish()


def join(folder: Path, parts: list[tuple[Size, int]]) -> Path:
    """Write clips of several sizes one after the other into a raw stream."""
    path = folder / "joined.h264"
    clips = [write_clip(folder / f"{k}.h264", Clip(count, size=size)) for k, (size, count) in enumerate(parts)]
    path.write_bytes(b"".join(clip.read_bytes() for clip in clips))
    return path
