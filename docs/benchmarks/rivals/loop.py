"""What the published scripts amount to: interpolate, then restore every output frame, one after the other, in R'G'B'.

python loop.py CLIP OUT.mp4 --model NET.onnx --scale 4 --to 1920x1440 --fps 60 --library torch
"""

from __future__ import annotations

import argparse
import json
import time
from fractions import Fraction
from pathlib import Path

import cv2
from film import Interpolator, Writer, instants, read
from networks import open_network


def main() -> None:
    """Convert a clip and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--scale", type=int, required=True)
    parser.add_argument("--to", required=True, help="WIDTHxHEIGHT")
    parser.add_argument("--fps", type=Fraction, default=Fraction(60))
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--library", choices=("torch", "onnxruntime", "openvino", "opencv"), default="torch")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--preset", default="ultrafast")
    chosen = parser.parse_args()
    width, height = map(int, chosen.to.split("x"))
    network = open_network(chosen.library, chosen.model, chosen.scale, chosen.threads)
    begin, cpu = time.perf_counter(), time.process_time()
    frames, rate = read(chosen.clip, chosen.seconds)
    between = Interpolator(frames)
    writer = Writer(chosen.output, chosen.fps, width, height, chosen.preset)
    count = 0
    for index, t in instants(len(frames), rate, chosen.fps):
        restored = network(between.at(index, t))
        if restored.shape[:2] != (height, width):
            restored = cv2.resize(restored, (width, height), interpolation=cv2.INTER_LANCZOS4)
        writer.write(restored)
        count += 1
    writer.close()
    wall = time.perf_counter() - begin
    facts = {"library": chosen.library, "frames": count, "wall_s": wall, "cpu_s": time.process_time() - cpu}
    print(json.dumps(facts | {"fps": count / wall}))


if __name__ == "__main__":
    main()
