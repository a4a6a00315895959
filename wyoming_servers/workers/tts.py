"""Text-to-speech worker: text in, whole or as it is written; audio out as it is made.

A request becomes one `Utterance`, said piece by piece in one stream of audio with one start and one stop. A
client's requests are answered one after the other; between clients the engine's next step goes to whoever runs out
of sound first, so nobody's first sound waits behind another's surplus.
"""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import Any

from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.event import Event
from wyoming.info import Attribution, Info, TtsProgram, TtsVoice, TtsVoiceSpeaker
from wyoming.tts import SynthesizeStopped

from wyoming_servers import __version__
from wyoming_servers.engines.base import Samples, TtsEngine, TtsRequest, Voice
from wyoming_servers.engines.table import EngineRow
from wyoming_servers.errors import RequestError, SettingsError
from wyoming_servers.speech.audio import to_pcm
from wyoming_servers.wire.connection import Connection
from wyoming_servers.workers.service import Route, TaskHandler
from wyoming_servers.workers.threads import EngineThreads
from wyoming_servers.workers.utterance import Utterance

_CHUNK_BYTES = 4096
"""About 90 ms: small enough to play at once, large enough that headers do not matter."""
_ENOUGH_LEAD_SECONDS = 0.2
"""Sound in hand with which a client can wait while others have none yet."""
_MOST_WAITING = 8
"""Requests of one client that may wait behind the one being said."""


class TtsService:
    """A loaded synthesiser behind Wyoming."""

    def __init__(self, engine: TtsEngine, row: EngineRow, name: str, *, default_voice: str | None = None) -> None:
        """Serve `engine`. Raises SettingsError if it has no voice `default_voice`."""
        self.engine = engine
        self.threads = EngineThreads(engine.concurrency, "tts")
        self.voices = {voice.name: voice for voice in engine.voices}
        if default_voice is not None and default_voice not in self.voices:
            known = ", ".join(list(self.voices)[:20])
            raise SettingsError(f"There is no voice '{default_voice}'. Known: {known}.")
        self.default_voice = default_voice or next(iter(self.voices))
        self.silence = _Silence()
        self._info = _describe(engine, row, name)

    def prime(self) -> None:
        """Say one word to nobody, which loads what the engine loads late."""
        for _ in self.engine.synthesize(TtsRequest(text="Ready.", voice=self.default_voice)):
            pass

    def info(self) -> Info:
        """Return what it offers."""
        return self._info

    def handler(self, connection: Connection) -> "TtsHandler":
        """Serve one client."""
        return TtsHandler(connection, self)

    def request(self, data: Mapping[str, Any], *, limit: int) -> "Utterance":
        """Return a request for what an event asks for. Raises RequestError for what is not there."""
        text_format = data.get("text_format")
        if text_format is not None and text_format != "text":
            raise RequestError("unsupported", "Only plain text can be said; this text_format is not supported.")
        voice = data.get("voice")
        if voice is not None and not isinstance(voice, dict):
            raise RequestError("bad-voice", "The voice must be a JSON object.")
        wanted = voice or {}
        name, speaker, language = (_text_or_none(wanted, key) for key in ("name", "speaker", "language"))
        chosen = self._choose(name, language)
        if speaker is not None and speaker not in chosen.speakers:
            raise RequestError("unknown-speaker", "This voice has no such speaker.")
        return Utterance(voice=chosen.name, speaker=speaker, limit=limit)

    def _choose(self, name: str | None, language: str | None) -> Voice:
        """Return a voice of the closed list, by name or else by language."""
        if name is not None:
            if name not in self.voices:
                raise RequestError("unknown-voice", "There is no such voice; `describe` lists them.")
            return self.voices[name]
        default = self.voices[self.default_voice]
        if language is None:
            return default
        voices = (default, *self.voices.values())
        wanted = language.replace("_", "-").casefold()
        base = wanted.partition("-")[0]
        for exact in (wanted, base):
            if voice := next((voice for voice in voices if exact in _tags(voice)), None):
                return voice
        if voice := next((voice for voice in voices if base in {tag.partition("-")[0] for tag in _tags(voice)}), None):
            return voice
        raise RequestError("unknown-voice", "There is no voice for this language; `describe` lists them.")


