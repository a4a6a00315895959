"""One turn with a Wyoming server, as stock Home Assistant does it: a connection of its own for each request.

Audio goes out in 10 ms events while the answer is awaited, so the server may end the turn; the first
`transcript` counts. The transcript goes to the conversation with its context, the reply to the speech
synthesis, in the streaming form.
"""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioFormat, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.event import Event
from wyoming.handle import Handled, NotHandled
from wyoming.intent import Intent, IntentsStart, IntentsStop, NotRecognized
from wyoming.tts import (
    Synthesize,
    SynthesizeChunk,
    SynthesizeStart,
    SynthesizeStop,
    SynthesizeStopped,
    SynthesizeVoice,
)
from wyoming.vad import VoiceStopped

from wyoming_servers.ask.answer import Answer, FoundIntent
from wyoming_servers.errors import HearthError, RequestError, WorkerError
from wyoming_servers.intents.recogniser import Command
from wyoming_servers.intents.responses import render_response
from wyoming_servers.wire.client import Client

_TRANSCRIPT_SECONDS = 60.0
"""Longest wait for the transcript once all audio is sent."""
_REPLY_SECONDS = 120.0
"""Longest wait for the conversation, which may be a language model on a slow machine."""
_AUDIO_SECONDS = 30.0
"""Longest wait for more of the reply's audio."""
_LAST_WORDS_SECONDS = 2.0
"""Longest wait for the reason when a server no longer takes audio."""


class AudioSource(Protocol):
    """Speech as it is spoken, 16-bit PCM."""

    rate_hz: int
    channels: int
    started_at: float | None

    @property
    def speech_ended_at(self) -> float | None:
        """When the last sound was spoken (`time.monotonic`), if the source can know."""

    def frames(self) -> AsyncGenerator[bytes, None]:
        """Yield 10 ms frames; the turn is ended where they end."""


class AudioSink(Protocol):
    """Where the reply's 16-bit PCM goes."""

    async def start(self, rate_hz: int, channels: int) -> None:
        """Prepare for audio of this form; called once."""

    async def write(self, pcm: bytes) -> None:
        """Take audio."""

    async def close(self) -> None:
        """Finish; safe without `start`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Where to ask, and what to say about who asks."""

    uri: str
    language: str | None = None
    """None leaves it to the server."""
    device_id: str | None = None
    vad_sensitivity: str | None = None
    conversation_id: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def context(self) -> dict[str, Any]:
        """What Home Assistant sends along with the transcript."""
        device = {"device_id": self.device_id} if self.device_id else {}
        return {"conversation_id": self.conversation_id, **device}


