"""The music and noises of the sample: a rag on an upright piano, a train, a whistle, an organ, crackle."""

import math
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fastrestore.demo.station import WHISTLE_S, train_front
from fastrestore.demo.train import DRIVER_RADIUS

RATE = 44100
"""Samples a second."""
LENGTH_S = Fraction(6)
"""Length of the score in seconds, that of the picture."""

_CUT_S = 3.25
_SIXTEENTH_S = _CUT_S / 24
_NOTE_S = 1.3
_SEED = 27
_BAR = 8
Sound = NDArray[np.float64]

# The tune: for each bar of eight sixteenths, (start, MIDI note, length).
_TUNE: tuple[tuple[tuple[int, int, int], ...], ...] = (
    ((0, 76, 1), (1, 79, 2), (3, 81, 1), (4, 79, 2), (6, 76, 1), (7, 72, 1)),
    ((0, 74, 1), (1, 77, 2), (3, 79, 1), (4, 83, 2), (6, 81, 1), (7, 79, 1)),
    ((0, 76, 1), (1, 84, 2), (3, 83, 1), (4, 84, 3), (7, 79, 1)),
    ((0, 81, 1), (1, 84, 2), (3, 86, 1), (4, 84, 2), (6, 81, 1), (7, 77, 1)),
    ((0, 79, 1), (1, 76, 2), (3, 79, 1), (4, 77, 1), (5, 74, 1), (6, 71, 2)),
    ((0, 72, 4), (0, 76, 4), (0, 79, 4), (0, 84, 4)),
)
# The left hand: for each bar two of (bass note, chord), bass on the beat and chord after it.
_LEFT: tuple[tuple[tuple[int, tuple[int, ...]], ...], ...] = (
    ((48, (60, 64, 67)), (43, (60, 64, 67))),
    ((43, (59, 62, 65)), (50, (59, 62, 65))),
    ((48, (60, 64, 67)), (45, (60, 64, 67))),
    ((41, (60, 65, 69)), (48, (60, 65, 69))),
    ((43, (60, 64, 67)), (43, (59, 62, 65))),
    ((36, (60, 64, 67)), (48, ())),
)


def render() -> NDArray[np.float32]:
    """Return the whole soundtrack, mono, ``(LENGTH_S * RATE,)``, float32, range ``[-0.85, 0.85]``, always the same."""
    count = int(LENGTH_S * RATE)
    music = np.zeros(count)
    _piano_part(music)
    organ = np.zeros(count)
    _organ_part(organ)
    mix = 0.50 * music / np.abs(music).max() + 0.13 * organ / np.abs(organ).max()
    mix += 0.30 * _chuffs(count) + 0.30 * _whistle(count)
    worn = _old_horn(mix) + _crackle(count)
    time_s = np.arange(count) / RATE
    length = float(LENGTH_S)
    envelope = np.minimum(time_s / 0.02, 1) * np.clip((length - time_s) / 0.7, 0, 1) ** 1.3
    worn *= envelope
    return np.asarray(worn * (0.85 / np.abs(worn).max()), np.float32)


def _add(track: Sound, at_s: float, sound: Sound) -> None:
    start = round(at_s * RATE)
    end = min(track.size, start + sound.size)
    if end > start:
        track[start:end] += sound[: end - start]


def _frequency(note: int) -> float:
    return float(440.0 * 2 ** ((note - 69) / 12))


def _piano_part(track: Sound) -> None:
    for bar, tune in enumerate(_TUNE):
        for start, note, length in tune:
            loud = 0.85 if start % 2 else 1.0
            _add(track, (bar * _BAR + start) * _SIXTEENTH_S, loud * _held(note, length * _SIXTEENTH_S + 0.10))
            if bar < len(_TUNE) - 1 and start in (1, 4):
                _add(track, (bar * _BAR + start) * _SIXTEENTH_S, 0.4 * _held(note - 12, length * _SIXTEENTH_S + 0.05))
    for bar, halves in enumerate(_LEFT):
        for half, (bass, chord) in enumerate(halves):
            beat = bar * _BAR + half * 4
            _add(track, beat * _SIXTEENTH_S, 0.8 * _held(bass, 3 * _SIXTEENTH_S))
            for note in chord:
                _add(track, (beat + 2) * _SIXTEENTH_S, 0.33 * _held(note, 1.3 * _SIXTEENTH_S))


def _held(note: int, length_s: float) -> Sound:
    """Return a piano note with the key let go after ``length_s``."""
    sound = _piano(note)
    time_s = np.arange(sound.size) / RATE
    return np.asarray(sound * np.exp(-np.maximum(time_s - length_s, 0) * 16))


