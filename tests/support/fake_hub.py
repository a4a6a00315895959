"""A Wyoming server that answers each request of a turn as it is told to."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from wyoming.asr import Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.event import Event, Eventable
from wyoming.handle import Handled
from wyoming.tts import SynthesizeStop, SynthesizeStopped
from wyoming.vad import VoiceStopped

from tests.support.wav import tone
from wyoming_servers.wire.connection import Connection
from wyoming_servers.wire.server import Server

HANDLED = [Handled(text="It is noon.")]
SPEECH = [
    AudioStart(rate=22_050, width=2, channels=1),
    AudioChunk(rate=22_050, width=2, channels=1, audio=tone(0.1)),
    AudioChunk(rate=22_050, width=2, channels=1, audio=tone(0.1)),
    AudioStop(),
    SynthesizeStopped(),
]


class FakeHub:
    """Plays a part for each stage and keeps what it was sent."""

    def __init__(
        self,
        *,
        hears: str | None = "what time is it",
        ends_after: int = 30,
        replies: Sequence[Event | Eventable] = HANDLED,
        speech: Sequence[Event | Eventable] = SPEECH,
    ) -> None:
        self.hears, self.ends_after, self.replies, self.speech = hears, ends_after, replies, speech
        self.received: list[list[Event]] = []

    def handler(self, connection: Connection) -> "FakeHandler":
        events: list[Event] = []
        self.received.append(events)
        return FakeHandler(self, connection, events)

    def types(self, connection: int) -> list[str]:
        return [event.type for event in self.received[connection]]


class FakeHandler:
    def __init__(self, hub: FakeHub, connection: Connection, events: list[Event]) -> None:
        self.hub, self.connection, self.events = hub, connection, events

    async def handle(self, event: Event) -> None:
        self.events.append(event)
        chunks = sum(AudioChunk.is_type(one.type) for one in self.events)
        ended = AudioStop.is_type(event.type) or (AudioChunk.is_type(event.type) and chunks == self.hub.ends_after)
        if ended and self.hub.hears is not None:
            await self.send([VoiceStopped(timestamp=200), Transcript(text=self.hub.hears)])
        elif Transcript.is_type(event.type):
            await self.send(self.hub.replies)
        elif SynthesizeStop.is_type(event.type):
            await self.send(self.hub.speech)

    async def send(self, events: Sequence[Event | Eventable]) -> None:
        for event in events:
            await self.connection.send(event)

    async def aclose(self) -> None:
        pass


@asynccontextmanager
async def served(hub: FakeHub) -> AsyncIterator[str]:
    server = Server(hub.handler)
    await server.start("tcp://127.0.0.1:0")
    try:
        yield server.uri
    finally:
        await server.stop()
