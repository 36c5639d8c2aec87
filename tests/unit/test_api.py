"""The Python interface, as the README shows it and on any iterable of frames."""

from __future__ import annotations

import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import fastrestore
from fastrestore import Frame, Interpolate, Picture, Pipeline, Restore, open_video
from fastrestore.config import EncodeOptions
from fastrestore.errors import DecodeError, UsageError
from fastrestore.frames import FORMATS

REPOSITORY = Path(__file__).resolve().parents[2]
QUICK = EncodeOptions(preset="ultrafast")


def frames(count: int = 6) -> list[Frame]:
    rng = np.random.default_rng(0)
    texture = np.kron(rng.integers(30, 220, (8, 12)), np.ones((8, 8))).astype(np.uint8)
    return [
        Frame(
            Picture((np.roll(texture, 2 * i, 1)[:48, :64].copy(),), FORMATS["gray"]), Fraction(i, 12), Fraction(1, 12)
        )
        for i in range(count)
    ]


def test_readme_example_runs_as_shown(tmp_path: Path) -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    example = next(block for block in re.findall(r"```python\n(.*?)```", readme, re.S) if "open_video" in block)
    assert len(example.strip().splitlines()) < 10
    clip = tmp_path / "old.mp4"
    Pipeline().write(frames(), clip, encode=QUICK)
    small = example.replace('to="4k"', 'to="x2"')
    assert small != example
    subprocess.run([sys.executable, "-c", small], cwd=tmp_path, check=True, env={"PYTHONPATH": str(REPOSITORY / "src")})
    with open_video(tmp_path / "new.mkv") as video:
        assert (video.info.size.width, len(list(video))) == (128, 30)


def test_any_iterable_of_frames_is_a_source(tmp_path: Path) -> None:
    pipeline = Pipeline(Restore(to="x2"), Interpolate(fps=24))
    finished = list(pipeline.frames(f for f in frames()))
    assert [f.pts for f in finished] == [Fraction(k, 24) for k in range(12)]
    assert {(f.picture.size.width, f.picture.format.name) for f in finished} == {(128, "yuv420p")}
    report = pipeline.write(iter(frames()), tmp_path / "out.mp4", encode=QUICK)
    assert (report.output_frames, report.restored_frames, report.synthesized_frames) == (12, 6, 5)


def test_no_stage_copies_frames(tmp_path: Path) -> None:
    assert [f.pts for f in Pipeline().frames(frames())] == [f.pts for f in frames()]


def test_an_empty_source_is_refused() -> None:
    with pytest.raises(DecodeError, match="no frame"):
        list(Pipeline().frames([]))


def test_settings_are_checked_when_the_pipeline_is_built() -> None:
    with pytest.raises(UsageError, match="unknown plan"):
        Pipeline(plan="sideways")
    with pytest.raises(UsageError, match="target size"):
        Pipeline(Restore(to="big"))


def test_public_names_are_exactly_those_promised() -> None:
    assert set(fastrestore.__all__) == set(dir(fastrestore))
    for name in fastrestore.__all__:
        assert getattr(fastrestore, name) is not None
    with pytest.raises(AttributeError, match="no attribute"):
        fastrestore.nothing  # noqa: B018


def test_import_is_light() -> None:
    """`import fastrestore` loads none of the heavy packages, nor NumPy."""
    code = "import sys, fastrestore; print(*sorted(m for m in sys.modules if '.' not in m))"
    env = {"PYTHONPATH": str(REPOSITORY / "src")}
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env
    ).stdout.split()
    heavy = {"torch", "tensorrt", "tensorrt_rtx", "onnxruntime", "av", "cv2", "typer", "rich", "numpy"}
    assert not heavy & set(loaded)


def test_a_picture_too_small_for_the_encoder_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="x265 cannot encode 64x48"):
        Pipeline().write(frames(), tmp_path / "out.mkv", encode=EncodeOptions("x265"))
    assert not list(tmp_path.iterdir())


def test_frames_and_write_agree_on_a_range(tmp_path: Path) -> None:
    Pipeline().write(frames(12), tmp_path / "clip.mp4", encode=QUICK)
    pipeline, end = Pipeline(interpolate=Interpolate(fps=48)), Fraction(51, 100)
    with open_video(tmp_path / "clip.mp4", end=end) as video:
        yielded = len(list(pipeline.frames(video)))
    with open_video(tmp_path / "clip.mp4", end=end) as video:
        assert pipeline.write(video, tmp_path / "cut.mp4", encode=QUICK).output_frames == yielded


@pytest.mark.parametrize("to", ["x1", "x2"])
def test_frames_from_outside_are_checked(to: str) -> None:
    pipeline = Pipeline(Restore(to=to, model="lanczos"), Interpolate(fps=24))
    small = Picture((np.zeros((24, 32), np.uint8),), FORMATS["gray"])
    with pytest.raises(DecodeError, match="changes from 64x48"):
        list(pipeline.frames([*frames(), Frame(small, Fraction(1))]))
    with pytest.raises(DecodeError, match="goes from"):
        list(pipeline.frames([*frames(), frames()[2]]))


def test_more_bits_leave_the_chroma_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    planes = tuple(rng.integers(16, 235, shape).astype(np.uint8) for shape in ((48, 64), (24, 32), (24, 32)))
    source = Frame(Picture(planes, FORMATS["yuv420p"]), Fraction(0), Fraction(1, 12))
    Pipeline().write([source], tmp_path / "out.mkv", encode=EncodeOptions("ffv1", bit_depth=10))
    with open_video(tmp_path / "out.mkv") as video:
        stored = next(iter(video)).picture
    for before, after in zip(planes, stored.planes, strict=True):
        assert np.array_equal(before.astype(np.uint16) * 4, after)


def test_an_odd_size_is_refused_before_any_work_where_the_codec_cannot_hold_it(tmp_path: Path) -> None:
    planes = (np.zeros((49, 65), np.uint8), *(np.full((25, 33), 128, np.uint8) for _ in range(2)))
    odd = [Frame(Picture(planes, FORMATS["yuv420p"]), Fraction(0), Fraction(1, 12))]
    with pytest.raises(UsageError, match="odd size 65x49") as caught:
        Pipeline().write(odd, tmp_path / "out.mkv", encode=QUICK)
    assert "66x50" in caught.value.hint
    assert Pipeline().write(odd, tmp_path / "out.mkv", encode=EncodeOptions("ffv1")).output_frames == 1
