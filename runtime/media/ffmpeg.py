"""Which FFmpeg this is."""

from __future__ import annotations

import av


def ffmpeg_version() -> str:
    """Return the versions of FFmpeg's libraries in a few words: they decide what is decoded and encoded."""
    versions = sorted(av.library_versions.items())
    return ", ".join(f"{name} {'.'.join(map(str, version))}" for name, version in versions)
