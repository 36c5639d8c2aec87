"""`python -m tests.gpu --dry`: what the owner of a card runs can be run, to the end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.gpu.__main__ import main

from fastrestore.kernels.host_build import find_compiler
from fastrestore.runtime.memory import usable_cards

PARTS = "bandwidth", "rates", "sanitizer", "motion"
QUICK = ["--dry", "--model", "clean-x2-tiny", *(word for part in PARTS for word in ("--only", part))]


@pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler: the kernels' host build cannot be made")
def test_a_dry_run_measures_everything_it_would_on_a_card(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    assert main([*QUICK, "--out", str(out)]) == 0
    results = json.loads(out.read_text(encoding="utf-8"))
    assert results["card"] == "Fake Card" and "error" not in results
    kernels = results["bandwidth"]["yuv420p fp16"]
    assert {"planes_to_tiles", "tiles_to_planes", "guard", "synthesize", "place_motion"} <= set(kernels)
    assert all(rated["moved_bytes"] >= rated["ideal_bytes"] > 0 for rated in kernels.values())
    assert all(results["rates"][f"{slots} streams"]["engine_fps"] > 0 for slots in (1, 2, 3))
    assert results["rates"]["guided 24 -> 60"]["output_fps"] > 0
    assert results["motion"]["ran"] and results["motion"]["passed"]
    assert results["motion"]["motion on the card"]["output_fps"] > 0


@pytest.mark.skipif(not isinstance(usable_cards(), str), reason="there is a card here")
def test_without_a_card_it_says_so_and_fails(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    assert main(["--out", str(out), "--only", "rates", "--backend", "tensorrt", "--model", "clean-x2-tiny"]) == 1
    assert "cannot run here" in json.loads(out.read_text(encoding="utf-8"))["error"]["message"]


@pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler: the kernels' host build cannot be made")
def test_a_dry_run_decodes_every_codec_and_finds_the_pictures_of_the_cpu(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    assert main(["--dry", "--model", "clean-x2-tiny", "--only", "decoding", "--out", str(out)]) == 0
    results = json.loads(out.read_text(encoding="utf-8"))["decoding"]
    assert results["ran"] and results["passed"]
    compared = [each for each in results.values() if isinstance(each, dict)]
    assert [(each["ran"], each["compared"], each["different"]) for each in compared] == [(True, 6, 0)] * 5


@pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler: the kernels' host build cannot be made")
def test_a_dry_run_hands_frames_to_ffmpeg_and_says_that_there_is_no_encoder(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    assert main(["--dry", "--model", "clean-x2-tiny", "--only", "encoding", "--out", str(out)]) == 0
    results = json.loads(out.read_text(encoding="utf-8"))["encoding"]
    assert results["handed over yuv420p"] == results["handed over yuv420p10le"]
    assert results["handed over yuv420p"] == {"ran": True, "passed": True, "frames": 4}
    if isinstance(usable_cards(), str):
        assert "h264_nvenc does not start" in results["h264_nvenc 8 bit"]["why"]
