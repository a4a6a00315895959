"""WAV files and test tones."""

import wave
from pathlib import Path

import numpy as np


def tone(seconds: float, *, rate_hz: int = 16_000, level: float = 0.3) -> bytes:
    """Return a 440 Hz tone as mono 16-bit PCM; level 0 is silence."""
    times = np.arange(int(seconds * rate_hz)) / rate_hz
    return bytes((level * 32767 * np.sin(2 * np.pi * 440 * times)).astype("<i2").tobytes())


def write_wav(path: Path, pcm: bytes, *, rate_hz: int = 16_000, channels: int = 1, width_bytes: int = 2) -> Path:
    """Write PCM as a WAV file and return its path."""
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, width_bytes, rate_hz, 0, "NONE", ""))
        file.writeframes(pcm)
    return path


def read_wav(path: Path) -> tuple[int, int, bytes]:
    """Return rate in Hz, channels and PCM of a WAV file."""
    with wave.open(str(path), "rb") as file:
        return file.getframerate(), file.getnchannels(), file.readframes(file.getnframes())
