"""Listens on tcp://, unix:// or stdio:// and gives each client a bounded `Connection`."""

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from wyoming_servers.errors import AddressError, RequestError, SettingsError
from wyoming_servers.wire.connection import Connection, HandlerFactory
from wyoming_servers.wire.limits import Limits

_DRAIN_LOOK_SECONDS = 0.05
"""How often a server that stops looks who has got what he asked for."""


def parse_uri(uri: str) -> tuple[str, str, int]:
    """Return (scheme, host or path, port) of a server's address. Raises SettingsError if it is none."""
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        raise SettingsError(f"'{uri}' is not an address.") from None
    if parts.scheme == "tcp" and parts.hostname and port is not None:
        return "tcp", parts.hostname, port
    if parts.scheme == "unix" and parts.path:
        return "unix", parts.path, 0
    if parts.scheme == "stdio":
        return "stdio", "", 0
    raise SettingsError(f"'{uri}' is not an address: use tcp://HOST:PORT, unix:///PATH or stdio://.")


class Server:
    """A Wyoming server: any number of clients, one handler each."""

    def __init__(self, make_handler: HandlerFactory, limits: Limits | None = None) -> None:
        """Serve with handlers from `make_handler`."""
        self._make_handler = make_handler
        self._limits = limits or Limits()
        self._connections: dict[asyncio.Task[None], Connection] = {}
        self._server: asyncio.Server | None = None
        self._stopping = asyncio.Event()
        self.uri = ""
        """Where it listens, with the real port; set once it does."""

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    async def start(self, uri: str) -> None:
        """Begin to listen on a tcp:// or unix:// address. Raises AddressError if it cannot be bound."""
        scheme, place, port = parse_uri(uri)
        try:
            if scheme == "tcp":
                self._server = await asyncio.start_server(self._on_client, place, port, limit=self._limits.header_bytes)
                port = self._server.sockets[0].getsockname()[1]
                self.uri = f"tcp://{f'[{place}]' if ':' in place else place}:{port}"
            else:
                self._unlink_stale(Path(place))
                self._server = await asyncio.start_unix_server(self._on_client, place, limit=self._limits.header_bytes)
                self.uri = uri
        except OSError as err:
            raise AddressError(uri, err) from err

    async def stop(self) -> None:
        """Stop listening, let requests in progress end for a moment, then close everything."""
        self._stopping.set()
        if self._server is not None:
            self._server.close()
        deadline = time.monotonic() + self._limits.drain_seconds
        while self._connections and time.monotonic() < deadline:
            for connection in self._connections.values():
                if not connection.is_busy:
                    connection.close()
            await asyncio.wait(list(self._connections), timeout=_DRAIN_LOOK_SECONDS)
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        if self.uri.startswith("unix://"):
            self._unlink_stale(Path(urlsplit(self.uri).path))

    async def run(self, uri: str, on_ready: Callable[[str], None] | None = None) -> None:
        """Serve until SIGTERM or SIGINT, or until standard input ends for stdio://."""
        if parse_uri(uri)[0] == "stdio":
            await self._serve_stdio()
            return
        await self.start(uri)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        if on_ready:
            on_ready(self.uri)
        try:
            await self._stopping.wait()
        finally:
            await self.stop()

    async def _on_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer, self._limits)
        if len(self._connections) >= self._limits.connections or self._stopping.is_set():
            await connection.refuse(
                RequestError("busy", f"All {self._limits.connections} connections of this server are in use.")
            )
            return
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # start_server runs this as a task
        self._connections[task] = connection
        try:
            await connection.serve(self._make_handler(connection))
        except asyncio.CancelledError:
            if not self._stopping.is_set():
                raise
        finally:
            self._connections.pop(task, None)

    async def _serve_stdio(self) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=self._limits.header_bytes)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, sys.stdout)
        connection = Connection(reader, asyncio.StreamWriter(transport, protocol, None, loop), self._limits)
        connection.finishes_at_eof = True
        await connection.serve(self._make_handler(connection))

    @staticmethod
    def _unlink_stale(path: Path) -> None:
        """Remove a socket nobody listens on any more, but no other kind of file."""
        with contextlib.suppress(OSError):
            if path.is_socket():
                path.unlink()
