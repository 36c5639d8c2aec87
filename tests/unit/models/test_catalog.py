from __future__ import annotations

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from fastrestore.errors import ModelError, UsageError
from fastrestore.models import store
from fastrestore.models.catalog import catalog, find, motion_model, parse, restoration_chain
from fastrestore.models.spec import Artifact, ModelSpec, Task

ROW = '[[model]]\nname = "a"\nfamily = "a"\ntask = "restore"\nsummary = "s"\nlicence = "l"\nsource = "s"\n'


def test_shipped_catalogue_is_whole() -> None:
    names = [spec.name for spec in catalog()]
    assert {"film-x2-tiny", "film-x4-tiny", "clean-x2-tiny", "clean-x4-tiny", "dis"} <= set(names)
    for spec in catalog():
        assert spec.summary and spec.licence and spec.source
        for precision in spec.artifacts:
            path = store.locate(spec, precision)
            assert path.stat().st_size < 400_000, "networks that ship stay under 400 kB"
        if not spec.classical:
            assert store.card(spec), f"{spec.name} has no card"


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
    "text", ["", "[[model]]", "model = 3", "[[model", ROW + "colour = 1\n", ROW + ROW, ROW.replace("restore", "cook")]
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
        for artifact in spec.artifacts.values():
            figures = json.loads((root / "models" / spec.name / "figures.json").read_text(encoding="utf-8"))
            assert figures["sha256"] == artifact.sha256, f"the figures of {spec.name} are of another file"
