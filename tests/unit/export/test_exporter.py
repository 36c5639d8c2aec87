from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
import torch
from typer.testing import CliRunner

from fastrestore.errors import ExportError, ParityError
from fastrestore.export import onnx_export, parity
from fastrestore.export.exporter import UNKNOWN_LICENCE, export_checkpoint, name_for
from fastrestore.models import package, store


def test_a_checkpoint_becomes_a_whole_package(plainsr_checkpoint: Path, tmp_path: Path) -> None:
    root = tmp_path / "models"
    steps: list[str] = []
    spec = export_checkpoint(plainsr_checkpoint, root, source="https://example.org", on_step=steps.append)
    assert spec.name == "small-net-x2" and spec.scale == 2 and spec.halo_px == 3 and spec.multiple_px == 1
    assert (spec.licence, spec.source) == (UNKNOWN_LICENCE, "https://example.org")
    assert spec.working_bytes_per_px > 0
    assert {path.name for path in (root / spec.name).iterdir()} == {
        "model.toml",
        "model.fp32.onnx",
        "model.fp16.onnx",
        "card.md",
        "proof.json",
    }
    assert package.read(root / spec.name) == spec
    store.verify(spec)
    facts = json.loads((root / spec.name / "proof.json").read_text())
    assert facts["halo"] == {"px": 3, "unbounded": False, "even": True}
    assert {line["precision"] for line in facts["agreements"]} == {"fp32", "fp16", parity.IN_TORCH}
    card = store.card(spec)
    assert "PlainSR" in card and "3 px of input, measured" in card and str(tmp_path) not in card
    assert steps[0].startswith("reading") and steps[-1] == "installing"
    with pytest.raises(ExportError, match="already"):
        export_checkpoint(plainsr_checkpoint, root)
    again = export_checkpoint(plainsr_checkpoint, root, precisions=("fp32",), overwrite=True, licence="CC0-1.0")
    assert set(again.artifacts) == {"fp32"} and again.licence == "CC0-1.0"
    assert not (root / spec.name / "model.fp16.onnx").exists()


def test_a_failed_proof_leaves_nothing(
    plainsr_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = onnx_export.write

    def damaged(*arguments: object, **options: object) -> onnx_export.Exported:
        exported = write(*arguments, **options)  # type: ignore[arg-type]
        model = onnx.load(exported.path)
        for tensor in model.graph.initializer:
            if tensor.name.endswith("body.0.weight"):
                tensor.raw_data = bytes(len(tensor.raw_data))
        onnx.save(model, exported.path)
        return exported

    monkeypatch.setattr(onnx_export, "write", damaged)
    root = tmp_path / "models"
    with pytest.raises(ParityError, match=r"`body\.0`"):
        export_checkpoint(plainsr_checkpoint, root)
    assert not root.exists()


def test_unfit_requests_are_refused_before_any_work(plainsr_checkpoint: Path, tmp_path: Path) -> None:
    for options, said in (
        ({"name": "Film X2"}, "cannot be a model's name"),
        ({"name": "../film"}, "cannot be a model's name"),
        ({"name": "film-x2-tiny"}, "ships with fastrestore"),
        ({"precisions": ("int8",)}, "precision int8"),
    ):
        with pytest.raises(ExportError, match=said):
            export_checkpoint(plainsr_checkpoint, tmp_path / "models", **options)  # type: ignore[arg-type]
    with pytest.raises(ExportError, match="cannot be read"):
        export_checkpoint(tmp_path / "none.pth", tmp_path / "models")
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("file", "name"),
    [("RealESRGAN_x4plus.pth", "realesrgan_x4plus"), ("4x Foo (v2).pt", "4x-foo-v2"), ("___.pth", "model")],
)
def test_names_are_made_of_file_names(file: str, name: str) -> None:
    assert name_for(Path(file)) == name


def test_command_line(plainsr_checkpoint: Path, tmp_path: Path) -> None:
    from fastrestore.cli import export  # noqa: F401  (adds the command)
    from fastrestore.cli.options import app

    arguments = ["export", str(plainsr_checkpoint), "-o", str(tmp_path / "models"), "--name", "mine", "--json"]
    done = CliRunner().invoke(app, [*arguments, "--precision", "fp32"])
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    assert facts["name"] == "mine" and (tmp_path / "models" / "mine" / "model.fp32.onnx").is_file()
    assert "proving fp32" in done.stderr
    done = CliRunner().invoke(app, arguments)
    assert isinstance(done.exception, ExportError)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["realesr-animevideov3", "realesr-general-x4v3", "realesr-general-wdn-x4v3"])
def test_published_checkpoints_export_in_both_precisions(name: str, data: Path, tmp_path: Path) -> None:
    spec = export_checkpoint(data / "weights" / f"{name}.pth", tmp_path / "models")
    assert set(spec.artifacts) == {"fp32", "fp16"}
    assert spec.halo_px == (18 if "anime" in name else 34)


def test_torch_is_left_as_it_was(plainsr_checkpoint: Path, tmp_path: Path) -> None:
    before = torch.get_num_threads(), torch.is_grad_enabled()
    with pytest.raises(ExportError):
        export_checkpoint(plainsr_checkpoint, tmp_path / "models", opset=7)
    assert (torch.get_num_threads(), torch.is_grad_enabled()) == before
