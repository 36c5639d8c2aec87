"""What one part of the work reaches alone on every core: the network, or the encoder. Prints one line of JSON.

python ceiling.py network --model NET.onnx --size 640x480 --library onnxruntime
python ceiling.py encoder --film RESTORED.mkv --preset ultrafast
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
from networks import open_runner

LEAST_S = 8.0
"""How long each part is run at least, after one run that is not counted."""
FRAMES_HELD = 48


def network(model: Path, size: str, library: str, threads: int) -> tuple[Callable[[], object], int]:
    """Return one run of the network on a picture of smooth noise, and how many frames that is."""
    width, height = map(int, size.split("x"))
    run = open_runner(library, model, threads)
    batch = np.random.default_rng(0).random((1, 3, height, width), dtype=np.float32)
    return lambda: run(batch), 1


def encoder(film: Path, preset: str) -> tuple[Callable[[], object], int]:
    """Return one encoding of a film's first frames, which are held in memory, and how many they are."""
    with av.open(str(film)) as container:
        frames = [frame for _, frame in zip(range(FRAMES_HELD), container.decode(video=0), strict=False)]

    def encode() -> None:
        target = av.open("/dev/null", "w", format="null")
        stream = target.add_stream("libx264", rate=60, options={"preset": preset, "crf": "18"})
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, frames[0].format.name
        for number, frame in enumerate(frames):
            frame.pts, frame.pict_type = number, 0
            stream.encode(frame)
        stream.encode()
        target.close()

    return encode, len(frames)


def main() -> None:
    """Time one part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("network", "encoder"))
    parser.add_argument("--model", type=Path)
    parser.add_argument("--size", default="640x480")
    parser.add_argument("--library", choices=("torch", "onnxruntime", "openvino"), default="onnxruntime")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--film", type=Path)
    parser.add_argument("--preset", default="ultrafast")
    chosen = parser.parse_args()
    if chosen.part == "network":
        once, count = network(chosen.model, chosen.size, chosen.library, chosen.threads)
    else:
        once, count = encoder(chosen.film, chosen.preset)
    once()
    runs, begin, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - begin < LEAST_S:
        once()
        runs += 1
    wall, spent = time.perf_counter() - begin, time.process_time() - cpu
    frames = runs * count
    facts = {"part": chosen.part, "frames": frames, "fps": frames / wall, "cpu_s_per_frame": spent / frames}
    print(json.dumps(facts | ({"library": chosen.library} if chosen.part == "network" else {})))


if __name__ == "__main__":
    main()
