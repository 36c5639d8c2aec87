"""What the doctor makes of a machine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import pytest

from fastrestore import doctor, installation
from fastrestore.doctor import Finding
from fastrestore.errors import EncodeError, ModelError
from fastrestore.models import store
from fastrestore.runtime.cache.engines import EngineCache
from fastrestore.runtime.devices import card as devices_card
from fastrestore.runtime.devices.driver import Card, DriverFacts
from fastrestore.runtime.engine import BACKENDS
from fastrestore.runtime.media.encoders import Encoder
from fastrestore.runtime.proofs import Proof, ProofStore


def subjects(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.subject: finding for finding in findings}


def test_this_machine_is_healthy() -> None:
    findings = doctor.examine()
    assert doctor.healthy(findings)
    assert len(subjects(findings)) == len(findings)
    report = json.loads(json.dumps(doctor.as_json(findings)))
    assert (report["schema"], report["healthy"]) == ("fastrestore.doctor/1", True)
    assert set(report["findings"][0]) == {"subject", "ok", "detail", "advice"}


def packages(monkeypatch: pytest.MonkeyPatch, needs: Mapping[str, list[str]] | None = None, **versions: str) -> None:
    """Pretend that exactly these packages are installed; `_` in a name stands for `-`."""
    has = {name.replace("_", "-"): number for name, number in versions.items()}

    def version(package: str) -> str:
        if package not in has:
            raise PackageNotFoundError(package)
        return has[package]

    def requires(package: str) -> list[str]:
        version(package)
        return list((needs or {}).get(package, ()))

    monkeypatch.setattr(installation, "version", version)
    monkeypatch.setattr(devices_card, "version", version)
    monkeypatch.setattr(installation, "requires", requires)


def card(monkeypatch: pytest.MonkeyPatch, capability: str = "8.9", cuda: str = "13.0", release: str = "580.65") -> None:
    facts = DriverFacts(cuda, release, (Card(0, "NVIDIA GeForce RTX 4090", capability, 24 << 30),))
    monkeypatch.setattr(doctor, "driver", lambda: facts)


def no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "driver", lambda: "no NVIDIA driver")


def refuse(monkeypatch: pytest.MonkeyPatch, problem: str = "it is not installed") -> None:
    """Pretend that no backend can run."""

    class Missing:
        def unavailable_because(self) -> str:
            return problem

    monkeypatch.setattr(doctor, "load_backend", lambda name: Missing())


def test_two_onnxruntime_packages_overwrite_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    packages(monkeypatch, onnxruntime="1.32.0", onnxruntime_gpu="1.31.1")
    findings = doctor.examine()
    assert not doctor.healthy(findings)
    found = subjects(findings)["onnxruntime packages"]
    assert "both are installed" in found.detail
    assert found.advice.startswith("`pip uninstall onnxruntime onnxruntime-gpu`, then install the one you want")


def test_two_opencv_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    packages(monkeypatch, opencv_python="4.10.0", opencv_python_headless="4.11.0")
    found = subjects(doctor.examine())["opencv packages"]
    assert not found.ok and found.advice.endswith("`pip install opencv-python-headless`")


def test_no_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch)
    findings = doctor.examine()
    assert not doctor.healthy(findings)
    assert subjects(findings)["backends"].detail == "none can run here"
    assert "fastrestore[cpu]" in subjects(findings)["backends"].advice


def test_without_a_card_no_package_for_one_is_advised(monkeypatch: pytest.MonkeyPatch) -> None:
    no_card(monkeypatch)
    refuse(monkeypatch)
    findings = subjects(doctor.examine())
    assert findings["gpu"].ok and "runs on the CPU" in findings["gpu"].detail
    for name in doctor.NEEDS_CARD:
        assert findings[f"backend {name}"].advice == ""
    assert findings["backend onnxruntime"].advice == "`pip install 'fastrestore[cpu]'`"


RTX_4090 = "NVIDIA GeForce RTX 4090 (8.9, 24 GiB); NVIDIA driver 580.65, CUDA 13.0"


def test_through_which_library_a_card_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FASTRESTORE_CUDA_LIBRARY", raising=False)
    card(monkeypatch)
    refuse(monkeypatch)
    packages(monkeypatch, onnxruntime="1.32.0", pycuda="2026.1")
    assert subjects(doctor.examine())["gpu"].detail == f"{RTX_4090}, through pycuda 2026.1"
    packages(monkeypatch, onnxruntime="1.32.0", pycuda="2026.1", cuda_bindings="13.5")
    assert subjects(doctor.examine())["gpu"] == Finding("gpu", True, f"{RTX_4090}, through cuda-bindings 13.5")


def test_with_a_card_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    card(monkeypatch)
    refuse(monkeypatch)
    packages(monkeypatch, onnxruntime="1.32.0")
    findings = subjects(doctor.examine())
    assert findings["gpu"].detail == f"{RTX_4090}; neither package cuda-bindings nor pycuda is installed"
    assert findings["gpu"].advice == "`pip install 'cuda-bindings>=12.8'`"
    assert findings["backend tensorrt"].advice == "`pip install 'tensorrt>=10.13' 'cuda-bindings>=12.8'`"
    assert findings["backend tensorrt-rtx"].advice == "`pip install 'tensorrt-rtx>=1.1' 'cuda-bindings>=12.8'`"
    cuda = findings["backend onnxruntime-cuda"].advice
    assert cuda.startswith(
        "`pip uninstall onnxruntime onnxruntime-gpu`, then `pip install 'onnxruntime-gpu[cuda,cudnn]"
    )


def test_a_card_that_rtx_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    card(monkeypatch, capability="9.0")
    refuse(monkeypatch, "tensorrt-rtx has no engines for it")
    found = subjects(doctor.examine())["backend tensorrt-rtx"]
    assert found.advice.startswith("use `--backend tensorrt`: `pip install 'tensorrt>=10.13'")


def test_every_backend_has_a_remedy() -> None:
    assert set(doctor.INSTALL) >= set(BACKENDS)
    assert set(BACKENDS) >= doctor.NEEDS_CARD


ORT_13 = {"onnxruntime-gpu": ["numpy>=1.21", 'nvidia-cuda-runtime~=13.0; extra == "cuda"']}
ORT_12 = {"onnxruntime-gpu": ['nvidia-cuda-runtime-cu12~=12.0; extra == "cuda"']}


@pytest.mark.parametrize(
    ("needs", "cuda", "ok"), [(ORT_13, "13.0", True), (ORT_13, "12.4", False), (ORT_12, "12.4", True)]
)
def test_a_driver_is_held_against_what_needs_it(
    monkeypatch: pytest.MonkeyPatch, needs: dict[str, list[str]], cuda: str, ok: bool
) -> None:
    card(monkeypatch, cuda=cuda, release="550.54")
    packages(monkeypatch, needs, onnxruntime_gpu="1.31.1")
    found = subjects(doctor.examine())["driver for onnxruntime-gpu"]
    assert found.ok is ok
    assert f"found driver 550.54, CUDA {cuda}" in found.detail
    assert found.advice == ("" if ok else "install NVIDIA's driver 580 or later")


def test_tensorrt_without_a_driver_and_one_that_only_builds(monkeypatch: pytest.MonkeyPatch) -> None:
    no_card(monkeypatch)
    packages(monkeypatch, tensorrt="11.4", tensorrt_cu13="11.4", tensorrt_rtx="1.7.1", tensorrt_rtx_cu13="1.7.1")
    findings = subjects(doctor.examine())
    full, rtx = findings["driver for tensorrt"], findings["driver for tensorrt-rtx"]
    assert (full.ok, full.advice) == (False, "install NVIDIA's driver 580 or later")
    assert rtx.ok and "can build engines here, not run them" in rtx.detail


def test_versions_that_are_too_old_or_too_new(monkeypatch: pytest.MonkeyPatch) -> None:
    needs = {"fastrestore": ["numpy>=1.26", "av<19,>=18.1", "opencv-python-headless>=4.10", 'torch>=2.6; extra == "x"']}
    packages(
        monkeypatch, needs, fastrestore="1", numpy="1.24.9", av="19.0", opencv_python_headless="5.0.0.93", torch="1"
    )
    findings = subjects(doctor.examine())
    assert findings["numpy"].detail == "1.24.9, wanted >=1.26"
    assert findings["numpy"].advice == "`pip install 'numpy>=1.26'`"
    assert not findings["av"].ok and "<19" in findings["av"].advice
    assert findings["opencv-python-headless"].ok and "torch" not in findings


@pytest.mark.parametrize(
    ("text", "wanted"), [("2.13.0+cpu", (2, 13, 0)), ("5.0.0.93", (5, 0, 0, 93)), ("1.7rc1", (1, 7)), ("x", ())]
)
def test_numbers_of_a_version(text: str, wanted: tuple[int, ...]) -> None:
    assert installation.numbers(text) == wanted


def entry(proof: dict[str, object] | None) -> SimpleNamespace:
    return SimpleNamespace(bytes=3 << 20, proof=proof)


def test_engines_are_counted_and_unproved_ones_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FASTRESTORE_ENGINES", str(tmp_path / "engines"))
    assert subjects(doctor.examine())["engines"].detail == "none built"
    assert not (tmp_path / "engines").exists(), "looking makes nothing"
    monkeypatch.setattr(EngineCache, "entries", lambda cache: [entry(None), entry({"holds": True})])
    findings = doctor.examine()
    detail = subjects(findings)["engines"].detail
    assert detail.startswith(f"2 built, 6.0 MiB in {tmp_path / 'engines'}; 1 not proved yet") and doctor.healthy(
        findings
    )


def test_engines_that_disagreed_are_told_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FASTRESTORE_ENGINES", str(tmp_path))
    refusal = {"measured": 0.3, "allowed": 0.002, "where": "`restored` is black", "hint": "use another"}
    facts = {"backend": "onnxruntime-cuda", "model": "film-x2-tiny"}
    ProofStore(tmp_path / "proofs").record(Proof("fp16", (), "0" * 64, "2026-11-23T05:00:00+00:00", refusal, facts))
    (tmp_path / "proofs" / "broken.json").write_text("{")
    found = subjects(doctor.examine())["engines that disagree"]
    assert not found.ok and "onnxruntime-cuda film-x2-tiny" in found.detail and "is black" in found.detail
    assert str(tmp_path / "proofs") in found.advice


def test_a_cache_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTRESTORE_ENGINES_LIMIT", "much")
    found = subjects(doctor.examine())["engines"]
    assert not found.ok and found.advice


def test_nothing_heavy_is_loaded() -> None:
    """It must be quick, and libraries for cards crash where there is no driver."""
    heavy = ("tensorrt", "tensorrt_rtx", "onnxruntime", "openvino", "torch", "cv2", "cuda", "onnx")
    code = f"import sys; from fastrestore import doctor; doctor.examine(); print(*set({heavy}) & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == ""


def test_a_missing_encoder_matters_only_if_it_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(missing: str) -> list[Finding]:
        def require(encoder: Encoder) -> None:
            if encoder.name == missing:
                raise EncodeError(f"this FFmpeg has no encoder {missing}", "use another")

        monkeypatch.setattr(doctor, "require_installed", require)
        return doctor.examine()

    findings = refuse("libsvtav1")
    assert doctor.healthy(findings) and not subjects(findings)["encoder svtav1"].ok
    assert not doctor.healthy(refuse("libx264"))


def test_a_damaged_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def locate(spec: object, precision: str) -> None:
        raise ModelError("model file x is damaged", "reinstall fastrestore")

    monkeypatch.setattr(store, "locate", locate)
    findings = doctor.examine()
    assert not doctor.healthy(findings)
    assert subjects(findings)["models"].advice == "reinstall fastrestore"
