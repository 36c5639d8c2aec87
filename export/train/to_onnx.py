"""Turn a finished training run into the ONNX file that is shipped, and check it.

`python -m fastrestore.export.train.to_onnx --recipe clean-x2-tiny --work WORK_DIR --models MODELS_DIR`
"""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from fastrestore.export.arch.plainsr.network import PlainSR
from fastrestore.export.train.recipe import Recipe

LOG = logging.getLogger(__name__)
OPSET = 18
INPUT, OUTPUT = "image", "restored"
TOLERANCE = 1e-4
"""Largest difference allowed between ONNX Runtime and PyTorch, both fp32, values about `[0, 1]`."""
MOST_BYTES = 400_000
PROBES = ((1, 16, 16), (2, 37, 53), (1, 240, 320), (2, 64, 48))
"""Batch, height, and width of the pictures that both are compared on."""


def export_network(network: PlainSR, path: Path) -> None:
    """Write `network` to `path`: batch, height and width symbolic, weights inside, no debug text."""
    partial = path.with_suffix(".partial")
    torch.onnx.export(
        network,
        (torch.rand(2, 3, 24, 40),),
        str(partial),
        dynamo=True,
        opset_version=OPSET,
        external_data=False,
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_shapes=({0: "n", 2: "h", 3: "w"},),
        verbose=False,
    )
    model = onnx.load(partial)
    _strip(model)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, partial)
    partial.replace(path)


def check_file(network: PlainSR, path: Path) -> float:
    """Check size, symbolic dimensions, and agreement with PyTorch.

    Returns:
        The largest absolute difference over all probes.

    Raises:
        ValueError: The file fails one of the checks.
    """
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"{path.name}: {path.stat().st_size} bytes, wanted at most {MOST_BYTES}")
    graph = onnx.load(path).graph
    for value in (graph.input[0], graph.output[0]):
        fixed = [axis for axis in (0, 2, 3) if not value.type.tensor_type.shape.dim[axis].dim_param]
        if fixed:
            raise ValueError(f"{path.name}: {value.name} has fixed axes {fixed}, wanted symbolic ones")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    worst = 0.0
    for n, h, w in PROBES:
        image = np.random.default_rng(h).random((n, 3, h, w), dtype=np.float32)
        (found,) = session.run([OUTPUT], {INPUT: image})
        with torch.inference_mode():
            wanted = network(torch.from_numpy(image)).numpy()
        if found.shape != wanted.shape:
            raise ValueError(f"{path.name}: result {found.shape}, wanted {wanted.shape}")
        worst = float(np.maximum(worst, np.abs(found - wanted).max()))  # keeps a NaN
    if not worst <= TOLERANCE:
        raise ValueError(f"{path.name}: differs from PyTorch by {worst:.2e}, wanted {TOLERANCE:.0e}")
    return worst


def _strip(model: onnx.ModelProto) -> None:
    """Remove what only describes the machine and the source the graph was traced from."""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    model.doc_string = model.graph.doc_string = ""
    del model.graph.value_info[:]
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for value in [*model.graph.input, *model.graph.output]:
        del value.metadata_props[:]
    for tensor in model.graph.initializer:
        tensor.doc_string = ""
        del tensor.metadata_props[:]


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, export the moving average of the weights, and check the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", required=True, help="a table of recipes.toml")
    parser.add_argument("--work", type=Path, required=True, help="folder of the checkpoints")
    parser.add_argument("--models", type=Path, required=True, help="NAME/model.fp32.onnx goes here")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    recipe = Recipe.load(options.recipe)
    state = torch.load(options.work / f"{recipe.name}.pt", map_location="cpu", weights_only=True)
    network = PlainSR(recipe.scale, recipe.channels, recipe.convs).eval()
    network.load_state_dict(state["average"])
    folder = options.models / recipe.name
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.fp32.onnx"
    export_network(network, path)
    LOG.info("%s: %d bytes, step %d", recipe.name, path.stat().st_size, state["step"])
    LOG.info("largest difference from PyTorch %.2e", check_file(network, path))


if __name__ == "__main__":
    main()
