"""What tells the published versions of RIFE 4 apart: one row for each graph."""

from __future__ import annotations

from dataclasses import dataclass, replace

_PIXELS_PER_CODE = 4  # a block looks at its picture through two convolutions of stride 2


@dataclass(frozen=True, slots=True)
class HeadFacts:
    """The small network that describes one picture to every block, from 4.7 on (`encode` in a checkpoint).

    One convolution of stride 2, further ones of stride 1, and a transposed one back to full size.
    """

    layers: tuple[str, ...]
    """The layers' names in a checkpoint, in order; the last is the transposed one."""
    width: int
    features: int
    """Channels that it yields."""
    activated: bool = True
    """Whether a leaky ReLU follows every layer but the last."""


@dataclass(frozen=True, slots=True)
class Facts:
    """One graph, and the versions that were published with it."""

    versions: tuple[str, ...]
    """Oldest first. They differ in their weights only: a checkpoint does not tell which of them it is."""
    widths: tuple[int, ...] = (192, 128, 96, 64)
    """Inner channels of each block, coarse to fine."""
    scales: tuple[int, ...] = (8, 4, 2, 1)
    """By how much each block's pictures are shrunk, as the published inference does at its scale 1."""
    prelu: bool = False
    """PReLU in place of a leaky ReLU of slope 0.2."""
    skip: bool = False
    """Whether a block's eight layers are bridged as a whole."""
    residual: bool = True
    """Whether each of a block's eight layers is bridged, its own result weighted by a learned `beta`."""
    groups: int = 1
    """Groups of those eight convolutions."""
    shuffled: bool = True
    """Whether a pixel shuffle follows a block's transposed convolution: it then yields full size, else half."""
    planes: int = 6
    """Channels that a block yields: flow (4), mask (1), then `carried`; what is left over was never used."""
    carried: int = 0
    """Channels that a block hands to the next."""
    layers: int = 8
    """Convolutions of a block between its entry and its exit."""
    mask_adds: bool = False
    """Whether a block corrects the mask of the one before, or replaces it."""
    restarts: bool = False
    """Whether the published inference starts over with all scales doubled where the second block finds motion of more
    than 32 pixels in both directions. It branches on a picture's content, so it is left out of the graph."""
    head: HeadFacts | None = None

    @property
    def multiple_px(self) -> int:
        """Sides must be multiples of this, so that no block has to round its size."""
        return _PIXELS_PER_CODE * self.scales[0]

    @property
    def title(self) -> str:
        """Its versions as a reader would say them, such as `4.25 or 4.26`."""
        *others, last = self.versions
        return f"{', '.join(others)} or {last}" if others else last


_HEAD_4_7 = HeadFacts(layers=("0", "1"), width=16, features=4, activated=False)
_HEAD_4_10 = HeadFacts(layers=("0", "2", "4", "6"), width=32, features=8)
_HEAD_4_12_LITE = HeadFacts(layers=("0", "2", "4", "6"), width=32, features=4)
_NAMED = ("cnn0", "cnn1", "cnn2", "cnn3")
_HEAD_4_13 = HeadFacts(layers=_NAMED, width=32, features=8)
_HEAD_4_15_LITE = HeadFacts(layers=_NAMED, width=16, features=4)
_HEAD_4_26_HEAVY = HeadFacts(layers=_NAMED, width=16, features=16)
_LITE = (128, 96, 64, 48)
_FIVE = (16, 8, 4, 2, 1)

GRAPHS = (
    Facts(
        ("4.0", "4.1"),
        prelu=True,
        skip=True,
        residual=False,
        shuffled=False,
        planes=5,
        mask_adds=True,
        restarts=True,
    ),
    Facts(("4.2", "4.3", "4.4"), residual=False, shuffled=False, planes=5, mask_adds=True),
    Facts(("4.5",), planes=5, mask_adds=True),
    Facts(("4.6",), mask_adds=True),
    Facts(("4.7", "4.8", "4.9"), head=_HEAD_4_7),
    Facts(("4.10", "4.11", "4.12"), head=_HEAD_4_10),
    Facts(("4.12 lite", "4.13 lite"), widths=_LITE, head=_HEAD_4_12_LITE),
    Facts(("4.13", "4.14", "4.15", "4.17", "4.18", "4.19", "4.24"), head=_HEAD_4_13),
    Facts(("4.14 lite",), groups=2, head=_HEAD_4_13),
    Facts(("4.15 lite", "4.16 lite", "4.17 lite"), widths=_LITE, head=_HEAD_4_15_LITE),
    Facts(("4.20",), widths=(384, 192, 96, 48), head=_HEAD_4_13),
    Facts(("4.21", "4.22", "4.23"), widths=(256, 192, 96, 48), planes=13, carried=8, head=_HEAD_4_13),
    Facts(("4.22 lite",), widths=(192, 128, 64, 32), planes=13, carried=8, head=_HEAD_4_15_LITE),
    Facts(("4.25", "4.26"), (192, 128, 96, 64, 32), _FIVE, planes=13, carried=8, head=_HEAD_4_15_LITE),
    Facts(("4.25 lite",), (192, 128, 96, 64, 24), (32, 16, 8, 4, 1), planes=13, carried=8, head=_HEAD_4_15_LITE),
    Facts(("4.25 heavy",), (384, 256, 192, 128, 64), _FIVE, planes=13, carried=8, head=_HEAD_4_15_LITE),
    Facts(("4.26 heavy",), (192, 128, 96, 64, 32), _FIVE, planes=13, carried=8, head=_HEAD_4_26_HEAVY),
)
"""Every graph of RIFE 4.0 to 4.26. No two rows give a checkpoint the same names and shapes."""

NARROWER_4_0 = replace(GRAPHS[0], versions=("4.0, narrower",), widths=(64, 104, 96, 64), restarts=False)
"""The graph of the recipe `motion-base`: made of RIFE 4.0 by `export/train/motion/train.py`. It does not ship."""
