"""Laws of frames that are encoded where they lie: the bytes of the host's way, and every block comes back.

What takes NVENC's place is an encoder of FFmpeg's that takes the same layouts, from the very memory of the counting
device, and lets go of frames late, in threads of its own: uncompressed video by frame threads.
"""

from __future__ import annotations

import copy
import gc
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from tests.unit.kernels.host import host_kernels
from tests.unit.runtime.on_device.device_bench import COLOUR, OPS, SOURCE, DeviceBench, device_stages, film, held

from fastrestore.config import EncodeOptions, Plan
from fastrestore.errors import DeviceError, EncodeError, EngineError, OutOfDeviceMemoryError
from fastrestore.frames import FORMATS, Frame, Picture, StreamInfo
from fastrestore.kernels.host_build import HostKernels
from fastrestore.runtime import pipeline as pipelines
from fastrestore.runtime.devices import dlpack
from fastrestore.runtime.devices.counting_work import CountingStream
from fastrestore.runtime.handed import HandedFrame
from fastrestore.runtime.media import encoders
from fastrestore.runtime.media.encoders import Encoder
from fastrestore.runtime.media.segment import Encoded, SegmentWriter, prove_segment
from fastrestore.runtime.media.thumbnails import thumbnail
from fastrestore.runtime.media.track import VideoTrack
from fastrestore.runtime.motion import DisEstimator
from fastrestore.runtime.on_device import opening
from fastrestore.runtime.on_device.handover import Handover
from fastrestore.runtime.on_device.opening import Task, open_steps
from fastrestore.runtime.on_device.picture import Form
from fastrestore.runtime.on_device.pool import Pool
from fastrestore.runtime.on_device.steps import DeviceSteps
from fastrestore.runtime.parts import Stages
from fastrestore.runtime.pipeline import FramePipeline
from fastrestore.runtime.restorer import Output, Restorer

CODEC = EncodeOptions(codec="uncompressed")
SIZE = SOURCE.times(2)
FPS = Fraction(60)
KEEPS = "4"
"""Threads of the encoder: it keeps a frame for each."""


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> HostKernels:
    return host_kernels(tmp_path_factory)


@pytest.fixture
def bench(tmp_path: Path, kernels: HostKernels, monkeypatch: pytest.MonkeyPatch) -> Iterator[DeviceBench]:
    monkeypatch.setattr(pipelines, "cpu_count", lambda: 2)
    encoder = Encoder("rawvideo", options={"threads": KEEPS, "thread_type": "frame"}, on_card=True)
    monkeypatch.setattr(encoders, "ENCODERS", {**encoders.ENCODERS, CODEC.codec: encoder})
    made = DeviceBench(tmp_path, kernels)
    yield made
    made.close()
    assert made.left_behind == [] and dlpack._given == {}


@contextmanager
def stages_on_card(
    bench: DeviceBench, source: Picture, name: str = "yuv420p", plan: Plan = Plan.GUIDED, *, fault: str = ""
) -> Iterator[tuple[Stages, DeviceSteps]]:
    """Open a pipeline that hands its frames over."""
    form = Form(source.size, source.format, source.colour)
    output = Output(source.size.times(2), FORMATS[name], COLOUR)
    task = Task(form, Form(output.size, output.format, COLOUR, for_encoder=True), plan)
    with open_steps([bench.engine(fault=fault)], task) as steps:
        yield Stages(OPS, Restorer([], OPS, output), DisEstimator(OPS), plan, steps), steps


def track(name: str) -> VideoTrack:
    info = StreamInfo(SOURCE, FORMATS[name], COLOUR, FPS)
    return VideoTrack(SIZE, FORMATS[name], COLOUR, info, FPS, Fraction(0))


def encode(path: Path, pipeline: FramePipeline, name: str = "yuv420p") -> Encoded:
    with closing(pipeline.marked()) as frames, SegmentWriter(path, track(name), CODEC, on_card=True) as writer:
        for frame, _ in frames:
            assert isinstance(frame, HandedFrame)
            writer.write(frame)
        return writer.finish()


