"""Short clips cut from the embedded sample."""

from __future__ import annotations

from fractions import Fraction
from importlib.resources import as_file, files
from pathlib import Path

import av
from av.video.stream import VideoStream


def cut_clips(folder: Path, clips: int, *, frames: int = 6, width: int = 64, height: int = 48) -> list[Path]:
    """Write clips of so many frames each, from all over the sample, some in folders below; return them in order."""
    with as_file(files("fastrestore.demo") / "sample.mp4") as path, av.open(str(path)) as container:
        stream = container.streams.video[0]
        rate = Fraction(stream.average_rate or 16)
        film = [frame.reformat(width=width, height=height) for frame in container.decode(stream)]
    paths = []
    for number in range(clips):
        name = f"clip {number:03}.mp4" if number % 3 else f"reel {number % 2}/clip {number:03}.mov"
        paths.append(folder / name)
        paths[-1].parent.mkdir(parents=True, exist_ok=True)
        begin = number * 7 % (len(film) - frames + 1)
        with av.open(str(paths[-1]), "w") as output:
            video = output.add_stream("libx264", rate=rate, options={"preset": "veryfast"})
            assert isinstance(video, VideoStream)
            video.width, video.height, video.pix_fmt = width, height, "yuv420p"
            for index, frame in enumerate(film[begin : begin + frames]):
                frame.pts, frame.time_base, frame.pict_type = index, 1 / rate, 0
                output.mux(video.encode(frame))
            output.mux(video.encode(None))
    return sorted(paths, key=lambda path: path.relative_to(folder).parts)
