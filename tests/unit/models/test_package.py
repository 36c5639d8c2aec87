"""Packages come from strangers: whatever is in them, they are read exactly or refused."""

from __future__ import annotations

import os
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.models.packages import make, renamed, tiny

from fastrestore.errors import ModelError
from fastrestore.models import package, store
from fastrestore.models.shipped import shipped
from fastrestore.models.spec import Artifact, ModelSpec, Task, Tensor

NAMES = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=("C", "Z")) | st.just(" "), min_size=1, max_size=200)
"""What `str.isprintable` lets pass."""
HASHES = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)
TENSORS = st.builds(Tensor, TEXTS, st.integers(1, 64), st.integers(0, 16), st.booleans())
SPECS = st.builds(
    ModelSpec,
    name=NAMES,
    family=NAMES,
    task=st.sampled_from(Task),
    summary=TEXTS,
    licence=TEXTS,
    source=TEXTS,
    scale=st.integers(1, 16),
    classical=st.booleans(),
    halo_px=st.integers(0, 65536),
    multiple_px=st.integers(1, 4096),
    working_bytes_per_px=st.integers(0, 10**9),
    inputs=st.lists(TENSORS, max_size=4).map(tuple),
    outputs=st.lists(TENSORS, max_size=4).map(tuple),
    artifacts=st.dictionaries(TEXTS, st.builds(Artifact, st.builds(Path, NAMES, NAMES), HASHES), max_size=2),
)
QUICK = settings(
    deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@QUICK
@given(SPECS)
def test_a_row_is_read_as_it_was_written(spec: ModelSpec) -> None:
    rows = tomllib.loads(package.dump(spec))["model"]
    assert [ModelSpec.from_row(row) for row in rows] == [spec]


@QUICK
@given(st.text(max_size=100))
def test_any_text_survives_toml(text: str) -> None:
    spec = replace(tiny(), summary=text)
    try:
        written = package.dump(spec)
    except ModelError:
        assert any(0xD800 <= ord(letter) < 0xE000 for letter in text)
    else:
        assert tomllib.loads(written)["model"][0]["summary"] == text


@pytest.mark.parametrize("text", ["half \ud800", "\udcff"])
def test_what_is_no_unicode_cannot_be_written(text: str) -> None:
    with pytest.raises(ModelError, match="no Unicode"):
        package.dump(replace(tiny(), source=text))


@pytest.mark.parametrize("spec", shipped().models, ids=lambda spec: spec.name)
def test_what_ships_survives(spec: ModelSpec) -> None:
    assert ModelSpec.from_row(tomllib.loads(package.dump(spec))["model"][0]) == spec


def test_a_package_is_read(tmp_path: Path) -> None:
    assert package.read(make(tmp_path, "mine")) == replace(renamed("mine"), folder=tmp_path)


GOOD = package.dump(renamed("mine"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('name = "mine"', 'name = "other"'),
        ('name = "mine"', 'name = "MINE"'),
        ('name = "mine"', 'name = "../mine"'),
        ('name = "mine"', 'name = ""'),
        ('name = "mine"', "name = 1"),
        ('name = "mine"\n', ""),
        ('family = "mine"', 'family = "film"'),
        ('family = "mine"', 'family = "clean-x2-tiny"'),
        ('task = "restore"', 'task = "cook"'),
        ('task = "restore"', 'task = "motion"'),
        ('task = "restore"', "task = []"),
        ("scale = 2\nhalo", "scale = 0\nhalo"),
        ("scale = 2\nhalo", "scale = true\nhalo"),
        ("scale = 2\nhalo", "scale = 2.0\nhalo"),
        ("scale = 2\nhalo", "scale = 4\nhalo"),
        ("halo_px = 7", "halo_px = -1"),
        ("halo_px = 7", "halo_px = 0x" + "f" * 5000),
        ("halo_px = 7", "halo_px = " + "9" * 5000),
        ("halo_px = 7", "halo_px = 1979-05-27"),
        ("halo_px = 7", "halo_px = nan"),
        ("halo_px = 7", "classical = true"),
        ("halo_px = 7", 'colour = "red"'),
        ("halo_px = 7", "halo_px = " + "[" * 3000),
        ("halo_px = 7", "halo_px = [\n"),
        ("[[model]]", "extra = 1\n[[model]]"),
        ("[[model]]", "[model]"),
        ("[[model]]", "[[model]]\n[[model]]"),
        ("channels = 3", "channels = 4"),
        ("channels = 3", 'channels = 3, evil = "x"'),
        ('"restored"', '"image"'),
        ('inputs = [{ name = "image", channels = 3 }]', "inputs = 3"),
        ('inputs = [{ name = "image", channels = 3 }]', "inputs = [3]"),
        ('inputs = [{ name = "image", channels = 3 }]', "inputs = []"),
        ("[model.artifacts.fp32]", "[model.artifacts.fp16]"),
        ("[model.artifacts.fp32]", "[model.artifacts.int8]"),
        ("[model.artifacts.fp32]", "[model.artifacts]"),
        ("[model.artifacts.fp32]", "[[model.artifacts]]"),
        ('file = "mine/model.fp32.onnx"', 'file = "mine/../../etc/passwd.onnx"'),
        ('file = "mine/model.fp32.onnx"', 'file = "/etc/passwd.onnx"'),
        ('file = "mine/model.fp32.onnx"', 'file = "mine/sub/model.fp32.onnx"'),
        ('file = "mine/model.fp32.onnx"', 'file = "other/model.fp32.onnx"'),
        ('file = "mine/model.fp32.onnx"', 'file = "mine/card.md"'),
        ('file = "mine/model.fp32.onnx"', 'file = "mine/none.onnx"'),
        ('file = "mine/model.fp32.onnx"\n', ""),
        ('sha256 = "', 'sha256 = "0'),
        ('summary = "', 'summary = "\\u001b[31m'),
        ('summary = "', 'summary = "\\n'),
        ('summary = "', 'summary = "\\u202e'),
        ('summary = "', 'summary = "' + "long" * 1000),
        ('summary = "', 'summary = "\udcff'),
        ('summary = "', '# \x00\nsummary = "'),
        ("[[model]]", "#" + "x" * package.LARGEST_ROW + "\n[[model]]"),
    ],
)
def test_damaged_rows_are_refused(tmp_path: Path, old: str, new: str) -> None:
    assert old in GOOD
    folder = make(tmp_path, "mine", row=GOOD.replace(old, new, 1))
    with pytest.raises(ModelError) as caught:
        package.read(folder)
    assert caught.value.hint and caught.value.message.isprintable()


@settings(QUICK, max_examples=300)
@given(st.data())
def test_mutated_rows_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Pieces of the text are cut, doubled or overwritten: nothing but `ModelError` may come of it."""
    raw = bytearray(GOOD.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(raw)))
        end = data.draw(st.integers(start, min(len(raw), start + 30)))
        raw[start:end] = data.draw(st.one_of(st.binary(max_size=8), st.just(bytes(raw[start:end]) * 2)))
    folder = make(tmp_path_factory.mktemp("mutated"), "mine")
    (folder / package.ROW_FILE).write_bytes(raw)
    try:
        spec = package.read(folder)
    except ModelError:
        pass
    else:
        assert spec.name == "mine" and spec.artifact("fp32").path == Path("mine/model.fp32.onnx")


@pytest.mark.parametrize("name", ["Upper", "-dash", "downloads", "with space", "film", "film-x2-tiny", "dis", "a" * 65])
def test_names_that_cannot_be(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError):
        package.read(make(tmp_path, name))


def test_files_must_be_plain_present_and_of_a_sane_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    linked = make(tmp_path, "linked")
    (linked / "model.fp32.onnx").unlink()
    (linked / "model.fp32.onnx").symlink_to("/etc/hostname")
    with pytest.raises(ModelError, match="no plain file"):
        package.read(linked)
    piped = make(tmp_path, "piped")
    (piped / "card.md").unlink()
    os.mkfifo(piped / "card.md")
    with pytest.raises(ModelError, match="no plain file"):
        package.read(piped)
    (make(tmp_path, "gone") / "model.fp32.onnx").unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        package.read(tmp_path / "gone")
    monkeypatch.setattr(package, "LARGEST_NETWORK", 1000)
    with pytest.raises(ModelError, match="more than 1000"):
        package.read(make(tmp_path, "huge"))


@pytest.mark.parametrize("what", ["nothing", "file"])
def test_what_is_no_package_is_led_to_export(tmp_path: Path, what: str) -> None:
    (tmp_path / "file").write_bytes(b"a checkpoint")
    with pytest.raises(ModelError, match="no model package") as caught:
        package.read(tmp_path / what)
    assert "fastrestore export" in caught.value.hint


def test_a_motion_package(tmp_path: Path) -> None:
    pair = (Tensor("left", 3), Tensor("right", 3))
    flow: dict[str, Any] = {
        "task": Task.MOTION,
        "scale": 1,
        "inputs": pair,
        "outputs": (Tensor("flow", 2, half=False),),
    }
    assert package.read(make(tmp_path, "flow", **flow)).task is Task.MOTION
    instant: dict[str, Any] = {
        **flow,
        "inputs": (*pair, Tensor("t", 1, scale=0, half=False)),
        "outputs": (Tensor("flow", 4, half=False), Tensor("mask", 1)),
    }
    assert package.read(make(tmp_path, "instant", **instant)).any_instant
    with pytest.raises(ModelError, match="not those of a motion network"):
        package.read(make(tmp_path, "mixed", **{**flow, "outputs": instant["outputs"]}))


def test_install_copies_what_belongs_to_it(tmp_path: Path, user_folder: Path) -> None:
    source = make(tmp_path, "mine")
    (source / "secret.txt").write_text("not part of a model")
    spec = package.install(source, user_folder)
    assert spec == replace(renamed("mine"), folder=user_folder)
    assert store.locate(spec) == user_folder / "mine" / "model.fp32.onnx"
    assert store.card(spec) == "# mine\n"
    names = sorted(str(path.relative_to(user_folder)) for path in user_folder.rglob("*") if path.name != ".lock")
    assert names == ["mine", "mine/card.md", "mine/model.fp32.onnx", "mine/model.toml"]


def test_install_replaces_only_when_asked(tmp_path: Path, user_folder: Path) -> None:
    package.install(make(tmp_path / "a", "mine"), user_folder)
    newer = make(tmp_path / "b", "mine", summary="newer")
    with pytest.raises(ModelError, match="already"):
        package.install(newer, user_folder)
    assert package.read(user_folder / "mine").summary == tiny().summary
    assert package.install(newer, user_folder, overwrite=True).summary == "newer"
    assert package.install(user_folder / "mine", user_folder, overwrite=True).summary == "newer"
    assert [path.name for path in user_folder.iterdir() if not path.name.startswith(".")] == ["mine"]


def test_install_is_whole_or_not_there(tmp_path: Path, user_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package.install(make(tmp_path / "a", "mine"), user_folder)
    damaged = make(tmp_path / "b", "mine", summary="newer")
    (damaged / "model.fp32.onnx").write_bytes(b"damaged")
    with pytest.raises(ModelError, match="damaged"):
        package.install(damaged, user_folder, overwrite=True)

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(package, "sync", full)
    for name in ("mine", "other"):
        with pytest.raises(ModelError, match="No space left"):
            package.install(make(tmp_path / "c", name, summary="newer"), user_folder, overwrite=True)
    assert package.read(user_folder / "mine").summary == tiny().summary
    assert not (user_folder / "other").exists()
    assert not list(user_folder.glob(".incoming-*"))


def test_install_sweeps_up_after_a_killed_one(tmp_path: Path, user_folder: Path) -> None:
    (user_folder / ".incoming-killed" / "mine").mkdir(parents=True)
    package.install(make(tmp_path, "mine"), user_folder)
    assert not list(user_folder.glob(".incoming-*"))


def test_a_card_cannot_steer_the_terminal(user_folder: Path) -> None:
    folder = make(user_folder, "mine")
    (folder / "card.md").write_bytes(
        "# a\N{NO-BREAK SPACE}card\n\t\x1b]0;title\x07 \N{RIGHT-TO-LEFT OVERRIDE}".encode() + b"\xff"
    )
    assert store.card(package.read(folder)) == "# a\N{NO-BREAK SPACE}card\n\t\ufffd]0;title\ufffd \ufffd\ufffd"
