"""Whether a film can be decoded on a card: what can be told before a run begins."""

from __future__ import annotations

from fastrestore.config import ConvertOptions, Media
from fastrestore.errors import UsageError
from fastrestore.frames import FORMATS, StreamInfo
from fastrestore.runtime.memory import usable_cards

EXACT_CODECS = ("h264", "hevc", "vp9")
"""Codecs whose standards say every bit of every picture, and for which FFmpeg's own decoder hands its work to a card.

AV1 is the former, but FFmpeg decodes it by libdav1d here, which has no way to a card.
"""
_FORMATS = ("yuv420p", "yuv420p10le")
_HINT = f"leave `--media {Media.CARD}` away"


def require_decodable(source: StreamInfo, options: ConvertOptions, *, restored: bool) -> None:
    """Refuse what a card could not decode, or not to the very pictures of the CPU.

    Args:
        source: The film.
        options: What is asked for.
        restored: Whether networks restore it: only then do frames go to the card.

    Raises:
        UsageError: If decoding on the card is asked for, and something speaks against it.
    """
    if options.media is not Media.CARD:
        return
    if source.codec not in EXACT_CODECS:
        found = f"`{source.codec}`" if source.codec else "frames that come from elsewhere than a file"
        raise UsageError(f"a card cannot decode {found}: wanted one of {', '.join(EXACT_CODECS)}", _HINT)
    if source.format not in [FORMATS[name] for name in _FORMATS]:
        raise UsageError(f"a card cannot decode {source.format.name}: wanted {' or '.join(_FORMATS)}", _HINT)
    if options.film:
        raise UsageError("stages for old film work on the host, and `--media card` leaves frames on the card", _HINT)
    if not restored:
        raise UsageError("nothing is restored by a network, so that no frame goes to a card", _HINT)
    if isinstance(reason := usable_cards(), str):
        raise UsageError(f"`--media {Media.CARD}` finds no card: {reason}", f"{_HINT}; see `fastrestore doctor`")
