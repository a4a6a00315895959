"""Bytes on the wire as no well-behaved client would write them, and what comes back."""

import asyncio
import contextlib
import json
from collections.abc import Sequence

from wyoming.event import Event, async_read_event


def line(header: object) -> bytes:
    """Return a header line, in ASCII with escapes, so that anything Python can hold can be sent."""
    return json.dumps(header).encode() + b"\n"


def event(event_type: str, data: object = None, payload: bytes = b"") -> bytes:
    """Return a well-formed event."""
    header: dict[str, object] = {"type": event_type}
    body = b"" if data is None else json.dumps(data).encode()
    if body:
        header["data_length"] = len(body)
    if payload:
        header["payload_length"] = len(payload)
    return line(header) + body + payload


def address(uri: str) -> tuple[str, int]:
    """Return host and port of a tcp:// address."""
    host, _, port = uri.removeprefix("tcp://").rpartition(":")
    return host, int(port)


async def exchange(uri: str, sent: bytes, *, ends: bool = False, seconds: float = 10) -> Sequence[Event]:
    """Send bytes, end our side if `ends`, and return every event until the server closes.

    Raises TimeoutError if it does not, and ConnectionError if it resets the connection.
    """
    reader, writer = await asyncio.open_connection(*address(uri))
    events = []
    try:
        async with asyncio.timeout(seconds):
            writer.write(sent)
            if ends:
                writer.write_eof()
            while received := await async_read_event(reader):
                events.append(received)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return events


async def first(uri: str, sent: bytes, *types: str, seconds: float = 10) -> Event:
    """Send bytes and return the first event of one of these types. Raises as `exchange` does."""
    reader, writer = await asyncio.open_connection(*address(uri))
    try:
        async with asyncio.timeout(seconds):
            writer.write(sent)
            while received := await async_read_event(reader):
                if received.type in types:
                    return received
        raise ConnectionError(f"the server closed without any of {types}")
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
