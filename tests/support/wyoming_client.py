"""Short ways to ask a Wyoming server something, and to have all it answers."""

import asyncio
from collections.abc import Iterable

from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.event import Event, Eventable
from wyoming.tts import Synthesize

from wyoming_servers.wire.client import Client

SECONDS = 30


async def send_all(client: Client, events: Iterable[Event | Eventable]) -> None:
    for event in events:
        await client.send(event)


async def receive_until(client: Client, *types: str, seconds: float = SECONDS) -> list[Event]:
    """Return what comes, up to the first event of one of some types, or the end of the connection."""
    events: list[Event] = []
    async with asyncio.timeout(seconds):
        while (event := await client.receive()) is not None:
            events.append(event)
            if event.type in types:
                break
    return events


async def ask(uri: str, event: Event | Eventable, *types: str) -> list[Event]:
    """Return the answer to one event on a connection of its own."""
    async with Client(uri) as client:
        await client.send(event)
        return await receive_until(client, *types, "error")


def spoken(pcm: bytes, *, rate_hz: int = 16_000, chunk_bytes: int = 320) -> list[Event]:
    """Return audio as the events Home Assistant sends."""
    form = {"rate": rate_hz, "width": 2, "channels": 1}
    chunks = [pcm[at : at + chunk_bytes] for at in range(0, len(pcm), chunk_bytes)]
    return [
        Transcribe(language="en").event(),
        AudioStart(**form).event(),
        *(AudioChunk(audio=chunk, **form).event() for chunk in chunks),
        AudioStop().event(),
    ]


def said(text: str, **context: str) -> Transcript:
    """Return what Home Assistant sends to a conversation."""
    return Transcript(text=text, language="en", context={"conversation_id": "1", **context})


def speak(text: str) -> Synthesize:
    """Return a request for speech."""
    return Synthesize(text=text)
