"""`fastrestore models` as a user meets it, in this process; the publisher is a server on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
from tests.unit.models.packages import make, renamed
from tests.unit.models.web import Server, serving, whole

from fastrestore.cli import models
from fastrestore.errors import ModelError, UsageError
from fastrestore.models import catalog, package
from fastrestore.models.spec import ModelSpec, Publication, Task

CHECKPOINT = b"a checkpoint, as published"
HASH = hashlib.sha256(CHECKPOINT).hexdigest()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


def publish(server: Server, monkeypatch: pytest.MonkeyPatch, sha256: str = HASH) -> None:
    row = Publication("net", Task.RESTORE, "s", "MIT", "src", f"{server.url}/net.pth", "net.pth", sha256=sha256)
    monkeypatch.setattr(catalog, "publications", lambda: (row,))


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    """The exporter's place taken by one that installs a package under the name it is given; its calls."""
    calls: list[dict[str, Any]] = []

    def export_checkpoint(path: Path, root: Path, **asked: Any) -> ModelSpec:
        calls.append({"content": path.read_bytes(), **asked})
        asked["on_step"]("exporting")
        folder = make(tmp_path / f"made {len(calls)}", asked["name"], source=asked["source"])
        return package.install(folder, root, overwrite=asked["overwrite"])

    stand_in = ModuleType("fastrestore.export.exporter")
    stand_in.export_checkpoint = export_checkpoint  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, stand_in.__name__, stand_in)
    monkeypatch.setattr(models, "find_spec", lambda name: stand_in)
    return calls


def printed(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_list_tells_where_each_model_is_from(user_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(user_folder, "mine")
    make(user_folder, "bad", row="[[model]]")
    make(user_folder, "bsrgan-x4")
    models.models_list(as_json=True)
    origins = {row["name"]: row["origin"] for row in printed(capsys)}
    assert len(origins) == len(catalog.catalog()) + len(catalog.publications())  # one pulled, one broken
    assert origins["film-x2-tiny"] == "shipped" and origins["mine"] == origins["bsrgan-x4"] == "yours"
    assert origins["realesrgan-x4plus"] == "pullable" and origins["bad"] == "broken"
    models.models_list()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [[name, origin] for name, origin in origins.items()]


def test_show_of_each_kind(user_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(user_folder, "mine")
    make(user_folder, "bad", row="[[model]]")
    models.models_show("mine", as_json=True)
    assert printed(capsys)["folder"] == str(user_folder / "mine")
    models.models_show("mine")
    assert capsys.readouterr().out.endswith("# mine\n\n")
    models.models_show("realesrgan-x4plus")
    shown = capsys.readouterr()
    assert "RealESRGAN_x4plus.pth" in shown.out and "models pull realesrgan-x4plus" in shown.err
    with pytest.raises(ModelError, match="cannot be used"):
        models.models_show("bad")


def test_add(tmp_path: Path, user_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make(tmp_path, "mine")
    models.models_add(folder, as_json=True)
    assert printed(capsys)["origin"] == "yours"
    with pytest.raises(ModelError, match="already"):
        models.models_add(folder)
    models.models_add(folder, overwrite=True)
    assert capsys.readouterr().out == f"mine is in {user_folder / 'mine'}\n"
    with pytest.raises(ModelError, match="no model package"):
        models.models_add(tmp_path / "net.pth")


def test_verify_passes_what_is_whole(user_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime")
    make(user_folder, "mine")
    models.models_verify(as_json=True)
    results = printed(capsys)
    assert all(result["ok"] and result["opened"] and result["files"] for result in results)
    assert {"film-x2-tiny", "mine"} <= {result["name"] for result in results}
    models.models_verify(["mine"])
    assert capsys.readouterr().out.startswith("ok  mine ")


def test_verify_fails_on_what_is_not(user_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (make(user_folder, "changed") / "model.fp32.onnx").write_bytes(b"changed")
    make(user_folder, "bad", row="[[model]]")
    with pytest.raises(typer.Exit) as stopped:
        models.models_verify()
    assert stopped.value.exit_code == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("no")] == ["changed", "bad"]
    with pytest.raises(ModelError, match="cannot be used"):
        models.models_verify(["bad"])


def test_verify_opens_the_network(user_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A package whose hash is right, and whose file is no network."""
    pytest.importorskip("onnxruntime")
    content = b"not an ONNX file"
    row = package.dump(renamed("odd")).replace(
        renamed("odd").artifacts["fp32"].sha256, hashlib.sha256(content).hexdigest()
    )
    (make(user_folder, "odd", row=row) / "model.fp32.onnx").write_bytes(content)
    with pytest.raises(typer.Exit):
        models.models_verify(["odd"], as_json=True)
    result = printed(capsys)[0]
    assert not result["ok"] and "ONNX Runtime failed" in result["problem"]


def test_pull_fetches_exports_and_does_so_once(
    user_folder: Path,
    exporter: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with serving(whole(CHECKPOINT)) as server:
        publish(server, monkeypatch)
        models.models_pull("net", as_json=True)
        told = capsys.readouterr()
        assert json.loads(told.out)["folder"] == str(user_folder / "net")
        assert "as documented" in told.err and "exporting" in told.err and HASH in told.err
        assert exporter[0]["content"] == CHECKPOINT
        assert (exporter[0]["licence"], exporter[0]["source"]) == ("MIT", f"src, {server.url}/net.pth")
        models.models_pull("net")
        assert "here already" in capsys.readouterr().err and len(exporter) == 1
        models.models_pull("net", overwrite=True)
        assert len(exporter) == 2 and len(server.requests) == 1
        with pytest.raises(UsageError, match="unknown model"):
            models.models_pull("nothing")


@pytest.mark.slow
def test_a_published_checkpoint_becomes_a_model_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole way, through the real exporter: a network of the published kind, small and with seeded weights."""
    torch = pytest.importorskip("torch")
    for needed in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(needed)
    from fastrestore.export.arch.srvgg.network import SRVGG

    torch.manual_seed(1)
    torch.save({"params": SRVGG(features=16, convs=2, scale=2).state_dict()}, tmp_path / "net.pth")
    checkpoint = (tmp_path / "net.pth").read_bytes()
    with serving(whole(checkpoint)) as server:
        publish(server, monkeypatch, hashlib.sha256(checkpoint).hexdigest())
        models.models_pull("net", as_json=True)
    facts = printed(capsys)
    assert (facts["scale"], facts["licence"], sorted(facts["artifacts"])) == (2, "MIT", ["fp16", "fp32"])
    models.models_verify(["net"])
    assert capsys.readouterr().out.split() == ["ok", "net", "2", "files,", "opened"]


def test_pull_says_that_it_pins(
    exporter: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(whole(CHECKPOINT)) as server:
        publish(server, monkeypatch, sha256="")
        models.models_pull("net")
        assert "documented nowhere: pinned now" in capsys.readouterr().err
        models.models_pull("net", overwrite=True)
        assert "as pinned when first pulled" in capsys.readouterr().err


def test_pull_without_pytorch_keeps_the_download(user_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "find_spec", lambda name: None)
    with serving(whole(CHECKPOINT)) as server:
        publish(server, monkeypatch)
        with pytest.raises(ModelError, match="needs torch, onnx, ") as caught:
            models.models_pull("net")
    assert "fastrestore[cpu,export]" in caught.value.hint and "models pull net" in caught.value.hint
    assert (user_folder / "downloads" / "net.pth").read_bytes() == CHECKPOINT
