"""Whether an output is there already and is what would be made."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tests.media_samples import Clip, Sound, write_clip

from fastrestore.api import convert
from fastrestore.batch.settings import Value, options_from
from fastrestore.batch.standing import Standing, State, clear_up, require_replaceable, standing_of
from fastrestore.config import ConvertOptions
from fastrestore.errors import UsageError
from fastrestore.models.catalog import find
from fastrestore.models.spec import ModelSpec
from fastrestore.runtime.media import postscript
from fastrestore.runtime.provenance import record_path
from fastrestore.runtime.workfolder import WorkFolder, folder_for

BASE: dict[str, Value] = {"to": "x2", "fps": "source", "preset": "ultrafast", "crf": 30}


def options(**changes: Value) -> ConvertOptions:
    return options_from({**BASE, **{name.replace("_", "-"): value for name, value in changes.items()}})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A source and what was made of it."""
    folder = tmp_path_factory.mktemp("standing")
    source = write_clip(folder / "film.mp4", Clip(frames=4))
    output = folder / "film.mkv"
    convert(source, output, options())
    return source, output


def test_what_is_missing(made: tuple[Path, Path], tmp_path: Path) -> None:
    assert standing_of(made[0], tmp_path / "none.mkv", options()) == Standing(State.MISSING)


def test_what_is_done(made: tuple[Path, Path], tmp_path: Path) -> None:
    source, output = made
    done = Standing(State.DONE, frames=4)
    assert standing_of(source, output, options()) == done
    # Neither the source's name nor its times matter, nor how and where it was computed.
    copy = tmp_path / "another name.mp4"
    shutil.copy(source, copy)
    os.utime(copy, (1, 1))
    assert standing_of(copy, output, options()) == done
    same = options(
        backend="onnxruntime", threads=1, tile="64", overwrite=True, restart=True, verify=False, max_memory="9G"
    )
    assert standing_of(source, output, same) == done


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"crf": 20}, "crf: 30 -> 20"),
        ({"to": "x1"}, "to: x2 -> x1"),
        ({"sr": "clean"}, "sr: default -> clean"),
        ({"start": "0.04"}, "start: default -> 1/25"),
        ({"preset": "fast", "keep-holds": True}, "keep_holds: default -> True, preset: ultrafast -> fast"),
    ],
)
def test_other_settings(made: tuple[Path, Path], changes: dict[str, Value], words: str) -> None:
    standing = standing_of(*made, options(**changes))
    assert standing == Standing(State.OTHER, f"was made with other settings ({words})")


def test_another_source_and_another_soundtrack(made: tuple[Path, Path], tmp_path: Path) -> None:
    source, output = made
    other = write_clip(tmp_path / "film.mp4", Clip(frames=5))
    assert standing_of(other, output, options()).reason == "was made from another source"
    song = write_clip(tmp_path / "song.wav", None, [Sound(seconds=0.1, codec="pcm_s16le")])
    assert "soundtrack: default -> " in standing_of(source, output, options(audio=song)).reason


def test_a_network_that_has_changed(made: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def changed(name: str) -> ModelSpec:
        spec = find(name)
        return replace(spec, artifacts={p: replace(a, sha256="0" * 64) for p, a in spec.artifacts.items()})

    monkeypatch.setattr("fastrestore.runtime.origin.find", changed)
    assert standing_of(*made, options()).reason == "was made by another version of film-x2-tiny"


def test_what_others_made_and_what_is_damaged(made: tuple[Path, Path], tmp_path: Path) -> None:
    source, output = made
    assert standing_of(source, source, options()).reason == "was not made by fastrestore, or was cut off"
    whole = output.read_bytes()
    damaged = tmp_path / "film.mkv"
    damaged.write_bytes(whole[: len(whole) // 2])
    assert standing_of(source, damaged, options()).state is State.OTHER
    at = len(whole) // 3  # in a picture
    damaged.write_bytes(whole[:at] + bytes(each ^ 0xFF for each in whole[at : at + 8]) + whole[at + 8 :])
    assert standing_of(source, damaged, options()).reason.startswith("is damaged: ")
    assert standing_of(source, damaged, options(verify=False)).state is State.DONE  # the manifest is believed


def test_older_manifests_tell_too_little(made: tuple[Path, Path], tmp_path: Path) -> None:
    source, output = made
    older = tmp_path / "older.mkv"
    text = (postscript.read(output) or "").replace('"asked"', '"said"')
    shutil.copy(source, tmp_path / "film.mp4")
    write_clip(older, Clip(frames=4))
    postscript.append(older, text)
    assert standing_of(source, older, options()).reason == "does not tell what it was made from"


def test_what_is_other_is_not_replaced_unasked(made: tuple[Path, Path]) -> None:
    other = Standing(State.OTHER, "was made from another source")
    with pytest.raises(UsageError, match="exists already and was made from another source"):
        require_replaceable(other, made[1], options())
    require_replaceable(other, made[1], options(overwrite=True))
    require_replaceable(Standing(State.MISSING), made[1], options())


def test_what_a_kill_left_beside_a_done_output_goes(made: tuple[Path, Path], tmp_path: Path) -> None:
    output = tmp_path / "film.mkv"
    with WorkFolder(output).held():
        pass
    assert folder_for(output).is_dir()
    clear_up(output)
    clear_up(output)
    assert not folder_for(output).exists()


def test_what_does_not_tell_of_itself(made: tuple[Path, Path], tmp_path: Path) -> None:
    output = tmp_path / "film.mkv"
    shutil.copy(made[1], output)
    assert standing_of(made[0], output, options(provenance=True)).reason == "has no record beside it"
    assert standing_of(made[0], output, options(c2pa="key.pem")).reason == "is not signed"
    record_path(output).touch()
    assert standing_of(made[0], output, options(provenance=True)).state is State.DONE
