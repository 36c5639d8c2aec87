from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
from tests.unit.models.packages import make

from fastrestore.errors import ModelError, UsageError
from fastrestore.models import package, store
from fastrestore.models.catalog import (
    broken,
    catalog,
    find,
    motion_model,
    publication,
    publications,
    restoration_chain,
)
from fastrestore.models.shipped import parse
from fastrestore.models.spec import NAME, Artifact, ModelSpec, Publication, Task, Tensor

ROW = '[[model]]\nname = "a"\nfamily = "a"\ntask = "restore"\nsummary = "s"\nlicence = "l"\nsource = "s"\n'
PUBLISHED = (
    '[[published]]\nname = "b"\ntask = "restore"\nsummary = "s"\nlicence = "l"\nsource = "s"\n'
    'url = "https://example.org/b"\nfilename = "b.pth"\nsha256 = ""\n'
)


def test_shipped_catalogue_is_whole() -> None:
    names = [spec.name for spec in catalog()]
    assert {"film-x2-tiny", "film-x4-tiny", "clean-x2-tiny", "clean-x4-tiny", "dis"} <= set(names)
    sizes = {}
    for spec in catalog():
        assert NAME.fullmatch(spec.name) and spec.folder is None
        for precision in spec.artifacts:
            sizes[spec.name, precision] = store.locate(spec, precision).stat().st_size
        if not spec.classical:
            assert store.card(spec), f"{spec.name} has no card"
            assert spec.halo_px and spec.working_bytes_per_px and spec.inputs and spec.outputs
    restoring = {s.name for s in catalog() if s.task is Task.RESTORE and s.name.endswith("-tiny")}
    assert all(size < 400_000 for (name, _), size in sizes.items() if name in restoring), "tiny means that"
    assert sum(sizes.values()) < 11_000_000, "the wheel stays below 12 MB"


@pytest.mark.parametrize(
    ("name", "factor", "wanted"),
    [
        ("film", Fraction(1), []),
        ("film", Fraction(1, 2), []),
        ("film", Fraction(2), ["film-x2-tiny"]),
        ("film", Fraction(3), ["film-x4-tiny"]),
        ("film", Fraction(27, 4), ["film-x4-tiny"]),
        ("clean", Fraction(8), ["clean-x4-tiny", "clean-x2-tiny"]),
        ("film", Fraction(16), ["film-x4-tiny", "film-x4-tiny"]),
        ("clean-x2-tiny", Fraction(9, 2), ["clean-x2-tiny", "clean-x2-tiny"]),
        ("lanczos", Fraction(4), []),
    ],
)
def test_chain_reaches_any_factor(name: str, factor: Fraction, wanted: list[str]) -> None:
    assert [spec.name for spec in restoration_chain(name, factor)] == wanted


def test_unknown_names_offer_the_nearest() -> None:
    with pytest.raises(UsageError, match="unknown model") as caught:
        restoration_chain("flim", Fraction(2))
    assert "`film`" in caught.value.hint
    with pytest.raises(UsageError, match="unknown model"):
        motion_model("film-x2-tiny")
    with pytest.raises(UsageError, match="does not restore"):
        restoration_chain("dis", Fraction(2))
    with pytest.raises(UsageError, match="unknown model"):
        find("nothing")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[[model]]",
        "model = 3",
        "[[model",
        ROW + "colour = 1\n",
        ROW + ROW,
        ROW.replace("restore", "cook"),
        ROW.replace('"s"', "3"),
        ROW + "scale = 1.5\n",
        ROW + "inputs = [3]\n",
        ROW + "[[modle]]\n",
        ROW + PUBLISHED.replace('"b"', '"a"'),
        ROW + PUBLISHED + PUBLISHED,
        ROW + PUBLISHED.replace("https", "http"),
        ROW + PUBLISHED.replace("b.pth", "../b.pth"),
        ROW + PUBLISHED.replace("sha256 = ", 'sha256 = "0" #'),
        ROW + PUBLISHED + "halo_px = 3\n",
        ROW + "published = 3\n",
    ],
)
def test_damaged_catalogues_are_refused(text: str) -> None:
    with pytest.raises(ModelError):
        parse(text)


