"""Engines that need no model: deterministic, driven by what they are given and by the environment.

They take the place of real engines in tests of everything around an engine, and in a first look at the
protocol. Scripts are entries separated by `|`, used one per utterance or chat, over and over. The entry
`!fail` makes the engine raise, `!fail-early` makes it raise at the first audio or before the first word,
and `!crash` ends the process at once as a fault in native code would.

    HEARTH_SCRIPT_STT           transcripts; without it, how long the audio was loud, as "heard 1200 ms"
    HEARTH_SCRIPT_STT_DELAY_MS  how long `finish` takes
    HEARTH_SCRIPT_STT_PARTIALS  0 for no words while the audio is fed
    HEARTH_SCRIPT_STT_WHOLE_MS  less loud audio than this makes no sentence, and an empty transcript
    HEARTH_SCRIPT_TTS_DELAY_MS  how long each 50 ms of audio take
    HEARTH_SCRIPT_LLM           replies; without it, the user's last message is repeated
    HEARTH_SCRIPT_LLM_DELAY_MS  how long each word takes
"""

import itertools
import os
import threading
import time
from collections.abc import Iterator, Sequence

import numpy as np

from wyoming_servers.engines.base import (
    SAMPLE_RATE_HZ,
    EngineOptions,
    LlmRequest,
    Samples,
    SttRequest,
    SttResult,
    TtsRequest,
    Voice,
)
from wyoming_servers.errors import EngineError, RequestError

LOUD_RMS = 0.01
"""Level (-40 dB of full scale) from which a window counts as speech."""
PIECE_MS = 50
"""Audio per step of `ScriptedTts`."""
WORD_PIECES = 4
"""Steps per word: a word lasts 200 ms."""
CONTEXT_WORDS = 2_000
"""What fits `ScriptedLlm`'s context."""


def is_loud(samples: Samples) -> bool:
    """Return whether audio reaches `LOUD_RMS`."""
    return bool(samples.size) and float(np.sqrt(np.mean(np.square(samples)))) >= LOUD_RMS


class ScriptedVad:
    """Speech is whatever is loud."""

    def __init__(self, options: EngineOptions | None = None) -> None:
        """Take nothing from `options`."""

    def stream(self) -> "ScriptedVadStream":
        """Start a stream; it has no state."""
        return ScriptedVadStream()

    def close(self) -> None:
        """Release nothing."""


class ScriptedVadStream:
    """1 for a loud window, 0 for a quiet one."""

    def probability(self, window: Samples) -> float:
        """Return 1.0 or 0.0."""
        return float(is_loud(window))


class ScriptedStt:
    """Transcribes loud audio to the next entry of its script, whatever was said."""

    languages: Sequence[str] = ("en", "de", "fr", "es")
    concurrency = 2

    def __init__(self, options: EngineOptions | None = None) -> None:
        """Read the script."""
        self.script = _Script("HEARTH_SCRIPT_STT")
        self.whole_ms = float(os.environ.get("HEARTH_SCRIPT_STT_WHOLE_MS") or 0)
        self.is_selective = self.whole_ms > 0
        self.supports_partials = os.environ.get("HEARTH_SCRIPT_STT_PARTIALS") != "0"
        self.delay_seconds = _seconds("HEARTH_SCRIPT_STT_DELAY_MS")

    def stream(self, request: SttRequest) -> "ScriptedSttStream":
        """Start an utterance in one of `languages`."""
        if request.language is not None and request.language not in self.languages:
            raise RequestError("unsupported-language", f"The language '{request.language}' is not supported.")
        return ScriptedSttStream(self, request.language)

    def close(self) -> None:
        """Release nothing."""


