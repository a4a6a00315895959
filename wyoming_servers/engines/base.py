"""What an engine of each task must be able to do.

An *engine* is a loaded model, shared by all clients. A *stream* is one utterance of one client and is
never shared. Engines are synchronous: the worker runs them in threads it owns, so cancellation and order
live in one place. They satisfy these protocols by shape, without inheriting. `tests/conformance` pins what
is promised here; what it does not pin is not promised.

An engine module's class is called as `Class(options)`, loads its model there and raises `ModelError` or
`EngineError` with a plain sentence if it cannot.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]
"""Mono audio in [-1, 1], shape (samples,)."""

SAMPLE_RATE_HZ = 16_000
"""What every VAD and STT engine is fed."""
WINDOW_SAMPLES = 512
"""One VAD step, 32 ms: what Silero was trained on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """What an engine may need to load."""

    model: Path | None = None
    """File or folder, already checked to lie inside a model folder; None for the engine's own default."""
    language: str = "en"
    """BCP 47 tag of the household's main language."""
    threads: int = 2
    """Most threads the engine may keep busy at once."""
    data_dir: Path | None = None
    """Where the engine may keep files it makes (a compiled grammar, a cache)."""
    url: str | None = None
    """Server of a remote engine."""
    api_key: str | None = field(default=None, repr=False)
    """Key for `url`; never logged."""
    model_name: str | None = None
    """What a remote engine calls the model."""


class VadStream(Protocol):
    """Speech probability over one connection's audio."""

    def probability(self, window: Samples) -> float:
        """Return the probability in [0, 1] that the next `WINDOW_SAMPLES` samples hold speech."""


class VadEngine(Protocol):
    """A loaded voice activity detector."""

    def stream(self) -> VadStream:
        """Start with fresh state."""

    def close(self) -> None:
        """Release the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SttRequest:
    """What a client said about the utterance it is about to send."""

    language: str | None = None
    names: Sequence[str] = ()
    """Names to prefer, most important first (Wyoming `transcript_names`)."""
    terms: Sequence[str] = ()
    """Words to prefer after the names (Wyoming `transcript_terms`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SttResult:
    """A final transcript."""

    text: str
    """Empty when nothing was said, or nothing the engine trusts."""
    language: str | None = None


class SttStream(Protocol):
    """One utterance in progress; used by one thread at a time."""

    def feed(self, samples: Samples) -> str | None:
        """Take 16 kHz audio; return the words so far if they changed and the engine streams, else None."""

    def finish(self) -> SttResult:
        """Return the transcript of everything fed. Called at most once."""

    def close(self) -> None:
        """Drop the utterance; safe at any time, also after `finish`."""


class SttEngine(Protocol):
    """A loaded speech-to-text model."""

    @property
    def languages(self) -> Sequence[str]:
        """BCP 47 tags it understands."""

    @property
    def supports_partials(self) -> bool:
        """Whether `feed` ever returns words."""

    @property
    def is_selective(self) -> bool:
        """Whether an empty result may mean that the sentence is not whole yet, so that waiting for more makes sense."""

    @property
    def concurrency(self) -> int:
        """How many streams may run in threads at the same time."""

    def stream(self, request: SttRequest) -> SttStream:
        """Start an utterance. Raises `RequestError` for a language it does not have."""

    def close(self) -> None:
        """Release the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """One voice a TTS engine can speak with."""

    name: str
    """An identifier from a closed list, never a path."""
    languages: Sequence[str]
    speakers: Sequence[str] = ()
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TtsRequest:
    """One piece of text to say: a sentence or a clause, already split by the worker."""

    text: str
    voice: str | None = None
    """Name of one of `voices`; None for the default."""
    speaker: str | None = None
    language: str | None = None
    is_hurried: bool = False
    """Whether others wait for their first sound: what is yielded first should cost as little as can be."""


class TtsEngine(Protocol):
    """A loaded speech synthesiser."""

    @property
    def sample_rate_hz(self) -> int:
        """Rate of every sample it yields, the same for all its voices."""

    @property
    def voices(self) -> Sequence[Voice]:
        """What it can speak with; the first is the default."""

    @property
    def concurrency(self) -> int:
        """How many `synthesize` iterators may be advanced in threads at the same time."""

    def synthesize(self, request: TtsRequest) -> Iterator[Samples]:
        """Yield audio as it is made. Closing the iterator stops the work within 100 ms.

        Text without anything to pronounce yields nothing. Raises `RequestError` for an unknown voice or speaker.
        """

    def close(self) -> None:
        """Release the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmRequest:
    """A chat to continue."""

    messages: Sequence[Message]
    max_tokens: int = 256
    temperature: float = 0.0


class LlmEngine(Protocol):
    """A loaded language model."""

    @property
    def concurrency(self) -> int:
        """How many replies may be generated at the same time."""

    def reply(self, request: LlmRequest) -> Iterator[str]:
        """Yield the answer's text piece by piece. Closing the iterator stops within one token.

        Raises `RequestError` when the chat cannot fit the model's context.
        """

    def close(self) -> None:
        """Release the model."""
