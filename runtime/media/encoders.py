"""Which encoders there are, what they accept and how they are told: one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType

import av

from fastrestore.config import EncodeOptions
from fastrestore.errors import EncodeError, UsageError
from fastrestore.frames import FORMATS, PixelFormat, StreamInfo
from fastrestore.geometry import Size

_SUBSAMPLINGS = ("420", "422", "444")


@dataclass(frozen=True, slots=True)
class Encoder:
    """Facts about one encoder."""

    name: str
    """FFmpeg's name."""
    subsamplings: tuple[str, ...] = _SUBSAMPLINGS
    depths: tuple[int, ...] = (8, 10)
    crf: int | None = None
    """Default quality; None if it has no such setting."""
    crf_option: str = "crf"
    worst_crf: int = 51
    preset: str | None = None
    presets: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    hdr_option: str | None = None
    """Name of the option that takes static HDR metadata in x265's notation."""
    semi_planar_10: bool = False
    """Whether 10-bit frames must be p010le."""
    writes_aspect: bool = True
    """Whether its stream says how wide a pixel is, whatever the container says."""
    known_payload: bool = True
    """Whether it was measured that muxers change its packets as `payload.as_muxed` says, and in no other way."""
    least_px: int = 2
    """Shortest side it can encode."""
    odd_sizes: bool = True
    """Whether a side whose chroma is halved may be odd."""
    on_card: bool = False
    """Whether it takes pictures on a card: 4:2:0 of even size."""
    threads: tuple[tuple[int, int], ...] = ()
    """Where their number changes what it makes: how many it takes by itself, by the least number of cores for which it
    takes so many; the first row that fits. 0 stands for one a core. Empty where it makes the same with any number."""


_X26X_PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
_NV_PRESETS = ("p1", "p2", "p3", "p4", "p5", "p6", "p7")
_NV = {"rc": "vbr"}

ENCODERS: Mapping[str, Encoder] = MappingProxyType(
    {
        "x264": Encoder(
            "libx264", crf=18, preset="veryfast", presets=_X26X_PRESETS, hdr_option="x264-params", odd_sizes=False,
            threads=((1, 0),),
        ),
        "x265": Encoder(
            "libx265", crf=20, preset="fast", presets=_X26X_PRESETS, hdr_option="x265-params",
            options={"x265-params": "log-level=none"}, odd_sizes=False,
            threads=((32, 5), (16, 4), (8, 3), (4, 2), (1, 1)),
            least_px=64,  # below, its lookahead writes beyond its buffers (x265 4.2 under valgrind: 48x32, 32x128)
        ),
        "svtav1": Encoder(
            "libsvtav1", ("420",), crf=28, worst_crf=63, preset="8", presets=tuple(str(i) for i in range(14)),
            hdr_option="svtav1-params", writes_aspect=False,
        ),
        "ffv1": Encoder(
            "ffv1", depths=(8, 10, 12, 16), options={"level": "3", "slicecrc": "1", "slices": "16", "g": "1"},
            writes_aspect=False,
        ),
        "h264_nvenc": Encoder(
            "h264_nvenc", ("420", "444"), (8,), 19, "cq", 51, "p5", _NV_PRESETS, MappingProxyType(_NV),
            known_payload=False, on_card=True,
        ),
        "hevc_nvenc": Encoder(
            "hevc_nvenc", ("420",), (8, 10), 21, "cq", 51, "p5", _NV_PRESETS, MappingProxyType(_NV), None, True,
            known_payload=False, on_card=True,
        ),
        "av1_nvenc": Encoder(
            "av1_nvenc", ("420",), (8, 10), 28, "cq", 51, "p5", _NV_PRESETS, MappingProxyType(_NV), None, True, False,
            known_payload=False, on_card=True,
        ),
    }
)  # fmt: skip


def find_encoder(options: EncodeOptions) -> Encoder:
    """Return the encoder asked for, its options checked.

    Raises:
        UsageError: If codec, preset, quality or bit depth is unknown to it.
    """
    encoder = ENCODERS.get(options.codec)
    if encoder is None:
        raise UsageError(f"unknown codec `{options.codec}`", f"known: {', '.join(ENCODERS)}")
    if options.preset is not None and options.preset not in encoder.presets:
        known = f"known: {', '.join(encoder.presets)}" if encoder.presets else "leave `--preset` out"
        raise UsageError(f"codec `{options.codec}` has no preset `{options.preset}`", known)
    if options.crf is not None and (encoder.crf is None or not 0 <= options.crf <= encoder.worst_crf):
        known = f"0 to {encoder.worst_crf}" if encoder.crf is not None else "none: it is lossless"
        raise UsageError(f"codec `{options.codec}` has no quality {options.crf} (has {known})", "leave `--crf` out")
    if options.bit_depth is not None and options.bit_depth not in encoder.depths:
        known = ", ".join(str(depth) for depth in encoder.depths)
        raise UsageError(f"codec `{options.codec}` has no {options.bit_depth} bit (has {known})", "use `--codec x265`")
    return encoder


