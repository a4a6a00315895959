"""Reads Wyoming events without trusting the sender.

Wyoming's own reader bounds only the header line: a length of 1e12 makes it buffer whatever comes, and
malformed JSON looks like a polite hang-up. This one bounds every part and says what was wrong.
Format (wyoming 1.10, event.py): one JSON line, then `data_length` bytes of JSON, then `payload_length` bytes.
"""

import asyncio
import json
import math
from typing import Any

from wyoming.event import Event

from wyoming_servers.errors import RequestError
from wyoming_servers.wire.limits import Limits

_MOST_NESTED = 32
"""Deeper than any event; what is read here may be sent on, and the encoder's stack has its limits too."""


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError("too large for a number")
    return value


def _parse_object(raw: bytes, part: str) -> dict[str, Any]:
    try:
        text = raw.decode("utf-8")
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError):
        raise RequestError("bad-json", f"The event's {part} is not valid JSON.") from None
    if not isinstance(value, dict):
        raise RequestError("bad-json", f"The event's {part} must be a JSON object.")
    if text.count("[") + text.count("{") > _MOST_NESTED and _is_deep(value):
        raise RequestError("bad-json", f"The event's {part} is nested over the limit of {_MOST_NESTED} levels.")
    if "\\u" in text and not _is_unicode(value):
        raise RequestError("bad-text", f"The event's {part} holds half of a surrogate pair.")
    return value


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_MOST_NESTED + 1):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
    return bool(level)


def _is_unicode(value: dict[str, Any]) -> bool:
    """Return whether the texts can be written as UTF-8: JSON's escapes can spell halves of characters."""
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _length(header: dict[str, Any], key: str, most: int) -> int:
    value = header.get(key)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise RequestError("bad-length", f"The event's {key} must be a whole number of bytes.")
    if value > most:
        raise RequestError("too-large", f"The event's {key} is over the limit of {most} bytes.")
    return value


async def _read_header(reader: asyncio.StreamReader, limits: Limits) -> bytes:
    """Return the next header line, or nothing at a clean end of the stream."""
    try:
        return await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError as err:
        if not err.partial:
            return b""
        raise RequestError("truncated", "The connection ended in the middle of an event.") from None
    except asyncio.LimitOverrunError:
        raise RequestError(
            "too-large", f"The event's header is over the limit of {limits.header_bytes} bytes."
        ) from None


async def _read_exactly(reader: asyncio.StreamReader, length: int) -> bytes:
    try:
        return await reader.readexactly(length)
    except asyncio.IncompleteReadError:
        raise RequestError("truncated", "The connection ended in the middle of an event.") from None


async def read_event(
    reader: asyncio.StreamReader, limits: Limits, *, idle_seconds: float | None = None
) -> Event | None:
    """Return the next event, or None at a clean end of the stream.

    The reader must have been made with `limit=limits.header_bytes`. Raises RequestError for anything that
    is not a well-formed event within the limits, and TimeoutError if no event begins within `idle_seconds`;
    after that the stream is intact and can be read again.
    """
    # What has already come is read without waiting: one who sends without pause would keep the loop for himself.
    await asyncio.sleep(0)
    try:
        async with asyncio.timeout(idle_seconds) as idle:
            line = await _read_header(reader, limits)
    except TimeoutError:
        if idle.expired():
            raise
        # The socket's own timeout; unlike ours it is for ever.
        raise ConnectionAbortedError("the connection timed out") from None
    if not line:
        return None
    header = _parse_object(line, "header")
    event_type = header.get("type")
    if not isinstance(event_type, str) or not event_type:
        raise RequestError("bad-event", "The event's type must be a text.")
    data = header.get("data")
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise RequestError("bad-event", "The event's data must be a JSON object.")
    data_length = _length(header, "data_length", limits.data_bytes)
    payload_length = _length(header, "payload_length", limits.payload_bytes)
    try:
        async with asyncio.timeout(limits.event_seconds):
            if data_length:
                data |= _parse_object(await _read_exactly(reader, data_length), "data")
            payload = await _read_exactly(reader, payload_length) if payload_length else None
    except TimeoutError:
        raise RequestError(
            "too-slow", f"The rest of an event did not come within {limits.event_seconds:g} seconds."
        ) from None
    return Event(type=event_type, data=data, payload=payload)
