"""What the tests of the exporter share: small networks, and a spandrel that can be imported."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is in the extra `export`")
pytest.importorskip("onnx", reason="onnx is in the extra `export`")
pytest.importorskip("onnxscript", reason="onnxscript is in the extra `export`")
pytest.importorskip("onnxruntime", reason="onnxruntime is in the extra `cpu`")

from fastrestore.export.arch.plainsr.network import PlainSR  # noqa: E402

_TORCHVISION_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_registered: list[Any] = []


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads that wait by spinning take longer than these small networks, where other tests run beside them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def spandrel() -> Any:
    """Spandrel; where torchvision was built for another torch, its operators are declared first, not defined.

    Networks use none of them, but torchvision refuses to be imported without. This is for tests only.
    """
    if find_spec("spandrel") is None:
        pytest.skip("spandrel is in the extra `export`")
    if not _torchvision_fits():
        library = torch.library.Library("torchvision", "DEF")
        for schema in _TORCHVISION_SCHEMAS:
            library.define(schema)
        _registered.append(library)  # they go when it goes
    import spandrel

    return spandrel


def _torchvision_fits() -> bool:
    found = find_spec("torchvision")
    if found is None or found.origin is None:
        return True
    try:
        for library in Path(found.origin).parent.glob("_C*.so"):
            torch.ops.load_library(str(library))
    except OSError:
        return False
    return True


@pytest.fixture
def plainsr() -> PlainSR:
    """A small x2 network of this project with weights that do something; 3 px of reach."""
    torch.manual_seed(1)
    network = PlainSR(2, 16, 3).eval()
    torch.nn.init.normal_(network.last.weight, std=0.02)
    return network


@pytest.fixture
def plainsr_checkpoint(plainsr: PlainSR, tmp_path: Path) -> Path:
    """That network as a checkpoint."""
    path = tmp_path / "small net (x2).pth"
    torch.save({"params": plainsr.state_dict()}, path)
    return path
