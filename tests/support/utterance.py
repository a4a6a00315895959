"""Utterances as clients send them: audio in any format, and the answer taken apart."""

from collections.abc import Sequence

import numpy as np
import soxr
from wyoming.asr import Transcribe
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.event import Event

from tests.support.wyoming_client import receive_until, send_all
from wyoming_servers.wire.client import Client

RATE_HZ = 16_000


def silence(seconds: float) -> bytes:
    """Return 16 kHz silence."""
    return bytes(2 * round(RATE_HZ * seconds))


def convert(pcm: bytes, rate_hz: int, channels: int) -> bytes:
    """Return 16 kHz mono audio at another rate, on any number of channels."""
    samples = soxr.resample(np.frombuffer(pcm, "<i2"), RATE_HZ, rate_hz)
    return np.repeat(samples, channels).astype("<i2").tobytes()


def audio(
    pcm: bytes, *, rate_hz: int = RATE_HZ, channels: int = 1, milliseconds: int = 10, starts: bool = True
) -> list[Event]:
    """Return `audio-start` and chunks, with no end."""
    form = {"rate": rate_hz, "width": 2, "channels": channels}
    size = rate_hz * milliseconds // 1000 * 2 * channels
    chunks = [AudioChunk(audio=pcm[at : at + size], **form).event() for at in range(0, len(pcm), size)]
    return [AudioStart(**form).event(), *chunks] if starts else chunks


def stop() -> Event:
    """Return the end of the audio."""
    return AudioStop().event()


async def transcribe(client: Client, *events: Event, **request: object) -> list[Event]:
    """Send an utterance and return all events up to the one that ends the answer."""
    await send_all(client, [Transcribe(**request).event(), *events])
    return await receive_until(client, "transcript-stop", "error")


def turn(events: Sequence[Event]) -> list[str]:
    """Return the types of the events that are there once in a turn, whatever its words."""
    return [event.type for event in events if event.type not in {"transcript-start", "transcript-chunk"}]


def find(events: Sequence[Event], name: str) -> Event:
    """Return the one event of a type."""
    (found,) = [event for event in events if event.type == name]
    return found


def text(events: Sequence[Event]) -> str:
    """Return the transcript."""
    return str(find(events, "transcript").data["text"])
