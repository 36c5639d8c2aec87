"""Turn a finished training run into the ONNX files that are shipped, and prove that they compute the same.

`python -m fastrestore.export.train.to_onnx --recipe clean-x2-tiny --work WORK_DIR --models MODELS_DIR`
"""

import argparse
import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

import torch

from fastrestore.export import half, onnx_export, parity
from fastrestore.export.arch.loaded import LoadedNetwork
from fastrestore.export.arch.rife import checkpoint as rife
from fastrestore.export.detect import load_plainsr, load_srvgg

LOG = logging.getLogger(__name__)
PRECISIONS = ("fp32", "fp16")
LARGE_PARAMETERS = 500_000
"""From so many parameters on, the float32 file stores its weights in half precision too: it ships in a wheel."""


def export_network(state: dict[str, torch.Tensor], folder: Path, precisions: Sequence[str] = PRECISIONS) -> list[Path]:
    """Write `model.PRECISION.onnx` for each precision; a file that fails its proof is not left behind.

    Args:
        state: Weights of a PlainSR or an SRVGG, or of an IFNet for motion.
        folder: Where the files go; it is made.
        precisions: `fp32`, `fp16`.

    Raises:
        ValueError: If the weights are of another network.
        ExportError: If a file is not what it should be.
        ParityError: If a file computes something else than PyTorch does in float32.
    """
    network = load_plainsr(state) or load_srvgg(state) or rife.load(state)
    if network is None:
        raise ValueError(f"weights {', '.join(list(state)[:3])}, ... are of no network that is trained here")
    large = round_large(network)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for precision in precisions:
        path, partial = folder / f"model.{precision}.onnx", folder / f"model.{precision}.partial"
        try:
            exported = onnx_export.write(network, partial, precision)
            if large and precision == "fp32":
                half.store_weights(partial)
            worst = max(found.max_abs for found in parity.prove(network, exported))
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        LOG.info("%s: %d bytes, sha256 %s", path.name, path.stat().st_size, digest)
        LOG.info("%s: largest difference from PyTorch %.2e", path.name, worst)
        paths.append(path)
    return paths


def round_large(network: LoadedNetwork) -> bool:
    """Round the weights of a large network to half precision, so that they can be stored so; say whether it is one."""
    if sum(parameter.numel() for parameter in network.module.parameters()) < LARGE_PARAMETERS:
        return False
    with torch.no_grad():
        for parameter in network.module.parameters():
            parameter.copy_(parameter.half())
    return True


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, and export the moving average of the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", required=True, help="a table of recipes.toml or motion/recipes.toml")
    parser.add_argument("--work", type=Path, required=True, help="folder of the checkpoints")
    parser.add_argument("--models", type=Path, required=True, help="NAME/model.PRECISION.onnx go here")
    parser.add_argument("--precision", choices=PRECISIONS, action="append", help="default: both")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    state = torch.load(options.work / f"{options.recipe}.pt", map_location="cpu", weights_only=True)
    LOG.info("%s, step %d", options.recipe, state["step"])
    export_network(state["average"], options.models / options.recipe, options.precision or PRECISIONS)


if __name__ == "__main__":
    main()
