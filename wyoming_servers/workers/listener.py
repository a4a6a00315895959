"""Listens to one utterance: finds where the words are, and passes on only those.

Synchronous, for the detector's threads.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from wyoming_servers.engines.base import SAMPLE_RATE_HZ, WINDOW_SAMPLES, Samples, VadStream
from wyoming_servers.speech.audio import AudioFormat, SampleReader
from wyoming_servers.speech.endpointing import Sensitivity, SpeechStarted, TurnEnded, TurnPolicy

WINDOW_MS = WINDOW_SAMPLES * 1000 / SAMPLE_RATE_HZ
LEAD_MS = 300.0
"""Audio before the first detected speech that an engine hears: soft first consonants lie there."""
TRAIL_MS = 192.0
"""Silence after the last word that an engine hears; the rest of the wait is kept from it unless speech goes on."""
_REMEMBERED_WINDOWS = 24


class Windows:
    """Cuts audio into the detector's windows, however it arrives."""

    def __init__(self, vad: VadStream) -> None:
        """Ask `vad` about each window."""
        self._vad = vad
        self._rest: Samples = np.zeros(0, np.float32)

    def add(self, samples: Samples) -> Iterator[tuple[Samples, float]]:
        """Yield each whole window with its probability of speech. To be read to its end before the next call."""
        samples = np.concatenate((self._rest, samples)) if self._rest.size else samples
        whole = samples.size - samples.size % WINDOW_SAMPLES
        self._rest = samples[whole:]
        for start in range(0, whole, WINDOW_SAMPLES):
            window = samples[start : start + WINDOW_SAMPLES]
            yield window, self._vad.probability(window)

    def finish(self, samples: Samples) -> Iterator[tuple[Samples, float]]:
        """Yield the last windows, the very last filled up with silence."""
        yield from self.add(samples)
        if self._rest.size:
            yield from self.add(np.zeros(WINDOW_SAMPLES - self._rest.size, np.float32))


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What a piece of audio brought."""

    decisions: tuple[SpeechStarted | TurnEnded, ...]
    speech: tuple[Samples, ...]
    """Audio for the engine."""


class Listener:
    """One utterance from its first sample to the end of the turn."""

    def __init__(self, vad: VadStream, fmt: AudioFormat, sensitivity: Sensitivity) -> None:
        """Listen with `vad` to audio in the client's format."""
        self._reader = SampleReader(fmt)
        self._windows = Windows(vad)
        self._policy = TurnPolicy(sensitivity)
        self._before: deque[Samples] = deque(maxlen=_REMEMBERED_WINDOWS)
        self._held: list[Samples] = []
        self._unheard: list[tuple[Samples, float]] = []

    @property
    def has_speech(self) -> bool:
        """Whether anybody has spoken."""
        return self._policy.started is not None

    @property
    def ended(self) -> TurnEnded | None:
        """How the turn ended, once it has."""
        return self._policy.ended

    def hear(self, pcm: bytes) -> Heard:
        """Take audio; once the turn has ended it brings nothing, unless the turn is reopened."""
        return self._hear(self._windows.add(self._reader.read(pcm)))

    def finish(self) -> Heard:
        """End the turn where the client ended its audio."""
        heard = self._hear(self._windows.finish(self._reader.flush()))
        if self._policy.ended:
            return heard
        held = tuple(self._held) if self._policy.is_undecided else ()
        return Heard(decisions=(*heard.decisions, self._policy.finish()), speech=(*heard.speech, *held))

    def reopen(self) -> Heard | None:
        """Go on listening, because the words so far are not whole; None if the silence has been long enough."""
        if not self._policy.reopen():
            return None
        unheard, self._unheard = self._unheard, []
        return self._hear(iter(unheard))

    def _hear(self, windows: Iterator[tuple[Samples, float]]) -> Heard:
        decisions: list[SpeechStarted | TurnEnded] = []
        speech: list[Samples] = []
        for window, probability in windows:
            if self._policy.ended:
                self._unheard.append((window, probability))
                continue
            if decision := self._policy.feed(probability, WINDOW_MS):
                decisions.append(decision)
            speech += self._select(window)
        return Heard(decisions=tuple(decisions), speech=tuple(speech))

    def _select(self, window: Samples) -> list[Samples]:
        """Return what the engine may hear now that this window has come."""
        started = self._policy.started
        if started is None:
            self._before.append(window)
            return []
        position_ms = self._policy.position_ms
        if self._before:
            self._before.append(window)
            lead = int((position_ms - started.at_ms + LEAD_MS) / WINDOW_MS)
            chosen = list(self._before)[-lead:]
            self._before.clear()
            return chosen
        self._held.append(window)
        if position_ms - self._policy.speech_end_ms > TRAIL_MS:
            return []
        chosen, self._held = self._held, []
        return chosen
