"""The STT worker: audio in, words out, and it is the one who says when the user has finished.

An utterance is worked on in two places at once. A *listener* hears every window in the detector's threads and
decides where the words begin and the turn ends; it never waits for the engine, so a busy engine delays no end
of turn. A *transcriber* takes what the listener found to be speech through the engine's threads. The socket
waits for neither. Once the turn has ended the client may go on sending, as Home Assistant does until it has
read the transcript: that audio is dropped.
"""

import asyncio
from collections.abc import Mapping

from wyoming.event import Event
from wyoming.info import AsrModel, AsrProgram, Info

from wyoming_servers.engines.base import EngineOptions, SttEngine, SttRequest
from wyoming_servers.engines.table import EngineRow
from wyoming_servers.engines.vad.steady import SteadyVad, load_vad
from wyoming_servers.errors import RequestError
from wyoming_servers.wire.connection import Connection
from wyoming_servers.workers.audio_feed import AudioFeed, audio_format
from wyoming_servers.workers.listener import Windows
from wyoming_servers.workers.service import Route, TaskHandler, artifact
from wyoming_servers.workers.threads import EngineThreads
from wyoming_servers.workers.transcribe import TranscribeRequest, parse_transcribe
from wyoming_servers.workers.transcription import Transcription
from wyoming_servers.workers.vad import quiet_noise

_MOST_WAITING = 4
"""Utterances of one client that may wait for the transcript of the one before."""


class SttService:
    """A loaded speech-to-text model behind Wyoming."""

    def __init__(self, engine: SttEngine, row: EngineRow, name: str, options: EngineOptions) -> None:
        """Serve `engine`, with a detector of its own."""
        self.engine = engine
        self.threads = EngineThreads(engine.concurrency, "stt")
        self.vad = SteadyVad(load_vad(EngineOptions(threads=1)))
        self.vad_threads = EngineThreads(2, "vad")
        self.model_name = options.model.name if options.model else name
        self._row = row
        self._name = name

    @property
    def names(self) -> tuple[str, ...]:
        """What a client may call the program or its model."""
        return tuple(dict.fromkeys((self._name, self.model_name)))

    def prime(self) -> None:
        """Run half a second of a quiet room through detector and engine."""
        noise = quiet_noise()
        list(Windows(self.vad.stream()).add(noise))
        stream = self.engine.stream(SttRequest())
        try:
            stream.feed(noise)
            stream.finish()
        finally:
            stream.close()

    def info(self) -> Info:
        """Describe the engine as it is now: a model may change its languages while it runs."""
        model = AsrModel(
            **vars(artifact(self._row, self.model_name, f"Model of {self._row.title}")),
            languages=list(self.engine.languages),
        )
        program = AsrProgram(
            **vars(artifact(self._row, self._name, f"Speech to text with {self._row.title}")),
            models=[model],
            supports_transcript_streaming=self.engine.supports_partials,
            requires_external_vad=False,
            prefers_auto_gain_enabled=False,
            prefers_noise_reduction_enabled=False,
        )
        return Info(asr=[program])

    def handler(self, connection: Connection) -> "SttHandler":
        """Serve one client."""
        return SttHandler(connection, self)


class SttHandler(TaskHandler):
    """`transcribe?`, `audio-start`, `audio-chunk`…, `audio-stop?`, any number of times on one connection."""

    def __init__(self, connection: Connection, service: SttService) -> None:
        """Wait for a request."""
        super().__init__(connection, service.info)
        self._service = service
        self._request = TranscribeRequest()
        self._feed: AudioFeed | None = None
        self._waiting: list[asyncio.Task[None]] = []

    @property
    def routes(self) -> Mapping[str, Route]:
        """Events of speech to text."""
        return {
            "transcribe": self._on_transcribe,
            "audio-start": self._on_start,
            "audio-chunk": self._on_chunk,
            "audio-stop": self._on_stop,
        }

    async def end(self) -> None:
        """Transcribe what was said."""
        if self._feed:
            self._feed.end()

    async def _on_transcribe(self, event: Event) -> None:
        """Take what stands for the utterances to come; one that is still being spoken is given up."""
        self._abandon()
        engine = self._service.engine
        self._request = parse_transcribe(event.data, languages=engine.languages, names=self._service.names)

    async def _on_start(self, event: Event) -> None:
        self._abandon()
        self._begin(event)

    async def _on_chunk(self, event: Event) -> None:
        """Take audio; without an `audio-start` the first chunk's own format begins the utterance."""
        feed = self._feed or self._begin(event)
        feed.add(event.data, event.payload or b"")

    async def _on_stop(self, _event: Event) -> None:
        if self._feed:
            self._feed.end()
        self._feed = None

    def _abandon(self) -> None:
        """Drop the utterance whose audio was still coming; nothing is dropped that had ended."""
        if self._feed and not self._feed.is_closed:
            self._waiting.pop().cancel()
        self._feed = None

    def _begin(self, event: Event) -> AudioFeed:
        limits = self.connection.limits
        self._waiting = [task for task in self._waiting if not task.done()]
        if len(self._waiting) >= _MOST_WAITING:
            raise RequestError("too-many", f"At most {_MOST_WAITING} utterances can wait for their transcripts.")
        feed = AudioFeed(audio_format(event.data, limits), most_seconds=limits.utterance_seconds)
        transcription = Transcription(self._service, self.connection, self._request, feed)
        before = self._waiting[-1] if self._waiting else None
        self._waiting.append(self.connection.spawn(self._answer(transcription, before)))
        self._feed = feed
        return feed

    async def _answer(self, transcription: Transcription, before: asyncio.Task[None] | None) -> None:
        """Answer in the order in which was asked."""
        if before:
            await asyncio.wait([before])
        await transcription.run()