class Turn:
    """One question and its answer; `answer` holds what is known so far, also after a failure."""

    def __init__(self, asking: Asking) -> None:
        """Prepare; nothing is sent yet."""
        self.answer = Answer()
        self._asking = asking
        self._asked_at: float | None = None
        """When the person stopped: end of speech, or the sending of a written sentence."""

    async def run(self, question: AudioSource | str, sink: AudioSink) -> Answer:
        """Ask in speech or in writing and take the reply; a failure stands in the answer's `error`."""
        try:
            text = question if isinstance(question, str) else await self._hear(question)
            self.answer.transcript = text
            if not text.strip():
                raise RequestError("no-words", "No words were understood.")
            reply = await self._understand(text)
            if reply:
                await self._speak(reply, sink)
        except HearthError as err:
            self.answer.error = str(err)
        finally:
            await sink.close()
        return self.answer

    async def _hear(self, source: AudioSource) -> str:
        """Stream audio until the server has the transcript."""
        async with self._connect() as client:
            await client.send(Transcribe(language=self._asking.language, vad_sensitivity=self._asking.vad_sensitivity))
            sending = asyncio.create_task(_send_audio(client, source))
            receiving = asyncio.create_task(self._receive_transcript(client, source))
            try:
                await asyncio.wait({sending, receiving}, return_when=asyncio.FIRST_COMPLETED)
                if not receiving.done():
                    # Either all audio is sent, or the server takes no more and is about to say why.
                    seconds = _LAST_WORDS_SECONDS if sending.exception() else _TRANSCRIPT_SECONDS
                    await asyncio.wait({receiving}, timeout=seconds)
                if not receiving.done():
                    sending.result()
                    raise WorkerError(f"No transcript came within {_TRANSCRIPT_SECONDS:g} seconds.")
                return receiving.result()
            finally:
                for task in (sending, receiving):
                    task.cancel()
                await asyncio.gather(sending, receiving, return_exceptions=True)

    async def _receive_transcript(self, client: Client, source: AudioSource) -> str:
        stopped_at: float | None = None
        heard_end_ms: int | None = None
        while True:
            event = await _expect(client)
            if VoiceStopped.is_type(event.type):
                stopped_at, heard_end_ms = time.monotonic(), VoiceStopped.from_event(event).timestamp
            elif Transcript.is_type(event.type):
                now = time.monotonic()
                text = str(event.data.get("text") or "")
                ended_at = source.speech_ended_at
                if ended_at is None and heard_end_ms is not None and source.started_at is not None:
                    ended_at = source.started_at + heard_end_ms / 1000
                self._asked_at = ended_at
                times = self.answer.timings_ms
                times.endpoint = _ms(ended_at, stopped_at)
                times.stt = _ms(stopped_at or ended_at, now)
                return text

    async def _understand(self, text: str) -> str | None:
        """Send the sentence on; return the reply's text."""
        started = time.monotonic()
        self._asked_at = self._asked_at or started
        async with self._connect() as client, _within(_REPLY_SECONDS, "No reply came"):
            await client.send(Transcript(text=text, language=self._asking.language, context=self._asking.context))
            is_llm, replies = await self._receive_reply(client)
        if is_llm:
            self.answer.timings_ms.llm = _ms(started, time.monotonic())
        else:
            self.answer.timings_ms.route = _ms(started, time.monotonic())
        # Home Assistant joins the replies of several commands the same way.
        self.answer.reply = "\n".join(reply for reply in replies if reply) or None
        return self.answer.reply

    async def _receive_reply(self, client: Client) -> tuple[bool, list[str]]:
        """Return whether a conversation answered (and not the router), and the replies."""
        several = False
        replies: list[str] = []
        while True:
            event = await _expect(client)
            if Handled.is_type(event.type) or NotHandled.is_type(event.type):
                return True, [str(event.data.get("text") or "")]
            if NotRecognized.is_type(event.type):
                return False, [str(event.data.get("text") or "")]
            if IntentsStart.is_type(event.type):
                several = True
            elif Intent.is_type(event.type):
                replies.append(self._take_intent(event))
                if not several:
                    return False, replies
            elif IntentsStop.is_type(event.type):
                return False, replies

    def _take_intent(self, event: Event) -> str:
        try:
            intent = Intent.from_event(event)
        except (KeyError, TypeError) as err:
            raise WorkerError("The server sent an intent that cannot be read.") from err
        slots = {entity.name: entity.value for entity in intent.entities}
        self.answer.intents.append(FoundIntent(name=intent.name, slots=slots))
        domain = slots.get("domain")
        command = Command(
            intent=intent.name, slots=slots, response=intent.text, domain=domain if isinstance(domain, str) else None
        )
        return render_response(command) or ""

    async def _speak(self, text: str, sink: AudioSink) -> None:
        """Have the reply spoken, in the streaming form."""
        voice = SynthesizeVoice(language=self._asking.language) if self._asking.language else None
        async with self._connect() as client:
            started = time.monotonic()
            for event in (
                SynthesizeStart(voice=voice),
                SynthesizeChunk(text=text),
                Synthesize(text=text, voice=voice),
                SynthesizeStop(),
            ):
                await client.send(event)
            await self._receive_speech(client, sink, started)
        if self.answer.timings_ms.tts_first_audio is None:
            raise WorkerError("The reply came without any audio.")

    async def _receive_speech(self, client: Client, sink: AudioSink, started: float) -> None:
        form: AudioFormat | None = None
        while True:
            async with _within(_AUDIO_SECONDS, "The reply's audio did not come"):
                event = await _expect(client)
            if SynthesizeStopped.is_type(event.type):
                return
            if not AudioChunk.is_type(event.type) or not event.payload:
                continue
            form = await self._start_sink(sink, event, form, started)
            await sink.write(event.payload)

    async def _start_sink(self, sink: AudioSink, event: Event, form: AudioFormat | None, started: float) -> AudioFormat:
        """At the first audio stop the clock and open the sink; the format may not change after that."""
        now = time.monotonic()
        chunk = AudioChunk.from_event(event)
        found = AudioFormat(rate=chunk.rate, width=chunk.width, channels=chunk.channels)
        if form is None:
            self.answer.timings_ms.tts_first_audio = _ms(started, now)
            self.answer.timings_ms.total = _ms(self._asked_at, now)
            if found.width != 2:
                raise WorkerError("The reply's audio is not 16-bit PCM.")
            await sink.start(found.rate, found.channels)
        elif found != form:
            raise WorkerError("The reply's audio changed its format midway.")
        return found

    def _connect(self) -> Client:
        return Client(self._asking.uri)


async def _send_audio(client: Client, source: AudioSource) -> None:
    """Send audio until cancelled or until the source ends, which ends the turn."""
    form = {"rate": source.rate_hz, "width": 2, "channels": source.channels}
    await client.send(AudioStart(**form))
    async with contextlib.aclosing(source.frames()) as frames:
        async for frame in frames:
            await client.send(AudioChunk(**form, audio=frame))
    await client.send(AudioStop())


async def _expect(client: Client) -> Event:
    """Return the next event. Raises RequestError for an `error` event, with the server's own words."""
    event = await client.expect()
    if Error.is_type(event.type):
        raise RequestError(str(event.data.get("code") or "server"), str(event.data.get("text") or "The server failed."))
    return event


@contextlib.asynccontextmanager
async def _within(seconds: float, failure: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as err:
        raise WorkerError(f"{failure} within {seconds:g} seconds.") from err


def _ms(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else round((end - start) * 1000, 1)
