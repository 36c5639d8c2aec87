"""YuNet, the face detector of the OpenCV Zoo, taken in as it is: OpenCV runs it, and knows its outputs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from fastrestore.export import onnx_file, pictures, probe
from fastrestore.export.findings import Findings
from fastrestore.files import digest
from fastrestore.models.spec import Task, Tensor

OUTPUTS: Final = tuple(f"{name}_{stride}" for name in ("cls", "obj", "bbox", "kps") for stride in (8, 16, 32))
"""By which such a network is known."""
_TRIED: Final = ((320, 240), (250, 130))


def is_detector(path: Path) -> bool:
    """Whether an ONNX file has the outputs of YuNet; of a file that cannot be read others say so."""
    try:
        if path.stat().st_size > onnx_file.LARGEST_FILE:
            return False
        model = onnx.load(path, load_external_data=False)
    except (OSError, DecodeError, ValueError):
        return False
    return {value.name for value in model.graph.output} == set(OUTPUTS)


def take_in_detector(path: Path, folder: Path, precisions: Sequence[str], step: Callable[[str], None]) -> Findings:
    """Take in a face detector.

    Args:
        path: The file. It is not trusted.
        folder: Where `model.fp32.onnx` is written.
        precisions: Not used: OpenCV runs the file itself.
        step: Told what is being done.

    Raises:
        ExportError: If the file is refused, or OpenCV cannot run it.
    """
    del precisions
    step(f"inspecting {path.name}")
    model = onnx_file.load(path)
    stored = {tensor.name for tensor in model.graph.initializer}
    given = [value.name for value in model.graph.input if value.name not in stored]
    if len(given) != 1:
        raise onnx_file.refused(path, f"{len(given)} inputs, wanted one picture")
    step("trying it")
    _try(path)
    target = folder / "model.fp32.onnx"
    shutil.copyfile(path, target)
    return Findings(
        architecture="YuNet",
        original=path.name,
        original_sha256=digest(path),
        parameters=onnx_file.weights_of(model),
        opset=next(used.version for used in model.opset_import if used.domain in onnx_file.DOMAINS),
        task=Task.DETECT,
        inputs=(Tensor(given[0], 3),),
        outputs=(),
        scale=1,
        rule=probe.SizeRule(1, 1),
        reach=None,
        working_bytes_per_px=0,
        agreements=(),
        reference="nothing: the file is the one that was given",
        notes=("OpenCV runs it, and reads its outputs; it was tried on two pictures.",),
        versions={name: version(name) for name in ("onnx", "opencv-python-headless")},
    )


def _try(path: Path) -> None:
    try:
        detector = cv2.FaceDetectorYN.create(str(path), "", _TRIED[0])
        for number, (width, height) in enumerate(_TRIED):
            image = np.clip(pictures.picture(number, height, width) * 255, 0, 255).astype(np.uint8)
            detector.setInputSize((width, height))
            detector.detect(np.ascontiguousarray(image[::-1].transpose(1, 2, 0)))
    except cv2.error as error:
        raise onnx_file.refused(path, f"OpenCV cannot run it as YuNet: {onnx_file.first_line(error)}") from error
