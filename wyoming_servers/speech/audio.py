"""Audio as it comes off the wire and goes back on it: formats, samples, rates.

Engines hear one format only, mono float32 at 16 kHz. Everything else is turned into it here, piece by piece
as it arrives, with the same result however it was cut.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from wyoming_servers.errors import RequestError

Samples = npt.NDArray[np.float32]

_ENGINE_RATE_HZ = 16_000
_WIDTH_BYTES = 2
_FULL_SCALE = 32_768.0
_NOTHING: Samples = np.zeros(0, dtype=np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioFormat:
    """How PCM is laid out; always signed, little-endian and interleaved."""

    rate_hz: int
    width_bytes: int
    channels: int

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of every channel."""
        return self.width_bytes * self.channels

    def seconds(self, pcm_bytes: int) -> float:
        """Return how long so many bytes play."""
        return pcm_bytes / (self.frame_bytes * self.rate_hz)


def parse_format(data: Mapping[str, Any], *, min_rate_hz: int, max_rate_hz: int, max_channels: int) -> AudioFormat:
    """Return the format that an `audio-start` or `audio-chunk` declares. Raises RequestError for one out of bounds."""
    rate_hz = _whole(data, "rate", least=min_rate_hz, most=max_rate_hz, unit=" Hz")
    width_bytes = _whole(data, "width", least=_WIDTH_BYTES, most=_WIDTH_BYTES, unit=" bytes")
    channels = _whole(data, "channels", least=1, most=max_channels, unit="")
    return AudioFormat(rate_hz=rate_hz, width_bytes=width_bytes, channels=channels)


def _whole(data: Mapping[str, Any], key: str, *, least: int, most: int, unit: str) -> int:
    bound = f"{least}{unit}" if least == most else f"{least} to {most}{unit}"
    value = data.get(key)
    if value is None:
        raise RequestError("bad-audio", f"The audio's {key} is missing; it must be {bound}.")
    if isinstance(value, bool) or not isinstance(value, int):
        raise RequestError("bad-audio", f"The audio's {key} must be a whole number, {bound}.")
    if not least <= value <= most:
        raise RequestError("bad-audio", f"The audio's {key} is out of bounds; it must be {bound}.")
    return value


class SampleReader:
    """Turns one utterance's PCM into mono float32 at 16 kHz; not shared between utterances or threads."""

    def __init__(self, fmt: AudioFormat) -> None:
        """Start an utterance in a format that `parse_format` accepted."""
        self.format = fmt
        self._resampler = (
            None if fmt.rate_hz == _ENGINE_RATE_HZ else soxr.ResampleStream(fmt.rate_hz, _ENGINE_RATE_HZ, 1)
        )

    def read(self, pcm: bytes) -> Samples:
        """Return what is ready after these bytes, which may be nothing while the resampler fills.

        Raises RequestError for bytes that are no whole number of frames.
        """
        if len(pcm) % self.format.frame_bytes:
            raise RequestError(
                "bad-audio",
                f"An audio chunk must hold whole frames of {self.format.frame_bytes} bytes.",
            )
        samples = np.frombuffer(pcm, dtype="<i2").astype(np.float32) / np.float32(_FULL_SCALE)
        if self.format.channels > 1:
            samples = samples.reshape(-1, self.format.channels).mean(axis=1, dtype=np.float32)
        return self._resample(samples, last=False) if samples.size else _NOTHING

    def flush(self) -> Samples:
        """Return what the resampler still holds. Called once, after the last `read`."""
        return self._resample(_NOTHING, last=True)

    def _resample(self, samples: Samples, *, last: bool) -> Samples:
        if self._resampler is None:
            return samples
        resampled: Samples = self._resampler.resample_chunk(samples, last=last)
        return resampled


def to_pcm(samples: Samples) -> bytes:
    """Return 16-bit little-endian PCM; what is beyond full scale is clipped, what is no number is silence."""
    scaled = np.rint(samples * np.float32(_FULL_SCALE))
    np.clip(scaled, -_FULL_SCALE, _FULL_SCALE - 1, out=scaled)
    scaled[np.isnan(scaled)] = 0
    pcm: npt.NDArray[np.int16] = scaled.astype("<i2")
    return pcm.tobytes()
