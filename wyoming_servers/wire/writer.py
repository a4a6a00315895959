"""Writes Wyoming events, each in one piece.

Wyoming's own writer hands over header, data and payload one by one, and each hand-over is a system call that wakes
the receiver for a part of an event. With many clients that is most of the time an event takes.
"""

import asyncio
from collections.abc import Iterable
from typing import cast

from wyoming.event import Event, async_write_event


class _Gathered:
    """What a stream writer is to Wyoming's writer, with one write per event."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._parts: list[bytes] = []

    def write(self, part: bytes) -> None:
        self._parts.append(part)

    def writelines(self, parts: Iterable[bytes]) -> None:
        self._parts.extend(parts)

    async def drain(self) -> None:
        self._writer.write(b"".join(self._parts))
        await self._writer.drain()


async def write_event(event: Event, writer: asyncio.StreamWriter) -> None:
    """Write one event and wait while the receiver is too far behind. Raises OSError if it is gone."""
    await async_write_event(event, cast("asyncio.StreamWriter", _Gathered(writer)))