class ScriptedSttStream:
    """One more word per 200 ms of loud audio."""

    def __init__(self, engine: ScriptedStt, language: str | None) -> None:
        """Belong to `engine`; the script moves on at the first loud audio."""
        self._engine = engine
        self._language = language
        self._entry: str | None = None
        self._is_heard = False
        self._loud_ms = 0.0
        self._partial = ""

    def feed(self, samples: Samples) -> str | None:
        """Count loud audio, 10 ms at a time; return the words so far when there is one more."""
        for block in np.array_split(samples, max(1, samples.size // 160)):
            if is_loud(block):
                self._loud_ms += block.size * 1000 / SAMPLE_RATE_HZ
        if self._loud_ms and not self._is_heard:
            self._is_heard = True
            self._entry = self._engine.script.next()
            _misbehave(self._entry, early=True)
        if not self._engine.supports_partials or self._entry is None or self._entry.startswith("!"):
            return None
        words = self._entry.split()[: int(self._loud_ms // (PIECE_MS * WORD_PIECES))]
        partial, self._partial = self._partial, " ".join(words)
        return self._partial if self._partial != partial else None

    def finish(self) -> SttResult:
        """Return the script's entry, or nothing if nothing was loud."""
        time.sleep(self._engine.delay_seconds)
        if not self._loud_ms or self._loud_ms < self._engine.whole_ms:
            return SttResult(text="", language=self._language)
        _misbehave(self._entry, early=False)
        text = f"heard {round(self._loud_ms, -2):.0f} ms" if self._entry is None else self._entry
        return SttResult(text=text, language=self._language)

    def close(self) -> None:
        """Release nothing."""


class ScriptedTts:
    """A tone of 200 ms for each word; the word `!fail` fails and `!crash` ends the process."""

    sample_rate_hz = 22_050
    concurrency = 2
    voices: Sequence[Voice] = (
        Voice(name="tone", languages=("en",), speakers=("low", "high"), description="A tone per word"),
        Voice(name="ton", languages=("de",), description="Ein Ton je Wort"),
    )

    def __init__(self, options: EngineOptions | None = None) -> None:
        """Read how slow to be."""
        self._delay_seconds = _seconds("HEARTH_SCRIPT_TTS_DELAY_MS")

    def synthesize(self, request: TtsRequest) -> Iterator[Samples]:
        """Yield 50 ms of tone at a time."""
        wanted = "tone" if request.voice is None else request.voice
        voice = next((known for known in self.voices if known.name == wanted), None)
        if voice is None:
            raise RequestError("unknown-voice", f"There is no voice '{request.voice}'.")
        if request.speaker is not None and request.speaker not in voice.speakers:
            raise RequestError("unknown-speaker", f"The voice '{voice.name}' has no speaker '{request.speaker}'.")
        return self._tones(request)

    def _tones(self, request: TtsRequest) -> Iterator[Samples]:
        times = np.arange(self.sample_rate_hz * PIECE_MS // 1000) / self.sample_rate_hz
        hertz = 880.0 if request.speaker == "high" else 440.0
        tone = (0.3 * np.sin(2 * np.pi * hertz * times)).astype(np.float32)
        for word in request.text.split():
            _misbehave(word, early=False)
            if any(character.isalnum() for character in word):
                for _ in range(WORD_PIECES):
                    time.sleep(self._delay_seconds)
                    yield tone

    def close(self) -> None:
        """Release nothing."""


class ScriptedLlm:
    """Replies with the next entry of its script, word by word."""

    concurrency = 2

    def __init__(self, options: EngineOptions | None = None) -> None:
        """Read the script."""
        self._script = _Script("HEARTH_SCRIPT_LLM")
        self._delay_seconds = _seconds("HEARTH_SCRIPT_LLM_DELAY_MS")

    def reply(self, request: LlmRequest) -> Iterator[str]:
        """Yield at most `max_tokens` words, each with the space before it."""
        if sum(len(message.content.split()) for message in request.messages) > CONTEXT_WORDS:
            raise RequestError("too-long", f"The chat is longer than the {CONTEXT_WORDS} words the model can read.")
        said = next((message.content for message in reversed(request.messages) if message.role == "user"), "")
        return self._words(self._script.next() or said, request.max_tokens)

    def _words(self, text: str, max_tokens: int) -> Iterator[str]:
        _misbehave(text, early=True)
        for index, word in enumerate(text.split()[:max_tokens]):
            time.sleep(self._delay_seconds)
            _misbehave(word, early=False)
            yield f" {word}" if index else word

    def close(self) -> None:
        """Release nothing."""


class _Script:
    """Entries of an environment variable, handed out in turn to any thread."""

    def __init__(self, variable: str) -> None:
        entries = [entry.strip() for entry in os.environ.get(variable, "").split("|")]
        self._entries = itertools.cycle(entries) if any(entries) else None
        self._lock = threading.Lock()

    def next(self) -> str | None:
        """Return the next entry, or None without a script."""
        if self._entries is None:
            return None
        with self._lock:
            return next(self._entries)


def _seconds(variable: str) -> float:
    return float(os.environ.get(variable) or 0) / 1000


def _misbehave(entry: str | None, *, early: bool) -> None:
    """Do what a script's `!` entry asks for."""
    if entry == "!crash":
        os._exit(70)
    if entry == ("!fail-early" if early else "!fail"):
        raise EngineError("The script asked for a failure.")
