"""One client's connection: ordered writes, tasks that end with it, errors that reach the client.

Theory of operation. A connection reads one event after another and gives each to its handler, which must
return quickly: anything long is started with `spawn` and ends when the client goes away. That is how a
disconnect cancels a synthesis within a loop turn, and why a busy engine never keeps `describe` waiting.
Whatever goes wrong, in the reader, the handler or a spawned task, ends in exactly one Wyoming `error` event
and a close that lets the client read it: closing a socket with unread input sends a reset, and a reset
destroys data on its way to the client, so input is drained first.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from wyoming.error import Error
from wyoming.event import Event, Eventable

from wyoming_servers.errors import HearthError, RequestError, where_it_failed
from wyoming_servers.wire.limits import Limits
from wyoming_servers.wire.reader import read_event
from wyoming_servers.wire.writer import write_event

_LOGGER = logging.getLogger(__name__)
_LINGER_SECONDS = 1.0
"""How long a client may go on sending after a clean close before it is cut off."""
_REFUSED_LINGER_SECONDS = 10.0
"""The same after a refusal: there are clients that read only once they have sent all of an utterance."""
_LINGER_PAUSE_SECONDS = 0.005
"""Between pieces of what nobody will look at: 13 MB a second is enough for anybody, and keeps a flood cheap."""
_FLUSH_SECONDS = 2.0
"""How long a client may take to read our last words."""


class Handler(Protocol):
    """What a server does with one connection's events."""

    async def handle(self, event: Event) -> None:
        """Take one event and return quickly. Raises HearthError to refuse it and close."""

    async def end(self) -> None:
        """Take what has come as all that comes, and answer it: on a pipe, the end of the input is no hang-up."""

    async def aclose(self) -> None:
        """Release what belongs to the connection, which has ended, and its tasks with it."""


HandlerFactory = Callable[["Connection"], Handler]


class Connection:
    """One client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limits: Limits) -> None:
        """Wrap a stream whose reader was made with `limits.header_bytes` as its limit."""
        self.limits = limits
        self.finishes_at_eof = False
        """Whether work goes on after the client ended its side (pipes), instead of being cancelled (sockets)."""
        self._reader = reader
        self._writer = writer
        self._write_lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._closing = asyncio.Event()
        self._is_refused = False

    @property
    def is_busy(self) -> bool:
        """Whether something is being done for this client."""
        return bool(self._tasks)

    async def send(self, event: Event | Eventable) -> None:
        """Write one event, whole and in order. Raises ConnectionError if the client is gone or takes nothing."""
        if isinstance(event, Eventable):
            event = event.event()
        self._is_refused = self._is_refused or Error.is_type(event.type)
        async with self._write_lock:
            try:
                async with asyncio.timeout(self.limits.write_seconds):
                    await write_event(event, self._writer)
            except TimeoutError:
                raise ConnectionAbortedError("the client does not read") from None

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` beside reading; it is cancelled with the connection, and its error ends the connection."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)
        return task

    def close(self) -> None:
        """Ask for a clean close once the current event is handled; safe from any task."""
        self._closing.set()

    async def serve(self, handler: Handler) -> None:
        """Read and handle events until either side ends; never raises but for cancellation."""
        reading = asyncio.create_task(self._read_loop(handler))
        closing = asyncio.create_task(self._closing.wait())
        waits: set[asyncio.Future[Any]] = {reading, closing, self._failure}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if reading.done() and not reading.exception() and self.finishes_at_eof:
                await handler.end()
                await self._finish_tasks()
            ends = (done for done in (self._failure, reading) if done.done() and not done.cancelled())
            if error := next(filter(None, (done.exception() for done in ends)), None):
                await self._cancel_tasks()  # the refusal is our last word, and no slow write may hold it up
                await self._refuse(error)
        finally:
            reading.cancel()
            closing.cancel()
            self._failure.cancel()
            await self._cancel_tasks()
            await asyncio.gather(reading, closing, return_exceptions=True)
            with contextlib.suppress(Exception):  # the handler's own clean-up must not keep the socket open
                await handler.aclose()
            await self._close_writer()

    async def _finish_tasks(self) -> None:
        while self._tasks and not self._failure.done():
            await asyncio.wait([*self._tasks, self._failure], return_when=asyncio.FIRST_COMPLETED)

    async def refuse(self, error: BaseException) -> None:
        """Send one `error` event and close; for connections that never get a handler."""
        await self._refuse(error)
        self._is_refused = False  # these are not counted, so they do not stay
        self._failure.cancel()
        await self._close_writer()

    async def _read_loop(self, handler: Handler) -> None:
        while True:
            try:
                event = await read_event(self._reader, self.limits, idle_seconds=self.limits.idle_seconds)
            except TimeoutError:
                if self.is_busy:
                    continue
                raise RequestError(
                    "idle",
                    f"Nothing was asked for {self.limits.idle_seconds:g} seconds, so the connection is closed.",
                ) from None
            if event is None:
                return
            await handler.handle(event)

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        if (error := task.exception()) and not self._failure.done():
            self._failure.set_exception(error)

    async def _refuse(self, error: BaseException) -> None:
        """Tell the client what happened, in words made for it."""
        if isinstance(error, ConnectionError):
            _LOGGER.debug("Client went away: %s", error)
            return
        if isinstance(error, HearthError):
            reply = Error(text=str(error), code=error.code)
            _LOGGER.debug("Refused (%s)", error.code)
        else:
            reply = Error(text="Something went wrong inside the server; its log says more.", code="internal")
            _LOGGER.error("Unexpected failure while serving a client: %s", where_it_failed(error))
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(_FLUSH_SECONDS):
                await self.send(reply)

    async def _cancel_tasks(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _close_writer(self) -> None:
        with contextlib.suppress(OSError, RuntimeError):
            if self._writer.can_write_eof() and not self._reader.at_eof():
                self._writer.write_eof()
                await self._drain_input()
            self._writer.close()
        try:
            async with asyncio.timeout(_FLUSH_SECONDS):
                await self._writer.wait_closed()
        except TimeoutError:
            # A client that never reads would keep its connection for ever.
            self._writer.transport.abort()
        except (OSError, RuntimeError):
            pass

    async def _drain_input(self) -> None:
        """Read what the client is still sending, for a moment, so that our last words are not reset away."""
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(_REFUSED_LINGER_SECONDS if self._is_refused else _LINGER_SECONDS):
                while not self._reader.at_eof():
                    await self._reader.read(64 * 1024)
                    await asyncio.sleep(_LINGER_PAUSE_SECONDS)
