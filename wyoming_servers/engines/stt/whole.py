"""For engines that hear an utterance only once it is whole."""

from collections.abc import Callable

import numpy as np

from wyoming_servers.engines.base import Samples, SttResult


class WholeStream:
    """One utterance, kept until it is whole."""

    def __init__(self, transcribe: Callable[[Samples], SttResult]) -> None:
        """Give the whole audio to `transcribe`."""
        self._transcribe = transcribe
        self._audio: list[Samples] = []

    def feed(self, samples: Samples) -> str | None:
        """Keep the audio."""
        self._audio.append(samples)
        return None

    def finish(self) -> SttResult:
        """Transcribe everything fed."""
        audio = np.concatenate(self._audio) if self._audio else np.zeros(0, np.float32)
        self.close()
        return self._transcribe(audio)

    def close(self) -> None:
        """Drop the audio."""
        self._audio = []
