"""The other end: a bounded connection to a Wyoming server."""

import asyncio
from types import TracebackType
from typing import Self

from wyoming.event import Event, Eventable
from wyoming.info import Describe, Info

from wyoming_servers.errors import RequestError, WorkerError
from wyoming_servers.wire.limits import Limits
from wyoming_servers.wire.reader import read_event
from wyoming_servers.wire.server import parse_uri
from wyoming_servers.wire.writer import write_event

# A server's info lists every voice and language it has, so what is read from servers may be larger.
_SERVER_LIMITS = Limits(data_bytes=1024 * 1024, header_bytes=1024 * 1024, payload_bytes=4 * 1024 * 1024)
_FLUSH_SECONDS = 1.0


class Client:
    """One connection to a Wyoming server at tcp://HOST:PORT or unix:///PATH."""

    def __init__(self, uri: str, *, connect_seconds: float = 5.0) -> None:
        """Prepare; `async with` connects. Raises SettingsError for an address that is none."""
        self._scheme, self._place, self._port = parse_uri(uri)
        self._connect_seconds = connect_seconds
        self.uri = uri

    async def __aenter__(self) -> Self:
        """Connect. Raises WorkerError if nobody answers."""
        limit = _SERVER_LIMITS.header_bytes
        try:
            async with asyncio.timeout(self._connect_seconds):
                if self._scheme == "tcp":
                    self._reader, self._writer = await asyncio.open_connection(self._place, self._port, limit=limit)
                else:
                    self._reader, self._writer = await asyncio.open_unix_connection(self._place, limit=limit)
        except (OSError, TimeoutError) as err:
            raise WorkerError(f"Nothing answers at {self.uri}.") from err
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect: what was sent still goes out, unless the server does not take it within a moment."""
        self._writer.close()
        try:
            async with asyncio.timeout(_FLUSH_SECONDS):
                await self._writer.wait_closed()
        except TimeoutError:
            self._writer.transport.abort()
        except OSError:
            pass

    async def send(self, event: Event | Eventable) -> None:
        """Write one event. Raises WorkerError if the server is gone."""
        try:
            await write_event(event.event() if isinstance(event, Eventable) else event, self._writer)
        except OSError as err:
            raise WorkerError(f"The server at {self.uri} closed the connection.") from err

    async def receive(self) -> Event | None:
        """Return the next event, or None when the server ended the connection.

        Raises WorkerError if the connection broke or what came is not Wyoming.
        """
        try:
            return await read_event(self._reader, _SERVER_LIMITS)
        except (OSError, RequestError) as err:
            raise WorkerError(f"The connection to {self.uri} broke.") from err

    async def expect(self) -> Event:
        """Return the next event. Raises WorkerError also when the server ended the connection."""
        if (event := await self.receive()) is None:
            raise WorkerError(f"The server at {self.uri} closed the connection.")
        return event


async def describe(uri: str, *, seconds: float = 5.0) -> Info:
    """Ask a server what it offers. Raises WorkerError if it does not answer in time."""
    try:
        async with asyncio.timeout(seconds), Client(uri, connect_seconds=seconds) as client:
            await client.send(Describe())
            while True:
                event = await client.expect()
                if Info.is_type(event.type):
                    return Info.from_event(event)
    except TimeoutError as err:
        raise WorkerError(f"The server at {uri} does not answer.") from err
