"""Measure a shipped network on the held-out stills, with ONNX Runtime alone, and write its figures.

`python -m fastrestore.export.train.evaluate --recipe film-x2-tiny --stills STILLS_DIR --models MODELS_DIR`

With `--weights WEIGHTS_DIR` the teacher of a film network is measured beside it, which needs PyTorch; with
`--against FILE` another network is, an earlier one say, and with `--crops FOLDER` the results are shown side by side.
"""

import argparse
import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

from fastrestore.export.train.data import held_out_names, read_rgb, reduce
from fastrestore.export.train.degrade import Degradation, degrade
from fastrestore.export.train.quality import BORDER_PX, gmsd_y, psnr_y, sharpness, ssim_y
from fastrestore.export.train.recipe import Recipe
from fastrestore.export.train.resize import Bytes, crop_to_multiple, resize_bicubic, to_bytes

LOG = logging.getLogger(__name__)
SEED = 601
"""Still number `i` is degraded with the generator seeded by `(SEED, i)`."""
FILM_CROP_PX = 768
"""Film networks are measured on the middle of a still, at most this large."""
DENOISE_STRENGTHS = (3.0, 6.0, 10.0)
"""`h` and `hColor` of OpenCV's non-local means; the best mean PSNR-Y stands in the figures."""

SHOWN_PX = 256
"""Side of what `--crops` shows of each result."""

Method = Callable[[Bytes], Bytes]


@dataclass(frozen=True)
class Case:
    """One held-out picture."""

    name: str
    low: Bytes
    """`(H, W, 3)`, uint8, RGB: what is restored."""
    wanted: Bytes
    """`(H * scale, W * scale, 3)`, uint8, RGB: the best result possible."""


