"""Small networks of spandrel's architectures, with seeded random weights."""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

import torch
from torch import nn

SEED = 11
CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "ESRGAN": ("ESRGAN", "ESRGAN", {"num_filters": 16, "num_blocks": 1, "scale": 4}),
    "SPAN": ("SPAN", "SPAN", {"num_in_ch": 3, "num_out_ch": 3, "feature_channels": 16, "upscale": 2}),
    "SwiftSRGAN": ("SwiftSRGAN", "SwiftSRGAN", {"num_channels": 16, "num_blocks": 1, "upscale_factor": 2}),
    "DnCNN": ("DnCNN", "DnCNN", {"in_nc": 3, "out_nc": 3, "nc": 16, "nb": 9, "act_mode": "R"}),
    "RCAN": ("RCAN", "RCAN", {"scale": 2, "n_resgroups": 1, "n_resblocks": 2, "n_feats": 16, "reduction": 4}),
    "PLKSR": ("PLKSR", "PLKSR", {"dim": 16, "n_blocks": 2, "upscaling_factor": 2}),
    "MoSR": ("MoSR", "MoSR", {"upscale": 2, "n_block": 1, "dim": 16}),
    "SAFMN": ("SAFMN", "SAFMN", {"dim": 16, "n_blocks": 1, "upscaling_factor": 2}),
    "DITN": ("DITN", "DITN", {"dim": 12, "ITL_blocks": 1, "SAL_blocks": 1, "upscale": 2}),
    "NAFNet": (
        "NAFNet",
        "NAFNet",
        {"width": 8, "middle_blk_num": 1, "enc_blk_nums": [1, 1], "dec_blk_nums": [1, 1]},
    ),
    "MoESR": ("MoESR", "MoESR", {"scale": 2, "dim": 16, "n_blocks": 1, "n_block": 1, "upsample_dim": 16}),
    "RealCUGAN": ("RealCUGAN", "UpCunet2x", {}),
    "SwinIR": (
        "SwinIR",
        "SwinIR",
        {
            "embed_dim": 24,
            "depths": [2],
            "num_heads": [2],
            "window_size": 8,
            "mlp_ratio": 2,
            "upscale": 2,
            "upsampler": "pixelshuffle",
        },
    ),
    "Swin2SR": (
        "Swin2SR",
        "Swin2SR",
        {
            "embed_dim": 24,
            "depths": [2],
            "num_heads": [2],
            "window_size": 8,
            "mlp_ratio": 2,
            "upscale": 2,
            "upsampler": "pixelshuffle",
        },
    ),
    "HAT": (
        "HAT",
        "HAT",
        {
            "embed_dim": 24,
            "depths": (2,),
            "num_heads": (2,),
            "window_size": 8,
            "squeeze_factor": 6,
            "conv_scale": 0.1,
            "num_feat": 16,
            "upscale": 2,
        },
    ),
    "DRCT": (
        "DRCT",
        "DRCT",
        {
            "embed_dim": 24,
            "depths": (6,),
            "num_heads": (2,),
            "window_size": 8,
            "gc": 8,
            "upscale": 2,
            "upsampler": "pixelshuffle",
        },
    ),
    "DAT": ("DAT", "DAT", {"embed_dim": 32, "split_size": [8, 16], "depth": [4], "num_heads": [2], "upscale": 2}),
    "SCUNet": ("SCUNet", "SCUNet", {"config": [1, 1, 1, 2, 1, 1, 1], "dim": 64}),
    "SeemoRe": (
        "SeemoRe",
        "SeemoRe",
        {"scale": 2, "num_experts": 3, "num_layers": 1, "embedding_dim": 16, "lr_space": "exp"},
    ),
    "DRUNet": ("DRUNet", "DRUNet", {"in_nc": 4, "out_nc": 3, "nc": [8, 8, 16, 16], "nb": 2}),
    "OmniSR": ("OmniSR", "OmniSR", {"num_feat": 16, "block_num": 1, "res_num": 1, "up_scale": 2}),
    "FDAT": (
        "FDAT",
        "FDAT",
        {"embed_dim": 24, "num_groups": 1, "depth_per_group": 1, "num_heads": 2, "scale": 2, "mid_dim": 16},
    ),
    "KBNet": (
        "KBNet",
        "KBNet_s",
        {"width": 8, "middle_blk_num": 1, "enc_blk_nums": [1, 1], "dec_blk_nums": [1, 1]},
    ),
}
"""Name to package of spandrel's, class, and what makes it small."""


def build(name: str) -> nn.Module:
    """Return a network as its authors' code begins it; needs the fixture `spandrel`."""
    package, kind, options = CASES[name]
    torch.manual_seed(SEED)
    network: nn.Module = getattr(import_module(f"spandrel.architectures.{package}"), kind)(**options)
    return network.eval()


def lively(network: nn.Module) -> nn.Module:
    """Give a network weights with which everything in it matters.

    As they begin, attention is all but even and many branches are scaled to nothing, so that a wrong mask would pass.
    """
    torch.manual_seed(SEED)
    for parameter in network.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=max(0.05, 1 / math.sqrt(parameter[0].numel())))
    return network