@lru_cache(maxsize=64)
def _piano(note: int) -> Sound:
    """Return one struck note of an upright with two strings a little out of tune with each other."""
    time_s = np.arange(round(_NOTE_S * RATE)) / RATE
    pitch = _frequency(note)
    sound = np.zeros_like(time_s)
    for partial in range(1, 11):
        stiff = partial * math.sqrt(1 + 5e-4 * partial * partial)
        if pitch * stiff > 7000:
            break
        decay = np.exp(-time_s * (1.6 + 0.9 * partial + pitch / 700))
        weight = abs(math.sin(math.pi * partial * 0.13)) / partial**0.95
        for cents in (-4.5, 5.0):
            turn = 2 * math.pi * pitch * stiff * 2 ** (cents / 1200)
            sound += weight * decay * np.sin(turn * time_s + 0.7 * partial)
    knock = np.random.default_rng(note).standard_normal(time_s.size) * np.exp(-time_s * 260)
    attack = np.minimum(time_s / 0.002, 1)
    return (sound + 0.12 * knock) * attack


def _organ_part(track: Sound) -> None:
    """Double the tune of the second shot an octave higher on soft pipes."""
    for bar in range(3, len(_TUNE)):
        for start, note, length in _TUNE[bar]:
            size = round((length * _SIXTEENTH_S * 0.92) * RATE)
            time_s = np.arange(size) / RATE
            turn = 2 * math.pi * _frequency(note + 12) * time_s + 0.25 * np.sin(2 * math.pi * 6.5 * time_s)
            pipe = np.sin(turn) + 0.22 * np.sin(3 * turn) + 0.3 * np.sin(turn / 2)
            shape = np.minimum(time_s / 0.012, 1) * np.minimum((time_s[-1] - time_s) / 0.02, 1)
            _add(track, (bar * _BAR + start) * _SIXTEENTH_S, pipe * shape)


def _chuffs(count: int) -> Sound:
    """Return four strokes of steam for each turn of the driving wheels that the picture shows, until the cut."""
    track = np.zeros(count)
    rng = np.random.default_rng(_SEED)
    stroke = 2 * math.pi * DRIVER_RADIUS / 4
    travelled = np.array([train_front(step / 200) for step in range(int(_CUT_S * 200))])
    strokes = np.flatnonzero(np.diff(np.floor(travelled / stroke)) > 0)
    for number, step in enumerate(strokes):
        time_s = np.arange(round(0.26 * RATE)) / RATE
        burst = _band(rng.standard_normal(time_s.size), 180, 1500 if number % 4 else 2100)
        shape = np.minimum(time_s / 0.018, 1) * np.exp(-time_s * 15) * (1.0 if number % 4 == 0 else 0.72)
        _add(track, float(step) / 200, burst * shape)
    end = round(_CUT_S * RATE)
    track[end - 1500 : end] *= np.linspace(1, 0, 1500)
    track[end:] = 0
    return np.asarray(track / np.abs(track).max())


def _whistle(count: int) -> Sound:
    """Return a three-note steam whistle, two blasts, while the picture shows its jet."""
    track = np.zeros(count)
    rng = np.random.default_rng(_SEED + 1)
    first, last = WHISTLE_S
    for start, length in ((first, 0.2), (first + 0.28, last - first - 0.2)):
        time_s = np.arange(round(length * RATE)) / RATE
        rise = 1 - 0.06 * np.exp(-time_s * 28) - 0.03 * np.clip((time_s - length + 0.12) / 0.12, 0, 1)
        phase = 2 * math.pi * np.cumsum(rise) / RATE
        tone = sum(np.sin(pitch * phase) + 0.3 * np.sin(2 * pitch * phase) for pitch in (523.25, 659.26, 783.99))
        breath = 0.35 * _band(rng.standard_normal(time_s.size), 900, 4000)
        shape = np.minimum(time_s / 0.03, 1) * np.clip((length - time_s) / 0.07, 0, 1)
        _add(track, start, (np.asarray(tone) + breath) * shape)
    return np.asarray(track / np.abs(track).max())


def _crackle(count: int) -> Sound:
    """Return the surface noise of a worn record: hiss, small clicks, a few pops."""
    rng = np.random.default_rng(_SEED + 2)
    noise = 0.0022 * rng.standard_normal(count)
    clicks = np.zeros(count)
    for rate, strength in ((26, 0.035), (3, 0.11)):
        spots = rng.integers(0, count, int(rate * LENGTH_S))
        clicks[spots] += strength * rng.uniform(-1, 1, spots.size)
    tail = np.exp(-np.arange(40) / 7.0) * np.cos(np.arange(40) * 0.9)
    return np.asarray(noise + np.convolve(clicks, tail)[:count], np.float64)


def _old_horn(mix: Sound) -> Sound:
    """Return the mix as a horn gramophone gives it: no deep bass, no high treble, a short boxy echo."""
    echo = mix.copy()
    for delay_s, strength in ((0.023, 0.18), (0.041, 0.12), (0.067, 0.08)):
        shift = round(delay_s * RATE)
        echo[shift:] += strength * mix[:-shift]
    return _band(echo, 110, 6200)


def _band(sound: Sound, low_hz: float, high_hz: float) -> Sound:
    """Return the part between two frequencies, with soft edges."""
    size = sound.size
    spectrum = np.fft.rfft(sound)
    pitch = np.fft.rfftfreq(size, 1 / RATE)
    shape = 1 / np.sqrt(1 + (low_hz / np.maximum(pitch, 1)) ** 6) / np.sqrt(1 + (pitch / high_hz) ** 8)
    return np.asarray(np.fft.irfft(spectrum * shape, size), np.float64)
