"""The file of a shot's colours: whole or absent, each frame by itself."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from fastrestore.errors import EncodeError
from fastrestore.runtime.treatments.colour.chroma_store import ChromaReader, ChromaWriter, is_whole
from fastrestore.runtime.treatments.colour.propagation import Coloured


def coloured(seed: int, shape: tuple[int, int] = (18, 25)) -> Coloured:
    rng = np.random.default_rng(seed)
    chroma = rng.uniform(-128, 127, (*shape, 2)).astype(np.float32)
    return Coloured(chroma, rng.random(shape, np.float32))


@pytest.mark.parametrize(("fine", "step"), [(False, 0.5), (True, 0.5 / 256)])
def test_frames_come_back_whatever_the_order(tmp_path: Path, fine: bool, step: float) -> None:
    path = tmp_path / "shot.zip"
    with ChromaWriter(path, 10, 13, fine=fine) as writer:
        for index in (12, 10, 11):
            writer.put(index, coloured(index))
        assert not path.exists()
    assert is_whole(path)
    reader = ChromaReader(path)
    assert (reader.facts.width, reader.facts.height) == (25, 18)
    for index in (11, 10, 12):
        found = reader.get(index)
        assert np.abs(found.chroma - coloured(index).chroma).max() <= step + 1e-4
        assert np.abs(found.trust - coloured(index).trust).max() <= 0.5 / 15 + 1e-4
    assert reader.facts.trust[1] == pytest.approx(coloured(11).trust.mean(), abs=1e-4)
    with pytest.raises(EncodeError, match="damaged"):
        reader.get(13)
    reader.close()
    reader.close()
    assert [each.name for each in tmp_path.iterdir()] == ["shot.zip"]


def test_the_same_colours_make_the_same_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with ChromaWriter(tmp_path / name, 0, 1, fine=False) as writer:
            writer.put(0, coloured(1))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_nothing_is_left_of_a_file_that_was_not_finished(tmp_path: Path) -> None:
    def stop() -> None:
        with ChromaWriter(tmp_path / "shot.zip", 0, 2, fine=False) as writer:
            writer.put(0, coloured(0))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        stop()
    assert not list(tmp_path.iterdir())


def test_damage_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "shot.zip"
    with ChromaWriter(path, 0, 1, fine=False) as writer:
        writer.put(0, coloured(0))
    content = path.read_bytes()
    path.write_bytes(content[:-30])
    assert not is_whole(path)
    changed = bytearray(content)
    changed[60] ^= 0xFF  # inside the frame
    path.write_bytes(changed)
    reader = ChromaReader(path)
    with pytest.raises(EncodeError, match="damaged"):
        reader.get(0)
    reader.close()
    assert not is_whole(tmp_path / "absent.zip")


def test_a_frame_of_another_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "shot.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("shot.json", '{"size": [4, 5], "trust": [1.0]}')
        file.writestr("0", b"\x78\x01\x03\x00\x00\x00\x00\x01")  # nothing, compressed
    reader = ChromaReader(path)
    with pytest.raises(EncodeError, match="damaged"):
        reader.get(0)
    reader.close()
