"""Speech made at test time, with the starter's own voice."""

import numpy as np
import soxr

from wyoming_servers.engines.base import EngineOptions, TtsEngine, TtsRequest
from wyoming_servers.engines.table import Task, load_engine

RATE_HZ = 16_000


class Speaker:
    """A voice in the place of a person's."""

    def __init__(self) -> None:
        """Load eSpeak NG."""
        self._engine: TtsEngine = load_engine(Task.TTS, "espeak", EngineOptions())

    def __call__(self, text: str) -> bytes:
        """Return the words as 16 kHz mono 16-bit PCM, after half a second of silence."""
        rate_hz = self._engine.sample_rate_hz
        spoken = np.concatenate(list(self._engine.synthesize(TtsRequest(text=text))))
        samples = np.concatenate([np.zeros(RATE_HZ // 2, np.float32), soxr.resample(spoken, rate_hz, RATE_HZ)])
        return bytes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
