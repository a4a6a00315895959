"""A WAV file as a microphone would give it, and the reply as a WAV file."""

import asyncio
import time
import wave
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from wyoming_servers.errors import RequestError, SettingsError

FRAME_MS = 10
"""What Home Assistant sends at a time."""
TAIL_SECONDS = 10.0
"""Silence sent after a recording while the server has not ended the turn."""
_WIDTH_BYTES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One utterance, 16-bit PCM."""

    pcm: bytes
    rate_hz: int
    channels: int

    @property
    def frame_bytes(self) -> int:
        """Bytes of one 10 ms frame."""
        return self.rate_hz * FRAME_MS // 1000 * _WIDTH_BYTES * self.channels

    def speech_end_ms(self) -> float | None:
        """Return where the last sound ends, or None if all is silence.

        A sound is 20 ms louder than the background: at least three times the level which a tenth of the
        recording stays below, between 2 % and 10 % of its loudest moment.
        """
        samples = np.frombuffer(self.pcm, dtype="<i2").astype(np.float64)
        per_frame = self.frame_bytes // _WIDTH_BYTES
        frames = samples[: len(samples) // per_frame * per_frame].reshape(-1, per_frame)
        if not len(frames):
            return None
        levels = np.sqrt(np.mean(np.square(frames), axis=1))
        loudest, background = float(levels.max()), float(np.quantile(levels, 0.1))
        if loudest < 1.0:
            return None
        loud = levels > np.clip(3 * background, 0.02 * loudest, 0.1 * loudest)
        pairs = np.flatnonzero(loud[1:] & loud[:-1])
        last = int(pairs[-1]) + 1 if len(pairs) else int(np.flatnonzero(loud)[-1])
        return float((last + 1) * FRAME_MS)


def read_recording(path: Path) -> Recording:
    """Read a WAV file. Raises RequestError naming what a usable one looks like."""
    try:
        with wave.open(str(path), "rb") as file:
            width, channels, rate_hz = file.getsampwidth(), file.getnchannels(), file.getframerate()
            pcm = file.readframes(file.getnframes())
    except OSError as err:
        raise RequestError("bad-audio", f"Cannot read {path}: {err.strerror or err}.") from err
    except (wave.Error, EOFError) as err:
        raise RequestError("bad-audio", f"{path} is not a PCM WAV file ({str(err) or 'it ends too early'}).") from err
    if width != _WIDTH_BYTES:
        raise RequestError("bad-audio", f"{path} has {8 * width} bits per sample; 16 are needed.")
    if not 1 <= channels <= 2:
        raise RequestError("bad-audio", f"{path} has {channels} channels; one or two are needed.")
    if not 8_000 <= rate_hz <= 48_000:
        raise RequestError("bad-audio", f"{path} is sampled at {rate_hz} Hz; 8000 to 48000 are needed.")
    if not pcm:
        raise RequestError("bad-audio", f"{path} holds no audio.")
    return Recording(pcm=pcm[: len(pcm) // (width * channels) * width * channels], rate_hz=rate_hz, channels=channels)


class PlayedRecording:
    """A recording heard at the pace at which it was spoken, and then silence."""

    def __init__(self, recording: Recording, *, tail_seconds: float = TAIL_SECONDS) -> None:
        """Play `recording`, once, and at most so much silence after it."""
        self.rate_hz = recording.rate_hz
        self.channels = recording.channels
        self.started_at: float | None = None
        """When its first sample was spoken (`time.monotonic`)."""
        self._recording = recording
        self._tail_frames = int(tail_seconds * 1000 / FRAME_MS)
        self._speech_end_ms = recording.speech_end_ms()

    @property
    def speech_ended_at(self) -> float | None:
        """When its last sound was spoken (`time.monotonic`), if it has any."""
        if self.started_at is None or self._speech_end_ms is None:
            return None
        return self.started_at + self._speech_end_ms / 1000

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """Yield each frame when its last sample has been spoken; paced by the clock, so that delays do not add up."""
        size = self._recording.frame_bytes
        total = len(self._recording.pcm) + self._tail_frames * size
        self.started_at = time.monotonic()
        for number, start in enumerate(range(0, total, size), start=1):
            await asyncio.sleep(max(0.0, self.started_at + number * FRAME_MS / 1000 - time.monotonic()))
            yield self._recording.pcm[start : start + size].ljust(size, b"\0")


class WavFile:
    """Writes a reply while it arrives; the lengths in the header are set when it ends."""

    def __init__(self, path: Path) -> None:
        """Write to `path`, which is made at the first audio. Raises SettingsError if its folder is not there."""
        if not path.parent.is_dir():
            raise SettingsError(f"Cannot write {path}: there is no folder {path.parent}.")
        self._path = path
        self._raw: BinaryIO | None = None
        self._file: wave.Wave_write | None = None

    async def start(self, rate_hz: int, channels: int) -> None:
        """Begin the file. Raises SettingsError if it cannot be written."""
        try:
            self._raw = self._path.open("wb")  # closed by `close`
        except OSError as err:
            raise SettingsError(f"Cannot write {self._path}: {err.strerror or err}.") from err
        self._file = wave.open(self._raw, "wb")  # noqa: SIM115
        self._file.setparams((channels, _WIDTH_BYTES, rate_hz, 0, "NONE", ""))

    async def write(self, pcm: bytes) -> None:
        """Add audio."""
        if self._file is not None:
            self._file.writeframesraw(pcm)

    async def close(self) -> None:
        """End the file."""
        if self._file is not None and self._raw is not None:
            self._file.close()
            self._raw.close()
            self._file = self._raw = None
