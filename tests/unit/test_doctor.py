"""What the doctor makes of a machine."""

from __future__ import annotations

import json

import pytest

from fastrestore import doctor
from fastrestore.doctor import Finding
from fastrestore.errors import EncodeError, ModelError
from fastrestore.models import store
from fastrestore.runtime.media.encoders import Encoder


def subjects(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.subject: finding for finding in findings}


def test_this_machine_is_healthy() -> None:
    findings = doctor.examine()
    assert doctor.healthy(findings)
    assert len(subjects(findings)) == len(findings)
    report = json.loads(json.dumps(doctor.as_json(findings)))
    assert (report["schema"], report["healthy"]) == ("fastrestore.doctor/1", True)
    assert set(report["findings"][0]) == {"subject", "ok", "detail", "advice"}


def test_two_onnxruntime_packages_overwrite_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_version", lambda package: "1.0")
    findings = doctor.examine()
    assert not doctor.healthy(findings)
    assert "pip uninstall" in subjects(findings)["onnxruntime packages"].advice


def test_no_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    class Missing:
        def unavailable_because(self) -> str:
            return "it is not installed"

    monkeypatch.setattr(doctor, "load_backend", lambda name: Missing())
    findings = doctor.examine()
    assert not doctor.healthy(findings)
    assert subjects(findings)["backends"].detail == "none can run here"


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
