"""Speech made at test time, with the starter's own voice."""

import os
import subprocess
import sys
from functools import cache

import numpy as np
import soxr

from wyoming_servers.engines.base import EngineOptions, TtsEngine, TtsRequest
from wyoming_servers.engines.table import Task, load_engine

RATE_HZ = 16_000


class Speaker:
    """A voice in the place of a person's: the same words are always the same samples."""

    def __call__(self, text: str) -> bytes:
        """Return the words as 16 kHz mono 16-bit PCM, after half a second of silence."""
        return _speak_afresh(text)


@cache
def _speak_afresh(text: str) -> bytes:
    # eSpeak NG says nothing twice the same way: its pitch and noise go on from what it said before.
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-m", __name__, text], env=environ, capture_output=True, check=True)
    return done.stdout


def _speak(text: str) -> bytes:
    engine: TtsEngine = load_engine(Task.TTS, "espeak", EngineOptions())
    spoken = np.concatenate(list(engine.synthesize(TtsRequest(text=text))))
    samples = np.concatenate(
        [np.zeros(RATE_HZ // 2, np.float32), soxr.resample(spoken, engine.sample_rate_hz, RATE_HZ)]
    )
    return bytes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


if __name__ == "__main__":
    sys.stdout.buffer.write(_speak(sys.argv[1]))
