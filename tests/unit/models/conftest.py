"""A user's folder for each test, so that none sees what is on the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastrestore.models import store


@pytest.fixture(autouse=True)
def user_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "user models"
    monkeypatch.setenv(store.USER_FOLDER_VARIABLE, str(folder))
    return folder