class _Silence:
    """How many clients asked for sound and have none yet, and a way to wait until there is no such client."""

    def __init__(self) -> None:
        self.clients = 0
        self._is_over = asyncio.Event()
        self._is_over.set()

    @property
    def is_over(self) -> bool:
        return not self.clients

    def add(self, change: int) -> None:
        self.clients += change
        if self.clients:
            self._is_over.clear()
        else:
            self._is_over.set()

    async def wait_until_over(self, *, at_most_seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(at_most_seconds):
                await self._is_over.wait()


class TtsHandler(TaskHandler):
    """One client."""

    def __init__(self, connection: Connection, service: TtsService) -> None:
        """Serve `connection` with `service`."""
        super().__init__(connection, service.info)
        self._service = service
        self._open: Utterance | None = None
        self._waiting: list[Utterance] = []
        self._is_speaking = False

    @property
    def routes(self) -> Mapping[str, Route]:
        """Both forms: whole texts and streams of text."""
        return {
            "synthesize": self._on_synthesize,
            "synthesize-start": self._on_start,
            "synthesize-chunk": self._on_chunk,
            "synthesize-stop": self._on_stop,
        }

    async def end(self) -> None:
        """Say what was written."""
        if self._open is not None:
            self._open.finish()
            self._open = None

    async def _on_synthesize(self, event: Event) -> None:
        if self._open is not None:
            # Sent for servers that know no streams, and the same text again. Some clients send nothing else.
            if not self._open.has_text:
                self._open.add(event.data.get("text"))
            return
        utterance = self._service.request(event.data, limit=self.connection.limits.text_characters)
        utterance.add(event.data.get("text"))
        utterance.finish()
        self._say(utterance)

    async def _on_start(self, event: Event) -> None:
        if self._open is not None:
            raise RequestError("out-of-order", "A stream of text is still open; end it with synthesize-stop.")
        utterance = self._service.request(event.data, limit=self.connection.limits.text_characters)
        utterance.is_streamed = True
        self._say(utterance)
        self._open = utterance

    async def _on_chunk(self, event: Event) -> None:
        self._opened("synthesize-chunk").add(event.data.get("text"))

    async def _on_stop(self, event: Event) -> None:
        self._opened(event.type).finish()
        self._open = None

    def _opened(self, event_type: str) -> Utterance:
        if self._open is None:
            raise RequestError("out-of-order", f"A {event_type} must come after a synthesize-start.")
        return self._open

    def _say(self, utterance: Utterance) -> None:
        if len(self._waiting) >= _MOST_WAITING:
            raise RequestError("busy", f"More than {_MOST_WAITING} requests of this connection are waiting.")
        self._waiting.append(utterance)
        if not self._is_speaking:
            self._is_speaking = True
            self.connection.spawn(self._speak_all())

    async def _speak_all(self) -> None:
        try:
            while self._waiting:
                await _Speaker(self.connection, self._service).speak(self._waiting.pop(0))
        finally:
            self._is_speaking = False


class _Speaker:
    """Says one utterance to one client."""

    def __init__(self, connection: Connection, service: TtsService) -> None:
        self._connection = connection
        self._service = service
        self._rate_hz = service.engine.sample_rate_hz
        self._sent_samples = 0
        self._first_sent = 0.0
        self._is_silent = False

    async def speak(self, utterance: Utterance) -> None:
        send, idle_seconds = self._connection.send, self._connection.limits.idle_seconds
        try:
            while (piece := await utterance.next_piece(idle_seconds=idle_seconds)) is not None:
                self._expect_sound()
                await asyncio.sleep(0)  # whoever asked at the same moment is then known when hurry is judged
                await self._say_piece(utterance, piece)
        finally:
            self._end_silence()
        if not self._sent_samples:
            await self._start()  # nothing to pronounce: an answer that is valid and empty, as nobody must wait for ever
        await send(AudioStop())
        if utterance.is_streamed:
            await send(SynthesizeStopped())

    async def _say_piece(self, utterance: Utterance, piece: str) -> None:
        request = TtsRequest(
            text=piece,
            voice=utterance.voice,
            speaker=utterance.speaker,
            is_hurried=self._is_silent and self._service.silence.clients > 1,
        )
        threads = self._service.threads
        async with threads.iterate(iter(self._service.engine.synthesize(request))) as steps:
            steps.due = self._due()
            async for samples in steps:
                await self._send(samples)
                steps.due = self._due()

    async def _send(self, samples: Samples) -> None:
        pcm = to_pcm(samples)
        if not self._sent_samples:
            await self._start()
        for start in range(0, len(pcm), _CHUNK_BYTES):
            part = pcm[start : start + _CHUNK_BYTES]
            await self._give_way()
            await self._connection.send(AudioChunk(rate=self._rate_hz, width=2, channels=1, audio=part))
            self._first_sent = self._first_sent or time.monotonic()
            self._sent_samples += len(part) // 2
            self._end_silence()

    async def _start(self) -> None:
        await self._connection.send(AudioStart(rate=self._rate_hz, width=2, channels=1))

    async def _give_way(self) -> None:
        """Let clients without any sound go first while this one has some in hand."""
        if self._service.silence.is_over or not self._sent_samples:
            return
        lead_seconds = self._due() - time.monotonic() - _ENOUGH_LEAD_SECONDS
        if lead_seconds > 0:
            await self._service.silence.wait_until_over(at_most_seconds=lead_seconds)

    def _due(self) -> float:
        """Return when the client runs out of what it was sent, if it has been playing since the first sound."""
        if not self._sent_samples:
            return time.monotonic()
        return self._first_sent + self._sent_samples / self._rate_hz

    def _expect_sound(self) -> None:
        if not self._sent_samples and not self._is_silent:
            self._is_silent = True
            self._service.silence.add(1)

    def _end_silence(self) -> None:
        if self._is_silent:
            self._is_silent = False
            self._service.silence.add(-1)


def _tags(voice: Voice) -> set[str]:
    return {tag.casefold() for tag in voice.languages}


def _text_or_none(data: Mapping[str, Any], key: str) -> str | None:
    value = data.get(key)
    if value is not None and not isinstance(value, str):
        raise RequestError("bad-voice", f"The voice's {key} must be a text.")
    return value


def _describe(engine: TtsEngine, row: EngineRow, name: str) -> Info:
    attribution = Attribution(name=row.title, url=row.url or "https://www.home-assistant.io/voice_control/")
    voices = [
        TtsVoice(
            name=voice.name,
            description=voice.description or voice.name,
            attribution=attribution,
            installed=True,
            version=__version__,
            languages=list(voice.languages),
            speakers=[TtsVoiceSpeaker(name=speaker) for speaker in voice.speakers] or None,
        )
        for voice in engine.voices
    ]
    program = TtsProgram(
        name=name,
        description=row.title,
        attribution=attribution,
        installed=True,
        version=__version__,
        voices=voices,
        supports_synthesize_streaming=True,
    )
    return Info(tts=[program])