class Network:
    """A shipped network on ONNX Runtime's CPU provider.

    Args:
        path: The `.onnx` file.
        threads: Threads of ONNX Runtime.
    """

    def __init__(self, path: Path, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def __call__(self, low: Bytes) -> Bytes:
        """Restore `(H, W, 3)` uint8 RGB to `(H * scale, W * scale, 3)` uint8 RGB."""
        image = low.astype(np.float32).transpose(2, 0, 1)[None] / np.float32(255.0)
        (restored,) = self._session.run(["restored"], {"image": image})
        return to_bytes(np.asarray(restored[0].transpose(1, 2, 0) * 255.0, dtype=np.float32))


def open_cases(recipe: Recipe, stills: Path, names: Sequence[str] | None = None) -> list[Case]:
    """Make the test pictures of a recipe, by default of the held-out stills: the same ones every time."""
    cases = []
    for index, name in enumerate(held_out_names() if names is None else names):
        still = crop_to_multiple(read_rgb(stills / name), recipe.scale)
        if recipe.data == "clean":
            cases.append(Case(name, reduce(still, recipe.scale), still))
            continue
        middle = crop_to_multiple(_middle(still, FILM_CROP_PX), recipe.scale)
        rng = np.random.default_rng((SEED, index))
        cases.append(Case(name, *degrade(middle, recipe.scale, Degradation.load(), rng)))
    return cases


def open_methods(recipe: Recipe, models: Path, threads: int) -> dict[str, Method]:
    """Return the network and all that it is compared with, by name."""

    def bicubic(low: Bytes) -> Bytes:
        height, width = low.shape[0] * recipe.scale, low.shape[1] * recipe.scale
        return to_bytes(resize_bicubic(low, height, width))

    def denoised(strength: float) -> Method:
        def method(low: Bytes) -> Bytes:
            quiet = cv2.fastNlMeansDenoisingColored(low, None, strength, strength, 7, 21)
            return bicubic(np.asarray(quiet, dtype=np.uint8))

        return method

    methods: dict[str, Method] = {"network": _open(models, recipe.name, threads), "bicubic": bicubic}
    if recipe.data == "film":
        methods |= {f"denoise {h:g} + bicubic": denoised(h) for h in DENOISE_STRENGTHS}
        others = [f"clean-x{recipe.scale}-tiny", f"film-x{recipe.scale}-tiny"]
        methods |= {name: _open(models, name, threads) for name in others if name != recipe.name}
    return methods


def open_teacher(recipe: Recipe, weights: Path) -> Method:
    """Return the teacher of the film networks, given nothing but what they are given."""
    from fastrestore.export.train.teacher import Teacher

    teacher = Teacher(weights, recipe.scale)
    return lambda low: teacher(low[None])[0]


def measure(
    cases: list[Case], methods: dict[str, Method], crops: Path | None = None
) -> dict[str, dict[str, dict[str, float]]]:
    """Return still -> method -> PSNR-Y in dB, SSIM, GMSD, and sharpness as a share of the original's.

    With `crops` the middle of every result is written there, one PNG a still: methods in order, then the original.
    """
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for case in cases:
        results = {name: method(case.low) for name, method in methods.items()}
        figures[case.name] = {
            name: {
                "psnr_y_db": round(psnr_y(found, case.wanted), 4),
                "ssim_y": round(ssim_y(found, case.wanted), 5),
                "gmsd_y": round(gmsd_y(found, case.wanted), 5),
                "sharpness": round(sharpness(found, case.wanted), 4),
            }
            for name, found in results.items()
        }
        if crops is not None:
            row = [_middle(result, SHOWN_PX) for result in [*results.values(), case.wanted]]
            cv2.imwrite(str(crops / Path(case.name).with_suffix(".png")), np.concatenate(row, axis=1)[..., ::-1])
        LOG.info("%s %s", case.name, figures[case.name]["network"])
    return figures


def measure_tone(cases: list[Case], network: Method) -> dict[str, float]:
    """Compare input and result: mean brightness, and colour where the input has none (8-bit levels)."""
    shifts, tints = [], []
    for case in cases:
        found = network(case.low).astype(np.float64)
        shifts.append(abs(float(found.mean() - case.low.mean())))
        grey = np.repeat(case.low[..., :1], 3, axis=2)
        tint = network(grey).astype(np.int64)
        tints.append((tint.max(axis=2) - tint.min(axis=2)).ravel())
    spread = np.concatenate(tints)
    return {
        "mean_brightness_shift_mean": round(float(np.mean(shifts)), 4),
        "mean_brightness_shift_max": round(float(np.max(shifts)), 4),
        "grey_input_channel_spread_mean": round(float(spread.mean()), 4),
        "grey_input_channel_spread_p99_9": float(np.percentile(spread, 99.9)),
        "grey_input_channel_spread_max": float(spread.max()),
    }


def summarise(figures: dict[str, dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Return method -> means over all stills; of several denoising strengths the best one alone."""
    means = {
        method: {unit: round(float(np.mean([each[method][unit] for each in figures.values()])), 4) for unit in units}
        for method, units in next(iter(figures.values())).items()
    }
    denoised = sorted((m for m in means if m.startswith("denoise")), key=lambda m: means[m]["psnr_y_db"])
    for method in denoised[:-1]:
        del means[method]
    return means


def versions() -> dict[str, str]:
    """Return the versions of the libraries that figures depend on."""
    return {"onnxruntime": onnxruntime.__version__, "numpy": np.__version__, "opencv": cv2.__version__}


def _open(models: Path, name: str, threads: int) -> Network:
    """Open the shipped file of a network."""
    return Network(models / name / "model.fp32.onnx", threads)


def _middle(still: Bytes, side_px: int) -> Bytes:
    """Cut the middle out of a still, at most `side_px` wide and high."""
    top = max(0, (still.shape[0] - side_px) // 2)
    left = max(0, (still.shape[1] - side_px) // 2)
    return still[top : top + side_px, left : left + side_px]


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, measure, and write `figures.json` next to the network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", required=True, help="a table of recipes.toml")
    parser.add_argument("--stills", type=Path, required=True, help="folder of the photographs")
    parser.add_argument("--models", type=Path, required=True, help="folder of the shipped networks")
    parser.add_argument("--weights", type=Path, help="folder of the teacher's checkpoints")
    parser.add_argument("--against", type=Path, action="append", default=[], help="NAME.onnx of another network")
    parser.add_argument("--crops", type=Path, help="folder for pictures of the results")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    cv2.setNumThreads(options.threads)
    recipe = Recipe.load(options.recipe)
    methods = open_methods(recipe, options.models, options.threads)
    methods |= {path.stem: Network(path, options.threads) for path in options.against}
    if options.weights is not None and recipe.data == "film":
        methods["teacher"] = open_teacher(recipe, options.weights)
    cases = open_cases(recipe, options.stills)
    if options.crops is not None:
        options.crops.mkdir(parents=True, exist_ok=True)
    figures = measure(cases, methods, options.crops)
    report = report_on(recipe, options.models / recipe.name, figures, measure_tone(cases, methods["network"]))
    text = json.dumps(report, indent=2) + "\n"
    (options.models / recipe.name / "figures.json").write_text(text, encoding="utf-8")
    LOG.info("%s", json.dumps(report["mean"], indent=2))


def report_on(
    recipe: Recipe, folder: Path, figures: dict[str, dict[str, dict[str, float]]], tone: dict[str, float]
) -> dict[str, object]:
    """Put what was measured together with what it was measured of, how, and with which versions."""
    weights = " --weights WEIGHTS_DIR" if "teacher" in next(iter(figures.values())) else ""
    return {
        "network": recipe.name,
        "sha256": hashlib.sha256((folder / "model.fp32.onnx").read_bytes()).hexdigest(),
        "command": f"python -m fastrestore.export.train.evaluate --recipe {recipe.name}"
        f" --stills STILLS_DIR --models MODELS_DIR{weights}",
        "luma": f"BT.601 full range, border of {BORDER_PX} px left out, results rounded to 8 bits",
        "gmsd": "gradient magnitude similarity deviation (Xue et al., 2014): less is better",
        "sharpness": "mean absolute difference of neighbouring luma, as a share of the original's",
        "versions": versions(),
        "mean": summarise(figures),
        "tone_in_8_bit_levels": tone,
        "stills": figures,
    }


if __name__ == "__main__":
    main()
