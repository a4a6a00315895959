"""The VAD worker: says when speech starts and stops in a stream that may last for hours."""

import asyncio
from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np
from wyoming.event import Event
from wyoming.info import Info
from wyoming.vad import VoiceStarted, VoiceStopped

from wyoming_servers.engines.base import SAMPLE_RATE_HZ, Samples, VadEngine
from wyoming_servers.engines.table import EngineRow
from wyoming_servers.engines.vad.steady import SteadyVad
from wyoming_servers.speech.audio import SampleReader
from wyoming_servers.speech.endpointing import SpeechGate, SpeechStarted, SpeechStopped
from wyoming_servers.wire.connection import Connection
from wyoming_servers.workers.audio_feed import AudioFeed, audio_format
from wyoming_servers.workers.listener import WINDOW_MS, Windows
from wyoming_servers.workers.service import Route, TaskHandler
from wyoming_servers.workers.threads import EngineThreads

_WAITING_SECONDS = 10.0
"""Audio a client may be ahead of us before its socket is left to fill up."""


class VadService:
    """A detector behind Wyoming."""

    def __init__(self, engine: VadEngine, row: EngineRow, name: str) -> None:
        """Serve `engine`; its row and name are not told, for Wyoming's `info` has no place for detectors."""
        self.vad = SteadyVad(engine)
        self.threads = EngineThreads(2, "vad")

    def prime(self) -> None:
        """Run the network once."""
        list(Windows(self.vad.stream()).add(quiet_noise()))

    def handler(self, connection: Connection) -> "VadHandler":
        """Serve one client."""
        return VadHandler(connection, self)


class VadHandler(TaskHandler):
    """`audio-start … audio-stop`, any number of times, answered with `voice-started` and `voice-stopped`."""

    def __init__(self, connection: Connection, service: VadService) -> None:
        """Wait for audio."""
        super().__init__(connection, Info)
        self._service = service
        self._feed: AudioFeed | None = None
        self._listening: asyncio.Task[None] | None = None

    @property
    def routes(self) -> Mapping[str, Route]:
        """Audio events."""
        return {"audio-start": self._on_start, "audio-chunk": self._on_chunk, "audio-stop": self._on_stop}

    async def _on_start(self, event: Event) -> None:
        """Begin anew; an utterance that was not stopped is stopped here."""
        self._end()
        await self._begin(event)

    async def _on_chunk(self, event: Event) -> None:
        """Take audio; the first chunk begins an utterance if nothing else did."""
        feed = self._feed or await self._begin(event)
        feed.add(event.data, event.payload or b"")
        await feed.wait_for_room(_WAITING_SECONDS)

    async def _on_stop(self, _event: Event) -> None:
        self._end()

    async def _begin(self, event: Event) -> AudioFeed:
        feed = AudioFeed(audio_format(event.data, self.connection.limits), most_seconds=None)
        if self._listening:
            await asyncio.wait([self._listening])
        self._feed = feed
        self._listening = self.connection.spawn(self._listen(feed))
        return feed

    async def end(self) -> None:
        """Say where the last speech stopped."""
        self._end()

    def _end(self) -> None:
        if self._feed:
            self._feed.end()
        self._feed = None

    async def _listen(self, feed: AudioFeed) -> None:
        hearing = Hearing(self._service.vad, feed)
        while (pcm := await feed.take()) is not None:
            await self._report(await self._service.threads.run(partial(hearing.hear, pcm)))
        await self._report(await self._service.threads.run(hearing.finish))

    async def _report(self, decisions: list[SpeechStarted | SpeechStopped]) -> None:
        for decision in decisions:
            kind = VoiceStarted if isinstance(decision, SpeechStarted) else VoiceStopped
            await self.connection.send(kind(timestamp=round(decision.at_ms)))


class Hearing:
    """The speech of one stream; synchronous, for the detector's threads."""

    def __init__(self, vad: SteadyVad, feed: AudioFeed) -> None:
        """Start with fresh state."""
        self._reader = SampleReader(feed.format)
        self._windows = Windows(vad.stream())
        self._gate = SpeechGate()

    def hear(self, pcm: bytes) -> list[SpeechStarted | SpeechStopped]:
        """Take audio and return what it decides."""
        return self._decide(self._windows.add(self._reader.read(pcm)))

    def finish(self) -> list[SpeechStarted | SpeechStopped]:
        """Return what the end decides."""
        decisions = self._decide(self._windows.finish(self._reader.flush()))
        last = self._gate.finish()
        return [*decisions, last] if last else decisions

    def _decide(self, windows: Iterator[tuple[Samples, float]]) -> list[SpeechStarted | SpeechStopped]:
        fed = (self._gate.feed(probability, WINDOW_MS) for _, probability in windows)
        return [decision for decision in fed if decision]


def quiet_noise() -> Samples:
    """Return half a second of a quiet room, to warm engines up with."""
    noise = np.random.default_rng(1).standard_normal(SAMPLE_RATE_HZ // 2)
    return (noise * 1e-4).astype(np.float32)
