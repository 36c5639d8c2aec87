"""Draws, ages and encodes the embedded sample anew: `python -m fastrestore.demo.make_sample`.

The encoder's output depends on its version and threads, so the file is made once and shipped.
"""

from __future__ import annotations

import tempfile
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fastrestore.api import Pipeline
from fastrestore.config import EncodeOptions
from fastrestore.demo import sample, soundtrack
from fastrestore.demo.scene import FPS
from fastrestore.frames import FORMATS, Colour, Frame, Matrix, Picture
from fastrestore.kernels.ops import open_ops

CRF = 28
AUDIO_BIT_RATE = 64_000


def main() -> None:
    """Write `sample.mp4` beside this file."""
    target = Path(__file__).with_name("sample.mp4")
    with tempfile.TemporaryDirectory() as folder:
        music = Path(folder) / "soundtrack.wav"
        _write_wave(music)
        encode = EncodeOptions(crf=CRF, preset="veryslow", audio_bit_rate=AUDIO_BIT_RATE)
        Pipeline().write(_frames(), target, encode=encode, audio=music, overwrite=True)


def _frames() -> Iterator[Frame]:
    ops = open_ops("cpu")
    colour = Colour(Matrix.SMPTE170M)
    grey = Colour(Matrix.SMPTE170M, full_range=True)
    for index, pixels in enumerate(sample.frames()):
        full = Picture((pixels,), FORMATS["gray"], grey)
        stored = ops.from_rgb(ops.to_rgb(full), full.size, FORMATS["yuv420p"], colour, neutral=True)
        yield Frame(stored, index / FPS, 1 / FPS)


def _write_wave(path: Path) -> None:
    samples = np.round(soundtrack.render() * 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(soundtrack.RATE)
        file.writeframes(samples.tobytes())


if __name__ == "__main__":
    main()
