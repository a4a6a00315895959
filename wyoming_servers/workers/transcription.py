"""One utterance of one client, from its first audio to its transcript."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Protocol

import numpy as np
from wyoming.asr import Transcript, TranscriptChunk, TranscriptStart, TranscriptStop
from wyoming.vad import VoiceStarted, VoiceStopped

from wyoming_servers.engines.base import Samples, SttEngine, SttResult
from wyoming_servers.engines.vad.steady import SteadyVad
from wyoming_servers.errors import EngineError, HearthError, RequestError, where_it_failed
from wyoming_servers.speech.endpointing import SpeechStarted, TurnEnd
from wyoming_servers.wire.connection import Connection
from wyoming_servers.workers.audio_feed import AudioFeed
from wyoming_servers.workers.listener import Heard, Listener
from wyoming_servers.workers.threads import EngineThreads, Steps
from wyoming_servers.workers.transcribe import TranscribeRequest

_LOGGER = logging.getLogger(__name__)
_FEED_LATER_SECONDS = 0.5
"""How long an engine may leave audio of somebody still speaking for the sake of somebody who waits."""
_FEED_WINDOWS = 8
"""Windows of 32 ms that an engine takes at a time."""


class Recogniser(Protocol):
    """The engines an utterance needs, with their threads."""

    engine: SttEngine
    threads: EngineThreads
    vad: SteadyVad
    vad_threads: EngineThreads


class Transcription:
    """Listens and transcribes at the same time, and tells the client.

    An engine that takes only what makes sense (`is_selective`) may find nothing at the first silence. Then the
    speaker gets more time, and what comes after the pause is transcribed together with what came before it.
    """

    def __init__(
        self, recogniser: Recogniser, connection: Connection, request: TranscribeRequest, feed: AudioFeed
    ) -> None:
        """Hear the audio of `feed`."""
        self._recogniser = recogniser
        self._request = request
        self._feed = feed
        self._listener = Listener(recogniser.vad.stream(), feed.format, request.sensitivity)
        self._speech: deque[Samples] = deque()
        self._spoken: list[Samples] = []
        self._is_reopened = False
        self._stopped_at_ms: float | None = None
        self._result = SttResult(text="")
        self._is_over = False
        self._changed = asyncio.Event()
        self._words = Words(connection, request)
        self._connection = connection

    async def run(self) -> None:
        """Answer with the events of one transcription. Raises HearthError if that fails."""
        try:
            await self._take_turn()
            while await self._goes_on():
                await self._take_turn()
            await self._words.finish(self._result)
        finally:
            self._feed.drop()

    async def _take_turn(self) -> None:
        """Listen and transcribe until a silence or the end of the audio ends the turn."""
        listening = asyncio.ensure_future(self._listen())
        listening.add_done_callback(lambda _: self._changed.set())
        try:
            async with self._recogniser.threads.iterate(self._transcribe()) as steps:
                await self._follow(steps, listening)
        finally:
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening

    async def _goes_on(self) -> bool:
        """Return whether to wait for more words, because those so far make no sense to the engine."""
        if self._result.text or not self._recogniser.engine.is_selective:
            return False
        heard = await self._recogniser.vad_threads.run(self._listener.reopen)
        if heard is None:
            return False
        self._is_over, self._is_reopened = False, True
        await self._report(heard)
        return True

    async def _listen(self) -> None:
        """Hear audio until the turn is over."""
        hear = self._recogniser.vad_threads.run
        while not self._listener.ended and (pcm := await self._feed.take()) is not None:
            await self._report(await hear(partial(self._listener.hear, pcm)))
        if not self._listener.ended:
            await self._report(await hear(self._listener.finish))
        ended = self._listener.ended
        if self._feed.is_cut and ended and ended.reason is TurnEnd.AUDIO_STOPPED:
            raise RequestError("too-long", "The utterance is longer than this server takes.")
        if not self._recogniser.engine.is_selective:
            self._feed.drop()

    async def _report(self, heard: Heard) -> None:
        """Pass speech on to the engine, and decisions to the client."""
        if heard.speech and self._is_reopened:
            # Speech goes on after all: the engine hears it all again, as one.
            self._is_reopened = False
            self._speech.extend(self._spoken)
        self._spoken.extend(heard.speech)
        self._speech.extend(heard.speech)
        for decision in heard.decisions:
            if isinstance(decision, SpeechStarted):
                await self._connection.send(VoiceStarted(timestamp=round(decision.at_ms)))
            elif self._listener.has_speech and decision.at_ms != self._stopped_at_ms:
                self._stopped_at_ms = decision.at_ms
                await self._connection.send(VoiceStopped(timestamp=round(decision.at_ms)))
        if self._speech:
            self._changed.set()

    async def _follow(self, steps: Steps[str | None], listening: asyncio.Task[None]) -> None:
        """Let the engine take audio as it comes, and then finish."""
        while not listening.done():
            if not self._speech:
                await self._changed.wait()
            self._changed.clear()
            if self._speech and not listening.done():
                steps.due = time.monotonic() + _FEED_LATER_SECONDS
                await self._words.add(await anext(steps))
        await listening
        self._is_over = True
        steps.due = None
        await anext(steps)

    def _transcribe(self) -> Iterator[str | None]:
        """Take what there is at each step; runs in the engine's threads."""
        try:
            stream = self._recogniser.engine.stream(self._request.stt)
            is_fed = False
            try:
                while not self._is_over:
                    is_fed = True
                    yield stream.feed(self._take_speech())
                while self._speech:
                    is_fed = True
                    stream.feed(self._take_speech())
                if is_fed:
                    self._result = stream.finish()
                yield None
            finally:
                stream.close()
        except HearthError:
            raise
        except Exception as err:  # engines' libraries raise whatever they like; the client gets a sentence
            _LOGGER.error("Speech recognition failed: %s", where_it_failed(err))  # noqa: TRY400  # not its text
            raise EngineError("Speech recognition failed; the server's log says why.") from err

    def _take_speech(self) -> Samples:
        """Return the next audio for the engine, a little at a time: its library may let nobody else work meanwhile."""
        parts = [self._speech.popleft() for _ in range(min(_FEED_WINDOWS, len(self._speech)))]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)


class Words:
    """Tells a client the words so far, and then the words.

    Chunks add up to what was said. An engine that thinks better of a word begins anew with another
    `transcript-start`; the `transcript` at the end holds everything, for clients that want nothing else.
    """

    def __init__(self, connection: Connection, request: TranscribeRequest) -> None:
        """Answer `request`."""
        self._connection = connection
        self._context = request.context
        self._language = request.stt.language
        self._sent: str | None = None

    async def add(self, text: str | None) -> None:
        """Tell the words so far; None for no news."""
        if text is None or text == self._sent:
            return
        if self._sent is None or not text.startswith(self._sent):
            await self._connection.send(TranscriptStart(context=self._context, language=self._language))
            self._sent = ""
        if added := text[len(self._sent) :]:
            await self._connection.send(TranscriptChunk(text=added))
        self._sent = text

    async def finish(self, result: SttResult) -> None:
        """Tell the words."""
        self._language = result.language or self._language
        await self.add(result.text)
        send = self._connection.send
        await send(Transcript(text=result.text, language=self._language, context=self._context))
        await send(TranscriptStop())
