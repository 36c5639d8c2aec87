"""For which sizes engines are built: resolution classes and exact sizes. Pure arithmetic.

An engine takes a range of sizes and is tuned for one of them. A class reaches down to small pictures, so that one
engine serves every film up to its largest side, upright or not; an exact size is tuned for nothing else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from fastrestore.config import MAX_DIMENSION_PX
from fastrestore.errors import UsageError
from fastrestore.geometry import Size
from fastrestore.models.spec import FACE_PX, ModelSpec, Task
from fastrestore.runtime.engine_key import Profile, Shape

LEAST_SIDE_PX = 64
"""Smaller pictures are padded up to it. Some motion networks cannot see less."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """A class of picture sizes."""

    best: Size
    """What engines of this class are tuned for."""
    most_px: int
    """The longest side, upright or not."""
    most_batch: int = 1
    tiles: bool = False
    """Whether it is meant for parts of pictures: a motion network must see whole ones."""
    usual: bool = True
    """Whether it is built unless others are asked for."""


RESOLUTIONS: Mapping[str, Resolution] = MappingProxyType(
    {
        "tile": Resolution(Size(512, 512), 1088, most_batch=4, tiles=True),
        "sd": Resolution(Size(720, 576), 1024),
        "hd": Resolution(Size(1280, 720), 1440),
        "fhd": Resolution(Size(1920, 1080), 2048),
        "uhd": Resolution(Size(3840, 2160), 4096, usual=False),
    }
)
"""Classes by name. Longest sides are those of wide PAL, HDV, and film scans in 2K and 4K."""


def class_profile(name: str, spec: ModelSpec) -> Profile:
    """Return the profile of a resolution class for a model; its sides are multiples of what the model takes.

    Raises:
        UsageError: If there is no such class, or the model must see whole pictures and the class is one of tiles.
    """
    if name not in RESOLUTIONS:
        raise UsageError(f"unknown profile `{name}`", f"known: {', '.join(RESOLUTIONS)}; or `--size WxH`")
    found = RESOLUTIONS[name]
    if found.tiles and spec.sees_whole:
        whole = ", ".join(name for name, other in RESOLUTIONS.items() if not other.tiles)
        raise UsageError(f"`{spec.name}` sees whole pictures, so it has no profile `{name}`", f"use {whole}")
    return Profile(
        name,
        least=input_shape(spec, Size(LEAST_SIDE_PX, LEAST_SIDE_PX)),
        best=input_shape(spec, found.best),
        most=input_shape(spec, Size(found.most_px, found.most_px), found.most_batch),
    )


def exact_profile(size: Size, spec: ModelSpec) -> Profile:
    """Return the profile for pictures of one size, padded up to what the model takes; it is named after the result.

    Raises:
        UsageError: If a side is shorter than `LEAST_SIDE_PX` or longer than any encoder takes.
    """
    if min(size.width, size.height) < LEAST_SIDE_PX or max(size.width, size.height) > MAX_DIMENSION_PX:
        raise UsageError(
            f"no engine is built for pictures of {size}: wanted {LEAST_SIDE_PX} to {MAX_DIMENSION_PX} pixels a side",
            "smaller pictures are padded: use `--profile`",
        )
    shape = input_shape(spec, size)
    return Profile(f"{shape.width}x{shape.height}", shape, shape, shape)


def parse_size(text: str) -> Size:
    """Parse `1920x1080`.

    Raises:
        UsageError: If the text is no size.
    """
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text.strip().lower(), re.ASCII)
    if match is None or not int(match[1]) or not int(match[2]):
        raise UsageError(f"size `{text}` is not understood", "use for example `--size 1920x1080`")
    return Size(int(match[1]), int(match[2]))


def usual_profiles(spec: ModelSpec) -> tuple[Profile, ...]:
    """Return the profiles that are built for a model unless others are asked for."""
    if spec.task is Task.FACE:
        return (exact_profile(Size(FACE_PX, FACE_PX), spec),)
    whole_only = spec.sees_whole
    names = [name for name, found in RESOLUTIONS.items() if found.usual and not (found.tiles and whole_only)]
    return tuple(class_profile(name, spec) for name in names)


def input_shape(spec: ModelSpec, size: Size, batch: int = 1) -> Shape:
    """Return what a model is given for pictures of a size: both sides padded up to a multiple of what it takes."""
    width, height = (-(-side // spec.multiple_px) * spec.multiple_px for side in (size.width, size.height))
    return Shape(batch, height, width)


def choose(profiles: Iterable[Profile], shape: Shape) -> Profile | None:
    """Return the profile to run an input with, or None if none takes it.

    An engine for exactly this shape comes first, then the one tuned for the most similar one.
    """
    return min((profile for profile in profiles if profile.takes(shape)), key=lambda p: _rank(p, shape), default=None)


def _rank(profile: Profile, shape: Shape) -> tuple[bool, float, int, str]:
    best, most = profile.best, profile.most
    pairs = ((best.width, shape.width), (best.height, shape.height), (best.batch, shape.batch))
    unlike = sum(abs(math.log(tuned / given)) for tuned, given in pairs)
    return profile.least != most, unlike, most.batch * most.height * most.width, profile.name