def fixed_threads(options: EncodeOptions, cores: int) -> int:
    """Return with how many threads a film is encoded throughout, by whatever process on however many cores.

    Args:
        options: Encoder settings.
        cores: How many the process may use that begins the film.

    Returns:
        As many as the encoder takes by itself, where their number changes what it makes; else what was asked for, 0.

    Raises:
        UsageError: If the encoder is unknown.
    """
    if options.threads:
        return options.threads
    fitting = (threads for least, threads in find_encoder(options).threads if cores >= least)
    threads = next(fitting, None)
    return 0 if threads is None else threads or cores


def require_installed(encoder: Encoder) -> None:
    """Check that this FFmpeg has the encoder.

    Raises:
        EncodeError: If it has not.
    """
    try:
        av.Codec(encoder.name, "w")
    except av.codec.codec.UnknownCodecError as error:
        raise EncodeError(f"this FFmpeg has no encoder {encoder.name}", "use `--codec x264`") from error


def require_size(options: EncodeOptions, size: Size, layout: PixelFormat) -> None:
    """Check that an encoder can take pictures of a size.

    Raises:
        UsageError: If they are too small, or odd where the encoder cannot halve the chroma.
    """
    encoder = find_encoder(options)
    across, down = (size.width % 2 and layout.chroma_shift[0], size.height % 2 and layout.chroma_shift[1])
    if (across or down) and not encoder.odd_sizes:
        raise UsageError(
            f"{options.codec} cannot encode the odd size {size} in {layout.name}",
            f"use `--to {size.width + size.width % 2}x{size.height + size.height % 2}`, or `--codec ffv1`",
        )
    least = encoder.least_px
    if min(size.width, size.height) < least:
        raise UsageError(
            f"{options.codec} cannot encode {size}: at least {least} pixels a side",
            "use a larger `--to`, or `--codec x264`",
        )


def output_format(source: StreamInfo, size: Size, options: EncodeOptions) -> PixelFormat:
    """Return the layout to encode: nothing of the source's depth or chroma resolution is lost if the codec can hold it.

    A picture twice as large holds a 4:4:4 source's chroma in 4:2:0, which every player can show; only where the
    target is smaller than that is finer chroma kept.
    """
    encoder = find_encoder(options)
    wanted = options.bit_depth or source.format.bits
    depth = next((bits for bits in encoder.depths if bits >= wanted), encoder.depths[-1])
    finer_across = size.width >= 2 * source.size.width
    finer_down = size.height >= 2 * source.size.height
    sx, sy = source.format.chroma_shift
    if source.format.kind == "grey":
        sx, sy = 1, 1
    digits = "420" if (sx or finer_across) and (sy or finer_down) else "422" if sx or finer_across else "444"
    if digits not in encoder.subsamplings:
        finer = [known for known in encoder.subsamplings if known > digits]
        digits = finer[0] if finer else encoder.subsamplings[-1]
    return FORMATS[f"yuv{digits}p" + ("" if depth == 8 else f"{depth}le")]


def codec_options(options: EncodeOptions, source: StreamInfo) -> dict[str, str]:
    """Return FFmpeg's options for an encoder."""
    encoder = find_encoder(options)
    settings = dict(encoder.options)
    if encoder.crf is not None:
        settings[encoder.crf_option] = str(encoder.crf if options.crf is None else options.crf)
    if encoder.preset is not None:
        settings["preset"] = options.preset or encoder.preset
    if options.threads:
        settings["threads"] = str(options.threads)
    if encoder.hdr_option and source.hdr:
        given = settings.get(encoder.hdr_option)
        params = _hdr_params(source, encoder.name)
        settings[encoder.hdr_option] = f"{given}:{params}" if given else params
    return settings


def _hdr_params(source: StreamInfo, encoder: str) -> str:
    """Return mastering display and light level in x265's notation (SVT-AV1 takes real numbers instead)."""
    params = []
    if mastering := source.hdr.get("mastering"):
        real = encoder == "libsvtav1"
        point, light = (Fraction(1), Fraction(1)) if real else (Fraction(50000), Fraction(10000))

        def number(value: Fraction, unit: Fraction) -> str:
            return f"{float(value):.5f}" if real else str(round(value * unit))

        red, green, blue, white = (mastering[i : i + 2] for i in (0, 2, 4, 6))
        corners = "".join(
            f"{name}({number(x, point)},{number(y, point)})"
            for name, (x, y) in (("G", green), ("B", blue), ("R", red), ("WP", white))
        )
        name = "master-display" if encoder == "libx265" else "mastering-display"
        params.append(f"{name}={corners}L({number(mastering[9], light)},{number(mastering[8], light)})")
    if levels := source.hdr.get("light_level"):
        name = {"libx265": "max-cll", "libx264": "cll"}.get(encoder, "content-light")
        params.append(f"{name}={levels[0]},{levels[1]}")
    return ":".join(params)