def payload(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def as_encoders_take_it(picture: Picture) -> bytes:
    luma, cb, cr = picture.planes
    shift = 6 if picture.format.bits == 10 else 0
    chroma = np.stack([cb, cr], axis=-1)
    return (luma << shift).tobytes() + (chroma << shift).tobytes()


@pytest.mark.parametrize("name", ["yuv420p", "yuv420p10le"])
@pytest.mark.parametrize("plan", list(Plan))
def test_the_bytes_encoded_are_those_of_the_hosts_way(
    bench: DeviceBench, tmp_path: Path, name: str, plan: Plan
) -> None:
    source = film(7, name=name)
    output = Output(SIZE, FORMATS[name], COLOUR)
    with device_stages([bench.engine()], source[0].picture, output, plan) as (stages, _):
        wanted = list(FramePipeline(stages, source, FPS))
    with stages_on_card(bench, source[0].picture, name, plan) as (stages, steps):
        encoded = encode(tmp_path / "a.nut", FramePipeline(stages, source, FPS), name)
        assert held(steps) == 0
    assert payload(tmp_path / "a.nut") == [as_encoders_take_it(frame.picture) for frame in wanted]
    for seen, frame in zip(encoded.thumbnails, wanted, strict=True):
        assert np.array_equal(seen, thumbnail(frame.picture.planes[0], frame.picture.format.bits))
    if name == "yuv420p":  # the container has no name for the other
        prove_segment(tmp_path / "a.nut", track(name), encoded)


def test_a_wrong_picture_is_noticed(bench: DeviceBench, tmp_path: Path) -> None:
    """What is proved after encoding are the pictures that were handed over, not whatever their memory held later."""
    source = film(4)
    with stages_on_card(bench, source[0].picture) as (stages, _):
        encoded = encode(tmp_path / "a.nut", FramePipeline(stages, source, None))
    encoded.thumbnails[2][:] = 255 - encoded.thumbnails[2]
    with pytest.raises(EncodeError, match="shows another picture"):
        prove_segment(tmp_path / "a.nut", track("yuv420p"), encoded)


def taken(frame: object) -> VideoFrame:
    assert isinstance(frame, HandedFrame)
    return VideoFrame.from_dlpack(frame.picture.planes(), "nv12", SIZE.width, SIZE.height)


def test_pictures_do_not_cross_the_bus(bench: DeviceBench) -> None:
    """Downloaded is what the thumbnail is made of, and the flag: of a picture of this size all luma, of a large one
    at most 215 rows of 383 samples. The host waits once a frame."""
    source = film(60)  # its cut comes later
    with stages_on_card(bench, source[0].picture) as (stages, steps):
        encoder: deque[VideoFrame] = deque(maxlen=4)
        with closing(FramePipeline(stages, source, FPS).marked()) as frames:
            for _ in range(30):
                encoder.append(taken(next(frames)[0]))
            before = copy.copy(bench.device.counts)
            for _ in range(40):
                encoder.append(taken(next(frames)[0]))
            since = bench.device.counts.since(before)
        assert since.host_waits == 40
        assert since.allocations == 0, "nothing is made any more once the encoder has all that it keeps"
        looks = SIZE.pixels + 16
        assert abs(since.downloaded_bytes - 40 * looks) <= steps.frames_ahead * looks
        encoder.clear()
        assert held(steps) == 0


def test_what_the_encoder_keeps_is_lent_until_it_lets_go(bench: DeviceBench) -> None:
    """An encoder that keeps everything: the pipeline goes on, for every block kept there is one more."""
    source = film(16)
    with stages_on_card(bench, source[0].picture) as (stages, steps):
        assert isinstance(steps.outbox, Handover)
        kept: list[VideoFrame] = []
        with closing(FramePipeline(stages, source, FPS).marked()) as frames:
            for frame, _ in frames:
                kept.append(taken(frame))
        assert steps.outbox.kept == 2 * len(kept) == 80
        unlike = {bytes(frame.planes[0]) for frame in kept}
        assert len(unlike) > 30, "none was written to again"
        lent = steps.pool.on_loan
        for number in range(len(kept)):
            kept.pop()
            assert steps.outbox.kept == 2 * len(kept)
            assert steps.pool.on_loan <= lent - number // 4, "frames at a source frame's instant share its block"
        assert held(steps) == 0


def test_too_little_memory_for_what_the_encoder_keeps(bench: DeviceBench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pool: Pool, kind: str) -> None:
        raise OutOfDeviceMemoryError(1 << 20, 0, "Fake Card")

    monkeypatch.setattr(Pool, "add", refuse)
    source = film(4)
    with stages_on_card(bench, source[0].picture) as (stages, steps):
        with closing(FramePipeline(stages, source, None).marked()) as frames:
            frame, _ = next(frames)
            with pytest.raises(EncodeError, match="the encoder keeps 1 pictures") as caught:
                taken(frame)
        assert "`--media host`" in caught.value.hint
        assert held(steps) == 0


@pytest.mark.parametrize("plan", list(Plan))
@pytest.mark.parametrize("fps", [None, FPS], ids=["source", "60"])
def test_the_fewest_pictures_are_enough(
    bench: DeviceBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plan: Plan, fps: Fraction | None
) -> None:
    monkeypatch.setattr(opening, "_restored", lambda _, task, frames, __: task.fewest_restored + frames)
    source = film(12)
    with stages_on_card(bench, source[0].picture, plan=plan) as (stages, steps):
        encode(tmp_path / "a.nut", FramePipeline(stages, source, fps))
        assert held(steps) == 0
    assert len(payload(tmp_path / "a.nut")) == (30 if fps else 12)


@pytest.mark.parametrize("at", [1, 6])
@pytest.mark.parametrize("stage", ["launch", "download", "encode", "mux"])
def test_an_error_anywhere_gives_everything_back(
    bench: DeviceBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str, at: int
) -> None:
    """While the error is still there, with all that its traceback refers to."""
    owner, name = {
        "launch": (CountingStream, "launch"),
        "download": (CountingStream, "download"),
        "encode": (SegmentWriter, "_encoded"),
        "mux": (SegmentWriter, "_mux"),
    }[stage]
    real, done = getattr(owner, name), 0

    def failing(*arguments: object) -> object:
        nonlocal done
        done += 1
        if done == at:
            raise DeviceError("planted failure")
        return real(*arguments)

    source = film(16)
    with stages_on_card(bench, source[0].picture) as (stages, steps):
        monkeypatch.setattr(owner, name, failing)
        with pytest.raises(DeviceError, match="planted failure") as caught:
            encode(tmp_path / "a.nut", FramePipeline(stages, source, FPS))
        monkeypatch.undo()
        assert held(steps) == 0 and dlpack._given == {}
        assert caught.value.__traceback__ is not None
        gc.collect()


@pytest.mark.parametrize("shown", [1, 9])
def test_a_segment_that_is_given_up_lets_go_of_its_frames(bench: DeviceBench, tmp_path: Path, shown: int) -> None:
    source = film(30)
    with stages_on_card(bench, source[0].picture) as (stages, steps):
        writer = SegmentWriter(tmp_path / "a.nut", track("yuv420p"), CODEC, on_card=True)
        with closing(FramePipeline(stages, source, FPS).marked()) as frames:
            for _ in range(shown):
                writer.write(next(frames)[0])
        writer.abort()
        del frames
        assert held(steps) == 0


def test_a_network_that_yields_no_numbers_ends_the_run(bench: DeviceBench, tmp_path: Path) -> None:
    source = film(4)
    with stages_on_card(bench, source[0].picture, fault="nan") as (stages, steps):
        with pytest.raises(EngineError, match="not finite"):
            encode(tmp_path / "a.nut", FramePipeline(stages, source, FPS))
        assert held(steps) == 0


def test_frames_on_the_card_cannot_be_iterated_over(bench: DeviceBench) -> None:
    source = film(3)
    with stages_on_card(bench, source[0].picture) as (stages, steps):
        with pytest.raises(DeviceError, match="stay on the card"):
            list(FramePipeline(stages, source, None))
        assert held(steps) == 0


def test_nvenc_without_a_card_says_what_else_to_do(
    bench: DeviceBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is opened by the first frame; here it is given one of the host's, and there is no driver."""
    if Path("/dev/nvidiactl").exists():
        pytest.skip("there is an NVIDIA card")
    source = film(2)
    with stages_on_card(bench, source[0].picture) as (stages, steps):
        with closing(FramePipeline(stages, source, None).marked()) as frames:
            options = EncodeOptions(codec="h264_nvenc")
            with (
                SegmentWriter(tmp_path / "a.nut", track("yuv420p"), options, on_card=True) as writer,
                pytest.raises(EncodeError, match="h264_nvenc does not start") as caught,
            ):
                writer.write(next(frames)[0])
        assert "`--media host`" in caught.value.hint and "`--codec x264`" in caught.value.hint
        assert held(steps) == 0


def test_a_host_frame_is_no_handed_one() -> None:
    assert not isinstance(Frame(film(1)[0].picture, Fraction(0)), HandedFrame)