def test_store_refuses_a_changed_file(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(b"not what was pinned")
    spec = ModelSpec("m", "m", Task.RESTORE, "", "", "", artifacts={"fp32": Artifact(file, "0" * 64)})
    with pytest.raises(ModelError, match="damaged"):
        store.locate(spec)
    missing = ModelSpec("m", "m", Task.RESTORE, "", "", "", artifacts={"fp32": Artifact(tmp_path / "none", "0" * 64)})
    with pytest.raises(ModelError, match="cannot be read"):
        store.locate(missing)
    with pytest.raises(ModelError, match="no fp16"):
        store.locate(spec, "fp16")


def test_documented_figures_are_those_measured_on_the_shipped_files() -> None:
    root = Path(__file__).resolve().parents[3]
    subprocess.run([sys.executable, str(root / "scripts" / "model-figures"), "--check"], check=True)
    for spec in catalog():
        if spec.artifacts:  # the fp16 file is held against the fp32 one when it is exported
            figures = json.loads((root / "models" / spec.name / "figures.json").read_text(encoding="utf-8"))
            assert figures["sha256"] == spec.artifact("fp32").sha256, f"the figures of {spec.name} are of another file"


def test_rows_that_are_right() -> None:
    found = parse(ROW + PUBLISHED)
    assert [spec.name for spec in found.models] == ["a"]
    assert found.publications[0] == Publication(
        "b", Task.RESTORE, "s", "l", "s", "https://example.org/b", "b.pth", scale=1, size_bytes=0, sha256=""
    )


def test_publications_are_told_apart_and_documented() -> None:
    known = publications()
    assert {"realesrgan-x4plus", "realesrgan-x2plus", "realesr-animevideov3"} <= {p.name for p in known}
    for values in zip(*((p.url, p.filename, p.sha256 or p.name) for p in known), strict=True):
        assert len(set(values)) == len(known), "two rows share an address, a file or a hash"
    text = Path(__file__).resolve().parents[3].joinpath("docs", "models-howto.md").read_text(encoding="utf-8")
    for published in known:
        assert f"| `{published.name}` | {published.licence} | {published.source} |" in text
        pinned = "documented" if published.sha256 else "at first pull"
        assert f"`{published.name}` | {published.licence} | {published.source} | {pinned} |" in text


def test_a_pullable_model_says_how_to_get_it() -> None:
    for ask in (find, motion_model, lambda name: restoration_chain(name, Fraction(4))):
        with pytest.raises(ModelError, match="`realesrgan-x4plus` is not here") as caught:
            ask("realesrgan-x4plus")
        assert "fastrestore models pull realesrgan-x4plus" in caught.value.hint
    with pytest.raises(UsageError) as misspelt:
        restoration_chain("realesrgan-x4pls", Fraction(4))
    assert "did you mean `realesrgan-x4plus`" in misspelt.value.hint
    assert publication("realesrgan-x4plus").scale == 4
    with pytest.raises(UsageError, match="is here"):
        publication("film-x2-tiny")
    with pytest.raises(UsageError, match="unknown") as unknown:
        publication("realesrgan")
    assert "realesrgan-x4plus" in unknown.value.hint


def test_models_of_the_user_are_found_as_soon_as_they_are_there(tmp_path: Path, user_folder: Path) -> None:
    before = catalog()
    make(user_folder, "mine", summary="first")
    assert [spec.name for spec in catalog()] == [*(spec.name for spec in before), "mine"]
    assert restoration_chain("mine", Fraction(4)) == (find("mine"), find("mine"))
    package.install(make(tmp_path, "mine", summary="second"), user_folder, overwrite=True)
    assert find("mine").summary == "second"
    shutil.rmtree(user_folder / "mine")
    assert catalog() == before


def test_a_pulled_model_takes_the_place_of_its_publication(user_folder: Path) -> None:
    make(user_folder, "realesrgan-x2plus")
    assert find("realesrgan-x2plus").folder == user_folder


def test_a_broken_package_disturbs_no_other_and_says_why(user_folder: Path) -> None:
    make(user_folder, "good")
    make(user_folder, "bad", row="[[model]]")
    make(user_folder, "film")
    (user_folder / "empty").mkdir()
    for ours in ("downloads", ".incoming-x"):
        (user_folder / ours).mkdir()
    (user_folder / "pins.toml").write_text("")
    assert [spec.name for spec in catalog() if spec.folder] == ["good"]
    assert [found.name for found in broken()] == ["bad", "empty", "film"]
    for ask in (find, motion_model, lambda name: restoration_chain(name, Fraction(2))):
        with pytest.raises(ModelError, match=r"model `bad` cannot be used: .*missing") as caught:
            ask("bad")
        assert caught.value.hint
    assert [spec.name for spec in restoration_chain("film", Fraction(2))] == ["film-x2-tiny"]


def test_a_network_that_does_not_enlarge_runs_once(user_folder: Path) -> None:
    make(user_folder, "denoise", scale=1, outputs=(Tensor("restored", 3),))
    for factor in (Fraction(1, 2), Fraction(1), Fraction(9)):
        assert [spec.name for spec in restoration_chain("denoise", factor)] == ["denoise"]


def test_a_changed_file_is_found_in_the_same_process(user_folder: Path) -> None:
    file = make(user_folder, "mine") / "model.fp32.onnx"
    assert store.locate(find("mine")) == file
    file.write_bytes(file.read_bytes() + b"!")
    with pytest.raises(ModelError, match="damaged") as caught:
        store.locate(find("mine"))
    assert "reinstall" not in caught.value.hint and str(user_folder / "mine") in caught.value.hint


def test_verify_reads_the_file_even_if_its_time_did_not_change(user_folder: Path) -> None:
    file = make(user_folder, "mine") / "model.fp32.onnx"
    spec, status = find("mine"), file.stat()
    store.verify(spec)
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(ModelError, match="damaged"):
        store.verify(spec)


def test_the_users_folder_is_the_platforms_unless_it_is_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(store.USER_FOLDER_VARIABLE, "relative")
    assert store.user_folder() == tmp_path / "relative"
    monkeypatch.delenv(store.USER_FOLDER_VARIABLE)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert store.user_folder() == tmp_path / "data" / "fastrestore" / "models"
    assert catalog() and not broken()
