"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

# A developer's own models and engines stay out of the tests, and the tests out of them. Before anything is collected:
# some tests are made from the catalogue.
_APART = Path(tempfile.mkdtemp(prefix="fastrestore-tests-"))
os.environ["FASTRESTORE_MODELS"] = str(_APART / "models")
os.environ["FASTRESTORE_ENGINES"] = str(_APART / "engines")
os.environ["FASTRESTORE_SEAL"] = str(_APART / "seal.key")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of real clips, stills and weights: `FASTRESTORE_TEST_DATA`, or `../shared/data` beside the repository."""
    folder = Path(os.environ.get("FASTRESTORE_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no test data at {folder}: set FASTRESTORE_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def clips(data: Path) -> Path:
    """Folder of real clips."""
    return data / "clips"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need CUDA skip without a card, unless the environment says that there must be one."""
    if os.environ.get("FASTRESTORE_REQUIRE_CUDA") == "1":
        return
    skip = pytest.mark.skip(reason="no GPU asked for: set FASTRESTORE_REQUIRE_CUDA=1 to run")
    for item in items:
        if "needs_cuda" in item.keywords:
            item.add_marker(skip)
